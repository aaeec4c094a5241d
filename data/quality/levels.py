"""Levels beside a second source: a series that is something else, and stretches that depart from all the others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from data.quality.case import ENOUGH, Case
from data.quality.finding import Finding, listed, runs
from data.quality.lags import CLEAR, REACH, alike, moved, regimes
from data.quality.lines import Line, Pair, line, pair
from data.quality.subject import DAY_US

UNLIKE = 0.3  # changes of one quantity correlate more than this at some lag
FACTOR = 0.2  # by which levels of one quantity differ at most
APART = 0.03  # of the price: further than this from the usual distance is a departure
PERIODS = {True: 3, False: 24}  # (days, hours) a departure lasts to be told
USUAL = {True: 61, False: 1441}  # (days, hours) whose median is the usual distance


def likeness(both: Pair, reach: int) -> float:
    """The strongest correlation of changes at any lag up to `reach`, either sign."""
    own, other = both.scaled
    return max(abs(alike(own, moved(other, lag))) for lag in range(-reach, reach + 1))


def identity(c: Case) -> Iterator[Finding]:
    """The column of this name elsewhere has another level and moves otherwise: one of the two is something else."""
    for name, both in c.pairs:
        own, other = both.levels
        apart = float(np.nanmedian(own - other)) if both.logs else float("nan")
        like = likeness(both, REACH[both.daily])
        factor = float(np.exp(apart))
        if both.logs and abs(apart) > FACTOR and like < UNLIKE:
            ours, theirs = (relatives(c, name, which) for which in (c.own[name], both.other))
            measured = (f"levels stand as {factor:.3g} to 1 to those of {both.other.name} and changes correlate "
                        f"{like:.2f} at best")
            if max(theirs, default=0.0) > UNLIKE > max(ours, default=0.0) or not (ours or theirs):
                why = f"; what is bound to move with it agrees with the other ({max(theirs):.2f} to {max(ours):.2f})" \
                    if theirs and ours else "; no third source says which of the two it is"
                yield c.finding("refuse", f"{name} is not what it claims: {measured}{why}", np.isfinite(c.values(name)),
                                name)
                for part in c.parts_of(name):  # its open, high and low are no better
                    yield c.finding("refuse", f"{part} belongs to {name}, which is not what it claims",
                                    np.isfinite(c.values(part)), part)
            else:
                yield c.finding("note", f"{both.other.name} is something else: {measured}", column=name)
        elif both.logs and abs(apart) > FACTOR and like > CLEAR:
            yield c.finding("flag", f"{name} is {factor:.4g} times {both.other.name} but moves with it: another unit "
                            "or another convention", column=name)


def relatives(c: Case, name: str, which: Line) -> list[float]:
    """How well `which` moves with every column that the schema binds to `name`, here and in other tables."""
    bound = [column.name for column in c.key.schema.columns if column.moves_with == name]
    tables = {c.key: c.table, **dict(c.tables(lambda key: key.schema.name == c.key.schema.name))}
    found = []
    for key, table in tables.items():
        for column in bound:
            both = pair(line(key, table, column), which) if column in table and key.asset == c.key.asset else None
            if both is not None and both.common >= ENOUGH:
                found.append(likeness(both, REACH[True]))
    return found


def departures(c: Case) -> Iterator[Finding]:
    """Stretches in which the price stands apart from a second source, and who departs where there are three."""
    if not c.key.schema.is_bars:
        return
    told = np.zeros(len(c.time), bool)
    for name, both in c.pairs:
        if not both.logs:
            continue
        apart = both.levels[0] - both.levels[1]
        for regime in regimes(both):
            apart[regime.start : regime.stop] = np.nan  # shifted stamps are told of elsewhere
        width = USUAL[both.daily]
        away = apart - pd.Series(apart).rolling(width, center=True, min_periods=width // 4).median().to_numpy()
        far = np.abs(np.nan_to_num(away)) > APART
        for start, stop in runs(bridged(far, DAY_US // both.period)):
            count = int(far[start:stop].sum())
            row = both.row[start:stop][far[start:stop]]
            row = row[row >= 0]
            if count < PERIODS[both.daily] or not len(row) or told[row].mean() > 0.5:
                continue
            bad = np.zeros(len(c.time), bool)
            bad[row] = True
            told |= bad
            guilty, voters = c.sided(name, both.other, (int(c.time[row[0]]), int(c.time[row[-1]])))
            inside = away[start:stop][far[start:stop]]
            measured = (f"{c.span(int(row[0]), int(row[-1]) + 1)}: closes {percent(inside)} against {both.other.key}, "
                        f"{count:,} rows")
            if guilty == "other":
                yield c.finding("note", f"{measured}; this table is confirmed by {listed(voters, 3)}", column=name)
            else:
                who = f"; {both.other.key} agrees with {listed(voters, 3)}: this table departs" if voters else \
                    "; no third source says which of the two departs"
                yield c.finding("flag", f"{measured}{who}", bad, name)


def percent(away: np.ndarray) -> str:
    size = np.abs(np.expm1(away)) * 100
    sides = "below" if (away < 0).all() else "above" if (away > 0).all() else "below and above"
    return f"{size.min():.1f} to {size.max():.1f} % {sides} the usual distance"


def bridged(far: np.ndarray, reach: int) -> np.ndarray:
    """Gaps of up to `reach` between two True are filled."""
    at = np.flatnonzero(far)
    out = far.copy()
    for a, b in pairwise(at.tolist()):
        if b - a <= reach:
            out[a:b] = True
    return out
