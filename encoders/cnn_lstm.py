"""`cnn_lstm`: causal convolutions find short patterns, an LSTM reads what they found (Sainath et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import CausalConv, RMSNorm, WindowDropout, recur

CNNState = tuple[list[Tensor], tuple[Tensor, Tensor]]  # last inputs of each convolution; hidden and cell of the LSTM


class CNNLSTM(Encoder):
    """1-D convolutions of growing width, then stacked LSTM layers"""

    causal = True
    stateful = True

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        inputs = (features, *config.filters)
        self.convs = nn.ModuleList(CausalConv(into, out, kernel=3 + 2 * index)
                                   for index, (into, out) in enumerate(zip(inputs, config.filters)))
        self.lstm = nn.LSTM(inputs[-1], config.width, config.layers, batch_first=True,
                            dropout=config.dropout if config.layers > 1 else 0.0)
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    def stream_sequence(self, x: Tensor, state: CNNState | None) -> tuple[Tensor, CNNState]:
        before: Sequence[Tensor | None]
        before, memory = state or ((None,) * len(self.convs), None)
        after = []
        for conv, past in zip(self.convs, before):
            x, past = conv(x, past)  # (B, T, filters)
            x = functional.gelu(x)
            after.append(past)
        hidden, memory = recur(self.lstm, self.dropout(x), memory)  # (B, T, D)
        return self.dropout(self.norm(hidden)), (after, memory)
