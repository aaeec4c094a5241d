"""What is minimised: one module around the model and its loss, so that it can be compiled and spread as a whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from encoders.heads import Outputs, Targets
from encoders.losses import ForecastLoss
from encoders.model import ForecastModel


class Objective(nn.Module):
    """`forward` gives the weighted loss, its parts, and the state that a stream carries on."""

    def __init__(self, model: ForecastModel, loss: ForecastLoss, bf16: bool, stream: bool) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.bf16 = bf16
        self.stream = stream

    def outputs(self, x: Tensor, state: Any = None) -> tuple[Outputs, Any]:
        """(B, N, W, F) windows -> (B, N, ...), or (B, T, F) chunks of a stream -> (B, T, ...)."""
        # bfloat16 has the range of float32, so no gradient scaling; the heads are exact all the same
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            if self.stream:
                embedding, state = self.model.encoder.stream(x, state)
            else:
                embedding = self.model.encode(x)
        return self.model.heads(embedding), state

    def forward(self, x: Tensor, targets: Targets, state: Any = None) -> tuple[Tensor, dict[str, Tensor], Any]:
        outputs, state = self.outputs(x, state)
        total, parts = self.loss(outputs, targets)
        return total, parts, detached(state)


def detached(state: Any) -> Any:
    """A carried state without its history: gradients end here, values go on (truncated backpropagation)."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, (list, tuple)):
        return type(state)(detached(part) for part in state)
    return state


def hurt(objective: nn.Module, x: Tensor, targets: Targets, state: Any, size: float) -> Tensor:
    """`x` moved by `size` in the direction that raises the loss fastest (Goodfellow et al. 2015, section 4)."""
    x = x.detach().requires_grad_()
    total, _, _ = objective(x, targets, state)
    (gradient,) = torch.autograd.grad(total, x)
    return (x + size * gradient.sign()).detach()
