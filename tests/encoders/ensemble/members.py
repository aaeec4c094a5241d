"""Members with known strengths on outcomes that are drawn, not traded."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax
from scipy.stats import norm

from data.labels import DOWN, FLAT, UP, Labels
from encoders.ensemble.config import FusionConfig
from encoders.forecast import LEVELS, Forecast

CONFIG = FusionConfig()


def outcomes(rows: int, assets: int = 1, reach: int = 1, seed: int = 0, spread: np.ndarray | float = 1.0
             ) -> tuple[Labels, np.ndarray]:
    """Independent labels of unit spread times `spread` (B, 1), unknown on the last `reach` rows, and the half of the
    return that can be known: return = signal + noise, each of variance one half."""
    rng = np.random.default_rng(seed)
    signal, noise = rng.normal(size=(2, rows, assets)) * np.sqrt(0.5)
    forward = (signal + noise) * spread
    direction = np.where(forward > 0.3, UP, np.where(forward < -0.3, DOWN, FLAT))
    volatility = np.abs(rng.normal(1.0, 0.2, size=(rows, assets))) * spread
    for part, unknown in ((forward, np.nan), (direction, -1), (volatility, np.nan)):
        part[len(part) - reach :] = unknown
    return Labels(direction, forward.astype(np.float32), volatility.astype(np.float32), reach), signal


def knowing(middle: np.ndarray, spread: float = np.sqrt(0.5), volatility: float = 1.0) -> Forecast:
    """A member that says N(middle, spread squared) of the return, for middles (B, N); right if that is the law."""
    edges = norm.cdf((np.array([-0.3, 0.3]) - middle[..., None]) / spread)  # (B, N, 2)
    direction = np.diff(edges, axis=-1, prepend=0.0, append=1.0)
    return Forecast(direction, middle[..., None] + spread * norm.ppf(LEVELS), np.full(middle.shape, volatility))


def sharpened(forecast: Forecast, by: float) -> Forecast:
    """The same with log chances times `by`."""
    return Forecast(softmax(by * np.log(forecast.direction), axis=-1), forecast.quantiles, forecast.volatility)


def with_label(labels: Labels, row: int) -> Labels:
    """The labels with everything about one row changed."""
    direction, forward, volatility = labels.direction.copy(), labels.forward.copy(), labels.volatility.copy()
    direction[row], forward[row], volatility[row] = (direction[row] + 1) % 3, forward[row] + 30.0, 9.0
    return Labels(direction, forward, volatility, labels.reach)


def coverage(forecast: Forecast, labels: Labels, rows: slice) -> float:
    """Share of returns inside the outer quantiles."""
    came = labels.forward[rows]
    inside = (forecast.quantiles[rows, :, 0] <= came) & (came <= forecast.quantiles[rows, :, -1])
    return float(inside[np.isfinite(came)].mean())
