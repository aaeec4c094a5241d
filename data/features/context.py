"""The world around: dollar, rates, fear, shares and gold, as known at each close.

The tables are daily and are held over nights and weekends, so changes reach over five days of bars.
"""

from __future__ import annotations

from data.features.base import Feature, Series, log, one, zscore

WEEK = 120  # hourly bars of five days
FORTNIGHT = 336


def line(name: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = None) -> Feature:
    return Feature(name, "macro", lookback, needs, meaning, one(name, value), neutral)


def log_change(column: str) -> Series:
    return lambda f: log(f[column]).diff(WEEK)


def change(column: str) -> Series:
    return lambda f: f[column].diff(WEEK)


MACRO = [
    *(line(f"{column}_week", WEEK + 1, (column,), f"log change of {column} over 120 bars", log_change(column))
      for column in ("dollar_index", "sp500", "gold")),
    *(line(f"{column}_week", WEEK + 1, (column,), f"change of {column} over 120 bars",
           change(column)) for column in ("us10y", "us2y")),
    line("term_spread", 1, ("us10y", "us2y"), "ten year rate less two year rate", lambda f: f["us10y"] - f["us2y"]),
    line("vix_level", 1, ("vix",), "log vix", lambda f: log(f["vix"])),
    line("vix_z", FORTNIGHT, ("vix",), "log vix in deviations of its last 336 bars",
         lambda f: zscore(log(f["vix"]), FORTNIGHT), 0.0),
]
