"""A tournament as one history: windows joined end to end, and the contestants that were chosen before each of them.

Who was best over the test rows is known only afterwards. What could have been traded is the contestant that did best on
the validation rows of each window, so a camp is judged by what its choices made of the test rows that followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.arena.meeting import BARS, FORECASTS, SCENARIOS, TRACKS, VALIDATION
from agents.arena.rollout import Track
from agents.arena.statistics.runs import iqm
from agents.arena.tracks import load_tracks, read_table
from configs.errors import UserError
from configs.run import read_record

CAMPS = {"rl": "chosen agents", "supervised": "chosen signals"}


@dataclass(frozen=True, eq=False)
class Season:
    """All that a tournament has left on disk."""

    tests: list[list[Track]]  # of each window
    validations: list[list[Track]]
    scenarios: pd.DataFrame  # a row for each window, contestant and rule
    bars: pd.DataFrame  # of all windows, one after the other
    forecasts: pd.DataFrame  # chances and what came, of everybody who forecasts, on every labelled test row
    record: dict[str, Any]  # run.json

    @classmethod
    def load(cls, folder: Path) -> Season:
        return cls.of(folder, {**read_record(folder), "folder": str(folder)})  # wherever it has been moved

    @classmethod
    def of(cls, folder: Path, record: dict[str, Any]) -> Season:
        places = [folder / f"window{number}" for number in range(1, record.get("windows", 0) + 1)]
        if not places:
            raise UserError(f"{folder} holds no tournament: name a folder that evaluate.py --config has written")
        tables = [[read_table(place / file) for place in places] for file in (SCENARIOS, BARS, FORECASTS)]
        scenarios, bars, forecasts = (pd.concat(found, ignore_index=True) for found in tables)
        if "age" not in scenarios:
            raise UserError(f"the tournament in {folder} was held by an earlier version: give its command again")
        return cls([load_tracks(place / TRACKS) for place in places],
                   [load_tracks(place / VALIDATION) for place in places], scenarios, bars, forecasts, record)


@dataclass(frozen=True)
class Pick:
    """Who was chosen before a window, and why."""

    window: int
    name: str  # of a team where it has several seeds
    validated: float  # log growth per year on the validation rows, over seeds the interquartile mean
    alike: int = 1  # how many grew as much, of whom it was the first


@dataclass(frozen=True, eq=False)
class Camp:
    """What one kind of contestants has to show: the choices of each window, joined."""

    name: str
    picks: tuple[Pick, ...]
    tracks: tuple[Track, ...]  # one for each seed


def chained(tracks: Sequence[Track]) -> Track:
    """One contestant over windows that follow each other: each begins with what the last one left."""
    starts = np.array([track.equity[0] for track in tracks])
    worth = np.cumprod([1.0, *(track.equity[-1] / track.equity[0] for track in tracks[:-1])])
    scales = worth * starts[0] / starts
    parts = [track.equity * scale for track, scale in zip(tracks, scales, strict=True)]
    return replace(
        tracks[0], window=0, rows=slice(tracks[0].rows.start, tracks[-1].rows.stop),
        time=np.concatenate([tracks[0].time[:1], *(track.time[1:] for track in tracks)]),
        equity=np.concatenate([parts[0][:1], *(part[1:] for part in parts)]),
        weights=np.concatenate([track.weights for track in tracks]),
        turnover=np.concatenate([track.turnover for track in tracks]),
        costs=np.concatenate([track.costs * scale for track, scale in zip(tracks, scales, strict=True)]))


def whole(season: Season) -> list[Track]:
    """Every contestant over all windows."""
    names = [track.contestant for track in season.tests[0]]
    for number, window in enumerate(season.tests, start=1):
        if [track.contestant for track in window] != names:
            raise UserError(f"window {number} has other contestants than window 1: give the tournament's command again")
    return [chained([window[place] for window in season.tests]) for place in range(len(names))]


def teams_in(tracks: Sequence[Track], kind: str) -> dict[str, list[Track]]:
    """The contestants of one kind, those together that differ in their seed alone."""
    found: dict[str, list[Track]] = {}
    for track in tracks:
        if track.kind == kind:
            found.setdefault(track.entrant, []).append(track)
    return found


def growth_per_year(track: Track) -> float:
    return float(np.log(track.equity[-1] / track.equity[0]) / track.years)


def camp(season: Season, kind: str) -> Camp | None:
    """The best of a kind on the validation rows of each window, on the test rows that followed; None: nobody is of it.

    Of equally good ones, such as those that all stay in cash, the first.
    """
    picks, followed = [], []
    for number, (before, after) in enumerate(zip(season.validations, season.tests, strict=True), start=1):
        said = {name: iqm(np.array([growth_per_year(track) for track in tracks]))
                for name, tracks in teams_in(before, kind).items()}
        if not said:
            return None
        name = max(said, key=lambda one: said[one])
        picks.append(Pick(number, name, said[name], [*said.values()].count(said[name])))
        followed.append(teams_in(after, kind)[name])
    seeds = range(min(len(tracks) for tracks in followed))
    called = CAMPS[kind]
    tracks = [chained([tracks[seed] for tracks in followed]) for seed in seeds]
    named = [replace(track, contestant=f"{called}, seed {track.seed}" if len(seeds) > 1 else called, team=called)
             for track in tracks]
    return Camp(called, tuple(picks), tuple(named))
