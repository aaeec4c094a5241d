"""Volatility and liquidity from whole candles: range estimators, the gap, the wicks.

Group `returns_more`, as in `moments.py`. All estimators are a deviation a bar, as `volatility_n` is.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from data.features.arrays import array_feature, before, ratio, true_range, wilder
from data.features.kernels import spread, total

Array = np.ndarray
RANGE, CANDLE, HIGH_LOW = ("open", "high", "low", "close"), ("high", "low", "close"), ("high", "low")
feature = partial(array_feature, "returns_more")


def root_mean(variance: Array, n: int) -> Array:
    """A single bar may have a negative estimate; the mean of many is cut at zero."""
    return np.sqrt(np.maximum(total(variance, n) / n, 0.0))


def parkinson(high: Array, low: Array, n: int) -> Array:
    """Parkinson 1980."""
    return root_mean(np.log(high / low) ** 2 / (4 * np.log(2)), n)


def garman_klass(open_: Array, high: Array, low: Array, close: Array, n: int) -> Array:
    """Garman and Klass 1980, equation 20, the practical estimator."""
    return root_mean(0.5 * np.log(high / low) ** 2 - (2 * np.log(2) - 1) * np.log(close / open_) ** 2, n)


def rogers_satchell_variance(open_: Array, high: Array, low: Array, close: Array) -> Array:
    return np.log(high / close) * np.log(high / open_) + np.log(low / close) * np.log(low / open_)


def rogers_satchell(open_: Array, high: Array, low: Array, close: Array, n: int) -> Array:
    """Rogers and Satchell 1991: right also where the price drifts."""
    return root_mean(rogers_satchell_variance(open_, high, low, close), n)


def yang_zhang(open_: Array, high: Array, low: Array, close: Array, n: int) -> Array:
    """Yang and Zhang 2000, equation 8: gaps, bodies and ranges, the weights of least variance."""
    gaps, bodies = np.log(open_ / before(close, 1)), np.log(close / open_)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    inside = total(rogers_satchell_variance(open_, high, low, close), n) / n
    unbiased = n / (n - 1)
    return np.sqrt(unbiased * (spread(gaps, n) ** 2 + k * spread(bodies, n) ** 2) + (1 - k) * np.maximum(inside, 0.0))


def corwin_schultz(high: Array, low: Array, close: Array, n: int) -> Array:
    """Bid-ask spread from highs and lows (Corwin and Schultz 2012, equations 14 and 18), negative ones counted as zero.

    As there, two bars are first brought together where the later one lies wholly above or below the last close.
    """
    last = before(close, 1)
    shift = np.maximum(low - last, 0.0) + np.minimum(high - last, 0.0)
    top, bottom = high - shift, low - shift
    single = np.log(high / low) ** 2
    beta = before(single, 1) + np.log(top / bottom) ** 2
    gamma = np.log(np.maximum(top, before(high, 1)) / np.minimum(bottom, before(low, 1))) ** 2
    root = 3 - 2 * np.sqrt(2)
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / root - np.sqrt(gamma / root)
    return total(np.maximum(2 * np.expm1(alpha) / (1 + np.exp(alpha)), 0.0), n) / n


def range_over_atr(high: Array, low: Array, close: Array) -> Array:
    ranges = true_range(high, low, close)
    return np.where(ranges == 0, 0.0, ratio(ranges, wilder(ranges, 14)))


RANGES = [
    feature("parkinson_168", 168, HIGH_LOW, "volatility of 168 bars from their ranges", partial(parkinson, n=168)),
    *(feature(f"{estimator.__name__}_{n}", n + (estimator is yang_zhang), RANGE,
              f"volatility of {n} bars after {estimator.__name__.replace('_', ' and ').title()}",
              partial(estimator, n=n))
      for estimator in (garman_klass, rogers_satchell, yang_zhang) for n in (24, 168)),
    feature("gap", 2, ("open", "close"), "log of the open over the close before",
            lambda open_, close: np.log(open_ / before(close, 1))),
    feature("candle_range", 1, HIGH_LOW, "log of high over low", lambda high, low: np.log(high / low)),
    feature("range_over_atr", 210, CANDLE, "true range over its mean (Wilder, 14 bars)", range_over_atr),
    feature("upper_wick", 1, RANGE, "share of the range above the body",
            lambda open_, high, low, close: ratio(high - np.maximum(open_, close), high - low), 0.0),
    feature("lower_wick", 1, RANGE, "share of the range below the body",
            lambda open_, high, low, close: ratio(np.minimum(open_, close) - low, high - low), 0.0),
    feature("quoted_spread", 25, CANDLE, "bid-ask spread of 24 bars from highs and lows, a share",
            partial(corwin_schultz, n=24)),
]
