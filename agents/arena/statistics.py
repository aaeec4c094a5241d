"""Intervals that respect that neighbouring bars resemble each other, and comparisons on the same bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError
from envs.metrics import sharpe


@dataclass(frozen=True)
class BootstrapConfig:
    draws: int = 2000
    """resampled histories"""
    block: float = 48.0
    """mean length of a block, in bars"""
    level: float = 0.95
    """share of the resampled histories inside an interval"""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 100 or self.block < 1 or not 0 < self.level < 1 or self.seed < 0:
            raise UserError("bootstrap needs draws >= 100, block >= 1, 0 < level < 1 and seed >= 0, found "
                            f"{self.draws}, {self.block}, {self.level}, {self.seed}")


def stationary_indices(length: int, draws: int, block: float, rng: np.random.Generator) -> np.ndarray:
    """(draws, length) row numbers of the stationary bootstrap (Politis, Romano 1994).

    A new block begins at a random row with probability 1 / block, else the next row follows, wrapping at the end.
    """
    starts = rng.random((draws, length)) < 1 / block
    starts[:, 0] = True
    drawn = rng.integers(0, length, (draws, length))
    last = np.maximum.accumulate(np.where(starts, np.arange(length), 0), axis=1)  # where the current block began
    return (np.take_along_axis(drawn, last, axis=1) + np.arange(length) - last) % length


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


def interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    """The middle `level` of the draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
