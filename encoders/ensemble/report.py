"""How good members and ensemble are on rows that none of them has seen, beside what is naive and what is possible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data.bootstrap import BootstrapConfig
from data.dataset import DataConfig, Dataset
from encoders.batches import labelled_rows
from encoders.bounds import best_possible, has_bound
from encoders.ensemble.fusion import Fusion
from encoders.forecast import Forecast
from encoders.naive import fit_naive
from encoders.score_table import ScoreTable, as_markdown, score_table, written
from encoders.scores import Score

BEST = "best possible"
IGNORANT = "base rates"
RECOVERED = ("log_loss", "side_loss", "pinball", "qlike")
"""losses of which it is told how much of the way from ignorance to the best possible was gone"""
COMPARED = ("log_loss", "hit_rate", "pinball", "qlike")
"""scores of which differences are shown, to the naive forecast that is best at each on the very rows that are scored"""


@dataclass(frozen=True, eq=False)
class Report:
    scores: ScoreTable
    forecasters: tuple[str, ...]  # members and ensemble
    naive: tuple[str, ...]
    spans: str  # which rows were scored

    def markdown(self) -> str:
        parts = [self.spans, "", self.scores.markdown()]
        for title, table in self.tables().items():
            parts += ["", title, "", as_markdown(table)]
        return "\n".join(parts) + "\n"

    def tables(self) -> dict[str, pd.DataFrame]:
        """By title: differences to the strongest naive forecast of each score, and shares of what could be known."""
        columns = {}
        for score in COMPARED:
            baseline = self.scores.best_at(score, self.naive)
            found, style = self.scores.differences(score, baseline), self.scores.measures[score].style
            columns[f"{score} minus {baseline}"] = {name: written(Score(*found.loc[name]), style)
                                                    for name in self.forecasters}
        tables = {"Differences on the same rows [interval]:": named(columns)}
        if BEST in self.scores.forecasts:
            tables["Share of what could be known that was found [interval]:"] = named({
                f"{score} beyond {IGNORANT}": {name: self.share(name, score) for name in self.forecasters}
                for score in RECOVERED})
        return tables

    def share(self, name: str, score: str) -> str:
        found = self.scores.recovered(IGNORANT, name, BEST, score)
        return "nothing to find" if np.isinf(found.low) else written(found, ".0%")

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scores.md").write_text(self.markdown())
        self.scores.frame.to_csv(folder / "scores.csv")


def named(columns: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(columns).rename_axis("forecast")


def report(config: DataConfig, dataset: Dataset, forecasts: Mapping[str, Forecast], bootstrap: BootstrapConfig,
           span: slice) -> Report:
    """`forecasts` and all naive ones on the labelled rows of `span`; naive ones are fitted on training rows."""
    market, labels = dataset.market, dataset.labels
    train = labelled_rows(market, labels, config.window, dataset.split.train)
    rows = labelled_rows(market, labels, config.window, span)
    naive = {name: rule.forecast(market) for name, rule in fit_naive(market, labels, train, config.labels).items()}
    best = {BEST: best_possible(config, dataset)} if has_bound(config) else {}
    everyone = {**best, **forecasts, **naive}
    scores = score_table(everyone, labels, rows, bootstrap,
                         assets=market.assets if len(market.assets) > 1 else ())
    first, last = (str(market.time[row])[:16] for row in (rows[0], rows[-1]))
    return Report(scores, tuple(forecasts), tuple(naive), f"Rows {rows[0]} to {rows[-1]} ({first} to {last} UTC); "
                  f"trained on rows {train[0]} to {train[-1]}.")


def fusion_table(fusion: Fusion) -> str:
    """What each stage chose, and the cross-fitted loss of every candidate by which it did."""
    found = {}
    for stage, candidates in fusion.scores.items():
        for name, losses in candidates.items():
            chosen = " (chosen)" if fusion.chosen[stage] == name else ""
            found[f"{stage}: {name}{chosen}"] = {part: f"{loss:.4f}" for part, loss in losses.items()}
    return as_markdown(pd.DataFrame(found).T.rename_axis("stage"))
