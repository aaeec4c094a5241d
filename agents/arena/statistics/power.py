"""How long one would have to watch for a difference of this size to show."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def years_needed(difference: np.ndarray, bars_per_year: float, block: float, level: float = 0.95, power: float = 0.8
                 ) -> float:
    """Years after which a true mean of `difference` (K,), bar by bar, would be told from nothing in `power` of cases.

    Two-sided at `level`. Bars resemble their neighbours, so the variance is that of means of blocks, `block` bars each.
    Infinite where the mean is nothing.

    >>> rng = np.random.default_rng(0)
    >>> difference = rng.normal(0.01, 0.1, 100_000)
    >>> round(years_needed(difference, bars_per_year=365, block=1, power=0.5), 1)
    1.1
    """
    length = max(round(block), 1)
    means = difference[: len(difference) // length * length].reshape(-1, length).mean(axis=1)
    mean = float(difference.mean())
    if len(means) < 2 or mean == 0:
        return float("inf")
    variance = float(means.var(ddof=1)) * length  # of one bar, neighbours counted in
    bars = variance * ((norm.ppf((1 + level) / 2) + norm.ppf(power)) / mean) ** 2
    return float(bars / bars_per_year)
