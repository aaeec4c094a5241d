"""Oscillators and channels that traders know beyond those of `technical.py`.

Group `technical_more`, as in `trend.py`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from data.features.arrays import array_feature, before, change, ema, ratio, still, true_range, wilder
from data.features.kernels import highest, lowest, spread, total
from data.features.trend import wma

Array = np.ndarray
CLOSE, HIGH_LOW, CANDLE = ("close",), ("high", "low"), ("high", "low", "close")
feature = partial(array_feature, "technical_more")


def williams(high: Array, low: Array, close: Array) -> Array:
    top = highest(high, 14)
    return ratio(close - top, top - lowest(low, 14))


def rate(close: Array, n: int) -> Array:
    return 100 * (close / before(close, n) - 1)


def momentum(high: Array, low: Array, close: Array) -> Array:
    moved = change(close, 10)
    return np.where(moved == 0, 0.0, ratio(moved, wilder(true_range(high, low, close), 14)))


def chande(close: Array) -> Array:
    """Chande's momentum oscillator with plain sums, as he has it."""
    moves = change(close)
    return ratio(total(moves, 14), total(np.abs(moves), 14))


def coppock(close: Array) -> Array:
    return wma(rate(close, 14) + rate(close, 11), 10)


def mass(high: Array, low: Array) -> Array:
    """Dorsey's mass index over its 25 bars: above 1 the ranges widen."""
    once = ema(high - low, 9)
    widening = total(ratio(once, ema(once, 9)), 25) / 25
    return np.where(still(150, high, low), 1.0, widening)


def choppiness(high: Array, low: Array, close: Array) -> Array:
    """Dreiss's choppiness: 1 where 14 bars went up and down, 0 where all went one way."""
    way = total(true_range(high, low, close), 14)
    return np.log(ratio(way, highest(high, 14) - lowest(low, 14))) / np.log(14)


def bull_power(high: Array, close: Array) -> Array:
    return (high - ema(close, 13)) / close


def bear_power(low: Array, close: Array) -> Array:
    return (low - ema(close, 13)) / close


def deviation(close: Array) -> Array:
    return spread(close, 20) / close


def keltner_width(high: Array, low: Array, close: Array) -> Array:
    """Of the channel whose place `technical.py` has: mean range above and below the mean typical price."""
    return 200 * total(high - low, 20) / total((high + low + close) / 3, 20)


def squeeze(high: Array, low: Array, close: Array) -> Array:
    """How wide the Bollinger bands are in Keltner channels: below 1 they lie inside."""
    return ratio(2 * spread(close, 20), 1.5 * total(true_range(high, low, close), 20) / 20)


def donchian(high: Array, low: Array, close: Array) -> list[Array]:
    top, bottom = highest(high, 55), lowest(low, 55)
    return [ratio(close - bottom, top - bottom) - 0.5, 100 * (top - bottom) / close]


OSCILLATORS = [
    feature("williams", 14, CANDLE, "Williams %R of 14 bars, -1 at the low, 0 at the high", williams, -0.5),
    *(feature(f"roc_{n}", n + 1, CLOSE, f"rate of change of {n} bars, percent", partial(rate, n=n)) for n in (10, 20)),
    feature("momentum", 210, CANDLE, "change of 10 bars in average true ranges", momentum, 0.0),
    feature("cmo", 15, CLOSE, "Chande's momentum of 14 bars, -1 to 1", chande, 0.0),
    feature("coppock", 24, CLOSE, "Coppock's curve: smoothed rates of change of 11 and 14 bars, percent", coppock),
    feature("mass_index", 150, HIGH_LOW, "mass index of 25 bars over 25", mass, 1.0),
    feature("choppiness", 15, CANDLE, "choppiness of 14 bars, 0 one way, 1 up and down", choppiness, 1.0),
    feature("bull_power", 110, ("high", "close"), "high less the exponential mean of 13 closes, over the close",
            bull_power),
    feature("bear_power", 110, ("low", "close"), "low less the exponential mean of 13 closes, over the close",
            bear_power),
    feature("deviation", 20, CLOSE, "standard deviation of 20 closes over the close", deviation),
    feature("keltner_width", 20, CANDLE, "width of the Keltner channel of 20 bars, percent", keltner_width),
    feature("squeeze", 21, CANDLE, "width of Bollinger over Keltner of 20 bars", squeeze, 1.0),
    feature("donchian_55", 55, CANDLE, "place in the Donchian channel of 55 bars, 0 in its middle; its width, percent",
            donchian, 0.0, ("donchian_55_place", "donchian_55_width")),
]
