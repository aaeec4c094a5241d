"""What every encoder is: `encode` turns windows (B, N, W, F) into embeddings (B, N, D)."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from configs.registry import lookup
from data.market import Market
from encoders import ENCODERS
from encoders.config import EncoderConfig
from encoders.layers import WindowDropout


class Encoder(nn.Module):
    """An encoder's own file shows only one of three: `forward_sequence` (reads a window as a whole), `bars` (causal) or
    `stream_sequence` (causal, and carries a state).

    The decision's own bar also reaches the embedding directly, through one matrix. What a few hundred independent
    labels can teach is mostly linear in it, and the network then only has to learn what the past adds.
    """

    causal: bool = False
    """what is found at a bar depends on no later bar, even inside the window"""
    stateful: bool = False
    """`stream` carries a state from one call to the next, so live use costs one bar, not a window"""

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__()
        self.features = features
        self.dim = config.width
        self.now = nn.Linear(features, config.width)
        self.hide_features = WindowDropout(config.input_dropout)

    def prepare(self, market: Market, rows: np.ndarray) -> None:
        """Measure on training `rows` what must be known before anything is learnt. Most encoders need nothing."""

    def encode(self, x: Tensor) -> Tensor:
        """(B, N, W, F) -> (B, N, D). Each asset is read by itself: assets are folded into the batch."""
        batch, assets, window, features = x.shape
        sequence = self.hide_features(x.reshape(batch * assets, window, features))
        embedding = self.forward_sequence(sequence) + self.now(sequence[:, -1])
        return embedding.reshape(batch, assets, self.dim)

    def stream(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(B, T, F), state -> (B, T, D), state. `None` is the state before the first bar."""
        x = self.hide_features(x)
        hidden, state = self.stream_sequence(x, state)
        return hidden + self.now(x), state

    def forward_sequence(self, x: Tensor) -> Tensor:
        """(B, W, F) -> (B, D), what the window says on its last bar."""
        return self.bars(x)[:, -1]

    def bars(self, x: Tensor) -> Tensor:
        """(B, W, F) -> (B, W, D), what each bar says from the bars up to it: causal encoders only."""
        if not self.stateful:
            raise NotImplementedError(f"{type(self).__name__} reads a window as a whole")
        return self.stream_sequence(x, None)[0]

    def stream_sequence(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(B, T, F), state -> (B, T, D), state."""
        raise NotImplementedError(f"{type(self).__name__} carries no state: embed windows instead")


def make_encoder(features: int, config: EncoderConfig, assets: int = 1) -> Encoder:
    """The encoder that `config.name` asks for, with fresh weights.

    >>> from encoders.config import EncoderConfig
    >>> import torch
    >>> make_encoder(5, EncoderConfig("lstm", width=8)).encode(torch.zeros(2, 3, 48, 5)).shape
    torch.Size([2, 3, 8])
    """
    return lookup("encoder", config.name, ENCODERS)(features, config, assets)


def kept(encoder: nn.Module, name: str) -> Tensor | None:
    """`hour_weights` or `variable_weights` of the last call, of the encoder itself or, as in a graph, of the one it
    stands on; nothing where none keeps such."""
    return next((weights for part in encoder.modules() if (weights := getattr(part, name, None)) is not None), None)
