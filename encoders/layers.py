"""Parts that several encoders share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """x / rms(x), then a gain per channel (Zhang and Sennrich 2019). In float32 also under autocast."""

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        # bfloat16 keeps 8 bits, too few for a mean of squares; float64 stays, for exact tests
        wide = x if x.dtype == torch.float64 else x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)).to(x.dtype) * self.gain


class WindowDropout(nn.Module):
    """Dropout with one mask for all bars of a window: (B, W, D) or (B, D).

    Neighbouring bars say nearly the same, so independent masks would hide nothing (Gal and Ghahramani 2016); and on a
    CPU drawing W times fewer random numbers makes a step up to twice as fast.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return x
        kept = torch.empty_like(x[:, :1] if x.dim() == 3 else x).bernoulli_(1 - self.share)
        return x * (kept / (1 - self.share))


def drop_nothing(module: nn.Module) -> None:
    """Switch every dropout in `module` off for good, in training mode too."""
    for part in module.modules():
        if isinstance(part, WindowDropout):
            part.share = 0.0
        elif isinstance(part, nn.LSTM):
            part.dropout = 0.0


class GatedMLP(nn.Module):
    """silu(gate) * value, then back to the width: SwiGLU (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.into = nn.Linear(width, 2 * hidden)
        self.out = nn.Linear(hidden, width)
        self.dropout = WindowDropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.into(x).chunk(2, dim=-1)  # each (..., hidden)
        return self.out(self.dropout(functional.silu(gate) * value))


class AttentionPool(nn.Module):
    """One score per bar, softmax over the window, weighted sum: (B, W, D) -> (B, D).

    A learned fading with age is added to the scores (Press et al. 2022, ALiBi, section 3). It starts at a half-life of
    seven bars: a pool that starts with equal weights buries the last hour among forty-seven others, and on few, noisy
    labels it stays there. `weights` (B, W) are those of the last call, for pictures of which hours mattered.
    """

    weights: Tensor | None = None

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)
        self.log_fading = nn.Parameter(torch.tensor(math.log(0.1)))  # per bar of age

    def forward(self, x: Tensor) -> Tensor:
        scores = self.score(torch.tanh(self.hidden(x))).squeeze(-1)  # (B, W)
        age = torch.arange(x.shape[1] - 1, -1, -1, device=x.device)
        weights = torch.softmax(scores - self.log_fading.exp() * age, dim=1)  # float32 under autocast too
        self.weights = weights.detach()
        return (weights.to(x.dtype).unsqueeze(1) @ x).squeeze(1)


def sines_of_age(window: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(W, D) position of each bar as sines and cosines of its age: 0 on the bar of the decision.

    Counting back from the decision, not on from the start of the window, makes "an hour ago" the same whatever the
    window. Periods run from 4 bars to about 1,000 in equal ratios (Vaswani et al. 2017, section 3.5, starts at 2 pi).
    """
    age = torch.arange(window - 1, -1, -1, device=device, dtype=dtype)
    periods = torch.exp(torch.linspace(math.log(4.0), math.log(1000.0), width // 2, device=device, dtype=dtype))
    angle = 2 * math.pi * age[:, None] / periods  # (W, D/2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
