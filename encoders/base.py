"""What every encoder is: `encode` turns windows (B, N, W, F) into embeddings (B, N, D)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from configs.errors import UserError
from configs.registry import check_name, lookup
from encoders import ENCODERS
from encoders.layers import WindowDropout


@dataclass(frozen=True)
class EncoderConfig:
    """One flat set of sizes; an encoder takes those it has a use for."""

    name: str = "transformer"
    """which network reads the window: lstm, attention_lstm, transformer or mamba"""
    width: int = 32
    """size of the hidden layers and of the embedding D"""
    layers: int = 2
    """how many blocks stand on one another"""
    heads: int = 4
    """attention heads (transformer) or state-space heads (mamba); width must be a multiple"""
    ff: int = 64
    """hidden size of the feed-forward part of a block (transformer, mamba)"""
    state: int = 16
    """size of the recurrent state of each channel (mamba)"""
    chunk: int = 64
    """bars that mamba's scan treats at once; a matter of speed, never of the result"""
    dropout: float = 0.1
    """share of activations dropped in training, between and inside blocks"""
    input_dropout: float = 0.0
    """share of features hidden from a whole window in training, so that no single noisy column is leant on"""

    def __post_init__(self) -> None:
        check_name("encoder", self.name, ENCODERS)
        for field in ("width", "layers", "heads", "ff", "state", "chunk"):
            if getattr(self, field) < 1:
                raise UserError(f"encoder {field} must be at least 1, found {getattr(self, field)}")
        if self.width % (2 * self.heads) and self.name in ("transformer", "mamba"):
            raise UserError(f"encoder width {self.width} must be a multiple of 2 x heads = {2 * self.heads}; "
                            "change --encoder.width or --encoder.heads")
        for field in ("dropout", "input_dropout"):
            if not 0 <= getattr(self, field) < 1:
                raise UserError(f"encoder {field} must be at least 0 and below 1, found {getattr(self, field)}")


class Encoder(nn.Module):
    """An encoder's own file shows only `forward_sequence`, and `stream_sequence` where it can carry a state.

    The decision's own bar also reaches the embedding directly, through one matrix. What a few hundred independent
    labels can teach is mostly linear in it, and the network then only has to learn what the past adds.
    """

    causal: ClassVar[bool]
    """what is found at a bar depends on no later bar, even inside the window"""
    stateful: ClassVar[bool]
    """`stream` carries a state from one call to the next, so live use costs one bar, not a window"""

    def __init__(self, features: int, config: EncoderConfig) -> None:
        super().__init__()
        self.features = features
        self.dim = config.width
        self.now = nn.Linear(features, config.width)
        self.hide_features = WindowDropout(config.input_dropout)

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
        raise NotImplementedError

    def stream_sequence(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(B, T, F), state -> (B, T, D), state."""
        raise NotImplementedError(f"{type(self).__name__} carries no state: embed windows instead")


def make_encoder(features: int, config: EncoderConfig) -> Encoder:
    """The encoder that `config.name` asks for, with fresh weights."""
    return lookup("encoder", config.name, ENCODERS)(features, config)
