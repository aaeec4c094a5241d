"""`CoinArena/Trading-v0`: one account on one market; the engine with a batch of one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from configs.errors import UserError
from data.dataset import DataConfig, Dataset, load_dataset
from data.market import Market
from data.simulator.config import SimulatorConfig
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.observations import observation_space
from envs.recording import Recorder
from envs.render import ansi, picture
from envs.risk import Outlook

MONEY_IN_INFO = {"equity": at.EQUITY, "turnover": at.TURNOVER, "fees": at.FEES, "slippage": at.SLIPPAGE,
                 "carry": at.CARRY, "interest": at.INTEREST}
_MONEY = slice(at.EQUITY, at.INTEREST + 1)


@lru_cache(maxsize=2)
def bundled_dataset(assets: tuple[str, ...]) -> Dataset:
    """The simulated market that an env trades when it is given none: 10,000 hourly bars, the same each time."""
    return load_dataset(DataConfig(simulator=SimulatorConfig(bars=10_000, assets=assets)))


def bundled(market: Market | None, rows: slice | Sequence[slice] | None, assets: tuple[str, ...]
            ) -> tuple[Market, slice | Sequence[slice] | None]:
    """The market given, or the training rows of the bundled one."""
    if market is not None:
        return market, rows
    dataset = bundled_dataset(assets)
    return dataset.market, rows or dataset.split.train


def made(engine: Engine) -> np.ndarray:
    """What a state belongs to, in words: on another market its rows and units would mean something else."""
    rows = engine.decisions[:, 0]
    return np.array([f"market {engine.market.fingerprint}", f"window {engine.window}",
                     f"rows {rows[0]} to {rows[-1]} ({digest(engine.decisions.tobytes())})",
                     f"settings ({digest(repr(engine.config).encode())})"])


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def check_made(engine: Engine, state: dict[str, np.ndarray]) -> None:
    if not isinstance(state, dict) or "made" not in state:
        raise UserError("a state is what get_state() returned")
    own = made(engine)
    for here, there in zip(own.tolist(), state["made"].tolist()):
        if here != there:
            raise UserError(f"this state is of {there}, the env has {here}: it belongs to another env; make one alike")


class TradingEnv(gym.Env[Any, Any]):
    """Trade one market from one account.

    Description: at each closed bar the policy sees the last `window` bars of features and its own account, and says
    what share of equity each asset should hold.

    When an order fills, and at what price: a decision on row `t` fills at the **open of row `t+1`**, worse by half the
    spread and by slippage, and pays the taker fee. See `envs/account.py` for the whole ledger. Row `t` is the bar that
    has just closed; everything with `known_at <= close time of t` is visible, nothing else.

    Action space: `Discrete(len(levels))`, the number of a target weight in `config.levels` (short, flat, long); with
    `config.action="steps"` `Discrete(3)`: hold, buy a step, sell a step; with several assets `MultiDiscrete`. With
    `config.action="weights"` a `Box` of target weights. NaN or a number out of range raises an error and trades
    nothing. `action_masks()` says which choices make sense, for MaskablePPO.

    Observation space: `Dict(market, account)`, `market` of shape (W, F) or (W, N, F); or, with `observation="row"`,
    `Dict(row, account)` where the row number stands for the window that ends on it. `account` holds the numbers that
    `envs.observations.account_names` names, in that order.

    Rewards: by default log growth, log(equity at this close / equity at the last), after all costs; `config.reward`
    weighs other terms (`envs/rewards.py`).

    Starting state: all cash. With `random_start` a random row of the span, the same for the same seed; else the first
    row on which a window fits. `reset(options={"start": k})` begins at decision `k`; `config.episodes` chooses among
    the rows.

    Episode end: `terminated` when equity is at or below `config.ruin` of the capital (the loss is in that step's
    reward); `truncated` after `config.episode` steps or at the end of the span.

    Info: equity, turnover of the step, totals of fees, slippage, carry and interest, and in `events` the names of what
    the risk layer, a stop or a margin call did in the step (`envs.layout.EVENTS`).

    Arguments:
        market: what to trade; by default the training rows of a bundled simulated market.
        window: bars in an observation.
        rows: the span to walk, e.g. `dataset.split.train`, or several that no episode crosses; by default all of it.
        config: costs, risk, margin, rewards, episodes, actions.
        observation: "window" or "row".
        random_start: episodes of `config.episode` steps from random rows (training), or the whole span (evaluation).
        render_mode: "ansi" for a line, "rgb_array" for a picture; both keep the episode for `replay`.
        outlook: forecasts for the sizes of `config.risk` that ask for one.

    Versions: v0, the first.

    >>> env = gym.make("envs:CoinArena/Trading-v0", market=Market.flat(100), window=8)
    >>> observation, info = env.reset(seed=0)
    >>> observation["market"].shape, env.step(2)[1]  # going long costs the fee and half the spread
    ((8, 1), -0.000699855044317357)
    """

    assets: ClassVar[tuple[str, ...]] = ("BTC",)  # of the bundled market
    config: ClassVar[EnvConfig] = EnvConfig()  # where none is given
    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}  # noqa: RUF012  gymnasium's own name and form

    def __init__(self, market: Market | None = None, window: int = 48, rows: slice | Sequence[slice] | None = None,
                 config: EnvConfig | None = None, observation: str = "window", random_start: bool = True,
                 render_mode: str | None = None, outlook: Outlook | None = None) -> None:
        market, rows = bundled(market, rows, self.assets)
        config = self.config if config is None else config
        self.engine = Engine(market, config, 1, window, rows, random_start, outlook=outlook)
        self.observation, self.render_mode = observation, render_mode
        self.observation_space = observation_space(self.engine, observation)
        self._actions = self.engine.config.actions(len(market.assets))
        self.action_space = self._actions.space
        self._recorder = Recorder(self.engine) if render_mode else None
        self._seeded = False
        self._running = False
        self._bind()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None
              ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = self._running = True
        starts = None if not options or "start" not in options else np.array([options["start"]])
        self.engine.reset(None if seed is None else [seed], starts)
        if self._recorder:
            self._recorder.begin()
        return self._observe(int(self._outcome[at.ROW])), self._info(0)

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        if not self._running:
            raise UserError("the episode is over, or was never begun: call reset() before step()")
        engine = self.engine
        self._actions.write(action, engine.target, engine.weights)
        engine.advance()
        if self._recorder:
            self._recorder.record(engine.target[0])
        row, reward, terminated, truncated, events = self._outcome.tolist()
        self._running = not (terminated or truncated)
        return self._observe(int(row)), reward, terminated > 0, truncated > 0, self._info(int(events))

    def _observe(self, row: int) -> dict[str, np.ndarray]:
        row -= self._lag
        if self.observation == "row":
            return {"row": np.array([row], np.int32), "account": self._account.copy()}
        return {"market": self._windows[row - self._first].copy(), "account": self._account.copy()}

    def _info(self, events: int) -> dict[str, Any]:
        equity, _, _, _, turnover, fees, slippage, carry, interest = self._money.tolist()
        return {"equity": equity, "turnover": turnover, "fees": fees, "slippage": slippage, "carry": carry,
                "interest": interest, "events": at.happened(events)}

    def _bind(self) -> None:
        """Views into the engine's one account: to look them up anew would take as long as the step itself."""
        engine = self.engine
        self._outcome, self._account = engine.outcome[:, 0], engine.observed[0]
        self._money = engine.money[0, _MONEY]
        self._windows, self._first, self._lag = engine.windows, engine.window - 1, engine.config.observation_delay

    def __getstate__(self) -> dict[str, Any]:
        views = ("_outcome", "_account", "_money", "_windows")
        return {name: value for name, value in self.__dict__.items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()

    def action_masks(self) -> np.ndarray:
        """(choices,) bool: which actions make sense now, by the name that sb3-contrib's MaskablePPO looks for."""
        return self._actions.masks(self.engine.weights(), self.engine.tradeable())[0]

    def get_state(self) -> dict[str, np.ndarray]:
        """The episode as it stands; `set_state` goes on from here to the last bit, in this env or in one made alike."""
        return {**self.engine.get_state(), "made": made(self.engine),
                "running": np.array([self._running, self._seeded])}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """What is rendered begins here: pictures and replays of what came before are not in a state."""
        check_made(self.engine, state)
        self.engine.set_state(state)
        self._running, self._seeded = state["running"].tolist()
        if self._recorder:
            self._recorder.begin()

    def render(self) -> Any:
        if self.render_mode == "ansi":
            return ansi(self.engine, 0)
        if self._recorder is None:
            return None
        return picture(self._recorder.recording())

    def replay(self, path: str, title: str = "CoinArena") -> None:
        """Write the episode so far as one HTML page that needs nothing else."""
        if self._recorder is None:
            raise UserError("nothing was recorded: make the env with render_mode='rgb_array' to replay its episodes")
        from envs.replay import write_replay

        write_replay(self._recorder.recording(), path, title)
