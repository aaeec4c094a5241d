"""Rows whose stamps are early or late: hours against a second source, days against what a column is bound to follow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.quality.case import BREAKS, Case, breaks
from data.quality.finding import Finding, listed
from data.quality.lags import Regime, regimes
from data.quality.lines import Line, Pair, closes_of_bars, line, pair
from data.schema import Column

SNAP = 3  # rows by which a border is moved to a visible seam in the table
THROUGHOUT = 0.9  # share of the shared periods


def time_shifts(c: Case) -> Iterator[Finding]:
    """Windows in which returns agree with a second source at another lag than 0, and who of the two is wrong."""
    told = {name: np.zeros(len(c.time), bool) for name in c.own}
    for name, both in c.pairs:
        found = regimes(both)
        if not found:
            continue
        seam = breaks(both.own)
        found = [snapped(regime, both, seam) for regime in found]
        for before, regime in zip([None, *found], found):
            bad = rows_of(c, both, regime)
            if not bad.any() or told[name][bad].mean() > 0.5:
                continue
            told[name] |= bad
            first, last = int(c.time[bad.argmax()]), int(c.time[np.flatnonzero(bad)[-1]])
            guilty, voters = c.sided(name, both.other, (first, last), of_changes=True)
            if guilty == "either" and seam_at(regime, both, seam):
                guilty, voters = "own", ["the break in its own prices where the shift begins"]
            elif guilty == "either" and seam_at_other(regime, both):
                guilty, voters = "other", ["the break in its prices where the shift begins"]
            measured = f"(correlation {regime.correlation:.2f} there, {regime.at_zero:.2f} as stamped)"
            where = f"{c.label(int(bad.argmax()))} .. {c.label(int(np.flatnonzero(bad)[-1]))}"
            if guilty == "other":
                yield c.finding("note", f"{both.other.key} is stamped {way(-regime.lag, both)} at {where} {measured}; "
                                f"this table is confirmed by {listed(voters, 3)}", column=name)
                continue
            who = f"; told by {listed(voters, 3)}" if voters else "; no third source says which of the two is wrong"
            yield c.finding("refuse", f"{bad.sum():,} rows, {where}, are stamped {way(regime.lag, both)} against "
                            f"{both.other.key} {measured}{switch(before, regime, both)}{who}", bad, name)


def day_shifts(c: Case) -> Iterator[Finding]:
    """Columns that must move with another on the same day, and do so a day or more late or early."""
    for name in c.columns:
        column = c.key.schema.column(name)
        if not column.moves_with or name not in c.own:
            continue
        leader = leader_of(c, column)
        both = None if leader is None else pair(c.own[name], leader)
        if leader is None or both is None:
            continue
        found = joined(regimes(both, column.against))
        shared = max(both.common, 1)
        for regime in found:
            bad = rows_of(c, both, regime)
            sign = -1 if column.against else 1
            follows = "closes of the bars" if column.moves_with == "bars" else leader.name
            where = f"{c.label(int(bad.argmax()))} .. {c.label(int(np.flatnonzero(bad)[-1]))}"
            part = "throughout the file" if bad.sum() >= THROUGHOUT * shared else f"at {where} only"
            change = "" if bad.sum() >= THROUGHOUT * shared else "; the convention changes within the file"
            yield c.finding("refuse", f"{name} is stamped {way(regime.lag, both)} against the {follows} {part}: "
                            f"changes correlate {sign * regime.correlation:.2f} there and "
                            f"{sign * regime.at_zero:.2f} as stamped, {bad.sum():,} rows{change}", bad, name)


def leader_of(c: Case, column: Column) -> Line | None:
    if column.moves_with == "bars":
        return closes_of_bars(dict(c.tables(lambda key: key.schema.is_bars)), c.key.asset)
    if column.moves_with in c.own:
        return c.own[column.moves_with]
    tables = c.tables(lambda key: key.schema.name == c.key.schema.name and key.asset == c.key.asset)
    return next((line(key, table, column.moves_with) for key, table in tables if column.moves_with in table), None)


def joined(found: list[Regime]) -> list[Regime]:
    """Neighbours of one lag as one: between them the changes were too small or too few to tell."""
    out: list[Regime] = []
    for regime in found:
        if out and out[-1].lag == regime.lag:
            before = out.pop()
            sizes = before.stop - before.start, regime.stop - regime.start
            mean = [float(np.average(each, weights=sizes)) for each in
                    ((before.correlation, regime.correlation), (before.at_zero, regime.at_zero))]
            out.append(Regime(before.start, regime.stop, regime.lag, *mean))
        else:
            out.append(regime)
    return out


def rows_of(c: Case, both: Pair, regime: Regime) -> np.ndarray:
    """The rows of the table in a regime; where its rows are finer than the grid, all within those periods."""
    bad = np.zeros(len(c.time), bool)
    row = both.row[regime.start : regime.stop]
    row = row[row >= 0]
    if len(row) and c.period < both.period:
        bad[(c.time > c.time[row[0]] - both.period) & (c.time <= c.time[row[-1]])] = True
    else:
        bad[row] = True
    return bad


def seam_near(index: int, both: Pair, seam: np.ndarray) -> int | None:
    """The grid index, at most `SNAP` away, where the table's prices break most, if they break visibly."""
    near = np.arange(max(index - SNAP, 0), min(index + SNAP + 1, len(both.row)))
    row = np.searchsorted(both.own.row, both.row[near]) if both.own.row is not None else near
    size = np.where(both.row[near] >= 0, seam[np.minimum(row, len(seam) - 1)], 0.0)
    return int(near[size.argmax()]) if len(near) and size.max() > BREAKS else None


def snapped(regime: Regime, both: Pair, seam: np.ndarray) -> Regime:
    start, stop = (seam_near(index, both, seam) for index in (regime.start, regime.stop))
    return Regime(regime.start if start is None else start, regime.stop if stop is None else stop, regime.lag,
                  regime.correlation, regime.at_zero)


def seam_at(regime: Regime, both: Pair, seam: np.ndarray) -> bool:
    return any(seam_near(index, both, seam) is not None for index in (regime.start, regime.stop))


def seam_at_other(regime: Regime, both: Pair) -> bool:
    """Whether the other table breaks at one of the borders, seen from its own stamps."""
    seam = breaks(both.other)
    borders = [index - lag for index in (regime.start, regime.stop) for lag in (0, regime.lag)]
    time = [(both.start + border + 1) * both.period for border in borders]
    return any(np.any(seam[np.abs(both.other.time - moment) <= SNAP * both.period] > BREAKS) for moment in time)


def way(lag: int, both: Pair) -> str:
    unit = "day" if both.daily else "h"
    count = f"{abs(lag)} {unit}{'s' if both.daily and abs(lag) > 1 else ''}"
    return f"{count} {'late' if lag > 0 else 'early'} (lag {lag:+d})"


def switch(before: Regime | None, regime: Regime, both: Pair) -> str:
    """What is absent where the lag changes: stamps go on by one period, what they speak of by more."""
    was = before.lag if before is not None and before.stop == regime.start else 0
    lost = was - regime.lag
    unit = ("day" if both.daily else "hour") + ("s" if abs(lost) > 1 else "")
    return f"; {lost} real {unit} {'is' if lost == 1 else 'are'} absent at its start" if lost > 0 else ""
