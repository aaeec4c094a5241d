"""Trailing windows and averages, compiled: the pieces that features are put together from.

A window is summed anew at each row, in one order. A value is then the same to the bit wherever the rows begin, and a
stretch on which nothing moves sums to exactly zero, where a sliding sum would keep dust of what it has taken off. The
loops run over rows inside and over the window outside, which is why that costs little. Rows before the first whole
window are missing, and so is any row whose window misses a value.

Numba's cache notices a change only in the file of the function it was asked for, so nothing compiled here is called by
compiled code in another file.
"""

from __future__ import annotations

import numpy as np
from numba import njit

compiled = njit(cache=True, error_model="numpy")

DUST = 1e-9  # a spread below this share of the mean is what rounding leaves of a constant


@compiled
def total(x: np.ndarray, n: int) -> np.ndarray:
    """Sum of `n` rows.

    >>> total(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [nan, 3.0, 5.0]
    """
    out = np.full(len(x), np.nan)
    sums = out[n - 1 :]
    sums[:] = 0.0
    for back in range(n - 1, -1, -1):
        earlier = x[n - 1 - back : len(x) - back]  # slices, whose indices are plain, let the inner loop be vectorised
        for t in range(len(sums)):
            sums[t] += earlier[t]
    return out


@compiled
def weighted(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of rows times `weights`, the last of which belongs to the row itself.

    >>> weighted(np.array([1.0, 2.0, 3.0]), np.array([0.0, 10.0])).tolist()
    [nan, 20.0, 30.0]
    """
    n = len(weights)
    out = np.full(len(x), np.nan)
    sums = out[n - 1 :]
    sums[:] = 0.0
    for back in range(n - 1, -1, -1):
        earlier, weight = x[n - 1 - back : len(x) - back], weights[n - 1 - back]
        for t in range(len(sums)):
            sums[t] += earlier[t] * weight
    return out


@compiled
def covariance(x: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    """Mean product of the distances of `n` rows of both from their means.

    >>> covariance(np.array([1.0, 2.0, 3.0]), np.array([5.0, 4.0, 1.0]), 2).tolist()
    [nan, -0.25, -0.75]
    """
    mean_x, mean_y = (total(x, n) / n)[n - 1 :], (total(y, n) / n)[n - 1 :]
    out = np.full(len(x), np.nan)
    sums = out[n - 1 :]
    sums[:] = 0.0
    for back in range(n - 1, -1, -1):
        old_x, old_y = x[n - 1 - back : len(x) - back], y[n - 1 - back : len(x) - back]
        for t in range(len(sums)):
            sums[t] += (old_x[t] - mean_x[t]) * (old_y[t] - mean_y[t])
    return out / n


@compiled
def spread(x: np.ndarray, n: int) -> np.ndarray:
    """Standard deviation of `n` rows around their own mean; exactly zero where it is rounding alone.

    >>> spread(np.array([0.1, 0.1, 0.1, 0.3]), 2).round(6).tolist()
    [nan, 0.0, 0.0, 0.1]
    """
    mean = total(x, n) / n
    out = np.sqrt(covariance(x, x, n))
    for t in range(len(x)):
        if out[t] <= DUST * abs(mean[t]):
            out[t] = 0.0
    return out


@compiled
def correlation(x: np.ndarray, y: np.ndarray, n: int) -> np.ndarray:
    """Pearson's correlation of `n` rows; missing where one of the two is constant.

    >>> correlation(np.array([1.0, 2.0, 3.0]), np.array([5.0, 4.0, 1.0]), 2).tolist()
    [nan, -1.0, -1.0]
    """
    out = covariance(x, y, n)
    spreads = spread(x, n) * spread(y, n)
    for t in range(len(x)):
        out[t] = out[t] / spreads[t] if spreads[t] > 0.0 else np.nan
    return out


@compiled
def mean_distance(x: np.ndarray, n: int) -> np.ndarray:
    """Mean absolute distance of `n` rows from their own mean; exactly zero where it is rounding alone.

    >>> mean_distance(np.array([1.0, 1.0, 3.0]), 2).tolist()
    [nan, 0.0, 1.0]
    """
    mean = (total(x, n) / n)[n - 1 :]
    out = np.full(len(x), np.nan)
    sums = out[n - 1 :]
    sums[:] = 0.0
    for back in range(n - 1, -1, -1):
        earlier = x[n - 1 - back : len(x) - back]
        for t in range(len(sums)):
            sums[t] += abs(earlier[t] - mean[t])
    for t in range(len(sums)):
        sums[t] = sums[t] / n if sums[t] > n * DUST * abs(mean[t]) else 0.0
    return out


@compiled
def since_highest(x: np.ndarray, n: int) -> np.ndarray:
    """Rows since the largest of `n`, the oldest of them where several are equally large. `x` misses nothing.

    >>> since_highest(np.array([3.0, 1.0, 2.0, 2.0]), 2).tolist()
    [nan, 1.0, 0.0, 1.0]
    """
    out = np.full(len(x), np.nan)
    best = -1
    for t in range(n - 1, len(x)):
        begin = t - n + 1
        fresh = best < begin  # the largest has left the window, and what is left is searched
        if fresh:
            best = begin
        for i in range(begin if fresh else t, t + 1):
            if x[i] > x[best]:
                best = i
        out[t] = t - best
    return out


@compiled
def highest(x: np.ndarray, n: int) -> np.ndarray:
    """Largest of `n` rows. `x` misses nothing.

    >>> highest(np.array([3.0, 1.0, 2.0]), 2).tolist()
    [nan, 3.0, 2.0]
    """
    out = since_highest(x, n)
    for t in range(n - 1, len(x)):
        out[t] = x[t - int(out[t])]
    return out


def lowest(x: np.ndarray, n: int) -> np.ndarray:
    """Smallest of `n` rows. `x` misses nothing.

    >>> lowest(np.array([3.0, 1.0, 2.0]), 2).tolist()
    [nan, 1.0, 1.0]
    """
    return -highest(-x, n)


@compiled
def fading(x: np.ndarray, share: float) -> np.ndarray:
    """Exponential mean that moves by `share` of the distance to each new row, begun at the first value there is.

    >>> fading(np.array([np.nan, 1.0, 3.0, 3.0]), 0.5).tolist()
    [nan, 1.0, 2.0, 2.5]
    """
    out = np.full(len(x), np.nan)
    mean = np.nan
    for t in range(len(x)):
        mean = x[t] if np.isnan(mean) else mean + share * (x[t] - mean)
        out[t] = mean
    return out


@compiled
def unmoved(x: np.ndarray) -> np.ndarray:
    """How many rows before it, one after the other, were the same as a row.

    >>> unmoved(np.array([1.0, 2.0, 2.0, 2.0])).tolist()
    [0, 0, 1, 2]
    """
    out = np.zeros(len(x), dtype=np.int64)
    for t in range(1, len(x)):
        if x[t] == x[t - 1]:
            out[t] = out[t - 1] + 1
    return out
