"""Parts that several encoders share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.config import EncoderConfig


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
        elif isinstance(part, nn.RNNBase):
            part.dropout = 0.0


def drop_always(module: nn.Module) -> None:
    """Every dropout of a model in eval mode on again: each forecast is then of another thinned network."""
    for part in module.modules():
        if isinstance(part, (WindowDropout, nn.RNNBase)):
            part.train()


def recur(cells: nn.Module, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """An LSTM or GRU over (B, T, D). On a CPU never in bfloat16: most have no such kernel, and oneDNN then refuses.

    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     recur(nn.GRU(3, 4), torch.zeros(2, 5, 3))[0].dtype
    torch.float32
    """
    if x.device.type != "cpu":
        return cells(x, state)
    with torch.autocast("cpu", enabled=False):
        return cells(x.to(next(cells.parameters()).dtype), state)


class CausalConv(nn.Conv1d):
    """A convolution whose output at a bar sees that bar and earlier ones, `dilation` apart.

    >>> conv = CausalConv(3, 8, kernel=2, dilation=4)
    >>> y, state = conv(torch.zeros(1, 10, 3))
    >>> y.shape, state.shape
    (torch.Size([1, 10, 8]), torch.Size([1, 4, 3]))
    """

    def __init__(self, into: int, out: int, kernel: int, dilation: int = 1, groups: int = 1) -> None:
        super().__init__(into, out, kernel, dilation=dilation, groups=groups)
        self.back = (kernel - 1) * dilation

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(B, T, C), state -> (B, T, C'), state: the last inputs (B, back, C), zeros before the first bar."""
        past = x.new_zeros(len(x), self.back, x.shape[-1]) if state is None else state
        seen = torch.cat([past, x], dim=1)  # (B, back + T, C)
        return super().forward(seen.transpose(1, 2)).transpose(1, 2), seen[:, seen.shape[1] - self.back :]


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


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2); dropout comes after it, since dropping single
    attention weights would leave the fused kernel and take several times as long on a CPU.

    With `causal` no bar looks at a later one, and rotary positions say how far back each lies.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each (B, heads, W, D / heads)."""
        batch, window, width = x.shape
        split = self.into(x).view(batch, window, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        return query, key, value

    def join(self, mixed: Tensor) -> Tensor:
        """(B, heads, W, D / heads) -> (B, W, D)."""
        return self.out(mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """`seen` (W, W) or (B, 1, W, W) is true where the row may look at the column; every row must see something."""
        query, key, value = self.split(x)
        if self.causal:
            places = torch.arange(x.shape[1], device=x.device)
            query, key = rotated(query, places), rotated(key, places)
        return self.join(functional.scaled_dot_product_attention(query, key, value, seen, is_causal=self.causal))


KeysAndValues = tuple[Tensor, Tensor]  # each (B, heads, at most span - 1, D / heads)


class SlidingAttention(Attention):
    """Each bar looks at the last `span` bars, its own among them (Beltagy et al. 2020, Longformer, section 3.1).

    What is carried are the keys and values that the next bar can still see, so the state never outgrows `span`.

    >>> y, (key, value) = SlidingAttention(8, heads=2, span=5)(torch.zeros(1, 20, 8), None)
    >>> y.shape, key.shape
    (torch.Size([1, 20, 8]), torch.Size([1, 2, 4, 4]))
    """

    def __init__(self, width: int, heads: int, span: int) -> None:
        super().__init__(width, heads, causal=True)
        self.span = span

    def forward(self, x: Tensor, state: KeysAndValues | None) -> tuple[Tensor, KeysAndValues]:  # type: ignore[override]
        mixed = []
        for part in x.split(self.span, dim=1):  # the cost of a long stretch grows with its length, not its square
            found, state = self._read(part, state)
            mixed.append(found)
        assert state is not None
        return torch.cat(mixed, dim=1), state

    def _read(self, x: Tensor, state: KeysAndValues | None) -> tuple[Tensor, KeysAndValues]:
        query, key, value = self.split(x)
        if state is not None:
            key, value = torch.cat([state[0], key], dim=2), torch.cat([state[1], value], dim=2)
        places = torch.arange(key.shape[2], device=x.device)  # only differences count, so they need not be carried
        now = places[-x.shape[1] :]
        age = now[:, None] - places  # (T, past + T)
        mixed = functional.scaled_dot_product_attention(rotated(query, now), rotated(key, places), value,
                                                        (age >= 0) & (age < self.span))
        kept = max(0, key.shape[2] - (self.span - 1))
        return self.join(mixed), (key[:, :, kept:], value[:, :, kept:])


class AttentionBlock(nn.Module):
    """Attention and a feed-forward net, each with its norm before it and a residual around it (Xiong et al. 2020)."""

    def __init__(self, config: EncoderConfig, causal: bool = False) -> None:
        super().__init__()
        self.norm_attention = RMSNorm(config.width)
        self.attention = Attention(config.width, config.heads, causal)
        self.norm_mlp = RMSNorm(config.width)
        self.mlp = nn.Sequential(nn.Linear(config.width, config.ff), nn.GELU(), WindowDropout(config.dropout),
                                 nn.Linear(config.ff, config.width))
        self.dropout = WindowDropout(config.dropout)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x), seen))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


def turns(bars: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(W,) -> (W, count) angles of hands that go round once in 4 bars (the fastest) to about 1,000, in equal ratios.

    Vaswani et al. 2017, section 3.5, start at 2 pi bars and end at 60,000. Never in less than float32: bfloat16 cannot
    tell bar 257 from bar 256.

    >>> (turns(torch.arange(5), 3, torch.float64)[:, 0] / (2 * math.pi)).round(decimals=6).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    periods = torch.exp(torch.linspace(math.log(4.0), math.log(1000.0), count, device=bars.device, dtype=exact))
    return 2 * math.pi * bars[:, None].to(exact) / periods


def sines_of_age(window: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(W, D) position of each bar as sines and cosines of its age: 0 on the bar of the decision.

    Counting back from the decision, not on from the start of the window, makes "an hour ago" the same whatever the
    window.
    """
    angle = turns(torch.arange(window - 1, -1, -1, device=device), width // 2, dtype)  # (W, D/2)
    return torch.cat([angle.sin(), angle.cos()], dim=1).to(dtype)


def rotated(x: Tensor, bars: Tensor) -> Tensor:
    """(B, heads, W, P), each pair of channels turned by an angle that grows with its bar (W,).

    The product of a query and a key then depends on how far apart they are, not on where the window begins (Su et al.
    2021, RoFormer, section 3.2).
    """
    angle = turns(bars, x.shape[-1] // 2, x.dtype)  # (W, P/2)
    one, other = x.chunk(2, dim=-1)
    turned = [one * angle.cos() - other * angle.sin(), one * angle.sin() + other * angle.cos()]
    return torch.cat(turned, dim=-1).to(x.dtype)
