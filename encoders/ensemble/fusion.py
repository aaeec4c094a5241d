"""From members' forecasts to the final one, and back from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from configs.errors import UserError
from configs.registry import lookup
from data.labels import Labels
from encoders.ensemble import STAGES
from encoders.ensemble.combining import check_members
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.contest import Units, known_pairs, losses
from encoders.ensemble.crossfit import Block, cross_fitted, plainest, time_blocks
from encoders.ensemble.fitted import Calibration, Combiner
from encoders.ensemble.online import only
from encoders.forecast import Forecast

PLAIN = {"direction": "temperature", "volatility": "static", "interval": "static"}
"""calibrations behind which combiners are compared, where they are not settled: otherwise timid votes would beat a bold
pool that knows more, for no better reason than that nobody had calmed it yet"""
JUDGED_BY = {"combiner": "total", "direction": "direction", "volatility": "volatility", "interval": "quantiles"}

Scores = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, eq=False)
class Fusion:
    """What `fit_fusion` learnt.

    `scores[stage][candidate]` are the cross-fitted losses of each candidate of a stage, after the stages before it (and
    for a combiner behind the `PLAIN` calibrations), in units of what came (`contest.losses`): the log loss of the
    direction, pinball, QLIKE and their sum.
    """

    members: tuple[str, ...]  # in the order of the weights
    assets: int
    chosen: dict[str, str]  # stage -> name in its table
    combiner: Combiner
    calibrations: dict[str, Calibration]  # stage -> fitted, in the order of `STAGES`
    scores: Scores

    def apply(self, members: Mapping[str, Forecast], labels_so_far: Labels,
              since: int = 0) -> Forecast:
        """One forecast of all rows. Row `t` goes by labels of rows up to `t - reach` alone, so that a backtest may give
        all the labels there are.

        `since` is the first row whose outcome counts as track record. Give the first row that taught no member where
        members speak of rows that taught them too: they look better there than they are.
        """
        if set(members) != set(self.members):
            raise UserError(f"the fusion is of {', '.join(self.members)}, found forecasts of {', '.join(members)}: "
                            "give exactly those")
        ordered = [members[name] for name in self.members]
        check_shapes(ordered, labels_so_far, self.assets)
        seen = only(labels_so_far, slice(since, None))
        found = self.combiner.apply(ordered, seen)
        for calibration in self.calibrations.values():
            found = calibration.apply(found, seen)
        return found

    def plain(self) -> dict[str, Any]:
        """What JSON can hold, exact to the bit."""
        fitted: dict[str, Combiner | Calibration] = {"combiner": self.combiner, **self.calibrations}
        return {"members": list(self.members), "assets": self.assets, "scores": self.scores,
                "stages": {stage: {"name": self.chosen[stage], "fitted": fitted[stage].plain()} for stage in STAGES}}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Fusion:
        """The fusion that `plain` described; a description that cannot be one is a ValueError."""
        try:
            stages = stored["stages"]
            chosen = {stage: str(stages[stage]["name"]) for stage in STAGES}
            for stage, name in chosen.items():
                if name not in STAGES[stage]:
                    raise ValueError(f"{name!r} is no {stage}: {', '.join(STAGES[stage])}")
            fitted = {stage: lookup(stage, chosen[stage], STAGES[stage]).of(stages[stage]["fitted"])
                      for stage in STAGES}
            return cls(tuple(stored["members"]), int(stored["assets"]), chosen, fitted.pop("combiner"), fitted,
                       stored["scores"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the description of a fusion: {error!r}") from error


def fit_fusion(members: Mapping[str, Forecast], labels: Labels, rows: np.ndarray, config: FusionConfig) -> Fusion:
    """Learn to fuse on `rows`, which must have taught none of the members; no label of another row is looked at.

    Each stage is fitted to the cross-fitted forecasts of the one before, which are as good as they will be on new rows:
    a calibration of what the combiner says of its own rows would find it surer than it has a right to be.

    >>> rng = np.random.default_rng(0)
    >>> came = rng.normal(size=(400, 1))
    >>> labels = Labels(np.where(came > 0, 2, 0), came, np.full((400, 1), 1.0), reach=1)
    >>> def member(lead):
    ...     up = 1 / (1 + np.exp(-lead * came))
    ...     return Forecast(np.stack([0.9 - 0.9 * up, 0 * up + 0.1, 0.9 * up], -1),
    ...                     lead * came[..., None] / 4 + [-1.0, 0.0, 1.0], np.ones((400, 1)))
    >>> fusion = fit_fusion({"blind": member(0.0), "sees": member(3.0)}, labels, np.arange(300),
    ...                     FusionConfig(combiner="weights"))
    >>> fusion.combiner.weights.round(2)[0].tolist()
    [0.0, 1.0]
    """
    names = tuple(members)
    ordered = [members[name] for name in names]
    check_members(ordered)
    check_shapes(ordered, labels, labels.forward.shape[1])
    rows = np.unique(known_pairs(ordered, labels, rows)[0])
    if len(rows) == 0:
        raise UserError("no row to fuse on has both labels and a forecast of every member; give rows after the members'"
                        " warm-up and before the last reach of the labels")
    span = slice(int(rows[0]), int(rows[-1]) + 1)
    ordered, rows = [member[span] for member in ordered], rows - span.start
    labels = only(replace(labels, direction=labels.direction[span], forward=labels.forward[span],
                          volatility=labels.volatility[span]), rows)
    blocks = time_blocks(rows, labels.reach, config.blocks)
    judge = Judge(labels, Units.fit(labels, rows), blocks)

    def combined(combiner: Combiner, teach: np.ndarray) -> Forecast:
        return combiner.refit(ordered, labels, teach).apply(ordered, labels)

    def calibrated(kind: type[Calibration], said: Forecast, teach: np.ndarray) -> Forecast:
        return kind.fit(said, labels, teach, config).apply(said, labels)

    def plainly(said: Forecast) -> Forecast:
        for stage, name in PLAIN.items():
            given = config.candidates(stage)
            kind = lookup(stage, given[0] if len(given) == 1 else name, STAGES[stage])
            said = cross_fitted(partial(calibrated, kind, said), blocks)
        return said

    combiners: dict[str, Combiner] = {
        name: lookup("combiner", name, STAGES["combiner"]).fit(ordered, labels, rows, config)
        for name in config.candidates("combiner")}
    name, forecast, scores = judge.choose("combiner", {name: partial(combined, combiner)
                                                       for name, combiner in combiners.items()}, plainly)
    chosen, report = {"combiner": name}, {"combiner": scores}
    calibrations: dict[str, Calibration] = {}
    for stage in list(STAGES)[1:]:
        said, kinds = forecast, {name: lookup(stage, name, STAGES[stage]) for name in config.candidates(stage)}
        chosen[stage], forecast, report[stage] = judge.choose(stage, {name: partial(calibrated, kind, said)
                                                                      for name, kind in kinds.items()})
        calibrations[stage] = kinds[chosen[stage]].fit(said, labels, rows, config)
    return Fusion(names, labels.forward.shape[1], chosen, combiners[chosen["combiner"]], calibrations, report)


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares candidates of a stage on the blocks that they were not fitted on."""

    labels: Labels
    units: Units
    blocks: list[Block]

    def choose(self, stage: str, candidates: Mapping[str, Callable[[np.ndarray], Forecast]],
               mended: Callable[[Forecast], Forecast] = lambda said: said
               ) -> tuple[str, Forecast, dict[str, dict[str, float]]]:
        """The name of the plainest that is not beaten, its cross-fitted forecast, and the scores of all as `mended`.

        A combiner pulls its weights to equal ones as far as its own cross-fitting asks, so there the best is taken.
        """
        forecasts = {name: cross_fitted(learn, self.blocks) for name, learn in candidates.items()}
        scores = {name: [losses(said, self.labels, block.test, self.units) for block in self.blocks]
                  for name, said in ((name, mended(said)) for name, said in forecasts.items())}
        table = np.array([[block[JUDGED_BY[stage]] for block in found] for found in scores.values()])
        best = int(table.mean(axis=1).argmin()) if stage == "combiner" else plainest(table)
        name = list(candidates)[best]
        return name, forecasts[name], {name: {part: float(np.mean([block[part] for block in found]))
                                              for part in found[0]} for name, found in scores.items()}


def check_shapes(members: list[Forecast], labels: Labels, assets: int) -> None:
    check_members(members)
    if members[0].volatility.shape != labels.forward.shape or labels.forward.shape[1] != assets:
        raise UserError(f"forecasts {members[0].volatility.shape} and labels {labels.forward.shape} must be of the "
                        f"same rows and of {assets} assets: give labels of the market that was forecast")
