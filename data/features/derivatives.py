"""What futures and options say: who pays to hold, and how much movement is paid for.

Funding is a daily table and implied volatility an hourly one, each on its own rows. Only the premium over what the
price really did is on bars, which have both.
"""

from __future__ import annotations

import pandas as pd

from data.features.base import BARS, Feature, Series, log, one, zscore

PAYMENTS = 3  # fundings a day; a row holds their mean
MONTH = 30 * 24  # rows of an hourly table
YEAR = pd.Timedelta("365D")
RATE, IMPLIED = ("funding_rate",), ("implied_close",)


def bps(f: pd.DataFrame) -> pd.Series:
    return 1e4 * f["funding_rate"]


def premium(f: pd.DataFrame) -> pd.Series:
    """Both a year's, as shares of the price; the step between bars says how many make a year."""
    squares = (log(f["close"]).diff() ** 2).rolling(MONTH).mean()
    bars_per_year = YEAR / (f["time"].iloc[1] - f["time"].iloc[0])
    realised = (bars_per_year * squares.clip(lower=0)) ** 0.5  # a sliding sum of nothing may leave dust below 0
    return f["implied_close"] / 100 - realised


def line(name: str, group: str, on: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = None) -> Feature:
    return Feature(name, group, lookback, needs, meaning, one(name, value), neutral, on=on)


FUNDING = [
    line("funding_bps", "funding", "funding", 1, RATE, "mean funding of a day, bps for 8 hours", bps),
    line("funding_7", "funding", "funding", 7, RATE, "its mean of 7 days", lambda f: bps(f).rolling(7).mean()),
    line("funding_z", "funding", "funding", 90, RATE, "it in deviations of its last 90 days",
         lambda f: zscore(bps(f), 90), 0.0),
    line("funding_30", "funding", "funding", 30, RATE, "percent that a long has paid in 30 days",
         lambda f: PAYMENTS / 100 * bps(f).rolling(30).sum()),
]

IMPLIED_VOLATILITY = [
    line("implied_level", "implied", "implied", 1, IMPLIED, "log implied volatility of the next 30 days",
         lambda f: log(f["implied_close"] / 100)),
    line("implied_24", "implied", "implied", 25, IMPLIED, "its change over 24 rows",
         lambda f: log(f["implied_close"]).diff(24)),
    line("implied_z", "implied", "implied", MONTH, IMPLIED, "it in deviations of its last 720 rows",
         lambda f: zscore(log(f["implied_close"]), MONTH), 0.0),
    line("variance_premium", "implied", BARS, MONTH + 1, ("time", "close", "implied_close"),
         "implied volatility less the realised one of 720 bars, both a year's", premium),
]
