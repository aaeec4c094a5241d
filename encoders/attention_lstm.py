"""`attention_lstm`: an LSTM whose every hour is scored; the embedding is the weighted sum of the hours."""

from __future__ import annotations

from torch import Tensor, nn

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import AttentionPool, RMSNorm, WindowDropout


class AttentionLSTM(Encoder):
    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.lstm = nn.LSTM(features, config.width, config.layers, batch_first=True,
                            dropout=config.dropout if config.layers > 1 else 0.0)
        self.pool = AttentionPool(config.width)
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    @property
    def hour_weights(self) -> Tensor | None:
        """(B, W) weight of each hour in the last call, oldest first; each row sums to one."""
        return self.pool.weights

    def forward_sequence(self, x: Tensor) -> Tensor:
        hours, _ = self.lstm(x)  # (B, W, D)
        return self.dropout(self.norm(self.pool(hours)))
