"""Calendar months of an equity curve."""

from __future__ import annotations

import numpy as np
import pandas as pd


def monthly(time: np.ndarray, equity: np.ndarray) -> pd.Series:
    """Return of each calendar month (UTC), the first and the last as far as they go; their product is the whole.

    `time` (K + 1,) is the close that each point of `equity` (K + 1,) stands at; a bar that closes at midnight is the
    last of its month.

    >>> time = np.array(["2023-01-31T23:00", "2023-02-01T00:00", "2023-02-01T01:00"], "datetime64[us]")
    >>> monthly(time, np.array([100.0, 110.0, 121.0])).round(6).to_dict()
    {Period('2023-01', 'M'): 0.1, Period('2023-02', 'M'): 0.1}
    """
    months = pd.DatetimeIndex(time[1:] - np.timedelta64(1, "us")).to_period("M")
    ends = pd.Series(equity[1:], months).groupby(level=0).last()
    before = np.concatenate([equity[:1], ends.to_numpy()[:-1]])
    return ends / before - 1


def by_year(months: pd.Series) -> pd.DataFrame:
    """A row for each year and a column for each month of it, NaN where there was none."""
    when = pd.PeriodIndex(months.index)
    table = pd.DataFrame({"year": when.year, "month": when.month, "value": months.to_numpy()})
    return table.pivot(index="year", columns="month", values="value").reindex(columns=range(1, 13))
