"""What is forecast from an embedding: direction, quantiles that cannot cross, volatility.

Heads work in units of about one (`TargetScale`), and start as the base rates of the training rows whatever the
embedding, so that the first gradient already is about what the features add.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from data.labels import UNKNOWN
from encoders.forecast import LEVELS


class Outputs(NamedTuple):
    """What the heads say, in units of `TargetScale`."""

    direction: Tensor  # (B, N, 3) logits of down, flat, up
    quantiles: Tensor  # (B, N, Q) rising
    volatility: Tensor  # (B, N) positive


class Targets(NamedTuple):
    """Labels of some rows, in units of `TargetScale`; an asset without one has NaN and direction UNKNOWN."""

    direction: Tensor  # (B, N) int64
    forward: Tensor  # (B, N)
    volatility: Tensor  # (B, N)

    @property
    def known(self) -> Tensor:
        """(B, N) bool."""
        return self.direction != UNKNOWN


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
    def start_at(self, targets: Targets, levels: tuple[float, ...] = LEVELS) -> None:
        """Base rates of training targets as biases, weights at zero."""
        direction, forward, volatility = (part[targets.known].cpu().double().numpy() for part in targets)
        for head in (self.direction, self.quantiles, self.volatility):
            head.weight.zero_()
        counts = np.bincount(direction.astype(int), minlength=3) + 1.0
        self.direction.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
        quantiles = np.quantile(forward, levels)
        steps = softplus_inverse(np.diff(quantiles))
        self.quantiles.bias.copy_(torch.from_numpy(np.concatenate([quantiles[:1], steps])))
        usual = np.sqrt(np.mean(volatility**2, keepdims=True))
        self.volatility.bias.copy_(torch.from_numpy(softplus_inverse(usual)))


def softplus_inverse(values: np.ndarray) -> np.ndarray:
    """
    >>> float(np.log1p(np.exp(softplus_inverse(np.array(0.5)))).round(6))
    0.5
    """
    return np.log(np.expm1(np.maximum(np.asarray(values, np.float64), 1e-4)))
