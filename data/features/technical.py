"""Indicators through `ta`, class by class, fillna off, on a RangeIndex, price levels made free of scale.

`ta` 0.11 has classes that see the future in their first rows (KST, KAMA, Ichimoku with visual=True) or go wrong without
a word on dated rows (PSAR): none of them is used, nor are cumulative ones (OBV, ADI, NVI, VPT), whose value would
depend on where history begins. Its ADX, ATR, Aroon, CCI, MFI and ulcer index walk through the rows in Python and took
half of all the time, and its Bollinger bands keep dust of what has left their window; these are written out here, with
the same values. Lookbacks of smoothed indicators are where one part in a million is left: 8 periods of an EMA, 15 of
Wilder's, more where one smooths another; `tests/data/test_features.py` measures them.

The table is what the presets of the group `technical` have always had; further indicators are in `trend.py`,
`stops.py`, `oscillators.py` and `volumes.py` under `technical_more`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from ta import momentum, trend, volatility, volume

from data.features.arrays import array_feature, change, ratio, still, true_range, wilder
from data.features.base import Feature
from data.features.kernels import highest, mean_distance, since_highest, spread, total

Frame = pd.DataFrame
CLOSE = ("close",)
HIGH_LOW = ("high", "low")
CANDLE = ("high", "low", "close")
TRADED = ("high", "low", "close", "volume")


def indicator(lookback: int, needs: tuple[str, ...], meaning: str, cls: Callable[..., Any], outputs: dict[str, str],
              neutral: float | None = None, shift: float = 0.0, scale: float = 1.0, per_close: bool = False,
              fades: int = 0, **settings: int) -> Feature:
    """A `ta` class fed with columns of its own names; `outputs` maps column -> the method that has it.

    `per_close` divides by the close; then `shift` is taken off and the rest divided by `scale`. `fades` is for ratios
    of two fading averages: after so many bars on which nothing moved they are 0/0 in all but name, hence neutral.
    """

    def compute(frame: Frame) -> Frame:
        made = cls(**{column: frame[column] for column in needs}, **settings)
        found = {}
        for column, method in outputs.items():
            value = getattr(made, method)()
            found[column] = ((value / frame["close"] if per_close else value) - shift) / scale
        values = pd.DataFrame(found)
        if fades:
            quiet = still(fades, *(np.array(frame[column], dtype=float) for column in needs))
            values = values.mask(pd.Series(quiet), neutral)
        return values

    reads = (*needs, "close") if per_close and "close" not in needs else needs
    return Feature(next(iter(outputs)), "technical", lookback, reads, meaning, compute, neutral, tuple(outputs))


def mean_close(name: str, cls: Callable[..., Any], method: str, window: int, lookback: int) -> Feature:
    return indicator(lookback, CLOSE, f"mean of {window} closes over the close, minus 1", cls, {name: method},
                     per_close=True, shift=1.0, window=window)


own = partial(array_feature, "technical")


def atr(high: np.ndarray, low: np.ndarray, close: np.ndarray, bars: int) -> np.ndarray:
    """Wilder's mean of the true range."""
    return wilder(true_range(high, low, close), bars)


