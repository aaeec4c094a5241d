"""How long one would have to watch for a difference of this size to show."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def years_needed(difference: float, error: float, years: float, level: float = 0.95, power: float = 0.8) -> float:
    """Years after which a true `difference` would be told from nothing in `power` of cases, two-sided at `level`.

    `error` is its standard error over the `years` that were watched, and falls with their root: that of the period
    does, that of training only where every year is traded by others that were trained anew. Infinite where the
    difference is nothing.

    >>> round(years_needed(0.5, 0.5, years=4.0), 1)  # an annual Sharpe ratio of 0.5, from four years: Lo 2002
    31.4
    """
    if difference == 0:
        return float("inf")
    return float(years * ((norm.ppf((1 + level) / 2) + norm.ppf(power)) * error / abs(difference)) ** 2) \
        if np.isfinite(error) else float("inf")
