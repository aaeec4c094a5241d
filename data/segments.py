"""Runs of rows without a gap."""

from __future__ import annotations

import numpy as np
import pandas as pd


def covered(rows: int, segments: np.ndarray) -> np.ndarray:
    """(rows,) whether a row lies in one of `segments`.

    >>> covered(5, np.array([[0, 2], [3, 4]])).tolist()
    [True, True, False, True, False]
    """
    inside = np.zeros(rows, bool)
    for start, stop in segments:
        inside[start:stop] = True
    return inside


def unbroken(time: pd.Series, step: pd.Timedelta, complete: np.ndarray) -> np.ndarray:
    """(S, 2) runs of rows that follow one another within `step` and miss nothing.

    >>> closes = pd.Series(pd.to_datetime([1, 2, 3, 6, 7], unit="h", utc=True))
    >>> unbroken(closes, pd.Timedelta("1h"), np.array([True, True, True, True, False])).tolist()
    [[0, 3], [3, 4]]
    """
    follows = (time.diff() <= step).to_numpy() & complete
    follows[1:] &= complete[:-1]
    starts = np.flatnonzero(complete & ~follows)
    ends = np.flatnonzero(complete & ~np.append(follows[1:], False)) + 1
    return np.stack([starts, ends], axis=1)
