"""`explain`: all views of one model, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.run import plain
from encoders.explain.attention import (
    ATTENTION,
    GRADIENTS,
    Hours,
    Selection,
    hours_of,
    kept_weights,
    selection_of,
    shares,
)
from encoders.explain.gradients import LEAN, Attribution, gradients_of
from encoders.explain.importance import SUM, Importance, permutation_importance
from encoders.explain.subject import Subject
from encoders.explain.words import before, written


@dataclass(frozen=True)
class About:
    """Which model, and what it was asked."""

    encoder: str
    checkpoint: str  # fingerprint
    market: str  # fingerprint
    assets: tuple[str, ...]
    columns: int
    window: int
    context: str
    bar: float  # hours of a bar
    span: str
    rows: int
    first: str
    last: str
    level: float  # of the intervals
    draws: int
    block: float  # bars
    blocks: float  # in the rows
    repeats: int
    nodes: int
    largest: int


@dataclass(frozen=True, eq=False)
class Explanation:
    about: About
    hours: Hours
    selection: Selection | None
    importance: Importance
    gradients: dict[str, Attribution]  # by gradients.OUTPUTS
    map: np.ndarray  # (K, W) weights of the hours, oldest first
    time: np.ndarray  # (K,) of the decisions

    def plain(self) -> dict[str, Any]:
        """Every number of it as JSON can hold them; the map is for a picture."""
        return plain({name: getattr(self, name) for name in ("about", "hours", "selection", "importance", "gradients")})

    def lines(self) -> list[str]:
        """In a few words: what was looked at, the largest of each view, and whether the attributions add up."""
        facts, hour, loss = self.about, self.hours.largest[0], self.importance.groups[0]
        share = written(hour.weight.value, "share")
        told = [f"{facts.encoder} on {facts.rows} validation rows, {facts.first} to {facts.last}",
                f"largest {self.hours.source} of an hour: {before(hour.age, facts.bar)}, {share}"]
        if self.selection:
            chosen = self.selection.groups[0]
            told.append(f"selects most: {chosen.name}, {written(chosen.weight.value, 'share')}; with all features "
                        f"alike it would be {written(chosen.equal, 'share')}")
        rise = loss.losses[SUM]
        told.append(f"hurts most without: {loss.name}, losses {written(rise.value, 'loss')} "
                    f"[{written(rise.low, 'loss')}, {written(rise.high, 'loss')}]"
                    + ("" if rise.clear else ", which cannot be told from zero"))
        for output, found in self.gradients.items():
            sums = found.completeness
            told.append(f"integrated gradients of {output}: most by {found.groups[0].name}; their sums miss the "
                        f"difference of {sums.difference:.3g} by {sums.error:.1g} in the mean, {sums.largest:.1g} at "
                        "most")
        return told


def explain(subject: Subject) -> Explanation:
    """Attention, or in its place gradients by hour; variable selection; permutation importance; gradients."""
    kept, gradients = kept_weights(subject), gradients_of(subject)
    if kept.hours is None:
        weights, source = shares(gradients.hours[LEAN]), GRADIENTS
    else:
        weights, source = kept.hours, ATTENTION
    chosen = (None if kept.columns is None or kept.by_hour is None
              else selection_of(subject, kept.columns, kept.by_hour))
    return Explanation(about(subject), hours_of(subject, weights, source), chosen, permutation_importance(subject),
                       gradients.outputs, weights, subject.market.time[subject.rows])


def about(subject: Subject) -> About:
    checkpoint, market, rows, bootstrap = subject.checkpoint, subject.market, subject.rows, subject.bootstrap
    spacing = (rows[-1] - rows[0]) / (len(rows) - 1)
    return About(
        encoder=checkpoint.encoder.name, checkpoint=checkpoint.fingerprint, market=market.fingerprint,
        assets=market.assets, columns=len(market.columns), window=checkpoint.window, context=checkpoint.context,
        bar=float(np.median(np.diff(market.time)) / np.timedelta64(1, "h")),
        span="validation", rows=len(rows), first=str(market.time[rows[0]].astype("datetime64[m]")),
        last=str(market.time[rows[-1]].astype("datetime64[m]")), level=bootstrap.level, draws=bootstrap.draws,
        block=float(bootstrap.block * spacing), blocks=len(rows) / bootstrap.block, repeats=subject.config.repeats,
        nodes=subject.config.nodes, largest=subject.config.largest)
