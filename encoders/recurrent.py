"""`lstm`: a stack of LSTM layers; the embedding is the last layer's output on the last bar."""

from __future__ import annotations

from torch import Tensor, nn

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import RMSNorm, WindowDropout

LSTMState = tuple[Tensor, Tensor]  # hidden and cell, each (layers, B, D)


class LSTM(Encoder):
    causal = True
    stateful = True

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.lstm = nn.LSTM(features, config.width, config.layers, batch_first=True,
                            dropout=config.dropout if config.layers > 1 else 0.0)
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    def stream_sequence(self, x: Tensor, state: LSTMState | None) -> tuple[Tensor, LSTMState]:
        hidden, state = self.lstm(x, state)  # (B, T, D)
        return self.dropout(self.norm(hidden)), state
