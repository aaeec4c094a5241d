"""What reads one bar at a time, a net or trees: a `Reader`."""

from __future__ import annotations

import torch
from torch import Tensor

from encoders.checkpoint import Checkpoint
from encoders.heads import Outputs
from encoders.trees.model import TreeForecaster


class Reader:
    """`after(bars)` is what it says on the last of some bars that follow those read so far, or None before `window`
    bars are there; `forget` makes the next bar the first one."""

    def __init__(self, fitted: Checkpoint | TreeForecaster) -> None:
        self.scale = fitted.scale
        self.window = fitted.window
        self.forget()

    def forget(self) -> None:
        self.read = 0

    @torch.inference_mode()
    def after(self, bars: Tensor) -> Outputs | None:
        """(T, N, F) -> in units of `scale` and of one row, the direction as chances."""
        self.read += len(bars)
        said = self.said(bars.transpose(0, 1))  # (N, T, F)
        return Outputs(*said) if self.read >= self.window else None

    def said(self, bars: Tensor) -> tuple[Tensor, ...]:
        """(N, T, F) -> the three outputs, of which nothing is asked before the window is full."""
        raise NotImplementedError


class Rolling(Reader):
    """Keeps the last `window` bars."""

    def __init__(self, fitted: Checkpoint | TreeForecaster, assets: int) -> None:
        super().__init__(fitted)
        self.bars = torch.zeros(assets, self.window, len(fitted.columns))  # (N, W, F)

    def with_last(self, bars: Tensor) -> Tensor:
        """(N, W, F) with the new bars at the end."""
        self.bars = torch.cat([self.bars, bars], dim=1)[:, -self.window :]
        return self.bars
