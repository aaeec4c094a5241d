"""`RawData`: what every source hands over, before anything is joined, computed or scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.schema import OHLCV


class Source(Protocol):
    """Something that has bars: `time` (tz-aware UTC close) and open, high, low, close, volume on a RangeIndex."""

    def fetch(self, asset: str, start: datetime | None = None, end: datetime | None = None) -> pd.DataFrame: ...


@dataclass(frozen=True, eq=False)
class Truth:
    """What only the maker of a market can know. It never reaches a feature; scores are held against it."""

    mean: np.ndarray  # (T, N) row t: mean log return of bar t+1, given everything at close t; NaN where unknown
    growth: float | None = None  # best possible log growth per bar with positions -1, 0, 1 at 10 bps per unit traded
    long_flat_growth: float | None = None  # the same with positions 0, 1

    def over(self, horizon: int) -> np.ndarray:
        """(T, N) mean log return of bars t+1 .. t+horizon: the best possible forecast of `Labels.forward`.

        >>> Truth(np.array([[1.0], [2.0], [3.0], [np.nan]])).over(2).ravel().tolist()
        [3.0, 5.0, nan, nan]
        """
        total = np.full(self.mean.shape, np.nan)
        rows = len(self.mean) - horizon + 1
        if rows > 0:
            total[:rows] = np.lib.stride_tricks.sliding_window_view(self.mean, horizon, axis=0).sum(axis=-1)
        return total


@dataclass(frozen=True, eq=False)
class RawData:
    """Bars and context by asset. Bars are known at their close, a context row at its own `known_at`."""

    bars: Mapping[str, pd.DataFrame]  # asset -> RangeIndex; time (tz-aware UTC close), open high low close volume
    context: Mapping[tuple[str, str], pd.DataFrame]  # (kind, asset or EVERY_ASSET) -> known_at (tz-aware UTC), values
    carry: Mapping[str, np.ndarray]  # asset -> (rows,) share of a position's value that a long pays over the bar
    bars_per_year: float
    truth: Truth | None = None
    leader: str = ""  # the asset that others are compared with; the first if empty
    notes: tuple[str, ...] = ()  # what whoever reads results should know of the data

    def __post_init__(self) -> None:
        for asset, bars in self.bars.items():
            if list(bars.columns) != ["time", *OHLCV]:
                raise UserError(f"bars of {asset} need the columns time, {', '.join(OHLCV)}; found "
                                f"{', '.join(map(str, bars.columns))}")
            if len(self.carry[asset]) != len(bars):
                raise UserError(f"{asset} has {len(bars)} bars but {len(self.carry[asset])} values of carry")
        for (kind, asset), table in self.context.items():
            if "known_at" not in table:
                raise UserError(f"{kind} of {asset} has no column known_at; say when each row became known")

    @property
    def assets(self) -> tuple[str, ...]:
        return tuple(self.bars)

    @property
    def bar(self) -> pd.Timedelta:
        """The time between two closes."""
        return (pd.Timedelta(days=365) / self.bars_per_year).round("us")


def values_of(table: pd.DataFrame) -> list[str]:
    """The columns of a context table that hold numbers: all but those that tell the time."""
    return [str(c) for c in table.columns if not isinstance(table[c].dtype, pd.DatetimeTZDtype)]
