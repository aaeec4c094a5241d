"""What the bars say by themselves: returns, volatility, the shape of the candle, and volume.

`RETURNS` is what the presets of the group `returns` have had from the start, and stays as it is, for a column more
would be another network under the same preset; what came later is in `moments.py` and `ranges.py` as `returns_more`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from data.features.base import Feature, Series, log, one


def log_return(bars: int) -> Series:
    return lambda f: log(f["close"]).diff(bars)


def volatility(frame: pd.DataFrame, bars: int) -> pd.Series:
    """Root mean square log return."""
    squares = log(frame["close"]).diff() ** 2
    return squares.rolling(bars).mean().where(moves(frame, bars), 0.0) ** 0.5


def moves(frame: pd.DataFrame, bars: int) -> pd.Series:
    """Whether the close has moved at all within `bars` returns; sliding sums leave dust where it has not."""
    return (frame["close"].diff() != 0).astype(float).rolling(bars, min_periods=1).max() > 0


def over_volatility(bars: int) -> Series:
    """The return over `bars` in trailing volatilities: comparable between calm and storm."""
    return lambda f: log(f["close"]).diff(bars) / (volatility(f, 168) * np.sqrt(bars))


def volatility_ratio(f: pd.DataFrame) -> pd.Series:
    return volatility(f, 24) / volatility(f, 168) - 1


def candle_body(f: pd.DataFrame) -> pd.Series:
    return (f["close"] - f["open"]) / (f["high"] - f["low"])


def close_place(f: pd.DataFrame) -> pd.Series:
    return 2 * (f["close"] - f["low"]) / (f["high"] - f["low"]) - 1


def parkinson(f: pd.DataFrame) -> pd.Series:
    """Volatility from the ranges: high over low says more than two closes do."""
    return ((log(f["high"] / f["low"]) ** 2).rolling(24).mean().clip(lower=0) / (4 * np.log(2))) ** 0.5


def signed_volatility(f: pd.DataFrame) -> pd.Series:
    """Share of the squared moves of 48 bars that went up, from -1 to 1."""
    r = log(f["close"]).diff()
    whole = (r**2).rolling(48).sum().where(moves(f, 48), 0.0)
    return (r * r.abs()).rolling(48).sum() / whole


def volume_ratio(bars: int) -> Series:
    return lambda f: log(1 + f["volume"] / f["volume"].rolling(bars).mean().where(traded(f, bars), 0.0))


def traded(f: pd.DataFrame, bars: int) -> pd.Series:
    return f["volume"].rolling(bars, min_periods=1).max() > 0


def line(name: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = None) -> Feature:
    return Feature(name, "returns", lookback, needs, meaning, one(name, value), neutral)


CLOSE, RANGE = ("close",), ("open", "high", "low", "close")

RETURNS = [
    *(line(f"return_{n}", n + 1, CLOSE, f"log return of the last {n} bars", log_return(n)) for n in (1, 4, 24, 72)),
    *(line(f"move_{n}", 169, CLOSE, f"log return of {n} bars over the volatility of 168", over_volatility(n), 0.0)
      for n in (1, 6, 24)),
    *(line(f"volatility_{n}", n + 1, CLOSE, f"root mean square log return of {n} bars", partial(volatility, bars=n))
      for n in (24, 168)),
    line("volatility_ratio", 169, CLOSE, "volatility of 24 bars over that of 168, minus 1", volatility_ratio, 0.0),
    line("signed_volatility", 49, CLOSE, "share of squared moves that went up, -1 to 1", signed_volatility, 0.0),
    line("parkinson", 24, ("high", "low"), "volatility of 24 bars from their ranges", parkinson),
    line("candle_body", 1, RANGE, "close minus open over the range", candle_body, 0.0),
    line("close_place", 1, RANGE, "where in its range the bar closed, -1 to 1", close_place, 0.0),
    *(line(f"volume_ratio_{n}", n, ("volume",), f"log of 1 + volume over its mean of {n} bars", volume_ratio(n), 0.0)
      for n in (24, 168)),
]
