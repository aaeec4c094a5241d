"""Outer quantiles that are missed as often as they say: conformalised quantile regression (Romano et al. 2019).

Each tail by itself (their section 6, theorem 2): the score of a row is how far the return lies beyond that quantile, in
forecast volatilities, so that a calm and a wild day count alike. A quantile of the scores is the margin by which the
tail is moved, outwards or inwards, times the volatility of the row. Each asset has its own margins.

The median stays. Over some thousand rows its sampling error is a good part of what any member ever forecasts, and to
move it by what the market happened to do on those rows is a bet on the trend going on, which nobody made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from data.labels import Labels
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.fitted import Fitted, Follower
from encoders.ensemble.online import Margins, conformal_margins
from encoders.forecast import LEVELS, Forecast

TAILS = np.sign(np.subtract(LEVELS, 0.5))  # (Q,) -1 below the median, 1 above it, 0 for itself
MISSES = np.minimum(LEVELS, np.subtract(1, LEVELS))  # (Q,) share of returns beyond a tail's quantile
STEPS = (0.002, 0.008, 0.032, 0.128)  # of the level, by independent outcome: the span of Gibbs and Candes (2024)
RATE, SHARE = 3.0, 0.002  # of their weights, by independent outcome, with losses in spreads of the scores; as there


def scores_of(forecast: Forecast, labels: Labels) -> np.ndarray:
    """(B, N, Q) how far the return came to lie beyond a quantile, in volatilities; NaN where unknown."""
    volatility = np.asarray(forecast.volatility, np.float64)[..., None]
    beyond = TAILS * (np.asarray(labels.forward, np.float64)[..., None] - forecast.quantiles)
    return np.divide(beyond, volatility, out=np.full(beyond.shape, np.nan), where=volatility > 0)


def widened(forecast: Forecast, margins: np.ndarray) -> Forecast:
    """Quantiles moved by `margins` (B or 1, N, Q), none past the median.

    What could not be foreseen, `aleatoric`, grows and shrinks with the interval, since it is measured by what came;
    `epistemic`, how far members are apart, remains what it is.

    >>> said = Forecast(np.full((1, 1, 3), 1 / 3), np.array([[[-0.1, 0.0, 0.1]]]), np.array([[0.1]]))
    >>> widened(said, np.array([[[1.0, 0.0, -2.0]]])).quantiles.tolist()
    [[[-0.2, 0.0, 0.0]]]
    """
    moved = forecast.quantiles + TAILS * margins * forecast.volatility[..., None]
    middle = len(LEVELS) // 2
    moved[..., middle::-1] = np.minimum.accumulate(moved[..., middle::-1], axis=-1)
    moved[..., middle:] = np.maximum.accumulate(moved[..., middle:], axis=-1)
    aleatoric = forecast.aleatoric
    if aleatoric is not None:
        before, after = (np.asarray(part[..., -1] - part[..., 0]) for part in (forecast.quantiles, moved))
        aleatoric = aleatoric * np.divide(after, before, out=np.ones(before.shape), where=before > 0)
    return replace(forecast, quantiles=moved, aleatoric=aleatoric)


@dataclass(frozen=True, eq=False)
class StaticMargins(Fitted):
    margins: np.ndarray  # (N, Q) in volatilities

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> StaticMargins:
        scores = scores_of(forecast, labels)[rows]
        margins = np.zeros(scores.shape[1:])
        for n, q in np.ndindex(margins.shape):
            known = scores[np.isfinite(scores[:, n, q]), n, q]
            if TAILS[q] and len(known):
                margins[n, q] = conformal_quantile(known, float(MISSES[q]))
        return cls(margins)

    def apply(self, forecast: Forecast, labels: Labels) -> Forecast:
        return widened(forecast, self.margins[None])


def conformal_quantile(scores: np.ndarray, miss: float) -> float:
    """The smallest score that a further one of the kind exceeds with a chance of at most `miss`; else the largest.

    >>> conformal_quantile(np.arange(1.0, 10.0), 0.2)
    8.0
    """
    rank = int(np.ceil((len(scores) + 1) * (1 - miss) - 1e-9))  # or rounding takes the next score
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


@dataclass(frozen=True, eq=False)
class AdaptiveMargins(Follower):
    """Margins that follow the outcomes known on a row (`online.conformal_margins`), whatever drifts.

    They begin with the last scores of the fitted rows, as many for each asset as the memory; an asset that has no
    scores there keeps the interval it is given.
    """

    seeds: np.ndarray  # (N, Q, memory) oldest first

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> AdaptiveMargins:
        scores = scores_of(forecast, labels)[rows]
        seeds = np.zeros((*scores.shape[1:], config.memory))
        for n, q in np.ndindex(seeds.shape[:2]):
            known = scores[np.isfinite(scores[:, n, q]), n, q]
            if len(known):  # fewer than the memory are gone through again
                seeds[n, q] = np.resize(known[::-1], config.memory)[::-1]
        return cls(seeds)

    @cached_property
    def spreads(self) -> np.ndarray:
        """(N, Q) of the seeds: what losses are measured in."""
        return self.seeds.std(axis=-1)

    def news(self, forecast: Forecast, labels: Labels) -> np.ndarray:
        return scores_of(forecast, labels)

    def follow(self, forecast: Forecast, news: np.ndarray, reach: int, carried: dict[str, Any]) -> Forecast:
        margins = np.zeros(news.shape)  # (B, N, Q)
        for n, q in np.ndindex(news.shape[1:]):
            spread = float(self.spreads[n, q])
            if TAILS[q] and spread > 0:
                miss, key = float(MISSES[q]), f"{n} {q}"
                if key not in carried:
                    carried[key] = Margins.begun(self.seeds[n, q], miss, len(STEPS), reach)
                margins[:, n, q] = conformal_margins(
                    np.ascontiguousarray(news[:, n, q]), reach, self.seeds[n, q], miss, np.array(STEPS) / reach,
                    RATE / reach / spread, SHARE / reach, carried[key])
        return widened(forecast, margins)
