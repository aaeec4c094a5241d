"""Is a Sharpe ratio more than luck? Bailey and Lopez de Prado, 2012 (`probable`, `bars_needed`) and 2014 (`deflated`).

Sharpe ratios are of one bar, mean over deviation; returns are net and simple, (K,), or (S, K) of several seeds: what is
judged then is no calmer account of all of them at once, but has the interquartile mean of their Sharpe ratios, idle
seeds as 0, and that of the scatters of those that moved.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import kurtosis, norm, skew

from agents.arena.statistics.runs import iqm
from envs.metrics import sharpe


def scatter(returns: np.ndarray) -> float:
    """Standard error of the Sharpe ratio of one bar, times the root of the bars less one: near 1, more where losses
    are heavier than gains.

    A series that never moves has none: NaN.
    """
    if returns.ndim > 1:
        known = np.array([one for one in map(scatter, returns) if np.isfinite(one)])
        return iqm(known) if len(known) else float("nan")
    if not returns.std() > 1e-14:  # rounding size
        return float("nan")
    ratio = float(sharpe(returns, 1.0))
    squared = 1 - float(skew(returns)) * ratio + (float(kurtosis(returns, fisher=False)) - 1) / 4 * ratio**2
    return float(np.sqrt(squared)) if squared > 0 else float("nan")


def ratio_of(returns: np.ndarray) -> float:
    return iqm(np.atleast_1d(sharpe(returns, 1.0)))


def probable(returns: np.ndarray, benchmark: float = 0.0) -> float:
    """Probabilistic Sharpe ratio: the confidence that the true one is above `benchmark`.

    >>> returns = np.tile([0.01, -0.01], 50) + 0.001
    >>> round(probable(returns), 3), round(probable(returns, benchmark=0.1), 3)
    (0.839, 0.498)
    """
    z = (ratio_of(returns) - benchmark) * np.sqrt(returns.shape[-1] - 1) / scatter(returns)
    return float(norm.cdf(z))


def best_of(trials: int, spread: float) -> float:
    """Sharpe ratio that the best of so many worthless trials is expected to show; theirs have a deviation of `spread`.

    >>> [round(best_of(trials, 1.0), 2) for trials in (1, 10, 100, 1000)]
    [0.0, 1.57, 2.53, 3.26]
    """
    if trials < 2:
        return 0.0
    first, second = norm.ppf(1 - 1 / trials), norm.ppf(1 - 1 / (trials * np.e))
    return float(spread * ((1 - np.euler_gamma) * first + np.euler_gamma * second))


def deflated(returns: np.ndarray, trials: int, spread: float) -> float:
    """Deflated Sharpe ratio: the confidence that the true one is above what the best of so many worthless trials would
    have shown. `trials` counts everything that was ever tried, and `spread` is the deviation of its Sharpe ratios.
    """
    return probable(returns, best_of(trials, spread))


def bars_needed(returns: np.ndarray, benchmark: float = 0.0, level: float = 0.95) -> float:
    """Minimum track record length: bars of which as good a record would show a Sharpe ratio above `benchmark`.

    Infinite where the record is not above it.

    >>> returns = np.tile([0.01, -0.01], 50) + 0.001
    >>> round(bars_needed(returns))
    274
    """
    ahead = ratio_of(returns) - benchmark
    if not ahead > 0:
        return float("inf")
    return float(1 + (scatter(returns) * norm.ppf(level) / ahead) ** 2)
