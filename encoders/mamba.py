"""`mamba` and `mamba_mhsa`: blocks that carry a state, so a live step costs one bar.

Dao and Gu 2024, "Transformers are SSMs", section 7.1 (the block) and 6 (the scan, `ssd.py`). One group of B and C for
all heads; inner width twice the model's, as there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import CausalConv, GatedMLP, KeysAndValues, RMSNorm, SlidingAttention, WindowDropout
from encoders.ssd import ssd

CONV = 4  # bars that the short convolution sees, the paper's value
MEMORY = (4.0, 128.0)  # bars, of the heads that forget soonest and latest
ScanState = tuple[Tensor, Tensor]  # last CONV - 1 inputs of the convolution (B, 3, C), scan state (B, H, P, S)
MixerState = ScanState | KeysAndValues


class Mixer(nn.Module):
    """Projection, short causal convolution, scan, gate, norm, projection: (B, T, D) -> (B, T, D).

    It starts as a fixed filter: what is written, read and let through hangs on the inputs only a little, and each head
    remembers for another time. From the paper's start, where all three have no mean and the memory may be of any
    length, a hundred steps on noisy features teach it little of what lies far back (tests/encoders/test_memory.py).
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.inner = 2 * config.width
        self.heads = config.heads
        self.state = config.state
        self.chunk = config.chunk
        mixed = self.inner + 2 * self.state  # x, B and C all pass the convolution
        self.into = nn.Linear(config.width, self.inner + mixed + self.heads)
        self.conv = CausalConv(mixed, mixed, CONV, groups=mixed)
        nn.init.zeros_(self.into.bias)
        nn.init.ones_(self.into.bias.data[: self.inner])  # the gate
        assert self.conv.bias is not None
        nn.init.ones_(self.conv.bias.data[self.inner :])  # B and C
        step = torch.empty(self.heads).uniform_(math.log(0.03), math.log(0.3)).exp()
        self.dt_bias = nn.Parameter(torch.log(torch.expm1(step)))  # softplus of it is the step
        log_bars = torch.linspace(math.log(MEMORY[0]), math.log(MEMORY[1]), self.heads)  # until it has faded to 1 / e
        self.A_log = nn.Parameter(-log_bars - step.log())
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = RMSNorm(self.inner)
        self.out = nn.Linear(self.inner, config.width, bias=False)

    def forward(self, u: Tensor, state: ScanState | None) -> tuple[Tensor, ScanState]:
        gate, mixed, dt = self.into(u).split([self.inner, self.inner + 2 * self.state, self.heads], dim=-1)
        past, scan_state = state or (None, None)
        mixed, past = self.conv(mixed, past)  # (B, T, C)
        mixed = functional.silu(mixed)

        # the scan multiplies many decays: never below float32, also under autocast
        exact = torch.float64 if u.dtype == torch.float64 else torch.float32
        with torch.autocast(u.device.type, enabled=False):
            x, B, C = mixed.to(exact).split([self.inner, self.state, self.state], dim=-1)
            x = x.unflatten(-1, (self.heads, -1))  # (B, T, H, P)
            dt = functional.softplus(dt.to(exact) + self.dt_bias)  # (B, T, H)
            y, scan_state = ssd(x, dt, -self.A_log.exp(), B, C, scan_state, self.chunk)
            y = y + self.D[:, None] * x
        y = self.norm(y.flatten(2) * functional.silu(gate))  # (B, T, inner)
        return self.out(y), (past, scan_state)


class Block(nn.Module):
    """`mixer` looks at other bars, the MLP at each by itself."""

    def __init__(self, config: EncoderConfig, mixer: nn.Module) -> None:
        super().__init__()
        self.norm_mixer = RMSNorm(config.width)
        self.mixer = mixer
        self.norm_mlp = RMSNorm(config.width)
        self.mlp = GatedMLP(config.width, config.ff, config.dropout)
        self.dropout = WindowDropout(config.dropout)

    def forward(self, x: Tensor, state: MixerState | None) -> tuple[Tensor, MixerState]:
        mixed, state = self.mixer(self.norm_mixer(x), state)
        x = x + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.norm_mlp(x))), state


class Mamba(Encoder):
    """Mamba-2 (SSD) blocks, each a state-space scan and a gated MLP"""

    causal = True
    stateful = True

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.into = nn.Linear(features, config.width)
        self.blocks = nn.ModuleList(Block(config, self.mixer(config, index)) for index in range(config.layers))
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    def mixer(self, config: EncoderConfig, index: int) -> nn.Module:
        """What block `index` looks at other bars with."""
        return Mixer(config)

    def stream_sequence(self, x: Tensor, state: list[MixerState] | None) -> tuple[Tensor, list[MixerState]]:
        hidden = self.into(x)  # (B, T, D)
        after = []
        for block, before in zip(self.blocks, state or (None,) * len(self.blocks)):
            hidden, carried = block(hidden, before)
            after.append(carried)
        return self.dropout(self.norm(hidden)), after


class MambaMHSA(Mamba):
    """Mamba-2 with attention over the last `span` bars in every third block instead of the scan

    The scan remembers everything, but blurred; attention finds one bar exactly, and forgets it after `span` (Ren et al.
    2024, Samba, section 2). The blocks are counted from the last, so that there always is one with attention.
    """

    def mixer(self, config: EncoderConfig, index: int) -> nn.Module:
        if (config.layers - 1 - index) % 3:
            return Mixer(config)
        return SlidingAttention(config.width, config.heads, config.span)
