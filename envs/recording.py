"""`Recording`: what one account did in one episode, bar by bar. `Recorder`: collects it while an engine walks.

Nothing is kept per step but numbers in arrays that double when they are full. An env that does not record makes no
`Recorder`, so recording costs nothing where it is off. Letters: `K` steps, `R` bars walked, `N` assets.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from configs.errors import UserError
from data.market import HIGH, LOW, VOLUME
from envs import layout as at
from envs.engine import Engine

COSTS = (at.FEES, at.SLIPPAGE, at.CARRY, at.INTEREST)  # of the engine's money, in the order of `Recording.costs`
KINDS = ("order", "stop", "take_profit", "liquidation")
LOSING = ("stop_loss", "trailing_stop", "liquidation")


class Fill(NamedTuple):
    step: int
    bar: int  # counted from the recording's first
    asset: int
    kind: str  # one of KINDS
    units: float  # + bought, - sold
    price: float


@dataclass(frozen=True, eq=False)
class Recording:
    """One account's episode. Point `k` is the close of decision row `rows[k]`; step `k` leads from it to point `k + 1`.

    >>> from data.market import Market
    >>> from envs.config import EnvConfig
    >>> engine = Engine(Market.flat(6), EnvConfig(), accounts=1, window=4)
    >>> engine.reset([0])
    >>> recorder = Recorder(engine)
    >>> recorder.begin()
    >>> engine.step(np.array([[1.0]]))
    >>> recorder.record(np.array([1.0]))
    >>> recording = recorder.recording()
    >>> recording.steps, recording.rows.tolist(), [fill.kind for fill in recording.each_fill()]
    (1, [3, 4], ['order'])
    """

    assets: tuple[str, ...]
    rows: np.ndarray  # (K + 1,) int64 decision rows
    time: np.ndarray  # (R,) datetime64[us] of every bar from the first decision row to the last
    candles: np.ndarray  # (R, N, 4) open high low close; NaN where an asset has no bar
    equity: np.ndarray  # (K + 1,)
    weights: np.ndarray  # (K + 1, N) value held over equity, at the close
    costs: np.ndarray  # (K + 1, 4) paid since the start: fees, slippage, carry, interest
    entry: np.ndarray  # (K + 1, N) average price paid for what is held; says nothing where nothing is
    wishes: np.ndarray  # (K, N) weights asked for, as the policy gave them; NaN: leave as it is
    reward: np.ndarray  # (K,)
    fills: np.ndarray  # (K, N, 4) order units and price, exit units and price; 0 where nothing filled
    events: np.ndarray  # (K,) int64 bits, named by `envs.layout.EVENTS`
    terminated: bool
    bars_per_year: float

    @property
    def steps(self) -> int:
        return len(self.wishes)

    @property
    def points(self) -> np.ndarray:
        """(K + 1,) the bar, counted from the recording's first, that each point is the close of."""
        return self.rows - self.rows[0]

    @property
    def drawdown(self) -> np.ndarray:
        """(K + 1,) share by which equity is below its highest so far."""
        return 1.0 - self.equity / np.maximum.accumulate(self.equity)

    def events_of(self, step: int) -> tuple[str, ...]:
        return at.happened(int(self.events[step]))

    def each_fill(self, first_step: int = 0) -> Iterator[Fill]:
        """Every fill from `first_step` on, in the order of time, an asset's order before its exit.

        An order stands on the first bar of its step; several that fell due in one (latency, across a gap) are shown
        as one. An exit inside a step over several bars (across a gap) stands on the first of them whose range comes
        nearest to its price.
        """
        points = self.points
        for k in (first_step + np.flatnonzero(self.fills[first_step:, :, :].any(axis=(1, 2)))).tolist():
            for n in np.flatnonzero(self.fills[k].any(axis=1)).tolist():
                units, price, exit_units, exit_price = self.fills[k, n].tolist()
                if units:
                    yield Fill(k, int(points[k]) + 1, n, "order", units, price)
                if exit_units:
                    bar = self._bar_of_exit(int(points[k]) + 1, int(points[k + 1]), n, exit_price)
                    yield Fill(k, bar, n, self._kind_of_exit(k, n), exit_units, exit_price)

    def _bar_of_exit(self, first: int, last: int, asset: int, price: float) -> int:
        if first == last:
            return first
        bars = self.candles[first : last + 1, asset]
        outside = np.maximum(bars[:, LOW] - price, price - bars[:, HIGH]).clip(min=0.0)
        return first + int(np.argmin(np.where(np.isnan(outside), np.inf, outside)))

    def _kind_of_exit(self, step: int, asset: int) -> str:
        """The events tell, but they are the account's: where they leave a choice between assets, a gain is a profit
        taken, and a loss belongs to the liquidation, which closes whatever the stops have left."""
        happened = set(self.events_of(step))
        if "take_profit" in happened:
            units, price = self.fills[step, asset, at.EXIT_UNITS], self.fills[step, asset, at.EXIT_PRICE]
            if (self.entry[step + 1, asset] - price) * units > 0 or happened.isdisjoint(LOSING):
                return "take_profit"
        return "liquidation" if "liquidation" in happened else "stop"

    def summary(self) -> dict[str, float]:
        """The few numbers that a reader asks for first. Costs are in the unit of equity."""
        kinds = [fill.kind for fill in self.each_fill()]
        fees, slippage, carry, interest = (self.costs[-1] - self.costs[0]).tolist()
        return {
            "steps": self.steps,
            "equity": float(self.equity[-1]),
            "total_return": float(self.equity[-1] / self.equity[0] - 1.0),
            "max_drawdown": float(self.drawdown.max()),
            "reward": float(self.reward.sum()),
            "orders": kinds.count("order"),
            "stops": kinds.count("stop"),
            "take_profits": kinds.count("take_profit"),
            "liquidations": kinds.count("liquidation"),
            "fees": fees, "slippage": slippage, "carry": carry, "interest": interest,
            "ruined": float(self.terminated),
        }

    def save(self, path: Path | str) -> None:
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Recording:
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {field.name: stored[field.name] for field in fields(cls)}
        except FileNotFoundError:
            raise UserError(f"no recording at {path}") from None
        except (KeyError, ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is not a recording that Recording.save wrote: {error}") from None
        arrays["assets"] = tuple(arrays["assets"].tolist())
        arrays["terminated"], arrays["bars_per_year"] = bool(arrays["terminated"]), float(arrays["bars_per_year"])
        return cls(**arrays)


class Recorder:
    """Collects account `b` of `engine`: `begin()` after each reset, `record(wish)` after each step.

    >>> from data.market import Market
    >>> from envs.config import EnvConfig
    >>> engine = Engine(Market.flat(6), EnvConfig(), accounts=2, window=4)
    >>> engine.reset([0, 1])
    >>> Recorder(engine, b=1).recording().equity.tolist()
    [10000.0]
    """

    POINT = ("rows", "equity", "weights", "costs", "entry")
    STEP = ("wishes", "reward", "fills", "events")

    def __init__(self, engine: Engine, b: int = 0, room: int = 512) -> None:
        if not 0 <= b < engine.accounts:
            raise UserError(f"no account {b} to record: this engine has accounts 0 to {engine.accounts - 1}")
        if engine.autoreset:
            raise UserError("an engine with autoreset opens an account anew before its end can be recorded; give one "
                            "made with autoreset=False")
        self.engine, self.b, self.room = engine, b, max(room, 1)
        self.begin()

    def begin(self) -> None:
        """Forget the last episode. Arrays are made anew, so recordings handed out before stay as they were."""
        assets, room = len(self.engine.market.assets), self.room
        shapes = {"rows": (), "equity": (), "weights": (assets,), "costs": (len(COSTS),), "entry": (assets,),
                  "wishes": (assets,), "reward": (), "fills": (assets, 4), "events": ()}
        self.arrays = {name: np.zeros((room, *shape), np.int64 if name in ("rows", "events") else np.float64)
                       for name, shape in shapes.items()}
        self.steps, self.terminated = 0, False
        self._note_point()

    def record(self, wish: np.ndarray) -> None:
        """Note the step just made; `wish` (N,) are the weights that were asked for.

        Once the account is ruined nothing is noted any more, so that the others of its engine can go on.
        """
        if self.terminated:
            return
        engine, b, k = self.engine, self.b, self.steps
        if k + 2 > len(self.arrays["rows"]):
            self.arrays = {name: np.concatenate([array, np.zeros_like(array)]) for name, array in self.arrays.items()}
        arrays = self.arrays
        arrays["wishes"][k] = wish
        arrays["reward"][k] = engine.reward[b]
        arrays["fills"][k] = engine.fills[b]
        arrays["events"][k] = engine.events[b]
        self.steps, self.terminated = k + 1, bool(engine.terminated[b])
        self._note_point()

    def _note_point(self) -> None:
        engine, b, k, arrays = self.engine, self.b, self.steps, self.arrays
        row, money, holdings = int(engine.rows[b]), engine.money[b], engine.holdings[b]
        equity = money[at.EQUITY]
        arrays["rows"][k] = row
        arrays["equity"][k] = equity
        if equity > 0:
            arrays["weights"][k] = holdings[:, at.UNITS] * engine.bars[row, :, at.CLOSE] / equity
        arrays["costs"][k] = money[list(COSTS)]
        arrays["entry"][k] = holdings[:, at.ENTRY]

    def recording(self) -> Recording:
        """What was recorded so far: views, no copies, that later steps do not change."""
        market, arrays, k = self.engine.market, self.arrays, self.steps
        if arrays["equity"][0] == 0.0:
            raise UserError("nothing to show yet: reset the env (or engine and recorder) first")
        bars = slice(int(arrays["rows"][0]), int(arrays["rows"][k]) + 1)
        return Recording(
            assets=market.assets, time=market.time[bars], candles=market.prices[bars, :, :VOLUME],
            terminated=self.terminated, bars_per_year=market.bars_per_year,
            **{name: arrays[name][: k + 1] for name in self.POINT}, **{name: arrays[name][:k] for name in self.STEP},
        )
