"""`diagnose`: all views of one agent, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from agents.arena.rollout import Track
from agents.diagnosis.ablation import Ablation, ablation
from agents.diagnosis.band import Band, Trading, band, trading
from agents.diagnosis.best import AGENT, Best, accounts, best, oracle_of
from agents.diagnosis.regimes import Regime, regimes
from agents.diagnosis.sensitivity import Sensitivity, sensitivity
from agents.diagnosis.subject import Subject
from configs.run import plain

PICTURED = ("seen", "wanted", "best")  # of the band: a number for every row, for a picture


@dataclass(frozen=True)
class About:
    """Who was asked, and on which rows."""

    agent: str
    assets: tuple[str, ...]
    action: str
    first: str
    last: str
    decisions: int
    years: float  # time that passed, gaps included
    window: int
    draws: int  # shuffles
    level: float  # of the intervals
    histories: int
    block: float  # of the bootstrap, in bars
    stays_out: bool  # it trades nothing of all this

    @property
    def per_year(self) -> float:
        """Decisions in a year."""
        return self.decisions / self.years


@dataclass(frozen=True, eq=False)
class Diagnosis:
    about: About
    ablation: Ablation
    trading: Trading
    band: Band | None
    regimes: tuple[Regime, ...]
    sensitivity: Sensitivity
    best: Best
    tracks: dict[str, Track]

    def plain(self) -> dict[str, Any]:
        """Every number of it as JSON can hold them."""
        found = {name: plain(getattr(self, name)) for name in ("about", "ablation", "trading", "regimes", "sensitivity",
                                                               "best")}
        if self.band is not None:
            found["band"] = {f.name: plain(getattr(self.band, f.name)) for f in fields(Band) if f.name not in PICTURED}
            found["band"]["chosen"] = self.band.chosen.tolist()
        return found


def diagnose(subject: Subject, tell: Callable[[str], None] = lambda step: None) -> Diagnosis:
    """Everything that is asked of an agent; `tell` is told what is being asked, for it takes minutes."""
    tell("its account, and that of the best")
    oracle = oracle_of(subject)
    tracks, record = accounts(subject, oracle)
    mine = tracks[AGENT]
    ground = subject.ground
    rows = ground.engine().decisions[:, 0]
    reached = best(subject, tracks, record, oracle)
    tell("what it would do from every level")
    kept = band(subject, record, oracle)
    tell("other costs, later orders")
    priced = sensitivity(subject)
    tell(f"{len(subject.groups)} groups of columns, each shuffled {subject.config.draws} times")
    missed = ablation(subject, record)
    first, last = (str(np.datetime_as_string(mine.time[at], unit="m")) for at in (0, -1))
    about = About(subject.name, ground.market.assets, ground.env.action, first, last, len(record), mine.years,
                  ground.window, subject.config.draws, subject.bootstrap.level, subject.bootstrap.draws,
                  subject.bootstrap.block, subject.stays_out)
    return Diagnosis(about, missed, trading(record, mine), kept, regimes(subject, mine, rows), priced, reached, tracks)
