"""`lstm`, `gru`, `residual_lstm` and `deep_lstm`: recurrent layers on one another; a bar says what the last one gives.

Hochreiter and Schmidhuber 1997 (LSTM); Cho et al. 2014, section 2.3 (GRU); Wu et al. 2016, section 3.1 (skips).
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import RMSNorm, WindowDropout, recur

LSTMState = tuple[Tensor, Tensor]  # hidden and cell, each (layers, B, D)


class LSTM(Encoder):
    """stacked LSTM layers"""

    causal = True
    stateful = True
    cells: ClassVar[type[nn.LSTM | nn.GRU]] = nn.LSTM

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        self.layers = self.cells(features, config.width, config.layers, batch_first=True,
                                 dropout=config.dropout if config.layers > 1 else 0.0)
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    def stream_sequence(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden, state = recur(self.layers, x, state)  # (B, T, D)
        return self.dropout(self.norm(hidden)), state


class GRU(LSTM):
    """stacked GRU layers, a quarter fewer weights than the LSTM's"""

    cells = nn.GRU


class ResidualLSTM(Encoder):
    """LSTM layers with a skip around each but the first"""

    causal = True
    stateful = True

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        inputs = [features] + [config.width] * (config.layers - 1)
        self.layers = nn.ModuleList(nn.LSTM(size, config.width, batch_first=True) for size in inputs)
        self.after_each = nn.ModuleList(self.layer_norm(config.width) for _ in inputs)
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    def layer_norm(self, width: int) -> nn.Module:
        return nn.Identity()

    def skip_from(self, layer: int) -> int | None:
        """The layer, counted from 1, whose output is added to that of `layer`."""
        return layer - 1 if layer > 1 else None

    def stream_sequence(self, x: Tensor, state: list[LSTMState] | None) -> tuple[Tensor, list[LSTMState]]:
        outputs, after = [x], []
        for layer, before in enumerate(state or [None] * len(self.layers), start=1):
            hidden, carried = recur(self.layers[layer - 1], self.dropout(outputs[-1]) if layer > 1 else x, before)
            hidden = self.after_each[layer - 1](hidden)  # (B, T, D)
            skip = self.skip_from(layer)
            outputs.append(hidden if skip is None else hidden + outputs[skip])
            after.append(carried)
        return self.dropout(self.norm(outputs[-1])), after


class DeepLSTM(ResidualLSTM):
    """LSTM layers with LayerNorm after each and skips from layer 2 to 3 and from 3 to 5"""

    def layer_norm(self, width: int) -> nn.Module:
        return nn.LayerNorm(width)  # Ba et al. 2016

    def skip_from(self, layer: int) -> int | None:
        return {3: 2, 5: 3}.get(layer)
