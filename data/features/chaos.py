"""Does the past come back, and do like moments stay alike: measures of log returns embedded in 3 dimensions.

Group `fractal`, as in `fractal.py`, windows of 128 returns. In so few the measures cannot tell chaos from noise by
their value; noise has a correlation dimension near 3 and a large exponent too. Distances between embedded points are
the largest of the three (as Grassberger and Procaccia allow, and sample entropy has it), for Lyapunov's exponent
Euclidean as Rosenstein has it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from data.features.arrays import array_feature, log_returns
from data.features.kernels import compiled

Array = np.ndarray
CLOSE = ("close",)
WINDOW = 128  # returns
RADII = (0.35, 0.5, 0.7, 1.0)  # in standard deviations of the window
TOLERANCE = 0.2  # of sample entropy, in the same
APART, AHEAD = 4, 4  # neighbours are at least so many bars apart, and are followed for so many
feature = partial(array_feature, "fractal")


@compiled
def standardised(x: Array, first: int, n: int, out: Array) -> None:
    """`n` values from `first` on in deviations from their mean; zeros where they are constant but for rounding."""
    mean = squares = 0.0
    for i in range(n):
        mean += x[first + i]
    mean /= n
    for i in range(n):
        out[i] = x[first + i] - mean
        squares += out[i] * out[i]
    deviation = np.sqrt(squares / n)
    for i in range(n):
        out[i] = out[i] / deviation if deviation > 1e-9 * abs(mean) else 0.0


@compiled
def apart(z: Array, n: int, lag: int, out: Array) -> None:
    """How far each of `n` values lies from the one `lag` rows later."""
    older, newer = z[: n - lag], z[lag:]
    for i in range(n - lag):
        out[i] = abs(newer[i] - older[i])


@compiled
def correlation_sums(x: Array, n: int, radii: Array) -> Array:
    """(T, 4) share of the pairs of points in the last `n` rows that are nearer than each of four radii."""
    out = np.full((len(x), 4), np.nan)
    smallest, small, large, largest = radii[0], radii[1], radii[2], radii[3]
    z, near = np.empty(n), np.empty(n)
    for t in range(n - 1, len(x)):
        standardised(x, t - n + 1, n, z)
        a = b = c = d = 0
        for lag in range(1, n - 2):
            apart(z, n, lag, near)
            second, third = near[1:], near[2:]
            for i in range(n - lag - 2):
                away = near[i] if near[i] > second[i] else second[i]
                away = away if away > third[i] else third[i]
                a += away < smallest
                b += away < small
                c += away < large
                d += away < largest
        out[t, 0], out[t, 1], out[t, 2], out[t, 3] = a, b, c, d
        out[t] /= (n - 2) * (n - 3) / 2
    return out


def correlation_dimension(close: Array) -> list[Array]:
    """Slope of the log correlation sum on the log radius (Grassberger and Procaccia 1983), and the sum at the largest.

    A radius without a pair counts as having half of one. The sum is the recurrence rate of Marwan and others 2007.
    """
    sums = correlation_sums(log_returns(close), WINDOW, np.array(RADII))
    lengths = np.log(RADII)
    lengths -= lengths.mean()
    least = 1 / ((WINDOW - 2) * (WINDOW - 3))
    slope = sum(length * np.log(np.maximum(sums[:, r], least)) for r, length in enumerate(lengths))
    return [slope / np.sum(lengths**2), sums[:, -2]]


@compiled
def sample_entropy(x: Array, n: int, tolerance: float) -> Array:
    """Of the pairs alike for 2 rows, the share still alike for 3, as minus its log: Richman and Moorman 2000.

    Where no pair stays alike, half a pair is taken to; where none was alike to begin with, one.
    """
    out = np.full(len(x), np.nan)
    z, near = np.empty(n), np.empty(n)
    for t in range(n - 1, len(x)):
        standardised(x, t - n + 1, n, z)
        two, three = 0, 0
        for lag in range(1, n - 2):
            apart(z, n, lag, near)
            second, third = near[1:], near[2:]
            for i in range(n - lag - 2):
                both = near[i] if near[i] > second[i] else second[i]
                two += both <= tolerance
                three += (both if both > third[i] else third[i]) <= tolerance
        out[t] = np.log(max(two, 1.0) / max(three, 0.5))
    return out


@compiled
def distance(x: Array, i: int, j: int) -> float:
    """Between the points of three rows that end at `i` and `j`."""
    a, b, c = x[i] - x[j], x[i - 1] - x[j - 1], x[i - 2] - x[j - 2]
    return np.sqrt(a * a + b * b + c * c)


@compiled
def lyapunov(x: Array, n: int, apart: int, ahead: int) -> Array:
    """Largest Lyapunov exponent of the last `n` rows: Rosenstein, Collins and De Luca 1993, section 3.

    Each point is followed beside its nearest neighbour for `ahead` rows; the exponent is the slope of the mean log
    distance. Neighbours at distance 0 say nothing of a logarithm and are left out. A point keeps its neighbour from row
    to row until that leaves the window or a nearer one comes in; of equally near ones the oldest counts, so what is
    kept is what a search of the window would find.
    """
    out = np.full(len(x), np.nan)
    partner = np.full(len(x), -1, dtype=np.int64)
    gap = np.full(len(x), np.inf)
    logs = np.full((len(x), ahead + 1), np.nan)  # of the distances to the partner, as both go on
    for t in range(n - 1, len(x)):
        first, last = t - n + 3, t - ahead  # points in the window that can be followed to its end
        for i in range(first, last + 1):
            known = partner[i]
            if known < first:
                partner[i], gap[i] = -1, np.inf
                candidates = range(first, last + 1)
            else:
                candidates = range(last, last + 1)
            for j in candidates:
                if abs(i - j) > apart:
                    away = distance(x, i, j)
                    if away < gap[i]:
                        partner[i], gap[i] = j, away
            if partner[i] != known and partner[i] >= 0:
                for k in range(ahead + 1):
                    away = distance(x, i + k, partner[i] + k)
                    logs[i, k] = np.log(away) if away > 0.0 else np.nan
        slope = 0.0
        for k in range(ahead + 1):
            grown, count = 0.0, 0
            for i in range(first, last + 1):
                if partner[i] >= 0 and not np.isnan(logs[i, k]):
                    grown += logs[i, k]
                    count += 1
            slope += (k - ahead / 2) * (grown / count if count else np.nan)
        out[t] = slope / (ahead * (ahead + 1) * (ahead + 2) / 12)
    return out


CHAOS = [
    feature("correlation_dimension", WINDOW + 1, CLOSE, f"correlation dimension of {WINDOW} returns; their recurrence "
            f"rate within {RADII[-2]:g} deviations", correlation_dimension, 0.0,
            ("correlation_dimension", "recurrence_rate")),
    feature("sample_entropy", WINDOW + 1, CLOSE, f"sample entropy of {WINDOW} returns, 0 orderly to about 2.5",
            lambda close: sample_entropy(log_returns(close), WINDOW, TOLERANCE)),
    feature("lyapunov", WINDOW + 1, CLOSE, f"largest Lyapunov exponent of {WINDOW} returns, a bar",
            lambda close: lyapunov(log_returns(close), WINDOW, APART, AHEAD), 0.0),
]
