"""Volume against price: lines that are cumulative elsewhere, here over a trailing window, and the volume profile.

OBV, A/D, VPT and the volume indices add up from the first bar of history, so that their level says when the file
begins. What they say of the market is how they change, which is kept: the sum over a window, over that window's volume.
Group `technical_more`, as in `trend.py`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from data.features.arrays import array_feature, before, change, ema, log_returns, ratio
from data.features.kernels import compiled, total

Array = np.ndarray
TRADED, CANDLE_TRADED = ("close", "volume"), ("high", "low", "close", "volume")
BINS, VALUE_AREA = 24, 0.7
feature = partial(array_feature, "technical_more")


def per_volume(flow: Array, volume: Array, n: int) -> Array:
    return ratio(total(flow, n), total(volume, n))


def on_balance(close: Array, volume: Array, n: int) -> Array:
    """Granville's OBV, its change over `n` bars."""
    return per_volume(np.sign(change(close)) * volume, volume, n)


def accumulated(high: Array, low: Array, close: Array, volume: Array) -> Array:
    """What a bar adds to the accumulation/distribution line; a bar without range adds nothing."""
    return np.nan_to_num(ratio(2 * close - high - low, high - low)) * volume


def accumulation(high: Array, low: Array, close: Array, volume: Array) -> Array:
    return per_volume(accumulated(high, low, close, volume), volume, 168)


def chaikin(high: Array, low: Array, close: Array, volume: Array) -> Array:
    """EMA of 3 less EMA of 10 of the line, in mean volumes: where the line begins falls out of the difference."""
    line = np.cumsum(accumulated(high, low, close, volume))
    return ratio(ema(line, 3) - ema(line, 10), total(volume, 24) / 24)


def price_volume(close: Array, volume: Array, n: int) -> Array:
    """The price volume trend, percent: mean return of what was traded."""
    return 100 * per_volume((close / before(close, 1) - 1) * volume, volume, n)


def ease(high: Array, low: Array, close: Array, volume: Array) -> Array:
    """Arms's ease of movement with prices over the close and volume over its mean, in parts per 10,000."""
    moved = change((high + low) / 2) / close * (high - low) / close
    effort = ratio(volume, total(volume, 14) / 14)
    eased = np.where(effort > 0, ratio(moved, effort), 0.0)  # a bar that nobody traded moved with no effort to compare
    return 1e4 * np.where(np.arange(len(close)) < 26, np.nan, total(eased, 14) / 14)


def force(close: Array, volume: Array) -> Array:
    """Elder's force index of 13, percent a bar at mean volume."""
    return 100 * ratio(ema((close / before(close, 1) - 1) * volume, 13), total(volume, 168) / 168)


def index_where(close: Array, volume: Array, more: float) -> Array:
    """Fosback's volume indices: the return of the bars of 168 on which volume rose (`more` = 1) or fell (-1)."""
    return total(np.where(np.sign(change(volume)) == more, log_returns(close), 0.0), 168)


@compiled
def traded_at(price: Array, volume: Array, n: int) -> tuple[Array, Array]:
    """Mean of `price` over `n` bars weighted by volume, and its weighted deviation; missing where none was."""
    mean, deviation = np.full(len(price), np.nan), np.full(len(price), np.nan)
    for t in range(n - 1, len(price)):
        sold = paid = away = 0.0
        for i in range(t - n + 1, t + 1):
            sold += volume[i]
            paid += volume[i] * price[i]
        mean[t] = paid / sold if sold > 0.0 else np.nan
        for i in range(t - n + 1, t + 1):
            away += volume[i] * (price[i] - mean[t]) ** 2
        deviation[t] = np.sqrt(away / sold) if away > sold * (1e-9 * mean[t]) ** 2 else np.nan
    return mean, deviation


