"""`CoinArena/Trading-v0`: one account on one market; the engine with a batch of one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from configs.errors import UserError
from configs.registry import check_name
from data.dataset import DataConfig, Dataset, load_dataset
from data.market import CLOSE, Market
from data.simulator.config import SimulatorConfig
from envs.account import CARRY, EQUITY, FEES, INTEREST, SLIPPAGE, TURNOVER, gather_windows
from envs.engine import Engine, EnvConfig
from envs.observations import account_names, account_space, market_space, row_space

OBSERVATIONS = ("window", "row")
MONEY_IN_INFO = {"equity": EQUITY, "turnover": TURNOVER, "fees": FEES, "slippage": SLIPPAGE, "carry": CARRY,
                 "interest": INTEREST}


@lru_cache(maxsize=1)
def bundled_dataset() -> Dataset:
    """The simulated market that an env trades when it is given none: 10,000 hourly bars, the same each time."""
    return load_dataset(DataConfig(simulator=SimulatorConfig(bars=10_000)))


def trading_engine(market: Market | None, window: int, rows: slice | None, config: EnvConfig | None, accounts: int,
                   random_start: bool, autoreset: bool) -> Engine:
    """The engine behind an env; without a market, the training rows of the bundled one."""
    if market is None:
        dataset = bundled_dataset()
        market, rows = dataset.market, rows or dataset.split.train
    return Engine(market, config or EnvConfig(), accounts, window, rows, random_start, autoreset)


def observation_space(engine: Engine, observation: str) -> spaces.Dict:
    """`Dict(market, account)` or `Dict(row, account)`."""
    check_name("observation", observation, OBSERVATIONS)
    account = account_space(engine.market)
    if observation == "row":
        return spaces.Dict({"row": row_space(engine.market), "account": account})
    return spaces.Dict({"market": market_space(engine.market, engine.window), "account": account})


def observe(engine: Engine, observation: str, rows: np.ndarray, account: np.ndarray) -> dict[str, np.ndarray]:
    """Fresh arrays with a leading axis of accounts; never views of the engine's own, which the next step overwrites."""
    if observation == "row":
        return {"row": rows.astype(np.int32)[:, None], "account": account.copy()}
    features = engine.market.features
    windows = np.empty((len(rows), engine.window, *features.shape[1:]), np.float32)  # (B, W, N, F)
    gather_windows(features, rows, engine.window, windows)
    return {"market": windows[:, :, 0] if features.shape[1] == 1 else windows, "account": account.copy()}


class TradingEnv(gym.Env[Any, Any]):
    """Trade one market from one account.

    Description: at each closed bar the policy sees the last `window` bars of features and its own account, and says
    what share of equity each asset should hold.

    When an order fills, and at what price: a decision on row `t` fills at the **open of row `t+1`**, worse by half the
    spread and by slippage, and pays the taker fee. See `envs/account.py` for the whole ledger. Row `t` is the bar that
    has just closed; everything with `known_at <= close time of t` is visible, nothing else.

    Action space: `Discrete(len(levels))`, the number of a target weight in `config.levels` (short, flat, long); with
    several assets `MultiDiscrete`. With `config.action="weights"` a `Box` of target weights. NaN or a number out of
    range raises an error and trades nothing.

    Observation space: `Dict(market, account)`, `market` of shape (W, F) or (W, N, F); or, with `observation="row"`,
    `Dict(row, account)` where the row number stands for the window that ends on it. `account` holds the numbers that
    `envs.observations.account_names` names, in that order.

    Rewards: log growth, log(equity at this close / equity at the last), after all costs.

    Starting state: all cash. With `random_start` a random row of the span, the same for the same seed; else the first
    row on which a window fits. `reset(options={"start": k})` begins at decision `k`.

    Episode end: `terminated` when equity is at or below `config.ruin` of the capital (the loss is in that step's
    reward); `truncated` after `config.episode` steps or at the end of the span.

    Arguments:
        market: what to trade; by default the training rows of a bundled simulated market.
        window: bars in an observation.
        rows: the span to walk, e.g. `dataset.split.train`; by default all of it.
        config: costs, actions, episode length.
        observation: "window" or "row".
        random_start: episodes of `config.episode` steps from random rows (training), or the whole span (evaluation).

    Versions: v0, the first.

    >>> env = gym.make("envs:CoinArena/Trading-v0", market=Market.flat(100), window=8)
    >>> observation, info = env.reset(seed=0)
    >>> observation["market"].shape, env.step(2)[1]  # going long costs the fee and half the spread
    ((8, 1), -0.000699855044317357)
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012  gymnasium's own name and form

    def __init__(self, market: Market | None = None, window: int = 48, rows: slice | None = None,
                 config: EnvConfig | None = None, observation: str = "window", random_start: bool = True,
                 render_mode: str | None = None) -> None:
        self.engine = trading_engine(market, window, rows, config, 1, random_start, autoreset=False)
        self.observation, self.render_mode = observation, render_mode
        self.observation_space = observation_space(self.engine, observation)
        self._actions = self.engine.config.actions(len(self.engine.market.assets))
        self.action_space = self._actions.space
        self._target = np.zeros((1, len(self.engine.market.assets)))
        self._seeded = False
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None
              ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = self._running = True
        starts = None if not options or "start" not in options else np.array([options["start"]])
        self.engine.reset(None if seed is None else [seed], starts)
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        if not self._running:
            raise UserError("the episode is over, or was never begun: call reset() before step()")
        engine = self.engine
        self._actions.write(action, self._target)
        engine.step(self._target)
        terminated, truncated = engine.terminated.item(), engine.truncated.item()
        self._running = not (terminated or truncated)
        return self._observe(), engine.reward.item(), terminated, truncated, self._info()

    def _observe(self) -> dict[str, np.ndarray]:
        engine = self.engine
        if self.observation == "row":
            return {"row": engine.rows.astype(np.int32), "account": engine.observed[0].copy()}
        market = engine.market.window_at(engine.rows.item(), engine.window).copy()  # (W, N, F)
        return {"market": market[:, 0] if market.shape[1] == 1 else market, "account": engine.observed[0].copy()}

    def _info(self) -> dict[str, float]:
        money = self.engine.money[0].tolist()
        return {name: money[column] for name, column in MONEY_IN_INFO.items()}

    def render(self) -> str | None:
        if self.render_mode is None:
            return None
        engine, row = self.engine, int(self.engine.rows[0])
        names = account_names(engine.market.assets)
        account = " ".join(f"{name} {value:.3f}" for name, value in zip(names, engine.observed[0]))
        closes = " ".join(f"{a} {p:.2f}" for a, p in zip(engine.market.assets, engine.market.prices[row, :, CLOSE]))
        return f"{engine.market.time[row]} {closes} equity {engine.money[0, EQUITY]:.2f} {account}"
