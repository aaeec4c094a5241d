"""Trailing stops that turn with the trend: the parabolic SAR and the supertrend.

Both are recursions that remember the turns before, in principle for ever. Here each row's is begun anew a fixed number
of bars earlier, so a value depends on that many bars and no more. On real hourly bars nearly all values are those of a
recursion from the first bar, for turns come more often than that; `tests/data/test_feature_values.py` counts them.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from data.features.arrays import array_feature, true_range, wilder
from data.features.kernels import compiled

WINDOW = 256  # bars that either is given to settle
ATR_BARS, FACTOR = 10, 3.0
CANDLE = ("high", "low", "close")
feature = partial(array_feature, "technical_more")


@compiled
def parabolic(high: np.ndarray, low: np.ndarray, window: int, step: float, most: float
              ) -> tuple[np.ndarray, np.ndarray]:
    """Wilder's stop and reverse (1978, section II) of each row, begun `window - 1` bars before, and its side.

    The first side is that of the larger move between the first two bars, up where they are equal.
    """
    level, side = np.full(len(high), np.nan), np.full(len(high), np.nan)
    for t in range(window - 1, len(high)):
        first = t - window + 1
        fall, rise = low[first] - low[first + 1], high[first + 1] - high[first]
        up = not (fall > 0.0 and fall > rise)
        stop = low[first] if up else high[first]
        extreme = high[first + 1] if up else low[first + 1]
        pace = step
        shown = stop
        for i in range(first + 1, t + 1):
            before = max(i - 1, first + 1)  # the first bar only sets where the stop begins
            turned = low[i] <= stop if up else high[i] >= stop
            if turned:
                up = not up
                stop = min(extreme, low[before], low[i]) if up else max(extreme, high[before], high[i])
                extreme = high[i] if up else low[i]
                pace = step
            shown = stop
            if not turned and (high[i] > extreme if up else low[i] < extreme):
                extreme = high[i] if up else low[i]
                pace = min(pace + step, most)
            stop += pace * (extreme - stop)
            stop = min(stop, low[before], low[i]) if up else max(stop, high[before], high[i])
        level[t], side[t] = shown, 1.0 if up else -1.0
    return level, side


@compiled
def bands(middle: np.ndarray, width: np.ndarray, close: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The supertrend of each row, begun `window - 1` bars before on the side of the close, and that side.

    The band below may only rise while the close before was above it, the one above only fall; a close through its band
    changes the side.
    """
    level, side = np.full(len(close), np.nan), np.full(len(close), np.nan)
    for t in range(window - 1, len(close)):
        first = t - window + 1
        below, above = middle[first] - width[first], middle[first] + width[first]
        up = close[first] >= middle[first]
        for i in range(first + 1, t + 1):
            lower, upper = middle[i] - width[i], middle[i] + width[i]
            if lower > below or close[i - 1] < below:
                below = lower
            if upper < above or close[i - 1] > above:
                above = upper
            up = close[i] >= below if up else close[i] > above
        level[t], side[t] = below if up else above, 1.0 if up else -1.0
    return level, side


def psar(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> list[np.ndarray]:
    level, side = parabolic(high, low, WINDOW, 0.02, 0.2)
    return [close / level - 1, side]


def supertrend(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> list[np.ndarray]:
    width = FACTOR * wilder(true_range(high, low, close), ATR_BARS)
    level, side = bands((high + low) / 2, width, close, WINDOW)
    return [close / level - 1, side]


STOPS = [
    feature("psar", WINDOW, CANDLE, f"close over the parabolic SAR of {WINDOW} bars, minus 1; its side, -1 or 1", psar,
            None, ("psar", "psar_side")),
    feature("supertrend", WINDOW + 14 * ATR_BARS + 10, CANDLE,
            f"close over the supertrend (ATR {ATR_BARS}, factor {FACTOR:g}) of {WINDOW} bars, minus 1; its side",
            supertrend, None, ("supertrend", "supertrend_side")),
]
