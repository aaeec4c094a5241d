"""Weights averaged over the steps, which forecast better and steadier than the last ones (Polyak and Juditsky 1992)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Average:
    """An exponential average of `model`'s weights; with `kept` 0 it is the weights themselves."""

    def __init__(self, model: nn.Module, kept: float) -> None:
        self.model, self.kept = model, kept
        self.restart()

    def restart(self) -> None:
        """Begin with the weights as they are now."""
        self.steps = 0
        self.averaged = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.averaged if self.kept else self.model.state_dict()

    @torch.no_grad()
    def update(self) -> None:
        if not self.kept:
            return
        self.steps += 1
        # early on the average is of few steps, else the first random weights would stay in it for long
        kept = min(self.kept, (1 + self.steps) / (10 + self.steps))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - kept)
            else:
                self.averaged[name].copy_(value)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The averaged weights stand in the model inside, its own again afterwards."""
        if not self.kept:
            yield
            return
        own = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.averaged)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def copy(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone().contiguous() for name, value in self.weights.items()}
