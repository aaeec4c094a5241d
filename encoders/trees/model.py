"""`TreeForecaster`: the trees of all targets, and everything their numbers mean anything with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from configs.run import plain
from data.market import Market
from data.scaling import Scaler
from encoders.checkpoint import TrainedSpan, digest
from encoders.fitting import check_columns, check_fits
from encoders.forecast import Forecast
from encoders.scale import TargetScale
from encoders.trees.config import TreeConfig
from encoders.trees.part import Part
from encoders.trees.summaries import summaries
from encoders.trees.targets import FLOOR, probabilities

AGAIN = "fit the trees again"


@dataclass(frozen=True, eq=False)
class TreeForecaster:
    """One set of trees for all assets: which asset a window is of they cannot see, so a new one is forecast too."""

    config: TreeConfig
    columns: tuple[str, ...]
    scaler: Scaler
    window: int
    reach: int  # bars the farthest-looking label looks ahead
    levels: tuple[float, ...]  # of the quantiles
    scale: TargetScale
    trained: TrainedSpan
    market: str  # fingerprint of the market the trees were grown on
    parts: tuple[Part, ...]  # one for each of `targets.TARGETS`
    scores: dict[str, float] = field(default_factory=dict)  # on validation rows, beside those of the base rates

    def forecast(self, market: Market) -> Forecast:
        """All rows of a market whose features are scaled with `scaler` (`check_fits`); NaN where no window fits."""
        check_columns(self, market, "trees", AGAIN)
        values, _ = summaries(market, self.window)  # (T, N, S)
        rows = market.decision_rows(self.window)
        shape = values.shape[:2]
        direction = np.full((*shape, 3), np.nan, np.float32)
        quantiles = np.full((*shape, len(self.levels)), np.nan, np.float32)
        volatility = np.full(shape, np.nan, np.float32)
        if len(rows):
            found = self.in_units(values[rows].reshape(-1, values.shape[2]))
            inside = (len(rows), shape[1])
            expected = self.scale.expected(market)[rows]  # (B, N)
            direction[rows] = found.direction.reshape(*inside, 3)
            quantiles[rows] = found.quantiles.reshape(*inside, -1) * (self.scale.forward * expected)[..., None]
            volatility[rows] = found.volatility.reshape(inside) * (self.scale.volatility * expected)
        return Forecast(direction, quantiles, volatility)

    def in_units(self, x: np.ndarray) -> Forecast:
        """(n, S) -> the forecast of n rows and one asset, in units of `scale`."""
        odds, *quantiles, variance = (part.says(x, self.config.cores) for part in self.parts)  # (n, 3), (n, 1) ..
        rising = np.sort(np.concatenate(quantiles, axis=1), axis=1)  # each is grown alone, so two of them may cross
        units = np.sqrt(np.maximum(np.exp(variance) - FLOOR, 0))
        return Forecast(probabilities(odds)[:, None], rising[:, None], units)

    def settings(self) -> dict[str, Any]:
        """What JSON holds of it: all but the trees themselves."""
        return plain({
            "trees": self.config, "columns": self.columns, "scaler": self.scaler.plain(), "window": self.window,
            "reach": self.reach, "levels": self.levels, "scale": self.scale, "trained": self.trained,
            "market": self.market, "scores": self.scores,
            "parts": {part.target.name: {"start": part.start.tolist(), "share": part.share,
                                         "files": [digest(file) for file in files_of(part)]} for part in self.parts},
        })

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of trees and settings."""
        return digest(json.dumps(self.settings()).encode())[:16]

    def check_fits(self, market: Market, scaler: Scaler, window: int | None = None) -> None:
        """Refuse a market whose numbers would mean something else to these trees."""
        check_fits(self, market, scaler, window, "trees", AGAIN)


def files_of(part: Part) -> tuple[bytes, ...]:
    return part.trees.files if part.trees else ()
