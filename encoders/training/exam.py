"""How well a model forecasts validation rows: honest losses, without smoothing, learned weights or dropout."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from data.market import Market
from encoders.batches import LabelTable, Windows
from encoders.heads import Outputs, Targets
from encoders.model import ForecastModel
from encoders.streams import carried
from encoders.training.feeds import Feed, StreamFeed
from encoders.training.objective import Objective

MOST = 512  # windows encoded at once


class Exam:
    """`exam(model)` is the scores; `answers` what they are made of."""

    def __init__(self, objective: Objective, feed: Feed, windows: Windows, targets: LabelTable, market: Market,
                 rows: np.ndarray, batch: int) -> None:
        self.batch = min(batch, MOST)  # what memory holds in training it holds here
        self.loss, self.feed, self.windows, self.targets = objective.loss, feed, windows, targets
        self.market, self.rows = market, rows

    @torch.no_grad()
    def answers(self, model: ForecastModel) -> Iterator[tuple[Outputs, Targets]]:
        """Outputs and targets of all rows, some at a time: of windows, or of a state carried up to them."""
        model.eval()
        parts: Iterator[tuple[np.ndarray, Tensor]]
        if isinstance(self.feed, StreamFeed):
            parts = carried(model.encoder, self.feed.table, self.market.segments, self.rows, self.feed.length)
        else:
            parts = ((part, model.encode(self.windows(part)))
                     for part in np.split(self.rows, range(self.batch, len(self.rows), self.batch)))
        for part, embedding in parts:
            yield model.heads(embedding), self.targets(part)

    def __call__(self, model: ForecastModel) -> dict[str, float]:
        """The three losses, their sum `loss`, and the accuracy of the direction."""
        total: dict[str, float] = {"direction": 0.0, "quantiles": 0.0, "volatility": 0.0, "accuracy": 0.0}
        rows = 0
        for outputs, truth in self.answers(model):
            found = self.loss.parts(outputs, truth)
            known = truth.known
            found["accuracy"] = (outputs.direction.argmax(-1) == truth.direction)[known].float().mean()
            count = int(known.sum())
            for name, value in found.items():
                total[name] += float(value) * count
            rows += count
        scores = {name: value / rows for name, value in total.items()}
        return {"loss": scores["direction"] + scores["quantiles"] + scores["volatility"], **scores}
