"""How good forecasts are, each score as a function of sums over rows.

A resampled history is a count of how often each row was drawn, so once a score is made of sums over rows, all its
values in all histories are one matrix product (`score_table.py`). What is not a sum is fixed once on all the rows that
are scored: the ranks of the rank correlation, the bins of the calibration error, the floor of QLIKE.

`P` pairs of a row and an asset, `K` sums, `Q` quantiles. Adding a score is a line in `SCORES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from data.labels import DOWN, FLAT, UP, Labels
from encoders.forecast import LEVELS, Forecast

BINS = 15
"""of the calibration error, with as many pairs in each; pairs of equal confidence stay together"""
SUREST = 1e-6
"""a class given less chance than this is charged for this much, so that one sure mistake is not infinite"""
FLOOR = 1e-3
"""of QLIKE, as a share of an asset's mean true variance; `losses.qlike` has the same in units of its label scale"""


class Score(NamedTuple):
    """A score on the rows as they were, and the interval that resampled rows give it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Pairs:
    """What was said of each row and asset that is scored, beside what came."""

    asset: np.ndarray  # (P,) its number
    direction: np.ndarray  # (P,) DOWN, FLAT or UP came
    forward: np.ndarray  # (P,) log return that came
    variance: np.ndarray  # (P,) mean square log return of a bar that came
    chances: np.ndarray  # (P, 3) said
    quantiles: np.ndarray  # (P, Q) said
    said_variance: np.ndarray  # (P,)
    levels: np.ndarray  # (Q,)

    @classmethod
    def of(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, assets: np.ndarray,
           levels: tuple[float, ...] = LEVELS) -> Pairs:
        """The pairs `rows` (P,), `assets` (P,)."""
        at = (rows, assets)
        chances = np.asarray(forecast.direction[at], np.float64)
        return cls(assets, labels.direction[at], np.asarray(labels.forward[at], np.float64),
                   np.asarray(labels.volatility[at], np.float64) ** 2,
                   chances / chances.sum(axis=1, keepdims=True), np.asarray(forecast.quantiles[at], np.float64),
                   np.asarray(forecast.volatility[at], np.float64) ** 2, np.asarray(levels))

    @cached_property
    def called(self) -> np.ndarray:
        """(P, 3) the likeliest class; classes that are equally likely share the call."""
        likeliest = self.chances == self.chances.max(axis=1, keepdims=True)
        return likeliest / likeliest.sum(axis=1, keepdims=True)

    @cached_property
    def came(self) -> np.ndarray:
        """(P, 3) one at the class that came."""
        return np.eye(3)[self.direction]

    @cached_property
    def lean(self) -> np.ndarray:
        """(P,) P(up) - P(down): which way the forecast leans, and how much."""
        return self.chances[:, UP] - self.chances[:, DOWN]


class Measure(NamedTuple):
    """A score by name in `SCORES`."""

    group: str  # the table that it is shown in
    better: str  # an arrow: up, down, or none where neither is
    style: str  # how a value is written
    sums: Callable[[Pairs], np.ndarray]  # (P, K) what is added up over pairs
    value: Callable[[np.ndarray], np.ndarray]  # (..., K) sums -> (...)


def confusion(pairs: Pairs) -> np.ndarray:
    """(P, 9) class that came by class that was called."""
    return (pairs.came[:, :, None] * pairs.called[:, None, :]).reshape(-1, 9)


def square(sums: np.ndarray) -> np.ndarray:
    return sums.reshape(*sums.shape[:-1], 3, 3)  # (..., came, called)


def ratio(above: np.ndarray, below: np.ndarray, empty: float = np.nan) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), empty), where=below > 0)


def accuracy(sums: np.ndarray) -> np.ndarray:
    return ratio(np.trace(square(sums), axis1=-2, axis2=-1), sums.sum(axis=-1))


def balanced_accuracy(sums: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that came."""
    table = square(sums)
    right, came = np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1)
    return ratio(ratio(right, came, 0.0).sum(axis=-1), (came > 0).sum(axis=-1))


