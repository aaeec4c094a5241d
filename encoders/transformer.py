"""`transformer`: self-attention over the window, positions by age, and temporal attention pooling.

Not causal inside the window: every bar of it has closed when the decision is made, so each may look at all others.
Pre-norm blocks (Xiong et al. 2020) need no warm-up tricks; the pool learns how much each hour counts.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import AttentionPool, RMSNorm, WindowDropout, sines_of_age


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2); dropout comes after it, since dropping single
    attention weights would leave the fused kernel and take several times as long on a CPU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, window, width = x.shape
        split = self.into(x).view(batch, window, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (B, heads, W, D / heads)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(batch, window, width))


class Block(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm_attention = RMSNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.norm_mlp = RMSNorm(config.width)
        self.mlp = nn.Sequential(nn.Linear(config.width, config.ff), nn.GELU(), WindowDropout(config.dropout),
                                 nn.Linear(config.ff, config.width))
        self.dropout = WindowDropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x)))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class Transformer(Encoder):
    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.into = nn.Linear(features, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width)
        self.pool = AttentionPool(config.width)
        self.dropout = WindowDropout(config.dropout)

    @property
    def hour_weights(self) -> Tensor | None:
        """(B, W) weight of each hour in the last call, oldest first; each row sums to one."""
        return self.pool.weights

    def forward_sequence(self, x: Tensor) -> Tensor:
        hours = self.into(x)  # (B, W, D)
        hours = hours + sines_of_age(x.shape[1], self.dim, x.device, hours.dtype)
        for block in self.blocks:
            hours = block(hours)
        return self.dropout(self.pool(self.norm(hours)))