@compiled
def profile(high: Array, low: Array, close: Array, volume: Array, n: int, bins: int, area: float
            ) -> tuple[Array, Array, Array]:
    """Volume of `n` bars by price: its busiest bin, the share below the close, the width of the value area.

    A bar's volume is spread evenly over its range, and the bins divide the range of the window. The value area grows
    from the busiest bin, the lowest of equals, towards the busier neighbour until it holds the share `area`.
    """
    rows = len(close)
    control, below, width = np.full(rows, np.nan), np.full(rows, np.nan), np.full(rows, np.nan)
    held = np.empty(bins)
    for t in range(n - 1, rows):
        floor, top, sold = low[t], high[t], 0.0
        for i in range(t - n + 1, t + 1):
            floor, top, sold = min(floor, low[i]), max(top, high[i]), sold + volume[i]
        if top <= floor or sold <= 0.0:
            continue
        height = (top - floor) / bins
        held[:] = 0.0
        for i in range(t - n + 1, t + 1):
            start, stop = (low[i] - floor) / height, (high[i] - floor) / height
            first, last = min(int(start), bins - 1), min(int(stop), bins - 1)
            if first == last:
                held[first] += volume[i]
                continue
            each = volume[i] / (stop - start)
            held[first] += each * (first + 1 - start)
            for k in range(first + 1, last):
                held[k] += each
            held[last] += each * (stop - last)
        place = (close[t] - floor) / height
        inside = min(int(place), bins - 1)
        under = held[inside] * (place - inside)
        for k in range(inside):
            under += held[k]
        left = right = np.argmax(held)
        control[t] = floor + (left + 0.5) * height
        got = held[left]
        while got < area * sold and right - left < bins - 1:
            upward = left == 0 or (right < bins - 1 and held[right + 1] >= held[left - 1])
            if upward:
                right += 1
                got += held[right]
            else:
                left -= 1
                got += held[left]
        below[t], width[t] = under / sold, (right - left + 1) * height
    return control, below, width


def vwap(high: Array, low: Array, close: Array, volume: Array) -> list[Array]:
    mean, deviation = traded_at((high + low + close) / 3, volume, 168)
    return [mean / close - 1, (close - mean) / deviation]


def volume_profile(high: Array, low: Array, close: Array, volume: Array) -> list[Array]:
    control, below, width = profile(high, low, close, volume, 168, BINS, VALUE_AREA)
    return [close / control - 1, 2 * below - 1, width / close]


VOLUMES = [
    *(feature(f"obv_{n}", n + 1, TRADED, f"volume of rising less falling bars of {n}, a share",
              partial(on_balance, n=n), 0.0) for n in (24, 168)),
    feature("accumulation", 168, CANDLE_TRADED, "accumulation/distribution of 168 bars, a share of their volume",
            accumulation, 0.0),
    feature("chaikin", 90, CANDLE_TRADED, "Chaikin's oscillator (3, 10) in mean volumes of 24 bars", chaikin, 0.0),
    *(feature(f"vpt_{n}", n + 1, TRADED, f"price volume trend of {n} bars: percent return of what was traded",
              partial(price_volume, n=n), 0.0) for n in (24, 168)),
    feature("ease_of_movement", 27, CANDLE_TRADED, "ease of movement of 14 bars, parts per 10,000", ease, 0.0),
    feature("force", 168, TRADED, "force index of 13 bars, percent at the mean volume of 168", force, 0.0),
    feature("pvi", 169, TRADED, "return of those of 168 bars on which volume rose", partial(index_where, more=1.0)),
    feature("nvi", 169, TRADED, "return of those of 168 bars on which volume fell", partial(index_where, more=-1.0)),
    feature("vwap_168", 168, CANDLE_TRADED,
            "volume weighted price of 168 bars over the close, minus 1; distance of the close in weighted deviations",
            vwap, 0.0, ("vwap_168", "vwap_z")),
    feature("profile", 168, CANDLE_TRADED, "close over the busiest price of 168 bars, minus 1; volume below the close "
            "less above it, a share; width of the value area over the close", volume_profile, 0.0,
            ("profile_control", "profile_below", "profile_width")),
]
