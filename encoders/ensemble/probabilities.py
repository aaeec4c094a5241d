"""Making P(down, flat, up) mean what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import log_softmax, softmax

from data.labels import FLAT, Labels
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.contest import known_pairs
from encoders.ensemble.fitted import Fitted
from encoders.forecast import Forecast
from encoders.scores import SUREST

SHARPEST, STRONGEST = 20.0, 5.0  # bounds of sharpness and biases, for rows on which one class never came


def taught_by(forecast: Forecast, labels: Labels, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) what was said of the known pairs of `rows`, and (P,) the class that came."""
    at = known_pairs([forecast], labels, rows)
    return np.asarray(forecast.direction[at], np.float64), labels.direction[at]


@dataclass(frozen=True, eq=False)
class Temperature(Fitted):
    """Log chances times one number, and normalised again (Guo et al. 2017, section 4.2; sharpness is 1 / temperature).

    >>> said = Forecast(np.array([[[0.1, 0.1, 0.8]]]), np.zeros((1, 1, 3)), np.ones((1, 1)))
    >>> Temperature(np.array(0.5)).apply(said, None).direction.round(3).tolist()
    [[[0.207, 0.207, 0.586]]]
    """

    sharpness: np.ndarray  # ()

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> Temperature:
        return cls(np.array(fit_logits(*taught_by(forecast, labels, rows), biased=False)[0]))

    def apply(self, forecast: Forecast, labels: Labels) -> Forecast:
        return replace(forecast, direction=softmax(self.sharpness * logs(forecast.direction), axis=-1))


@dataclass(frozen=True, eq=False)
class BiasedTemperature(Fitted):
    """The same with a bias for each class, for members that learnt other base rates (Alexandari et al. 2020)."""

    sharpness: np.ndarray  # ()
    biases: np.ndarray  # (3,) that of flat is 0

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> BiasedTemperature:
        sharpness, *biases = fit_logits(*taught_by(forecast, labels, rows), biased=True)
        return cls(np.array(sharpness), np.array(biases))

    def apply(self, forecast: Forecast, labels: Labels) -> Forecast:
        logits = self.sharpness * logs(forecast.direction) + self.biases
        return replace(forecast, direction=softmax(logits, axis=-1))


def logs(chances: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(chances, np.float64), SUREST))


def fit_logits(said: np.ndarray, came: np.ndarray, biased: bool) -> list[float]:
    """Sharpness and the three biases with the least log loss, which is convex in them."""
    known, truth = logs(said), np.eye(3)[came]

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        chances = log_softmax(x[0] * known + x[1:], axis=-1)
        away = np.exp(chances) - truth
        return float(-(chances * truth).sum(axis=1).mean()), np.array([(away * known).sum(axis=1).mean(),
                                                                       *away.mean(axis=0)])

    free = [(-STRONGEST, STRONGEST) if biased and k != FLAT else (0.0, 0.0) for k in range(3)]
    return minimize(objective, [1.0, 0.0, 0.0, 0.0], jac=True, method="L-BFGS-B",
                    bounds=[(0.0, SHARPEST), *free]).x.tolist()


@dataclass(frozen=True, eq=False)
class Isotonic(Fitted):
    """Each class against the rest by a rising curve, then normalised (Zadrozny and Elkan 2002, sections 3 and 4).

    The curve is the isotonic regression, straight between its steps. No class is given less than the chance `least`,
    by Laplace's rule over the independent outcomes: what has not come among so many may come next.
    """

    said: np.ndarray  # (K,) the knots of the three curves, one after another
    meant: np.ndarray  # (K,)
    ends: np.ndarray  # (3,) where each curve's knots end
    least: np.ndarray  # ()

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> Isotonic:
        said, came = taught_by(forecast, labels, rows)
        curves = [rising(said[:, k], came == k) for k in range(3)]
        knots, meant = (np.concatenate(parts) for parts in zip(*curves))
        return cls(knots, meant, np.cumsum([len(knot) for knot, _ in curves]).astype(float),
                   np.array(1 / (len(came) / labels.reach + 3)))

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Isotonic:
        found = super().of(stored)
        if not (len(found.said) == len(found.meant) == found.ends[-1] and np.all(np.diff(found.ends, prepend=0) > 0)):
            raise ValueError("the three curves of an isotonic calibration must have as many heights as knots")
        return found

    def apply(self, forecast: Forecast, labels: Labels) -> Forecast:
        ends = self.ends.astype(int)
        curves = zip(np.split(self.said, ends[:-1]), np.split(self.meant, ends[:-1]))
        heights = np.stack([np.interp(forecast.direction[..., k], *curve) for k, curve in enumerate(curves)], axis=-1)
        heights = np.maximum(heights, self.least)
        return replace(forecast, direction=heights / heights.sum(axis=-1, keepdims=True))


def rising(said: np.ndarray, came: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the isotonic regression of `came` on `said`: both ends of each of its steps.

    >>> [part.tolist() for part in rising(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]))]
    [[0.1, 0.2, 0.3, 0.4], [0.0, 0.5, 0.5, 1.0]]
    """
    at, which, count = np.unique(said, return_inverse=True, return_counts=True)
    fitted = isotonic_regression(np.bincount(which, came) / count, weights=count)
    first, last = fitted.blocks[:-1], fitted.blocks[1:] - 1
    kept = np.unique(np.concatenate([first, last]))
    return at[kept], fitted.x[kept]
