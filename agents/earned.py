"""What a policy earned on rows that judge it, and what may be concluded from that."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLEAR = 1.645  # standard errors: by luck alone, where nothing was chosen by them, once in twenty times


class Earned(NamedTuple):
    """Log growth of a bar.

    >>> found = Earned.of(np.array([3.0, -1.0, 2.0, 0.0]) * 1e-4)
    >>> str(found), found.clear, found.hopeless
    ('+1.00 bps a bar, give or take 0.79', False, False)
    """

    mean: float
    error: float  # standard error of the mean
    idle: bool = False  # nothing was ever traded

    @classmethod
    def of(cls, growths: np.ndarray, idle: bool = False, block: int = 1) -> Earned:
        """Of (K,) bars; neighbours in blocks of so many may resemble each other."""
        means = growths[: len(growths) // block * block].reshape(-1, block).mean(axis=1)
        return cls(float(growths.mean()), float(means.std()) / float(np.sqrt(len(means))), idle)

    @property
    def score(self) -> float:
        """A standard error taken off: by the mean alone a lucky gambler among a dozen would be chosen."""
        return self.mean - self.error

    @property
    def clear(self) -> bool:
        return self.mean > CLEAR * self.error

    @property
    def hopeless(self) -> bool:
        return self.mean < -CLEAR * self.error

    def __str__(self) -> str:
        return f"{self.mean * 1e4:+.2f} bps a bar, give or take {self.error * 1e4:.2f}"
