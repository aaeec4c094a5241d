"""What contestants would have earned in histories resampled in blocks, all of them in the same ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.stats import trim_mean

from agents.arena.rollout import RUINED
from data.bootstrap import BootstrapConfig
from encoders.score_table import histories


@dataclass(frozen=True, eq=False)
class Resampled:
    """Each contestant's numbers in every resampled history; all contestants meet the same histories."""

    sharpe: np.ndarray  # (draws, C)
    growth: np.ndarray  # (draws, C) log of the total return


def resample(returns: np.ndarray, bars_per_year: float, config: BootstrapConfig) -> Resampled:
    """`returns` (C, K) net simple returns of C contestants on the same bars."""
    bars = returns.shape[1]
    usual = returns.mean(axis=1)  # (C,) taken out before anything is squared
    about = (returns - usual[:, None]).T  # (K, C)
    logs = np.log1p(np.maximum(returns, RUINED - 1)).T
    ratios, growths = [], []
    for counts in islice(histories(bars, config), 1, None):  # the first is the history as it was
        mean = counts @ about / bars
        variance = np.maximum(counts @ about**2 - bars * mean**2, 0.0) / (bars - 1)
        moved = variance > 1e-28  # rounding size
        ratio = np.where(moved, (usual + mean) / np.sqrt(np.where(moved, variance, 1.0)), 0.0)
        ratios.append(ratio * np.sqrt(bars_per_year))
        growths.append(counts @ logs)
    return Resampled(np.concatenate(ratios), np.concatenate(growths))


def over_seeds(draws: np.ndarray, seed: int = 0) -> np.ndarray:
    """(draws,) interquartile means over seeds drawn anew in each resampled history of `draws` (draws, seeds).

    An interval of these holds both the luck of the period and the luck of training.
    """
    chosen = np.random.default_rng(seed).integers(0, draws.shape[1], draws.shape)
    return np.asarray(trim_mean(np.take_along_axis(draws, chosen, axis=1), 0.25, axis=1))
