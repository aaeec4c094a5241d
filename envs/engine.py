"""`Engine`: B accounts on one market at once; the only place money moves.

It walks *decisions*, not bars: decision `k` is the k-th row of the span on which a window fits. Its order fills at the
open of the very next bar, and the account is marked at the close of decision `k + 1`'s row. Inside a segment that is
one bar later. Across a gap the order fills at the first open after it, the position is held while a new window fills,
and carry and interest run on: nothing knows beforehand that an exchange will go dark.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from configs.errors import UserError
from configs.registry import check_name
from data.market import CLOSE, OPEN, Market
from envs.account import EPISODES, reset_accounts, step_accounts
from envs.actions import LevelActions, WeightActions
from envs.execution import CostConfig
from envs.observations import account_names

SECONDS_PER_YEAR = 365 * 24 * 3600

def account_seed(seed: int) -> np.uint64:
    """A stream of its own for every integer seed.

    Account `b` of a vector env seeded with `s` walks exactly the starts of a single env seeded with `s + b`: where its
    next episode starts is a hash of (its stream, how many episodes it has had), so no account needs a generator.
    """
    return np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]


@dataclass(frozen=True)
class EnvConfig:
    costs: CostConfig = field(default_factory=CostConfig)
    action: str = "levels"
    """levels: choose one of a few target weights; weights: name the target weight itself"""
    levels: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """target weights to choose from; leave the negative ones out for a long-only account"""
    low: float = -1.0
    """smallest target weight (action weights)"""
    high: float = 1.0
    """largest target weight (action weights)"""
    gross: float = 1.0
    """largest sum of absolute target weights; a wish for more is shrunk, all weights alike"""
    capital: float = 10_000.0
    """cash an account starts with"""
    ruin: float = 0.05
    """the account ends at or below this share of its capital"""
    episode: int = 500
    """steps of a training episode; evaluation walks the whole span once"""

    def __post_init__(self) -> None:
        check_name("env.action", self.action, ("levels", "weights"))
        if self.capital <= 0 or not 0 < self.ruin < 1 or self.episode < 1:
            raise UserError("env needs capital > 0, 0 < ruin < 1 and episode >= 1, found "
                            f"{self.capital}, {self.ruin}, {self.episode}")
        heaviest = max(map(abs, self.reach))
        if heaviest > self.gross:
            raise UserError(f"a weight of {heaviest:g} is more than env.gross {self.gross:g} allows; raise env.gross "
                            "to trade with leverage, or lower the weight")
        if self.gross * self.costs.per_unit > 0.5:
            raise UserError(f"gross weights of {self.gross:g} at {self.costs.per_unit * 1e4:g} bps cost half the "
                            "account per trade; lower env.gross or env.costs")

    @property
    def reach(self) -> tuple[float, float]:
        """Smallest and largest weight of an asset that an action can ask for."""
        return (min(self.levels), max(self.levels)) if self.action == "levels" else (self.low, self.high)

    def actions(self, assets: int) -> LevelActions | WeightActions:
        if self.action == "levels":
            return LevelActions(self.levels, self.gross, assets)
        return WeightActions(self.low, self.high, self.gross, assets)


class Engine:
    """B accounts over the decisions of one span.

    >>> engine = Engine(Market.flat(10), EnvConfig(), accounts=2, window=4)
    >>> engine.reset([0, 1])
    >>> engine.step(np.array([[1.0], [0.0]]))
    >>> from envs.account import FEES
    >>> engine.rows.tolist(), engine.money[:, FEES].round(4).tolist()
    ([4, 4], [4.9975, 0.0])
    """

    def __init__(self, market: Market, config: EnvConfig, accounts: int, window: int, rows: slice | None = None,
                 random_start: bool = False, autoreset: bool = False) -> None:
        self.market, self.config, self.window, self.accounts = market, config, window, accounts
        self._lay_out_decisions(rows)
        decisions = len(self.years)
        self.length = min(config.episode, decisions) if random_start else decisions
        self.starts = decisions - self.length + 1 if random_start else 1

        assets = len(market.assets)
        costs = config.costs
        self.rules = np.array([costs.fee_bps * 1e-4, costs.slip, costs.borrow_apr, costs.min_trade, config.ruin,
                               config.capital])
        self.money = np.zeros((accounts, 11))
        self.holdings = np.zeros((accounts, assets, 3))
        self.clock = np.zeros((accounts, 4), np.int64)
        self.streams = np.zeros(accounts, np.uint64)
        self.rows = np.zeros(accounts, np.int64)  # the row each account now decides on
        self.observed = np.zeros((accounts, len(account_names(market.assets))), np.float32)
        self.reward = np.zeros(accounts)
        self.terminated = np.zeros(accounts, np.bool_)
        self.truncated = np.zeros(accounts, np.bool_)
        # what the step ended on, before an account that is done was opened anew
        self.final_rows = np.zeros(accounts, np.int64)
        self.final_observed = np.zeros_like(self.observed)
        self.final_money = np.zeros_like(self.money)
        # the arrays are allocated once and stay, so the compiled loop's arguments are gathered once
        self._step_arguments = (
            autoreset, self.starts, self.length, self.streams, self.money, self.holdings, self.clock,
            self.decision_rows, self.fill, self.mark, self.carry, self.years, self.rules, self.rows, self.observed,
            self.reward, self.terminated, self.truncated, self.final_rows, self.final_observed, self.final_money,
        )

    def _lay_out_decisions(self, rows: slice | None) -> None:
        market = self.market
        every = market.decision_rows(self.window, rows)
        if len(every) < 2:
            first, last, _ = (rows or slice(None)).indices(len(market))
            raise UserError(f"too few rows: a window of {self.window} bars fits on {len(every)} of rows {first} to "
                            f"{last}, 2 are needed; give more data or a smaller window")
        now, following = every[:-1], every[1:]
        paid = np.concatenate([np.zeros_like(market.carry[:1]), np.cumsum(market.carry, axis=0)])
        self.decision_rows = every  # (K + 1,)
        self.fill = np.ascontiguousarray(market.prices[now + 1, :, OPEN])  # (K, N)
        self.mark = np.ascontiguousarray(market.prices[every, :, CLOSE])  # (K + 1, N)
        self.carry = paid[following + 1] - paid[now + 1]  # (K, N)
        self.years = (market.time[following] - market.time[now]) / np.timedelta64(1, "s") / SECONDS_PER_YEAR  # (K,)

    def reset(self, seeds: list[int] | None = None, starts: np.ndarray | None = None) -> None:
        """Open every account: with `seeds` its stream starts over, without it goes on; `starts` names decisions."""
        if seeds is not None:
            self.streams[:] = [account_seed(seed) for seed in seeds]
            self.clock[:, EPISODES] = 0
        if starts is not None and not ((starts >= 0) & (starts < len(self.years))).all():
            raise UserError(f"an episode can start at decisions 0 to {len(self.years) - 1}, found {starts.tolist()}")
        chosen = np.full(self.accounts, -1) if starts is None else starts.astype(np.int64)
        reset_accounts(chosen, self.starts, self.length, self.streams, self.money, self.holdings, self.clock,
                       self.decision_rows, self.mark, self.rules, self.rows, self.observed)

    def step(self, target: np.ndarray) -> None:
        """Trade every account to its `target` (B, N) weights; the results stand in the engine's arrays."""
        step_accounts(target, *self._step_arguments)
