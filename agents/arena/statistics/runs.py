"""What several seeds or windows of one agent say together (Agarwal et al. 2021): few runs, so intervals and not points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import trim_mean

from data.bootstrap import interval


def iqm(scores: np.ndarray) -> float:
    """Interquartile mean: of the middle half, so that one lucky or stuck run does not decide (Agarwal et al. 2021).

    Of fewer than four there is no such half, and it is the mean.
    """
    return float(trim_mean(scores, 0.25))


def iqm_interval(scores: np.ndarray, draws: int = 5_000, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Interval of the interquartile mean over runs, from runs drawn again with replacement.

    Percentiles are narrow where runs are few: of 95 % the true mean is held by 93 % of 20 normal runs and 89 % of 5.

    >>> low, high = iqm_interval(np.array([0.90, 0.94, 0.95, 0.96, 0.97]))
    >>> low < 0.95 < high
    True
    """
    drawn = np.random.default_rng(seed).integers(0, len(scores), (draws, len(scores)))
    return interval(trim_mean(scores[drawn], 0.25, axis=1), level)


def pooled(scores: np.ndarray, draws: int = 5_000, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Interquartile mean of all of `scores` (tasks, runs), and its interval from runs drawn again within each task.

    Tasks are windows or markets: another tournament would have other runs, but the same tasks.

    >>> mean, low, high = pooled(np.array([[1.0, 1.2, 1.1], [2.0, 2.1, 2.2]]))
    >>> low < mean < high
    True
    """
    rng = np.random.default_rng(seed)
    drawn = np.stack([task[rng.integers(0, len(task), (draws, len(task)))] for task in scores], axis=1)
    low, high = interval(trim_mean(drawn.reshape(draws, -1), 0.25, axis=1), level)
    return float(trim_mean(scores, 0.25, axis=None)), low, high


def profile(scores: np.ndarray, levels: Sequence[float] | np.ndarray) -> np.ndarray:
    """Share of all runs that score above each of the levels.

    >>> profile(np.array([[0.1, 0.5], [0.9, 0.5]]), [0.0, 0.5, 1.0]).tolist()
    [1.0, 0.25, 0.0]
    """
    return np.asarray((np.ravel(scores)[None] > np.asarray(levels)[:, None]).mean(axis=1))


def improvement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """How probable it is that a run of ours beats a run of theirs: the mean over tasks (first axis), a tie counts half.

    >>> improvement(np.array([[1.0, 3.0]]), np.array([[2.0, 2.0]])), improvement(np.ones((2, 3)), np.ones((2, 4)))
    (0.5, 0.5)
    """
    a, b = ours[:, :, None], theirs[:, None, :]
    return float(((a > b) + 0.5 * (a == b)).mean())
