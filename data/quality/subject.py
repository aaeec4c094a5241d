"""`Subject`: the table under examination with everything it may be compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.quality.finding import Finding, Severity, runs
from data.schema import Key

DAY_US = 86_400_000_000
FEW_WEEKENDS = 0.05  # a table with a smaller share of weekend rows keeps business days


def microseconds(time: pd.Series) -> np.ndarray:
    return time.dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)


def on_weekend(start: np.ndarray) -> np.ndarray:
    """Whether a moment (microseconds since 1970, a Thursday) lies on a Saturday or Sunday.

    >>> on_weekend(np.array([0, 2, 3, 4]) * DAY_US).tolist()
    [False, True, True, False]
    """
    return (start // DAY_US + 3) % 7 >= 5


@dataclass(frozen=True, eq=False)
class Candle:
    """Four columns that are the open, high, low and close of one thing."""

    name: str  # of the close
    others: tuple[str, ...]  # the names of open, high and low
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray


@dataclass(frozen=True, eq=False)
class Subject:
    key: Key
    table: pd.DataFrame
    references: Mapping[Key, pd.DataFrame]

    def __post_init__(self) -> None:
        if "time" not in self.table or not isinstance(self.table["time"].dtype, pd.DatetimeTZDtype):
            raise UserError(f"{self.key} needs a column time with its zone; use pd.to_datetime(..., utc=True)")
        if not self.table["time"].is_monotonic_increasing:
            raise UserError(f"the rows of {self.key} are not in order; sort the table by time")

    def tables(self, fits: Callable[[Key], bool]) -> Iterator[tuple[Key, pd.DataFrame]]:
        """The other tables whose key fits; the rest are not touched, for they may have to be read first."""
        for key in self.references:
            if key != self.key and fits(key) and len(self.references[key]):
                yield key, self.references[key]

    @cached_property
    def time(self) -> np.ndarray:
        """(rows,) microseconds since 1970 at the end of each row's period."""
        return microseconds(self.table["time"])

    @cached_property
    def period(self) -> int:
        return self.key.period // pd.Timedelta("1us")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in self.key.schema.names if name in self.table)

    def values(self, column: str) -> np.ndarray:
        return self.table[column].to_numpy(float)

    @cached_property
    def business(self) -> bool:
        """Daily rows that leave weekends out."""
        weekend = on_weekend(self.time - self.period)
        return self.period == DAY_US and len(weekend) >= 20 and bool(weekend.mean() < FEW_WEEKENDS)

    @cached_property
    def position(self) -> np.ndarray:
        """(rows,) the number of the period that a row describes; of business days where the table keeps those."""
        return positions(self.time, self.period, self.business)

    @cached_property
    def candles(self) -> tuple[Candle, ...]:
        found = []
        for opened in self.columns:
            if opened.endswith("open"):
                stem = opened.removesuffix("open")
                close = f"{stem}close" if f"{stem}close" in self.table else stem.rstrip("_")
                names = (opened, f"{stem}high", f"{stem}low", close)
                if all(name in self.table for name in names):
                    found.append(Candle(close, names[:3], *(self.values(name) for name in names)))
        return tuple(found)

    def parts_of(self, close: str) -> tuple[str, ...]:
        """The open, high and low that belong to a close."""
        return next((candle.others for candle in self.candles if candle.name == close), ())

    def label(self, row: int) -> str:
        """How a person names a row: the day it describes, or the moment its hour ends."""
        return self.moment(int(self.time[row]))

    def moment(self, time: int) -> str:
        if self.period == DAY_US:
            return f"{pd.Timestamp(time - self.period, unit='us'):%Y-%m-%d}"
        return f"{pd.Timestamp(time, unit='us'):%Y-%m-%d %H:%M}"

    def span(self, start: int, stop: int) -> str:
        """The rows start .. stop - 1."""
        first, last = self.label(start), self.label(stop - 1)
        return first if stop - start == 1 else f"{first} .. {last}"

    def spans(self, bad: np.ndarray) -> list[str]:
        return [self.span(start, stop) for start, stop in runs(bad)]

    def finding(self, severity: Severity, message: str, bad: np.ndarray | None = None, column: str = "") -> Finding:
        """About the rows of `bad`, or about the whole table. `check_table` puts the name of the check in."""
        guilty = np.arange(len(self.table)) if bad is None else np.flatnonzero(bad)
        time = self.table["time"]
        return Finding("", severity, self.key, column, time.iloc[guilty[0]], time.iloc[guilty[-1]], len(guilty),
                       message, bad)


def positions(time: np.ndarray, period: int, business: bool) -> np.ndarray:
    """(rows,) which period a row describes, counted from 1970; of business days, weekends go with their Friday.

    >>> friday_to_monday = np.array([1, 2, 3, 4]) * DAY_US
    >>> positions(friday_to_monday + DAY_US, DAY_US, business=True).tolist()
    [1, 1, 1, 2]
    """
    start = (time - period) // period
    if not business:
        return start
    week, day = np.divmod(start + 3, 7)  # 1970 began on a Thursday
    return week * 5 + np.minimum(day, 4) - 3
