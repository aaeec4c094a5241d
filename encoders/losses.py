"""Losses of the three heads, and how they are weighed against each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.forecast import LEVELS
from encoders.heads import Outputs, Targets


def pinball(quantiles: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Mean pinball loss (Koenker and Bassett 1978): missing from below costs the level, from above one minus it."""
    miss = target.unsqueeze(-1) - quantiles  # (B, Q)
    return torch.maximum(levels * miss, (levels - 1) * miss).mean()


def qlike(volatility: Tensor, target: Tensor, floor: float = 1e-3) -> Tensor:
    """Mean of ratio - log(ratio) - 1, ratio = true over forecast variance (Patton 2011): 0 is perfect.

    Unlike a squared error it is not ruled by the few wildest days. `floor` keeps bars that never moved finite.
    """
    ratio = (target.square() + floor) / (volatility.square() + floor)
    return (ratio - ratio.log() - 1).mean()


def focal(logits: Tensor, direction: Tensor, gamma: float, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the classes, each row times (1 - p of its class)^gamma (Lin et al. 2017, section 3.2).

    Rows that are foreseen already count less. With gamma 0 it is the plain cross-entropy.

    >>> logits = torch.tensor([[0.0, 0.0, 3.0]])
    >>> bool(focal(logits, torch.tensor([2]), 2.0) < 0.02 * focal(logits, torch.tensor([2]), 0.0))
    True
    """
    each = functional.cross_entropy(logits, direction, label_smoothing=label_smoothing, reduction="none")  # (B,)
    if gamma == 0:
        return each.mean()
    right = torch.softmax(logits, dim=-1).gather(1, direction[:, None]).squeeze(1)
    return ((1 - right) ** gamma * each).mean()


class ForecastLoss(nn.Module):
    """Direction against the two regressions, weighted by learned log variances (Kendall, Gal and Cipolla 2018, eq. 7,
    10): exp(-s) L + s for the classes, (exp(-s) L + s) / 2 for the regressions."""

    levels: Tensor

    def __init__(self, label_smoothing: float = 0.0, gamma: float = 0.0, levels: tuple[float, ...] = LEVELS) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.gamma = gamma
        self.register_buffer("levels", torch.tensor(levels))
        self.log_variance = nn.Parameter(torch.zeros(2))  # classes, regressions

    def parts(self, outputs: Outputs, targets: Targets, label_smoothing: float = 0.0, gamma: float = 0.0
              ) -> dict[str, Tensor]:
        """The three losses by name, over what has a label; without smoothing and focus they are the honest scores."""
        known = targets.known
        if not known.all():
            outputs = Outputs(*(part[known] for part in outputs))
            targets = Targets(*(part[known] for part in targets))
        return {"direction": focal(outputs.direction.flatten(0, -2), targets.direction.flatten(), gamma,
                                   label_smoothing),
                "quantiles": pinball(outputs.quantiles, targets.forward, self.levels.to(targets.forward.dtype)),
                "volatility": qlike(outputs.volatility, targets.volatility)}

    def forward(self, outputs: Outputs, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
        parts = self.parts(outputs, targets, self.label_smoothing, self.gamma)
        regressions = parts["quantiles"] + parts["volatility"]
        for_classes, for_regressions = self.log_variance
        total = (torch.exp(-for_classes) * parts["direction"] + for_classes
                 + (torch.exp(-for_regressions) * regressions + for_regressions) / 2)
        return total, parts
