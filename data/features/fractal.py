"""How rough and how orderly the last bars are: Hurst exponents, a fractal dimension, and the entropy of patterns.

Each value is made from its own window from scratch, so that it does not know where the rows begin. The windows are
short for such measures, whose spread on pure noise is wide: the Hurst exponent of 256 returns of a random walk is 0.5
give or take 0.1. What they offer a model is how they move. Measures of the embedded series are in `chaos.py`.
"""

from __future__ import annotations

from functools import partial
from math import exp, lgamma, pi, sqrt

import numpy as np

from data.features.arrays import array_feature, change, log_returns
from data.features.kernels import compiled, total

Array = np.ndarray
CLOSE = ("close",)
RETURNS = 256  # of the Hurst exponents
PIECES = (16, 32, 64, 128, 256)
STEPS = (1, 2, 4, 8, 16, 32)
ROUGH_WINDOW, LONGEST_STEP = 128, 8
ORDER, PATTERN_WINDOW = 4, 128
feature = partial(array_feature, "fractal")


def expected_range(n: int) -> float:
    """Rescaled range that `n` independent normal values have in the mean: Anis and Lloyd 1976.

    >>> round(expected_range(16), 3)
    4.036
    """
    front = exp(lgamma((n - 1) / 2) - lgamma(n / 2)) / sqrt(pi)
    return front * sum(sqrt((n - i) / i) for i in range(1, n))


@compiled
def rescaled_range(x: Array, n: int, pieces: Array, expected: Array) -> Array:
    """Hurst exponent of the last `n` rows: 0.5 plus the slope of the log of R/S over what chance gives, on log length.

    R/S is the mean over pieces that lie end to end (Hurst 1951; Mandelbrot and Wallis 1969), the correction for short
    pieces that of Anis and Lloyd; a piece that is constant is left out, and the row is missing where a length has none.
    """
    lengths = np.log(pieces)
    lengths -= lengths.mean()
    out = np.full(len(x), np.nan)
    for t in range(n - 1, len(x)):
        slope = 0.0
        for p in range(len(pieces)):
            size = pieces[p]
            found, count = 0.0, 0
            for start in range(t - n + 1, t - size + 2, size):
                mean = squares = walked = top = bottom = 0.0
                for i in range(start, start + size):
                    mean += x[i]
                mean /= size
                for i in range(start, start + size):
                    away = x[i] - mean
                    walked += away
                    squares += away * away
                    top, bottom = max(top, walked), min(bottom, walked)
                deviation = np.sqrt(squares / size)
                if deviation > 1e-9 * abs(mean):
                    found += (top - bottom) / deviation
                    count += 1
            slope += lengths[p] * (np.log(found / count / expected[p]) if count else np.nan)
        out[t] = 0.5 + slope / np.sum(lengths**2)
    return out


def hurst_range(close: Array) -> Array:
    expected = np.array([expected_range(n) for n in PIECES])
    return rescaled_range(log_returns(close), RETURNS, np.array(PIECES), expected)


def hurst_diffusion(close: Array) -> Array:
    """Half the slope of the log mean square move over the log of its length: Di Matteo 2007, section 2, q = 2."""
    lengths = np.log(STEPS)
    lengths -= lengths.mean()
    moves = [np.log(total(change(np.log(close), step) ** 2, RETURNS + 1 - step)) - np.log(RETURNS + 1 - step)
             for step in STEPS]
    return sum(length * move for length, move in zip(lengths, moves)) / (2 * np.sum(lengths**2))


@compiled
def higuchi(x: Array, n: int, longest: int) -> Array:
    """Fractal dimension of the curve of the last `n` rows: Higuchi 1988, section 2, steps 1 to `longest`.

    1 for a smooth line, 1.5 for a random walk, 2 for one that fills the plane; missing for a constant.
    """
    out = np.full(len(x), np.nan)
    logs = np.log(np.arange(1.0, longest + 1))
    logs -= logs.mean()
    for t in range(n - 1, len(x)):
        first = t - n + 1
        slope = 0.0
        for k in range(1, longest + 1):
            length = 0.0
            for m in range(k):
                steps = (n - 1 - m) // k
                way = 0.0
                for i in range(1, steps + 1):
                    way += abs(x[first + m + i * k] - x[first + m + (i - 1) * k])
                length += way * (n - 1) / (steps * k)
            slope += logs[k - 1] * np.log(length / (k * k))
        out[t] = -slope / np.sum(logs**2)
    return out


@compiled
def pattern_entropy(x: Array, order: int, n: int) -> Array:
    """Entropy of the orders in which `order` values in a row stand, over the last `n` rows: Bandt and Pompe 2002.

    Over the log of the number of orders, so 1 for noise and 0 for a line. Of equal values the earlier counts as lower.
    """
    orders = 1
    for k in range(2, order + 1):
        orders *= k
    code = np.zeros(len(x), dtype=np.int64)
    for t in range(order - 1, len(x)):
        for i in range(order - 1):  # Lehmer's code: how many later values are lower
            lower = 0
            for j in range(i + 1, order):
                lower += x[t - order + 1 + j] < x[t - order + 1 + i]
            code[t] = code[t] * (order - i) + lower
    out = np.full(len(x), np.nan)
    counts = np.empty(orders, dtype=np.int64)
    for t in range(n - 1, len(x)):
        counts[:] = 0
        for i in range(t - n + order, t + 1):
            counts[code[i]] += 1
        entropy = 0.0
        for k in range(orders):
            if counts[k] > 0:
                share = counts[k] / (n - order + 1)
                entropy -= share * np.log(share)
        out[t] = entropy / np.log(orders)
    return out


FRACTAL = [
    feature("hurst_range", RETURNS + 1, CLOSE, f"Hurst exponent of {RETURNS} returns, from rescaled ranges",
            hurst_range, 0.5),
    feature("hurst_diffusion", RETURNS + 1, CLOSE, f"Hurst exponent of {RETURNS} bars, from how far 1 to 32 bars go",
            hurst_diffusion, 0.5),
    feature("higuchi", ROUGH_WINDOW, CLOSE, f"Higuchi's fractal dimension of {ROUGH_WINDOW} log closes",
            lambda close: higuchi(np.log(close), ROUGH_WINDOW, LONGEST_STEP), 1.5),
    feature("pattern_entropy", PATTERN_WINDOW, CLOSE, f"entropy of the orders of {ORDER} closes over {PATTERN_WINDOW}",
            lambda close: pattern_entropy(close, ORDER, PATTERN_WINDOW)),
]
