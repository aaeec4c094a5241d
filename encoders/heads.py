"""What is forecast from an embedding: direction, quantiles that cannot cross, volatility.

Heads work in units of about one (`TargetScale`), and start as the base rates of the training rows whatever the
embedding, so that the first gradient already is about what the features add.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from data.labels import UNKNOWN, Labels
from encoders.forecast import LEVELS


@dataclass(frozen=True)
class TargetScale:
    """What training rows say about the size of targets; a log return of `forward` is one unit."""

    forward: float
    volatility: float

    @classmethod
    def fit(cls, labels: Labels, rows: np.ndarray) -> TargetScale:
        known = labels.direction[rows] != UNKNOWN
        forward, volatility = (np.asarray(values[rows][known], np.float64)
                               for values in (labels.forward, labels.volatility))
        # a market that never moves has size zero; any unit will do there
        return cls(float(forward.std()) or 1.0, float(np.sqrt(np.mean(volatility**2))) or 1.0)


class Outputs(NamedTuple):
    """What the heads say, in units of `TargetScale`."""

    direction: Tensor  # (B, N, 3) logits of down, flat, up
    quantiles: Tensor  # (B, N, Q) rising
    volatility: Tensor  # (B, N) positive


class Heads(nn.Module):
    """`hidden` are the widths of layers that the heads share before they part."""

    def __init__(self, dim: int, levels: int = len(LEVELS), hidden: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*(nn.Sequential(nn.Linear(wide, narrow), nn.GELU())
                                     for wide, narrow in pairwise((dim, *hidden))))
        dim = (dim, *hidden)[-1]
        self.direction = nn.Linear(dim, 3)
        self.quantiles = nn.Linear(dim, levels)  # the lowest, then the steps up to each next one
        self.volatility = nn.Linear(dim, 1)

    def forward(self, embedding: Tensor) -> Outputs:
        # (B, N, D); exact even when the encoder ran in bfloat16, where near quantiles would collapse into one
        exact = embedding if embedding.dtype == torch.float64 else embedding.float()
        with torch.autocast(exact.device.type, enabled=False):
            exact = self.trunk(exact)
            lowest, steps = self.quantiles(exact).tensor_split([1], dim=-1)
            rising = torch.cat([lowest, functional.softplus(steps)], dim=-1).cumsum(dim=-1)
            return Outputs(self.direction(exact), rising, functional.softplus(self.volatility(exact)).squeeze(-1))

    @torch.no_grad()
    def start_at(self, labels: Labels, rows: np.ndarray, scale: TargetScale, levels: tuple[float, ...] = LEVELS
                 ) -> None:
        """Base rates of training labels as biases, weights at zero."""
        known = labels.direction[rows] != UNKNOWN
        direction, forward, volatility = (values[rows][known] for values in
                                          (labels.direction, labels.forward, labels.volatility))
        for head in (self.direction, self.quantiles, self.volatility):
            head.weight.zero_()
        counts = np.bincount(direction, minlength=3) + 1.0
        self.direction.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
        quantiles = np.quantile(forward / scale.forward, levels)
        steps = softplus_inverse(np.diff(quantiles))
        self.quantiles.bias.copy_(torch.from_numpy(np.concatenate([quantiles[:1], steps])))
        usual = np.sqrt(np.mean((volatility / scale.volatility) ** 2, keepdims=True))
        self.volatility.bias.copy_(torch.from_numpy(softplus_inverse(usual)))


def softplus_inverse(values: np.ndarray) -> np.ndarray:
    """
    >>> float(np.log1p(np.exp(softplus_inverse(np.array(0.5)))).round(6))
    0.5
    """
    return np.log(np.expm1(np.maximum(np.asarray(values, np.float64), 1e-4)))
