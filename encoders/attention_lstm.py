"""`attention_lstm` and `bilstm`: LSTMs whose every hour is scored; the embedding is the weighted sum of the hours."""

from __future__ import annotations

from torch import Tensor, nn

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import Attention, AttentionPool, RMSNorm, WindowDropout, recur


class AttentionLSTM(Encoder):
    """an LSTM with one score per hour, and the weighted sum of the hours"""

    ways = 1

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.lstm = nn.LSTM(features, config.width, config.layers, batch_first=True, bidirectional=self.ways == 2,
                            dropout=config.dropout if config.layers > 1 else 0.0)
        self.pool = AttentionPool(self.ways * config.width)
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    @property
    def hour_weights(self) -> Tensor | None:
        """(B, W) weight of each hour in the last call, oldest first; each row sums to one."""
        return self.pool.weights

    def forward_sequence(self, x: Tensor) -> Tensor:
        hours, _ = recur(self.lstm, x)  # (B, W, D)
        return self.dropout(self.norm(self.pool(hours)))


class BiLSTM(AttentionLSTM):
    """an LSTM that reads the window both ways, self-attention over its outputs, then one score per hour

    Schuster and Paliwal 1997. Reading back from the decision is no look ahead: every bar of a window has closed.
    """

    ways = 2

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.norm_hours = RMSNorm(2 * config.width)
        self.attention = Attention(2 * config.width, config.heads)
        self.out = nn.Linear(2 * config.width, config.width)

    def forward_sequence(self, x: Tensor) -> Tensor:
        hours, _ = recur(self.lstm, x)  # (B, W, 2 D)
        hours = hours + self.dropout(self.attention(self.norm_hours(hours)))
        return self.dropout(self.norm(self.out(self.pool(hours))))
