"""What contestants would have earned in histories resampled in blocks, all of them in the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import trim_mean

from data.bootstrap import BootstrapConfig, stationary_indices
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


def over_seeds(draws: np.ndarray, seed: int = 0) -> np.ndarray:
    """(draws,) interquartile means over seeds drawn anew in each resampled history of `draws` (draws, seeds).

    An interval of these holds both the luck of the period and the luck of training.
    """
    chosen = np.random.default_rng(seed).integers(0, draws.shape[1], draws.shape)
    return np.asarray(trim_mean(np.take_along_axis(draws, chosen, axis=1), 0.25, axis=1))
