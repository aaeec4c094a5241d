"""Where in the day and the week the bar closed (UTC)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.features.base import Feature


def circle(name: str, turns: pd.Series) -> pd.DataFrame:
    """Two columns, so that the end of a cycle lies beside its start."""
    return pd.DataFrame({f"{name}_sin": np.sin(2 * np.pi * turns), f"{name}_cos": np.cos(2 * np.pi * turns)})


def hour(f: pd.DataFrame) -> pd.DataFrame:
    return circle("hour", f["time"].dt.hour / 24)


def weekday(f: pd.DataFrame) -> pd.DataFrame:
    return circle("weekday", (f["time"].dt.day_of_week + f["time"].dt.hour / 24) / 7)


CALENDAR = [
    Feature("hour", "calendar", 1, ("time",), "hour of the day on a circle", hour,
            outputs=("hour_sin", "hour_cos")),
    Feature("weekday", "calendar", 1, ("time",), "day of the week on a circle", weekday,
            outputs=("weekday_sin", "weekday_cos")),
]
