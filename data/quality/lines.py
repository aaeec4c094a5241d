"""Two series on one grid of periods, so that rows, changes and levels can be held against one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from data.quality.subject import DAY_US, microseconds, on_weekend, positions
from data.schema import Key

LOCAL = {True: 60, False: 336}  # periods (of daily, of hourly series) that the local size of a change is taken over
CLIP = 4.0  # local sizes at which a change is cut, so that one crash does not decide about a week
SAME_SHARE = 0.98  # series that agree exactly on this share of their moments are one source under two names


@dataclass(frozen=True, eq=False)
class Line:
    """One column; rows without a value are left out."""

    key: Key
    column: str
    period: int  # microseconds
    time: np.ndarray
    level: np.ndarray
    opened: np.ndarray | None = None  # of bars: where the row's own price began
    row: np.ndarray | None = None  # in its table

    @property
    def name(self) -> str:
        return f"{self.column} of {self.key}"

    @property
    def business(self) -> bool:
        return self.period == DAY_US and len(self.time) > 0 and bool(on_weekend(self.time - self.period).mean() < 0.05)

    def daily(self) -> Line:
        """The values at the end of each day."""
        if self.period == DAY_US:
            return replace(self, opened=None)
        keep = self.time % DAY_US == 0
        row = None if self.row is None else self.row[keep]
        return Line(self.key, self.column, DAY_US, self.time[keep], self.level[keep], None, row)


def line(key: Key, table: pd.DataFrame, column: str) -> Line:
    value, time = table[column].to_numpy(float), microseconds(table["time"])
    good = np.isfinite(value) & np.concatenate([[True], np.diff(time) > 0])[: len(time)]
    row = np.flatnonzero(good)
    bars = key.schema.is_bars and column == "close" and "open" in table
    opened = table["open"].to_numpy(float)[row] if bars else None
    return Line(key, column, key.period // pd.Timedelta("1us"), time[row], value[row], opened, row)


def same_source(a: Line, b: Line, daily: bool = False) -> bool:
    """Whether two series are copies of one another, or with `daily` one holds the days of the other."""
    _, i, j = np.intersect1d(a.time, b.time, assume_unique=True, return_indices=True)
    return (daily or a.period == b.period) and len(i) >= 20 and bool(np.mean(a.level[i] == b.level[j]) >= SAME_SHARE)


@dataclass(frozen=True, eq=False)
class Pair:
    """`own` and `other` on the shared grid; index 0 is the period `start`, NaN where a series has no row."""

    own: Line
    other: Line
    period: int
    start: int
    row: np.ndarray  # (G,) row of own's table, -1 where it has none
    levels: tuple[np.ndarray, np.ndarray]  # (G,) logs, or plain values where some are not positive
    logs: bool
    bodies: tuple[np.ndarray, np.ndarray] | None  # (G,) open to close within the row, where both are bars

    @property
    def daily(self) -> bool:
        return self.period == DAY_US

    @cached_property
    def changes(self) -> tuple[np.ndarray, np.ndarray]:
        """(G,) within the row where both are bars (then they name the guilty row exactly), else from row to row."""
        if self.bodies is not None:
            return self.bodies
        own, other = (np.concatenate([[np.nan], np.diff(level)]) for level in self.levels)
        return own, other

    @cached_property
    def scaled(self) -> tuple[np.ndarray, np.ndarray]:
        """(G,) changes in units of their local size, cut at `CLIP`."""
        own, other = (scaled(change, LOCAL[self.daily]) for change in self.changes)
        return own, other

    @cached_property
    def common(self) -> int:
        """Periods in which both have a value."""
        return int(np.count_nonzero(np.isfinite(self.levels[0]) & np.isfinite(self.levels[1])))


def scaled(change: np.ndarray, window: int) -> np.ndarray:
    """In units of 1.48 times the local median of its absolute value, cut at `CLIP`; missing where nothing moves.

    >>> scaled(np.array([1.0, -1.0, 1.0, 50.0]), 3).round(2).tolist()
    [0.67, -0.67, 0.67, 1.32]
    """
    around = pd.Series(np.abs(change)).rolling(window, center=True, min_periods=min(window, 2))
    size = around.median().to_numpy() * 1.4826
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size > 0, np.clip(change / size, -CLIP, CLIP), np.nan)


def pair(own: Line, other: Line, reach: int = 30) -> Pair | None:
    """Both at the coarser of their periods, where they overlap (`reach` periods more on either side); None if never."""
    if own.period != other.period:
        own, other = own.daily(), other.daily()
    if not len(own.time) or not len(other.time):
        return None
    period, business = own.period, own.business or other.business
    if business:
        own, other = weekdays(own), weekdays(other)
    at = positions(own.time, period, business), positions(other.time, period, business)
    start = max(int(at[0][0]), int(at[1][0]) - reach)
    stop = min(int(at[0][-1]), int(at[1][-1]) + reach) + 1
    if stop - start < 2:
        return None
    row = np.full(stop - start, -1)
    levels, bodies = [], []
    logs = bool((own.level > 0).all() and (other.level > 0).all())
    for series, position in zip((own, other), at):
        inside = (position >= start) & (position < stop)
        levels.append(spread(np.log(series.level) if logs else series.level, position, inside, start, stop))
        if series is own and own.row is not None:
            row[position[inside] - start] = own.row[inside]
        if series.opened is not None and logs and (series.opened > 0).all():
            bodies.append(spread(np.log(series.level / series.opened), position, inside, start, stop))
    both = (bodies[0], bodies[1]) if len(bodies) == 2 else None
    return Pair(own, other, period, start, row, (levels[0], levels[1]), logs, both)


def weekdays(series: Line) -> Line:
    keep = ~on_weekend(series.time - series.period)
    row = None if series.row is None else series.row[keep]
    return replace(series, time=series.time[keep], level=series.level[keep], row=row)


def spread(value: np.ndarray, position: np.ndarray, inside: np.ndarray, start: int, stop: int) -> np.ndarray:
    grid = np.full(stop - start, np.nan)
    grid[position[inside] - start] = value[inside]
    return grid


def closes_of_bars(tables: Mapping[Key, pd.DataFrame], asset: str) -> Line | None:
    """Daily closes of an asset: each day's change is the median of the changes that its bars show, from any venue."""
    lines = [line(key, table, "close").daily() for key, table in tables.items()
             if key.schema.is_bars and key.asset == asset and "close" in table]
    frames = [pd.Series(np.log(each.level), each.time) for each in lines
              if len(each.time) > 1 and (each.level > 0).all()]
    if not frames:
        return None
    levels = pd.concat(frames, axis=1).sort_index()
    days = pd.Index(np.arange(levels.index[0], levels.index[-1] + 1, DAY_US))
    change = levels.reindex(days).diff().median(axis=1).to_numpy()
    seen = np.isfinite(change)
    seen[0] = True
    level = np.exp(float(levels.iloc[0].median()) + np.cumsum(np.nan_to_num(change)))
    return Line(Key("spot", asset, "1D"), "close", DAY_US, days.to_numpy()[seen], level[seen])
