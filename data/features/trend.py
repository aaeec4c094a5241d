"""Averages and lines: how far the close is from them, how steep they are, and the cloud.

Group `technical_more`: the small preset takes `technical` as a whole, and its columns must not change under its name.
An EMA of 200 would need 1,600 bars before it forgets where it began, so the long averages are plain ones, and the
longest EMA is of 100.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from data.features.arrays import Values, array_feature, before, ema, ratio
from data.features.base import Feature
from data.features.kernels import compiled, highest, lowest, spread, total, weighted

Array = np.ndarray
CLOSE, CANDLE = ("close",), ("high", "low", "close")
KAMA_BARS = 256
feature = partial(array_feature, "technical_more")


def sma(close: Array, n: int) -> Array:
    return total(close, n) / n


def wma(close: Array, n: int) -> Array:
    """Linearly weighted mean, the newest row the heaviest."""
    weights = np.arange(1.0, n + 1)
    return weighted(close, weights / weights.sum())


def hull(close: Array, n: int) -> Array:
    """Alan Hull's average: a short WMA of twice the half-length WMA less the whole one."""
    return wma(2 * wma(close, n // 2) - wma(close, n), round(np.sqrt(n)))


def dema(close: Array, n: int) -> Array:
    """Mulloy's double EMA."""
    once = ema(close, n)
    return 2 * once - ema(once, n)


def tema(close: Array, n: int) -> Array:
    """Mulloy's triple EMA."""
    once = ema(close, n)
    twice = ema(once, n)
    return 3 * once - 3 * twice + ema(twice, n)


@compiled
def kama(close: Array, bars: int, window: int) -> Array:
    """Kaufman's adaptive average, begun anew for each row at the close of `window` bars ago.

    In a market that goes nowhere it hardly moves, so that with all of history behind it no lookback would hold.
    """
    fast, slow = 2.0 / 3.0, 2.0 / 31.0
    pace = np.zeros(len(close))
    for t in range(bars, len(close)):
        way = 0.0
        for i in range(t - bars + 1, t + 1):
            way += abs(close[i] - close[i - 1])
        efficiency = abs(close[t] - close[t - bars]) / way if way > 0.0 else 0.0
        pace[t] = (efficiency * (fast - slow) + slow) ** 2
    out = np.full(len(close), np.nan)
    for t in range(window + bars - 1, len(close)):
        mean = close[t - window]
        for i in range(t - window + 1, t + 1):
            mean += pace[i] * (close[i] - mean)
        out[t] = mean
    return out


def fit(close: Array, n: int) -> tuple[Array, Array]:
    """Slope of the least squares line through `n` log closes, and the share of their variance that it explains."""
    steps = np.arange(n) - (n - 1) / 2
    values = np.log(close)
    slope = weighted(values, steps) / np.sum(steps**2)
    return slope, np.minimum(ratio(slope**2 * np.mean(steps**2), spread(values, n) ** 2), 1.0)


def cloud(high: Array, low: Array, close: Array) -> list[Array]:
    """Ichimoku's cloud where it is formed, not 26 bars later where it is drawn."""
    middle = [(highest(high, n) + lowest(low, n)) / 2 for n in (9, 26, 52)]
    leading, lagging = (middle[0] + middle[1]) / 2, middle[2]
    top, bottom = np.maximum(leading, lagging), np.minimum(leading, lagging)
    return [(np.maximum(close - top, 0.0) - np.maximum(bottom - close, 0.0)) / close, (leading - lagging) / close]


def know_sure_thing(close: Array) -> list[Array]:
    """Pring's sum of four smoothed rates of change, and its distance from its own mean of 9, in percent."""
    parts = ((10, 10, 1), (15, 10, 2), (20, 10, 3), (30, 15, 4))
    line = np.zeros(len(close))
    for bars, n, weight in parts:
        line = line + weight * sma(close / before(close, bars) - 1, n)
    return [100 * line, 100 * (line - sma(line, 9))]


def average(name: str, lookback: int, meaning: str, mean: Values) -> Feature:
    return feature(name, lookback, CLOSE, f"{meaning} over the close, minus 1",
                   lambda close: np.asarray(mean(close)) / close - 1)


TREND = [
    *(average(f"sma_{n}", n, f"mean of {n} closes", partial(sma, n=n)) for n in (50, 100, 200)),
    *(average(f"ema_{n}", 8 * n, f"exponential mean of {n} closes", partial(ema, bars=n)) for n in (8, 21, 50, 100)),
    *(average(f"wma_{n}", n, f"weighted mean of {n} closes", partial(wma, n=n)) for n in (20, 50)),
    *(average(f"hull_{n}", n + round(np.sqrt(n)) - 1, f"Hull's mean of {n} closes", partial(hull, n=n))
      for n in (16, 49)),
    average("dema_20", 240, "Mulloy's double EMA of 20 closes", partial(dema, n=20)),
    average("tema_20", 260, "Mulloy's triple EMA of 20 closes", partial(tema, n=20)),
    average("kama", KAMA_BARS + 10, f"Kaufman's adaptive mean of 10, begun {KAMA_BARS} bars before,",
            partial(kama, bars=10, window=KAMA_BARS)),
    feature("sma_cross", 200, CLOSE, "mean of 50 closes over that of 200, minus 1",
            lambda close: sma(close, 50) / sma(close, 200) - 1),
    *(feature(f"slope_{n}", n, CLOSE, f"slope of a line through {n} log closes, percent a bar; share it explains",
              lambda close, n=n: [100 * fit(close, n)[0], fit(close, n)[1]], 0.0, (f"slope_{n}", f"fit_{n}"))
      for n in (24, 168)),
    feature("cloud", 52, CANDLE, "distance of the close from Ichimoku's cloud, 0 inside; thickness of the cloud", cloud,
            None, ("cloud", "cloud_thickness")),
    feature("kst", 54, CLOSE, "Know Sure Thing and its distance from its signal, percent", know_sure_thing, None,
            ("kst", "kst_diff")),
]
