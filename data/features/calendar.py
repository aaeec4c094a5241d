"""Where in the day, the week, the month and the year the bar closed (UTC), hence where the next one begins."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.features.base import Feature, Series, one

FUNDING_HOURS = 8  # perpetual futures pay at 00, 08 and 16
OPENS, CLOSES = 9.5, 16.0  # of American shares, in New York


def circle(name: str, turns: pd.Series) -> pd.DataFrame:
    """Two columns, so that the end of a cycle lies beside its start."""
    return pd.DataFrame({f"{name}_sin": np.sin(2 * np.pi * turns), f"{name}_cos": np.cos(2 * np.pi * turns)})


def hour(f: pd.DataFrame) -> pd.DataFrame:
    return circle("hour", f["time"].dt.hour / 24)


def weekday(f: pd.DataFrame) -> pd.DataFrame:
    return circle("weekday", (f["time"].dt.day_of_week + f["time"].dt.hour / 24) / 7)


def hours(time: pd.Series) -> pd.Series:
    """Since midnight, with their fractions."""
    return time.dt.hour + time.dt.minute / 60


def through_month(time: pd.Series) -> pd.Series:
    """0 as a month begins, nearly 1 as it ends."""
    return (time.dt.day - 1 + hours(time) / 24) / time.dt.days_in_month


def month_day(f: pd.DataFrame) -> pd.DataFrame:
    return circle("month_day", through_month(f["time"]))


def month(f: pd.DataFrame) -> pd.DataFrame:
    return circle("month", (f["time"].dt.month - 1 + through_month(f["time"])) / 12)


def to_funding(f: pd.DataFrame) -> pd.Series:
    """A whole interval at the moment of a payment itself: an order sent then fills after it.

    >>> to_funding(pd.DataFrame({"time": pd.to_datetime(["2024-01-01 15:00", "2024-01-01 16:00"], utc=True)})).tolist()
    [0.125, 1.0]
    """
    return 1 - hours(f["time"]) % FUNDING_HOURS / FUNDING_HOURS


def american_summer(time: pd.Series) -> pd.Series:
    """Summer time since 2007: second Sunday of March to first of November. Weekdays need no hour, nor a zone file."""
    sunday = time.dt.day - (time.dt.day_of_week + 1) % 7  # of the month, the last one so far; below 1 before the first
    return (time.dt.month.between(4, 10) | ((time.dt.month == 3) & (sunday >= 8))
            | ((time.dt.month == 11) & (sunday < 1)))


def us_session(f: pd.DataFrame) -> pd.Series:
    """Whether American shares trade as the bar closes; holidays count as days like others.

    >>> noon = pd.DataFrame({"time": pd.to_datetime(["2024-01-03 14:00", "2024-07-03 14:00"], utc=True)})
    >>> us_session(noon).tolist()  # half past nine in New York is 14:30 in winter, 13:30 in summer
    [0.0, 1.0]
    """
    local = hours(f["time"]) - 5 + american_summer(f["time"])
    return ((local >= OPENS) & (local < CLOSES) & (f["time"].dt.day_of_week < 5)).astype(float)


def weekend(f: pd.DataFrame) -> pd.Series:
    return (f["time"].dt.day_of_week >= 5).astype(float)


def flag(name: str, meaning: str, value: Series) -> Feature:
    return Feature(name, "calendar_more", 1, ("time",), meaning, one(name, value))


CALENDAR = [
    Feature("hour", "calendar", 1, ("time",), "hour of the day on a circle", hour,
            outputs=("hour_sin", "hour_cos")),
    Feature("weekday", "calendar", 1, ("time",), "day of the week on a circle", weekday,
            outputs=("weekday_sin", "weekday_cos")),
]

CALENDAR_MORE = [
    Feature("month_day", "calendar_more", 1, ("time",), "day of the month on a circle", month_day,
            outputs=("month_day_sin", "month_day_cos")),
    Feature("month", "calendar_more", 1, ("time",), "time of the year on a circle", month,
            outputs=("month_sin", "month_cos")),
    flag("to_funding", "share of 8 hours left until the next funding at 00, 08 or 16", to_funding),
    flag("us_session", "1 while American shares trade", us_session),
    flag("weekend", "1 on Saturday and Sunday", weekend),
]