def macro(table: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Mean of right / below over the classes that came or were called, 0 for one that only did the other."""
    right = np.diagonal(table, axis1=-2, axis2=-1)
    there = table.sum(axis=-1) + table.sum(axis=-2) > 0
    return ratio(ratio(right, below, 0.0).sum(axis=-1), there.sum(axis=-1))


def precision(sums: np.ndarray) -> np.ndarray:
    return macro(square(sums), square(sums).sum(axis=-2))


def recall(sums: np.ndarray) -> np.ndarray:
    return macro(square(sums), square(sums).sum(axis=-1))


def f1(sums: np.ndarray) -> np.ndarray:
    table = square(sums)
    return macro(table, (table.sum(axis=-1) + table.sum(axis=-2)) / 2)


def over(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(P, 2) the two sums of a weighted mean."""
    return np.stack([weights * values, weights], axis=1)


def mean(sums: np.ndarray) -> np.ndarray:
    return ratio(sums[..., 0], sums[..., 1])


def averaged(loss: Callable[[Pairs], np.ndarray]) -> Callable[[Pairs], np.ndarray]:
    """The sums of the plain mean of a (P,) loss."""
    return lambda pairs: over(np.ones(len(pairs.asset)), loss(pairs))


def brier(pairs: Pairs) -> np.ndarray:
    """Squared distance of the three chances from what came, between 0 and 2 (Brier 1950)."""
    return ((pairs.chances - pairs.came) ** 2).sum(axis=1)


def log_loss(pairs: Pairs) -> np.ndarray:
    return -np.log(np.maximum((pairs.chances * pairs.came).sum(axis=1), SUREST))


def calibration(pairs: Pairs) -> np.ndarray:
    """(P, BINS + 1) how far right calls exceed the confidence in them, each pair in its bin's column; then a one."""
    confidence = pairs.chances.max(axis=1)
    inner = np.quantile(confidence, np.arange(1, BINS) / BINS)
    found = np.zeros((len(confidence), BINS + 1))
    right = (pairs.called * pairs.came).sum(axis=1)
    found[np.arange(len(confidence)), np.searchsorted(inner, confidence, side="left")] = right - confidence
    found[:, BINS] = 1.0
    return found


def calibration_error(sums: np.ndarray) -> np.ndarray:
    """Mean distance of confidence and accuracy of a bin (Naeini, Cooper and Hauskrecht 2015; here bins of equal mass).

    It cannot be negative, so noise only raises it: perfect forecasts score above 0 on few rows, and resampled rows
    score somewhat above the rows themselves.
    """
    return ratio(np.abs(sums[..., :BINS]).sum(axis=-1), sums[..., BINS])


def hits(pairs: Pairs) -> np.ndarray:
    """(P,) 1 where the lean and the return have one sign, 0 where they have not, half where there is no lean."""
    return (1 + np.sign(pairs.lean) * np.sign(pairs.forward)) / 2


def hit_rate(pairs: Pairs) -> np.ndarray:
    return over((pairs.forward != 0).astype(float), hits(pairs))


def weighted_hit_rate(pairs: Pairs) -> np.ndarray:
    return over(np.abs(pairs.forward), hits(pairs))


def side_loss(pairs: Pairs) -> np.ndarray:
    """(P, 2) log loss of down against up where either came: what is said of the sign alone, log 2 = 0.6931 where
    nothing is. The log loss of all three classes also pays for knowing how large moves will be."""
    moved = pairs.direction != FLAT
    sides = pairs.chances[:, [DOWN, UP]]
    right = np.where(pairs.direction == UP, sides[:, 1], sides[:, 0]) / np.maximum(sides.sum(axis=1), SUREST)
    return over(moved.astype(float), -np.log(np.maximum(right, SUREST)))


def rank_moments(pairs: Pairs, asset: int | None = None) -> np.ndarray:
    """(P, 6) one, x, y, x squared, y squared and x y of the ranks of lean and return, between -1 and 1; equal values
    share their rank. Of all pairs, or of one asset's."""
    mine = np.full(len(pairs.asset), True) if asset is None else pairs.asset == asset
    found = np.zeros((len(mine), 6))
    x, y = (2 * (rankdata(values[mine]) - 0.5) / mine.sum() - 1 for values in (pairs.lean, pairs.forward))
    found[mine] = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    return found


def rank_correlation(sums: np.ndarray) -> np.ndarray:
    """Spearman's on the rows as they were; NaN where all leans, or all returns, are equal.

    On resampled rows it is the correlation of the ranks that values had among all rows. Ranks taken anew would differ
    by a few thousandths: the resampled distribution is the old one but for noise.
    """
    ones = np.maximum(sums[..., 0], 1)
    x, y, xx, yy, xy = (sums[..., k] / ones for k in range(1, 6))
    spread = (xx - x * x) * (yy - y * y)
    return ratio(xy - x * y, np.sqrt(np.where(spread > 1e-12, spread, 0.0)))


def pinball(pairs: Pairs) -> np.ndarray:
    """Mean over the levels (Koenker and Bassett 1978), in log return."""
    miss = pairs.forward[:, None] - pairs.quantiles  # (P, Q)
    return np.maximum(pairs.levels * miss, (pairs.levels - 1) * miss).mean(axis=1)


def covered(pairs: Pairs) -> np.ndarray:
    return ((pairs.quantiles[:, 0] <= pairs.forward) & (pairs.forward <= pairs.quantiles[:, -1])).astype(float)


def width(pairs: Pairs) -> np.ndarray:
    return pairs.quantiles[:, -1] - pairs.quantiles[:, 0]


def qlike_loss(came: np.ndarray, said: np.ndarray, floor: np.ndarray | float) -> np.ndarray:
    """ratio - log(ratio) - 1, ratio = true over said variance with a floor under both (Patton 2011, b = -2).

    >>> qlike_loss(np.array([4.0, 1.0]), np.array([1.0, 1.0]), 0.0).round(3).tolist()
    [1.614, 0.0]
    """
    share = (came + floor) / (said + floor)
    return share - np.log(share) - 1


def qlike(pairs: Pairs) -> np.ndarray:
    """With `FLOOR` of the asset's mean true variance over the rows scored, so that the score is the same whatever the
    unit of the returns, and finite where nothing moved."""
    usual = np.bincount(pairs.asset, pairs.variance) / np.maximum(np.bincount(pairs.asset), 1)  # (N,)
    return qlike_loss(pairs.variance, pairs.said_variance, FLOOR * np.where(usual > 0, usual, 1.0)[pairs.asset])


UPWARDS, DOWNWARDS, NEITHER = " ↑", " ↓", ""
CLASSES, SIGN, RANGE = "Direction: down, flat or up", "Sign of the return", "Range and volatility"
SCORES: dict[str, Measure] = {
    "accuracy": Measure(CLASSES, UPWARDS, ".1%", confusion, accuracy),
    "balanced_accuracy": Measure(CLASSES, UPWARDS, ".1%", confusion, balanced_accuracy),
    "precision": Measure(CLASSES, UPWARDS, ".1%", confusion, precision),
    "recall": Measure(CLASSES, UPWARDS, ".1%", confusion, recall),
    "f1": Measure(CLASSES, UPWARDS, ".1%", confusion, f1),
    "brier": Measure(CLASSES, DOWNWARDS, ".4f", averaged(brier), mean),
    "log_loss": Measure(CLASSES, DOWNWARDS, ".4f", averaged(log_loss), mean),
    "calibration_error": Measure(CLASSES, DOWNWARDS, ".1%", calibration, calibration_error),
    "hit_rate": Measure(SIGN, UPWARDS, ".1%", hit_rate, mean),
    "weighted_hit_rate": Measure(SIGN, UPWARDS, ".1%", weighted_hit_rate, mean),
    "side_loss": Measure(SIGN, DOWNWARDS, ".4f", side_loss, mean),
    "rank_ic": Measure(SIGN, UPWARDS, "+.3f", rank_moments, rank_correlation),
    "pinball": Measure(RANGE, DOWNWARDS, ".4%", averaged(pinball), mean),
    "coverage": Measure(RANGE, NEITHER, ".1%", averaged(covered), mean),
    "width": Measure(RANGE, NEITHER, ".2%", averaged(width), mean),
    "qlike": Measure(RANGE, DOWNWARDS, ".4f", averaged(qlike), mean),
}
"""name -> what it sums and what it makes of the sums"""
