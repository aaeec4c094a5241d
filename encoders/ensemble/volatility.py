"""Volatility times a constant, or times what the latest known outcomes ask for.

QLIKE is least for a forecast variance times the mean of true over forecast variance. Each asset has its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.labels import Labels
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.fitted import Fitted, Follower
from encoders.ensemble.online import fading_mean
from encoders.forecast import Forecast

SMALLEST = 1e-6  # factor of a variance, for an asset that has not moved at all


def variance_ratio(forecast: Forecast, labels: Labels) -> np.ndarray:
    """(B, N) true over forecast variance; NaN where either is missing or none was forecast."""
    said, came = (np.asarray(part, np.float64) ** 2 for part in (forecast.volatility, labels.volatility))
    return np.divide(came, said, out=np.full(said.shape, np.nan), where=said > 0)


@dataclass(frozen=True, eq=False)
class StaticScale(Fitted):
    """
    >>> said = Forecast(np.full((1, 1, 3), 1 / 3), np.zeros((1, 1, 3)), np.array([[0.02]]))
    >>> StaticScale(np.array([4.0])).apply(said, None).volatility.tolist()
    [[0.04]]
    """

    factor: np.ndarray  # (N,) of the variance

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> StaticScale:
        return cls(static_factor(forecast, labels, rows))

    def apply(self, forecast: Forecast, labels: Labels) -> Forecast:
        return replace(forecast, volatility=forecast.volatility * np.sqrt(self.factor))


@dataclass(frozen=True, eq=False)
class AdaptiveScale(Follower):
    """A fading mean of the ratio over the outcomes known on a row, begun at the fitted rows' mean."""

    factor: np.ndarray  # (N,) before the first outcome is known
    memory: np.ndarray  # () outcomes

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> AdaptiveScale:
        return cls(static_factor(forecast, labels, rows), np.array(float(config.memory)))

    def news(self, forecast: Forecast, labels: Labels) -> np.ndarray:
        return variance_ratio(forecast, labels)

    def follow(self, forecast: Forecast, news: np.ndarray, reach: int, carried: dict[str, Any]) -> Forecast:
        means = fading_mean(news, carried.get("mean", self.factor), float(self.memory))  # (B, N)
        carried["mean"] = means[-1]
        factor = np.maximum(means, SMALLEST)
        return replace(forecast, volatility=forecast.volatility * np.sqrt(factor))


def static_factor(forecast: Forecast, labels: Labels, rows: np.ndarray) -> np.ndarray:
    """(N,) mean ratio over `rows`; 1 for an asset that has none there."""
    ratio = variance_ratio(forecast, labels)[rows]
    known = np.isfinite(ratio)
    mean = np.where(known, ratio, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known.any(axis=0), np.maximum(mean, SMALLEST), 1.0)
