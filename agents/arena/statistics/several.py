"""Many comparisons at once: among enough of them one looks clear by luck."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Superior(NamedTuple):
    """Hansen 2005. How probable so good a best contestant would be if nobody were better than the benchmark."""

    lower: float  # p-values: contestants that look worse than the benchmark count as no better than they look
    consistent: float  # as no better than they look where that is clear; the one to quote
    upper: float  # as equal to it


def superior(benchmark: np.ndarray, others: np.ndarray, block: float, draws: int = 2_000, seed: int = 0) -> Superior:
    """Test of superior predictive ability by net log returns: `benchmark` (K,), `others` (C, K), resampled in blocks.

    Who is equal to the benchmark on every bar says nothing and is left out; a p-value of 1 where that is everybody.
    """
    from arch.bootstrap import SPA  # takes a second to import

    differing = others[np.ptp(others - benchmark, axis=1) > 0]
    if not len(differing):
        return Superior(1.0, 1.0, 1.0)
    test = SPA(-benchmark, -differing.T, block_size=max(round(block), 1), reps=draws, bootstrap="stationary", seed=seed)
    test.compute()
    return Superior(*(float(test.pvalues[name]) for name in ("lower", "consistent", "upper")))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values that hold for all of a family at once (Holm 1979): the least times how many there are, and so on.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * (len(p_values) - np.arange(len(p_values)))
    found = np.empty(len(p_values))
    found[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return found
