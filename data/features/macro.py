"""The world around: dollar, rates, fear, shares and gold, on the trading days of each.

Rows are days on which a series was quoted, so a week is five of them and weekends and holidays are no matter. `macro`
reaches back at most 20 rows, for which a month from before the first bar is enough; `macro_long` takes a year more,
and `macro_real` what the simulated world does not have.
"""

from __future__ import annotations

import pandas as pd

from data.features.base import Feature, Series, log, one, zscore

WEEK, MONTH, QUARTER, YEAR = 5, 20, 60, 250  # trading days
PRICES = ("dollar_index", "sp500", "gold")


def level(column: str) -> Series:
    return lambda f: f[column].copy()


def log_change(column: str) -> Series:
    return lambda f: log(f[column]).diff(WEEK)


def change(column: str) -> Series:
    return lambda f: f[column].diff(WEEK)


def deviations(column: str, rows: int) -> Series:
    return lambda f: zscore(f[column], rows)


def over_mean(column: str, rows: int) -> Series:
    return lambda f: log(f[column] / f[column].rolling(rows).mean())


def volatility(column: str, rows: int) -> Series:
    """Root mean square log change of a day, times the root of the days in a year."""

    def root(f: pd.DataFrame) -> pd.Series:
        squares = (log(f[column]).diff() ** 2).rolling(rows).mean()
        return (YEAR * squares.clip(lower=0)) ** 0.5  # a sliding sum of nothing may leave dust below 0

    return root


def rank(column: str, rows: int) -> Series:
    """Place among the last `rows`, from -1 (lowest) to 1; 0 when all are equal.

    >>> rank("vix", 4)(pd.DataFrame({"vix": [1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0]})).tolist()
    [nan, nan, nan, 0.75, 0.5, 0.25, 0.0]
    """
    return lambda f: 2 * (f[column].rolling(rows).rank() - 0.5) / rows - 1


def line(name: str, on: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = None, group: str = "macro") -> Feature:
    return Feature(name, group, lookback, needs, meaning, one(name, value), neutral, on=on)


MACRO = [
    *(line(f"{column}_week", "markets", WEEK + 1, (column,), f"log change of {column} over 5 trading days",
           log_change(column)) for column in PRICES),
    *(line(f"{column}_week", "rates", WEEK + 1, (column,), f"change of {column} over 5 trading days", change(column))
      for column in ("us10y", "us2y")),
    line("term_spread", "rates", 1, ("us10y", "us2y"), "ten year rate less two year rate",
         lambda f: f["us10y"] - f["us2y"]),
    line("vix_level", "markets", 1, ("vix",), "log vix", lambda f: log(f["vix"])),
    line("vix_z", "markets", MONTH, ("vix",), "log vix in deviations of its last 20 trading days",
         lambda f: zscore(log(f["vix"]), MONTH), 0.0),
]

REAL = (("us10y_real", "real ten year rate"), ("high_yield_spread", "high yield spread"))

MACRO_REAL = [
    *(line(f"{column}_level", "rates", 1, (column,), f"{meaning}, percent", level(column),
           group="macro_real") for column, meaning in REAL),
    *(line(f"{column}_week", "rates", WEEK + 1, (column,), f"change of the {meaning} over 5 trading days",
           change(column), group="macro_real") for column, meaning in REAL),
    *(line(f"{column}_z", "rates", YEAR, (column,), f"{meaning} in deviations of its last 250 trading days",
           deviations(column, YEAR), 0.0, "macro_real") for column, meaning in REAL),
]

MACRO_LONG = [
    *(line(f"{column}_mean_{rows}", "markets", rows, (column,), f"log {column} over its mean of {rows} trading days",
           over_mean(column, rows), group="macro_long") for column in PRICES for rows in (QUARTER, YEAR)),
    *(line(f"vix_rank_{rows}", "markets", rows, ("vix",), f"place of vix among its last {rows}, -1 to 1",
           rank("vix", rows), group="macro_long") for rows in (QUARTER, YEAR)),
    *(line(f"sp500_volatility_{rows}", "markets", rows + 1, ("sp500",), f"volatility of {rows} trading days, a year's",
           volatility("sp500", rows), group="macro_long") for rows in (QUARTER, YEAR)),
]
