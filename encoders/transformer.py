"""`transformer`: self-attention over the window, positions by age, and temporal attention pooling.

Not causal inside the window: every bar of it has closed when the decision is made, so each may look at all others, and
the pool learns how much each hour counts. With `causal: true` it is built as language models are (Radford et al. 2019,
GPT-2, section 2.3): no bar looks ahead, and what the window says is what its last bar says.
"""

from __future__ import annotations

from torch import Tensor, nn

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import AttentionBlock, AttentionPool, RMSNorm, WindowDropout, sines_of_age


class Transformer(Encoder):
    """self-attention over the window, positions by age, temporal attention pooling; causal if asked for"""

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.causal = config.causal
        self.into = nn.Linear(features, config.width)
        self.blocks = nn.ModuleList(AttentionBlock(config, config.causal) for _ in range(config.layers))
        self.norm = RMSNorm(config.width)
        self.pool = None if config.causal else AttentionPool(config.width)
        self.dropout = WindowDropout(config.dropout)

    @property
    def hour_weights(self) -> Tensor | None:
        """(B, W) weight of each hour in the last call, oldest first; each row sums to one. None where it is causal."""
        return self.pool.weights if self.pool else None

    def forward_sequence(self, x: Tensor) -> Tensor:
        if self.pool is None:
            return super().forward_sequence(x)
        hours = self.into(x)  # (B, W, D)
        hours = hours + sines_of_age(x.shape[1], self.dim, x.device, hours.dtype)
        return self.dropout(self.pool(self._read(hours)))

    def bars(self, x: Tensor) -> Tensor:
        return self.dropout(self._read(self.into(x))) if self.causal else super().bars(x)

    def _read(self, hours: Tensor) -> Tensor:
        for block in self.blocks:
            hours = block(hours)
        return self.norm(hours)  # (B, W, D)
