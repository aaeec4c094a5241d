"""`Engine`: B accounts on one market at once; the only place money moves.

It walks *decisions*: decision `k` is the k-th row of the span on which a window fits. Its order fills at the open of
the very next bar, and the account is marked at the close of decision `k + 1`'s row. Inside a segment that is one bar
later. Across a gap the order fills at the first open after it, and the bars on which a new window fills are walked one
by one: stops, liquidation, funding and ruin happen there as anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from configs.errors import UserError
from data.market import Market
from envs import layout as at
from envs.account import reset_accounts, step_accounts
from envs.config import EnvConfig
from envs.crew import Crew
from envs.episodes import EpisodeConfig, allowed_starts, one_after_another
from envs.execution import bar_table
from envs.observations import account_names, show_accounts, windows_of
from envs.risk import Outlook, weight_limits

CHANGING = ("state", "outcome", "observed", "final", "final_observed", "starts")
FEWEST_PER_THREAD = 1024  # with fewer accounts, handing work over takes longer than doing it


def account_seed(seed: int) -> float:
    """A stream of its own for every integer seed, as a whole number below 2**53.

    Account `b` of a vector env seeded with `s` walks exactly the starts of a single env seeded with `s + b`: where its
    next episode starts is a hash of (its stream, how many episodes it has had), so no account needs a generator.
    """
    return float(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(11))


class Engine:
    """B accounts over the decisions of one span, or of several that no episode crosses.

    >>> engine = Engine(Market.flat(10), EnvConfig(), accounts=2, window=4)
    >>> engine.reset([0, 1])
    >>> engine.step(np.array([[1.0], [0.0]]))
    >>> from envs.layout import FEES
    >>> engine.rows.tolist(), engine.money[:, FEES].round(4).tolist()
    ([4, 4], [4.9975, 0.0])
    """

    def __init__(self, market: Market, config: EnvConfig, accounts: int, window: int,
                 rows: slice | Sequence[slice] | None = None, random_start: bool = False, autoreset: bool = False,
                 outlook: Outlook | None = None, threads: int = 1) -> None:
        for name, number in (("window", window), ("accounts", accounts), ("threads", threads)):
            if not isinstance(number, (int, np.integer)) or number < 1:
                raise UserError(f"the number of {name} must be whole and at least 1, found {number!r}")
        for name, given, kind in (("market", market, Market), ("config", config, EnvConfig)):
            if not isinstance(given, kind):
                raise UserError(f"{name} must be a {kind.__name__}, found {given!r}")
        self.market, self.config, self.window, self.accounts = market, config, window, accounts
        self.autoreset = autoreset
        self.spans = [rows or slice(None)] if rows is None or isinstance(rows, slice) else list(rows)
        self.decisions = self._decisions()  # (K + 1, 2) row, and the last decision that an episode through it may reach
        longest = int((self.decisions[:, 1] - np.arange(len(self.decisions))).max())
        self.length = min(config.episode, longest) if random_start else longest
        self.starts = self._starts(config.episodes) if random_start else np.zeros(1, np.int64)

        assets = len(market.assets)
        self.bars = bar_table(market, config.costs, config.fill, weight_limits(market, config.risk, outlook))
        self.rules = config.rules(self.length, autoreset)
        self.windows = windows_of(market.features, window)
        self.state = np.zeros((accounts, at.width(assets, len(config.costs.tiers), config.latency)))
        self.target = np.full((accounts, assets), np.nan)  # weights that the next step trades to, NaN to leave alone
        self.work = np.zeros((accounts, at.WORKED, assets))  # a thread takes the place of its first account
        self.outcome = np.zeros((at.EVENT_BITS + 1, accounts))
        self.observed = np.zeros((accounts, len(account_names(market.assets))), np.float32)
        # what an episode ended on, before the account was opened anew
        self.final = np.zeros_like(self.state)
        self.final_observed = np.zeros_like(self.observed)
        self.threads = min(threads, max(accounts // FEWEST_PER_THREAD, 1))
        self._crew: Crew | None = None
        self._bind()

    def _decisions(self) -> np.ndarray:
        delay = self.config.observation_delay
        bounds = [span.indices(len(self.market)) for span in self.spans]
        if not bounds or any(after[0] < before[1] for before, after in pairwise(bounds)):
            raise UserError("rows must be one span, or several that follow one another without overlap, found "
                            f"{self.spans}")
        found = [self.market.decision_rows(self.window + delay, span) for span in self.spans]
        found = [rows for rows in found if len(rows) > 1]
        if not found:
            first, last, _ = self.spans[0].indices(len(self.market))
            fits = len(self.market.decision_rows(self.window + delay, self.spans[0]))
            raise UserError(f"too few rows: a window of {self.window + delay} bars fits on {fits} of rows {first} to "
                            f"{last}, 2 are needed; give more data or a smaller window")
        ends = np.cumsum([len(rows) for rows in found]) - 1
        last_of = np.repeat(ends, [len(rows) for rows in found])
        return np.stack([np.concatenate(found), last_of], axis=1).astype(np.int64)

    def _starts(self, episodes: EpisodeConfig) -> np.ndarray:
        starts = allowed_starts(self.market, self.decisions[:, 0], self.length, episodes, self.spans)
        return one_after_another(starts, self.length) if episodes.order == "sequential" else starts

    def _bind(self) -> None:
        """Views into the accounts, and where the compiled loops find the arrays, which stay where they are."""
        state, assets = self.state, len(self.market.assets)
        held = at.HOLDINGS + at.PER_ASSET * assets
        self.money = state[:, : at.MONEY]
        self.holdings = state[:, at.HOLDINGS : held].reshape(self.accounts, assets, at.PER_ASSET)
        self.fills = state[:, held : held + at.PER_ASSET * assets].reshape(self.accounts, assets, at.PER_ASSET)
        self.reward = self.outcome[at.REWARD]
        arrays = (self.state, self.target, self.work, self.outcome, self.observed, self.final, self.final_observed,
                  self.bars, self.decisions, self.starts, self.rules)
        sizes = (*state.shape, self.observed.shape[1], *self.bars.shape[:2], len(self.decisions), len(self.starts),
                 len(self.rules))
        assert all(array.flags.c_contiguous for array in arrays)
        self._plan = np.array([*(array.ctypes.data for array in arrays), *sizes], np.int64)
        self._plan_at = self._plan.ctypes.data

    @property
    def rows(self) -> np.ndarray:
        """(B,) int64 row that each account now decides on."""
        return self.outcome[at.ROW].astype(np.int64)

    @property
    def shown(self) -> np.ndarray:
        """(B,) int64 row of the newest bar that each account is shown."""
        return self.rows - self.config.observation_delay

    @property
    def terminated(self) -> np.ndarray:
        """(B,) the account was ruined in the last step."""
        return self.outcome[at.TERMINATED] > 0

    @property
    def truncated(self) -> np.ndarray:
        """(B,) the last step was the last of its episode."""
        return self.outcome[at.TRUNCATED] > 0

    @property
    def events(self) -> np.ndarray:
        """(B,) int64 bits of what happened in the last step; `envs.layout.happened` names them."""
        return self.outcome[at.EVENT_BITS].astype(np.int64)

    @property
    def final_shown(self) -> np.ndarray:
        """(B,) int64 row of the newest bar that each account was shown at the end of its last episode."""
        return self.decisions[self.final[:, at.DECISION].astype(np.int64), 0] - self.config.observation_delay

    def weights(self) -> np.ndarray:
        """(B, N) value of each position over equity, at the last close."""
        value = self.holdings[:, :, at.UNITS] * self.bars[self.rows, :, at.CLOSE]
        equity = self.money[:, at.EQUITY, None]
        return np.divide(value, equity, out=np.zeros_like(value), where=equity > 0)

    def tradeable(self) -> np.ndarray:
        """(B, N) whether the asset has a bar, volume and features on the row that is decided on."""
        return self.bars[self.rows, :, at.TRADEABLE] > 0

    @property
    def years(self) -> np.ndarray:
        """(K,) time from each decision to the next."""
        gone = np.cumsum(self.bars[:, 0, at.YEARS])[self.decisions[:, 0]]
        return np.diff(gone)

    @property
    def steps(self) -> int:
        """Steps from the first decision to the last."""
        return len(self.decisions) - 1

    def reset(self, seeds: Sequence[int] | None = None, starts: np.ndarray | None = None) -> None:
        """Open every account: with `seeds` its stream starts over, without it goes on; `starts` names decisions."""
        if seeds is not None:
            if len(seeds) != self.accounts:
                raise UserError(f"seeds must be one whole number for each of {self.accounts} accounts, found {seeds}")
            self.state[:, at.STREAM] = [account_seed(seed) for seed in seeds]
            self.state[:, at.EPISODES] = 0
        reset_accounts(np.full(self.accounts, -1) if starts is None else self._checked(starts), self._plan_at)

    def place(self, starts: np.ndarray, held: np.ndarray, cost_scale: np.ndarray | float = 1.0) -> None:
        """Open every account at a decision with `held` (B, N) weights that cost nothing: what if it were there.

        Its positions count as entered at that row's close; with `cost_scale` its fees, spread and impact are so many
        times those of the config.
        """
        wanted = (self.accounts, len(self.market.assets))
        if np.shape(held) != wanted or not np.isfinite(held).all():
            raise UserError(f"weights that are held must be finite and of shape {wanted} (accounts, assets), found "
                            f"{np.shape(held)}")
        self.reset(starts=np.asarray(starts))
        capital, close = self.config.capital, self.bars[self.rows, :, at.CLOSE]  # (B, N)
        self.holdings[:, :, at.UNITS] = held * capital / close
        self.holdings[:, :, at.ENTRY] = self.holdings[:, :, at.BEST] = np.where(held != 0, close, 0.0)
        self.money[:, at.CASH] = capital * (1 - np.sum(held, axis=1))
        self.money[:, at.COST_SCALE] = cost_scale
        show_accounts(self._plan_at)

    def _checked(self, starts: np.ndarray) -> np.ndarray:
        if starts.shape != (self.accounts,) or starts.dtype.kind not in "iu":
            raise UserError(f"start must be the number of a decision, or one for each of {self.accounts} accounts, "
                            f"found {starts.tolist()}")
        last = self.decisions[starts % len(self.decisions), 1]
        if not ((starts >= 0) & (starts < last)).all():
            raise UserError(f"an episode can start at decisions 0 to {self.steps - 1}, found {starts.tolist()}")
        return starts.astype(np.int64)

    def step(self, target: np.ndarray) -> None:
        """Trade every account to its `target` (B, N) weights, NaN to leave one as it is; the arrays hold the rest."""
        wanted = (self.accounts, len(self.market.assets))
        if np.shape(target) != wanted:
            raise UserError(f"target weights must have the shape {wanted} (accounts, assets), found {np.shape(target)}")
        self.target[:] = target
        self.advance()

    def advance(self) -> None:
        """Trade every account to what stands in `self.target`."""
        if self.threads == 1:
            over = step_accounts(0, self.accounts, self._plan_at)
        else:
            self._crew = self._crew or Crew(self.accounts, self.threads)
            over = self._crew.step(self._plan_at)
        if over:
            raise IndexError("the span is over: reset the engine before the next step")

    def practise(self, band: tuple[float, float]) -> None:
        """From now on, new episodes start where trailing volatility is within these percentiles (a curriculum)."""
        self.starts = self._starts(replace(self.config.episodes, band=band))
        self._bind()

    def charge(self, factor: float) -> None:
        """From now on, orders cost so many times what they would (a curriculum), those of running episodes too."""
        if not 0 <= factor < np.inf:
            raise UserError(f"costs can be multiplied by a finite number from 0 on, found {factor}")
        self.rules[at.PRICE] = factor

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that changes, copied: `set_state` of an engine made alike goes on from here to the last bit."""
        return {name: getattr(self, name).copy() for name in CHANGING}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        for name in CHANGING[:-1]:
            if state[name].shape != getattr(self, name).shape:
                raise UserError(f"this state has {name} of shape {state[name].shape}, the engine "
                                f"{getattr(self, name).shape}: it belongs to another market or config")
            getattr(self, name)[:] = state[name]
        self.starts = state["starts"].copy()
        self._bind()

    def __getstate__(self) -> dict[str, Any]:
        derived = ("_crew", "windows", "_plan", "_plan_at", "money", "holdings", "fills", "reward")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _crew=None, windows=windows_of(state["market"].features, state["window"]))
        self._bind()