def directional(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> list[np.ndarray]:
    """ADX and both directional indicators (Wilder 1978, section IV), all as shares."""
    rise, fall = change(high), -change(low)
    spans = wilder(true_range(high, low, close), 10)
    up = ratio(wilder(np.where((rise > fall) & (rise > 0), rise, 0.0)[1:], 10), spans[1:])
    down = ratio(wilder(np.where((fall > rise) & (fall > 0), fall, 0.0)[1:], 10), spans[1:])
    apart = np.nan_to_num(ratio(np.abs(up - down), up + down))
    quiet = still(210, high, low, close)
    return [np.where(quiet, 0.0, np.append(np.nan, side)) for side in (wilder(apart, 10), up, down)]


def aroon(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    return (since_highest(-low, 26) - since_highest(high, 26)) / 25


def cci(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    typical = (high + low + close) / 3
    return ratio(typical - total(typical, 20) / 20, 1.5 * mean_distance(typical, 20))


def ulcer(close: np.ndarray) -> np.ndarray:
    top = highest(close, 14)
    return np.sqrt(total((100 * (close / top - 1)) ** 2, 14) / 14)


def money_flow(high: np.ndarray, low: np.ndarray, close: np.ndarray, traded: np.ndarray) -> np.ndarray:
    typical = (high + low + close) / 3
    flow = np.sign(np.nan_to_num(change(typical))) * typical * traded
    return ratio(total(flow, 14), total(np.abs(flow), 14))


TREND = [
    *(mean_close(f"sma_{n}", trend.SMAIndicator, "sma_indicator", n, n) for n in (24, 168)),
    *(mean_close(f"ema_{n}", trend.EMAIndicator, "ema_indicator", n, 8 * n) for n in (12, 36)),
    indicator(250, CLOSE, "MACD 12/26 and its distance from its signal, percent of the close", trend.MACD,
              {"macd": "macd", "macd_diff": "macd_diff"}, per_close=True, scale=0.01),
    own("adx", 210, CANDLE, "strength of the trend (Wilder, 10 bars) and its two sides", directional, 0.0,
        ("adx", "adx_up", "adx_down")),
    indicator(15, CANDLE, "up moves against down moves of 14 bars", trend.VortexIndicator,
              {"vortex": "vortex_indicator_diff"}, neutral=0.0, window=14),
    own("aroon", 26, HIGH_LOW, "how fresh the high is against the low of 25 bars", aroon),
    own("cci", 20, CANDLE, "distance from the mean of 20 bars in mean distances", cci, 0.0),
    indicator(180, CLOSE, "slope of a triple EMA of 15, percent", trend.TRIXIndicator, {"trix": "trix"}, window=15),
    indicator(20, CLOSE, "close of 11 bars ago against a mean of 20, over the close", trend.DPOIndicator,
              {"dpo": "dpo"}, per_close=True, window=20),
    indicator(52, HIGH_LOW, "middles of the ranges of 9, 26 and 52 bars over the close, minus 1",
              trend.IchimokuIndicator,
              {"ichimoku_9": "ichimoku_conversion_line", "ichimoku_26": "ichimoku_base_line",
               "ichimoku_52": "ichimoku_b"}, per_close=True, shift=1.0),
]

MOMENTUM = [
    indicator(210, CLOSE, "relative strength of 14 bars, -1 to 1", momentum.RSIIndicator, {"rsi": "rsi"}, neutral=0.0,
              shift=50.0, scale=50.0, fades=210, window=14),
    indicator(230, CLOSE, "place of RSI in its own range of 14 bars, mean of 3, -1 to 1", momentum.StochRSIIndicator,
              {"stoch_rsi": "stochrsi_k"}, neutral=0.0, shift=0.5, scale=0.5, fades=14, window=14),
    indicator(16, CANDLE, "place of the close in the range of 14 bars, and its mean of 3, -1 to 1",
              momentum.StochasticOscillator, {"stoch": "stoch", "stoch_signal": "stoch_signal"}, neutral=0.0,
              shift=50.0, scale=50.0, window=14, smooth_window=3),
    indicator(300, CLOSE, "twice smoothed change over twice smoothed size of change, -1 to 1", momentum.TSIIndicator,
              {"tsi": "tsi"}, neutral=0.0, scale=100.0, fades=300, window_slow=25, window_fast=13),
    indicator(29, CANDLE, "buying pressure of 7, 14 and 28 bars, -1 to 1", momentum.UltimateOscillator,
              {"ultimate": "ultimate_oscillator"}, neutral=0.0, shift=50.0, scale=50.0),
    indicator(34, HIGH_LOW, "mean middle of 5 bars minus that of 34, over the close",
              momentum.AwesomeOscillatorIndicator, {"awesome": "awesome_oscillator"}, per_close=True),
    indicator(250, ("volume",), "MACD of volume, as a share of volume", momentum.PercentageVolumeOscillator,
              {"pvo": "pvo", "pvo_diff": "pvo_hist"}, neutral=0.0, scale=100.0, fades=250),
]

VOLATILITY = [
    own("atr", 210, CANDLE, "average true range (Wilder, 14 bars) over the close",
        lambda high, low, close: atr(high, low, close, 14) / close),
    own("bollinger_place", 20, CLOSE, "place in the Bollinger bands of 20 bars, 0 in their middle, 1 their width",
        lambda close: ratio(close - total(close, 20) / 20, 4 * spread(close, 20)), 0.0),
    *(indicator(20, CANDLE, f"place in the {cls.__name__} of 20 bars, 0 in its middle, 1 its width", cls,
                {f"{name}_place": f"{name}_channel_pband"}, neutral=0.0, shift=0.5, window=20)
      for name, cls in (("keltner", volatility.KeltnerChannel), ("donchian", volatility.DonchianChannel))),
    own("bollinger_width", 20, CLOSE, "width of the Bollinger bands of 20 bars, percent",
        lambda close: 8_000 * spread(close, 20) / total(close, 20)),
    indicator(20, CANDLE, "width of the DonchianChannel of 20 bars, percent", volatility.DonchianChannel,
              {"donchian_width": "donchian_channel_wband"}, window=20),
    own("ulcer", 27, CLOSE, "depth of drawdowns within 14 bars, percent", ulcer),
]

VOLUME = [
    own("mfi", 15, TRADED, "RSI of 14 bars weighted by money, -1 to 1", money_flow, 0.0),
    indicator(20, TRADED, "money flow of 20 bars over their volume", volume.ChaikinMoneyFlowIndicator,
              {"cmf": "chaikin_money_flow"}, neutral=0.0, window=20),
    indicator(24, TRADED, "volume weighted price of 24 bars over the close, minus 1",
              volume.VolumeWeightedAveragePrice, {"vwap": "volume_weighted_average_price"}, neutral=0.0,
              per_close=True, shift=1.0, window=24),
]

TECHNICAL = [*TREND, *MOMENTUM, *VOLATILITY, *VOLUME]
