"""Log returns of bars."""

from __future__ import annotations

import numpy as np

from data.market import CLOSE, Market


def adjoin(times: np.ndarray, bars_per_year: float) -> np.ndarray:
    """(T - 1,) whether no bar is left out between a time and the one before.

    >>> adjoin(np.array(["2024-01-01", "2024-01-02", "2024-01-04"], "datetime64[us]"), bars_per_year=366).tolist()
    [True, False]
    """
    bar = np.timedelta64(round(365 * 24 * 3600 * 1_000_000 / bars_per_year), "us")
    return np.diff(times) < 1.5 * bar  # years may have 365 or 366 days


def returns_of(market: Market) -> np.ndarray:
    """(T, N) log return of each bar; NaN where the bar before is missing, too long ago, or another market's.

    >>> returns_of(Market.flat(3)).ravel().tolist()
    [nan, 0.0, 0.0]
    """
    close = market.prices[:, :, CLOSE]
    follows = np.append(False, adjoin(market.time, market.bars_per_year))
    for start, stop in market.segments:
        follows[start + 1 : stop] = True  # a segment may pass short gaps over, and its labels take them for a bar
    follows[[part.start for part in market.parts]] = False
    found = np.full(close.shape, np.nan)
    found[1:] = np.diff(np.log(close), axis=0)
    return np.where(follows[:, None], found, np.nan)
