"""`tcn`: gated causal convolutions, each layer's bars twice as far apart as the last one's.

Van den Oord et al. 2016, WaveNet, sections 2.1 (dilation), 2.3 (gates) and 2.4 (residuals and skips). With kernel 3,
five layers see 63 bars and seven 255.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import CausalConv, RMSNorm, WindowDropout


class TCN(Encoder):
    """gated, dilated causal convolutions with residuals and skips, WaveNet style"""

    causal = True
    stateful = True

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        width = config.width
        self.into = nn.Linear(features, width)
        self.convs = nn.ModuleList(CausalConv(width, 2 * width, config.kernel, dilation=2 ** (layer % 10))
                                   for layer in range(config.layers))  # after 512 from 1 again, as in section 2.1
        self.residuals = nn.ModuleList(nn.Linear(width, width) for _ in range(config.layers - 1))
        self.skips = nn.Linear(config.layers * width, width)  # the sum of one matrix per layer
        self.norm = RMSNorm(width)
        self.dropout = WindowDropout(config.dropout)

    def stream_sequence(self, x: Tensor, state: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        hidden = self.into(x)  # (B, T, D)
        found, after = [], []
        for layer, before in enumerate(state or [None] * len(self.convs)):
            both, past = self.convs[layer](hidden, before)  # (B, T, 2 D)
            value, gate = both.chunk(2, dim=-1)
            found.append(self.dropout(torch.tanh(value) * torch.sigmoid(gate)))
            after.append(past)
            if layer < len(self.residuals):
                hidden = hidden + self.residuals[layer](found[-1])
        skips = functional.gelu(self.skips(torch.cat(found, dim=-1)))  # (B, T, layers D) -> (B, T, D)
        return self.dropout(self.norm(skips)), after
