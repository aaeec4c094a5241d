"""Resampling rows in blocks, since neighbouring bars resemble each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError


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


def interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    """The middle `level` of the draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
