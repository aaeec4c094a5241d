"""`Case`: a subject with its second sources put beside it, and who is to be believed when two sources differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from data.quality.lines import Line, Pair, line, pair, same_source
from data.quality.subject import DAY_US, Subject
from data.schema import Key

Side = Literal["own", "other", "either"]
AROUND = 30 * DAY_US  # what the usual distance of two sources is taken from, before and after
CLOSER = 1.5  # times as close as the other: then a witness sides with one
ENOUGH = 60  # shared periods that a comparison needs
BREAKS = 10.0  # times the usual break between close and next open: there a table was put together


@dataclass(frozen=True, eq=False)
class Case(Subject):
    @cached_property
    def own(self) -> dict[str, Line]:
        """The columns a second source can speak about: of bars the close, of anything else all."""
        names = [name for name in ("close",) if name in self.table] if self.key.schema.is_bars else self.columns
        lines = {name: line(self.key, self.table, name) for name in names}
        return {name: each for name, each in lines.items() if len(each.time)}

    @cached_property
    def others(self) -> dict[str, list[Line]]:
        """By column of ours: the same quantity elsewhere, copies of ours or of one another left out."""
        found: dict[str, list[Line]] = {name: [] for name in self.own}
        for key, table in self.tables(self.comparable):
            for name, own in self.own.items():
                if name in table:
                    theirs = line(key, table, name)
                    if len(theirs.time) and not any(same_source(theirs, known) for known in (own, *found[name])):
                        found[name].append(theirs)
        return found

    @cached_property
    def copies(self) -> dict[Key, list[str]]:
        """Other tables and the columns in which they hold the very numbers of this one."""
        found: dict[Key, list[str]] = {}
        for key, table in self.tables(self.comparable):
            same = [name for name, own in self.own.items()
                    if name in table and same_source(own, line(key, table, name))]
            if same:
                found[key] = same
        return found

    @cached_property
    def pairs(self) -> list[tuple[str, Pair]]:
        """Our columns beside each second source that shares enough periods."""
        made = [(name, pair(own, other)) for name, own in self.own.items() for other in self.others[name]]
        return [(name, both) for name, both in made if both is not None and both.common >= ENOUGH]

    @cached_property
    def witnesses(self) -> list[Line]:
        """A column of each other table that follows our bars, such as a price in a table of the chain."""
        found: list[Line] = []
        for key, table in self.tables(lambda key: self.key.schema.is_bars and key.asset == self.key.asset):
            names = [column.name for column in key.schema.columns if column.moves_with == "bars"]
            seen = [line(key, table, name) for name in names if name in table][:1]
            found += [each for each in seen if not any(same_source(each, known) for known in found)]
        return found

    def comparable(self, key: Key) -> bool:
        """Whether a table speaks of the same things: of one schema, or both bars, of the same asset."""
        alike = key.schema.name == self.key.schema.name or (key.schema.is_bars and self.key.schema.is_bars)
        return alike and key.asset == self.key.asset

    def sided(self, column: str, other: Line, within: tuple[int, int], of_changes: bool = False
              ) -> tuple[Side, list[str]]:
        """Whom third sources contradict between two moments (microseconds), and their names."""
        votes: dict[Side, list[str]] = {"own": [], "other": []}
        for third in (*self.others[column], *self.witnesses):
            parties = self.own[column], other
            if third.key != other.key and not any(same_source(third, each, daily=True) for each in parties):
                ours, theirs = (distance(each, third, within, of_changes) for each in parties)
                if ours > CLOSER * theirs:
                    votes["own"].append(third.name)
                elif theirs > CLOSER * ours:
                    votes["other"].append(third.name)
        if len(votes["own"]) == len(votes["other"]):
            return "either", []
        guilty: Side = "own" if len(votes["own"]) > len(votes["other"]) else "other"
        return guilty, votes[guilty]


def distance(a: Line, b: Line, within: tuple[int, int], of_changes: bool) -> float:
    """Median of how far two series stand from their usual distance, or of its changes; NaN where few moments meet."""
    first, last = within
    _, i, j = np.intersect1d(a.time, b.time, assume_unique=True, return_indices=True)
    time, a_level, b_level = a.time[i], a.level[i], b.level[j]
    inside, around = (time >= first) & (time <= last), (time >= first - AROUND) & (time <= last + AROUND)
    if inside.sum() < 3 or (a_level[around] <= 0).any() or (b_level[around] <= 0).any():
        return float("nan")
    apart = np.log(a_level[around] / b_level[around])
    inside, around = inside[around], around[around]
    if of_changes:  # premiums come and go over weeks, which wrong stamps have nothing to do with
        return float(np.median(np.abs(np.diff(apart)[inside[1:]])))
    outside = around & ~inside
    usual = np.median(apart[outside if outside.sum() >= 10 else around])
    return float(np.median(np.abs(apart[inside] - usual)))


def breaks(table: Line) -> np.ndarray:
    """(rows,) how far the open lies from the close before, in units of what is usual in this table at most."""
    if table.opened is None or len(table.level) < 100 or (table.opened <= 0).any() or (table.level <= 0).any():
        return np.zeros(len(table.level))
    gap = np.concatenate([[0.0], np.abs(np.log(table.opened[1:] / table.level[:-1]))])
    gap[1:][np.diff(table.time) != table.period] = 0.0  # over absent rows prices may move
    return gap / max(float(np.quantile(gap, 0.98)), 1e-5)
