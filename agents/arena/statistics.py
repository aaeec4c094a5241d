"""What contestants would have earned in histories resampled in blocks, all of them in the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import trim_mean

from data.bootstrap import BootstrapConfig, interval, stationary_indices
from envs.metrics import sharpe


@dataclass(frozen=True, eq=False)
class Resampled:
    """Each contestant's numbers in every resampled history; all contestants meet the same histories."""

    sharpe: np.ndarray  # (draws, C)
    growth: np.ndarray  # (draws, C) log of the total return


def resample(returns: np.ndarray, bars_per_year: float, config: BootstrapConfig, chunk: int = 100) -> Resampled:
    """`returns` (C, K) net simple returns of C contestants on the same bars."""
    rng = np.random.default_rng(config.seed)
    ratios, growths = [], []
    logs = np.log1p(np.maximum(returns, -0.999999))
    for start in range(0, config.draws, chunk):
        rows = stationary_indices(returns.shape[1], min(chunk, config.draws - start), config.block, rng)
        ratios.append(np.stack([sharpe(one[rows], bars_per_year) for one in returns], axis=1))
        growths.append(np.stack([one[rows].sum(axis=1) for one in logs], axis=1))
    return Resampled(np.concatenate(ratios), np.concatenate(growths))


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


def over_seeds(draws: np.ndarray, seed: int = 0) -> np.ndarray:
    """(draws,) interquartile means over seeds drawn anew in each resampled history of `draws` (draws, seeds).

    An interval of these holds both the luck of the period and the luck of training.
    """
    chosen = np.random.default_rng(seed).integers(0, draws.shape[1], draws.shape)
    return np.asarray(trim_mean(np.take_along_axis(draws, chosen, axis=1), 0.25, axis=1))
