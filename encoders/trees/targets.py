"""What trees are grown for: the three classes, each quantile and the variance, as numbers that trees may add up to.

`n` examples, rows and assets pooled; `K` numbers for each, 3 for the classes and 1 otherwise. Every target starts from
what the training rows say without looking at any feature, and trees say what to add: log odds, units of return, log
variance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from data.labels import UNKNOWN
from encoders.forecast import LEVELS
from encoders.losses import pinball, qlike

FLOOR = 1e-3
"""what `losses.qlike` adds to both variances, in units; with it in the target, a gamma deviance is that very loss"""


class Examples(NamedTuple):
    x: np.ndarray  # (n, S) summaries
    direction: np.ndarray  # (n,) int64
    forward: np.ndarray  # (n,) in units of TargetScale
    volatility: np.ndarray  # (n,) in units of TargetScale

    @classmethod
    def of(cls, values: np.ndarray, targets: tuple[np.ndarray, np.ndarray, np.ndarray], rows: np.ndarray) -> Examples:
        """`values` (T, N, S) and targets (`batches.in_units`) of some rows, the assets that have a label there."""
        known = targets[0][rows] != UNKNOWN  # (B, N)
        direction, forward, volatility = (part[rows][known] for part in targets)
        return cls(values[rows][known], direction, forward.astype(np.float64), volatility.astype(np.float64))


@dataclass(frozen=True)
class Target(ABC):
    """
    >>> [target.name for target in TARGETS]
    ['direction', 'quantile_0.1', 'quantile_0.5', 'quantile_0.9', 'volatility']
    """

    name: str

    @property
    def outputs(self) -> int:
        """K, how many numbers are said of one example."""
        return 1

    @abstractmethod
    def labels(self, examples: Examples) -> np.ndarray:
        """(n,) what the trees are grown on."""

    @abstractmethod
    def start(self, labels: np.ndarray) -> np.ndarray:
        """(K,) base rates."""

    @abstractmethod
    def loss(self, said: np.ndarray, labels: np.ndarray) -> float:
        """Mean loss of (n, K)."""

    def restart(self, start: np.ndarray, added: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(K,) where to start from when the trees add (n, K) to the training rows."""
        return start


@dataclass(frozen=True)
class Classes(Target):
    """Log odds of down, flat and up, by log loss."""

    name: str = "direction"

    @property
    def outputs(self) -> int:
        return 3

    def labels(self, examples: Examples) -> np.ndarray:
        return examples.direction

    def start(self, labels: np.ndarray) -> np.ndarray:
        counts = np.bincount(labels, minlength=self.outputs) + 1.0  # a class that training rows lack is not impossible
        return np.log(counts / counts.sum())

    def loss(self, said: np.ndarray, labels: np.ndarray) -> float:
        return float(-np.log(probabilities(said)[np.arange(len(labels)), labels]).mean())


@dataclass(frozen=True)
class Quantile(Target):
    """One quantile of the forward return, by pinball loss."""

    level: float = 0.5

    def labels(self, examples: Examples) -> np.ndarray:
        return examples.forward

    def start(self, labels: np.ndarray) -> np.ndarray:
        return np.quantile(labels, [self.level])

    def loss(self, said: np.ndarray, labels: np.ndarray) -> float:
        return float(pinball(torch.from_numpy(said), torch.from_numpy(labels), torch.tensor([self.level])))


@dataclass(frozen=True)
class Variance(Target):
    """Log of the squared volatility, by QLIKE."""

    name: str = "volatility"

    def labels(self, examples: Examples) -> np.ndarray:
        return examples.volatility**2 + FLOOR

    def start(self, labels: np.ndarray) -> np.ndarray:
        return np.log(labels.mean(keepdims=True))

    def loss(self, said: np.ndarray, labels: np.ndarray) -> float:
        volatility, truth = (torch.from_numpy(np.sqrt(np.maximum(variance - FLOOR, 0)))
                             for variance in (np.exp(said[:, 0]), labels))
        return float(qlike(volatility, truth, FLOOR))

    def restart(self, start: np.ndarray, added: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """True over forecast variance is 1 on average, which is where QLIKE is lowest: a mean of logs is too low."""
        return np.log(np.mean(labels / np.exp(added[:, 0]), keepdims=True))


TARGETS: tuple[Target, ...] = (Classes(), *(Quantile(f"quantile_{level}", level) for level in LEVELS), Variance())


def probabilities(odds: np.ndarray) -> np.ndarray:
    """(n, K) log odds as shares that sum to 1.

    >>> probabilities(np.log([[1.0, 1.0, 2.0]])).tolist()
    [[0.25, 0.25, 0.5]]
    """
    grown = np.exp(odds - odds.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)
