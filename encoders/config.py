"""Settings of the encoders; without torch, so that a script's --help is quick."""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import UserError
from configs.registry import check_name
from encoders import ENCODERS

HEADED = ("bilstm", "graph", "mamba", "mamba_mhsa", "tft", "transformer")
"""encoders whose width is shared out among heads"""


@dataclass(frozen=True)
class EncoderConfig:
    """One flat set of sizes; an encoder takes those it has a use for."""

    name: str = "transformer"
    """which network reads the window, a name of encoders.ENCODERS"""
    width: int = 32
    """size of the hidden layers and of the embedding D"""
    layers: int = 2
    """how many blocks stand on one another"""
    heads: int = 4
    """attention heads (transformer, mamba_mhsa, bilstm, tft, graph) or state-space heads (mamba); width must be a
    multiple"""
    ff: int = 64
    """hidden size of the feed-forward part of a block (transformer, mamba, mamba_mhsa, graph)"""
    state: int = 16
    """size of the recurrent state of each channel (mamba, mamba_mhsa)"""
    chunk: int = 64
    """bars that the scan of mamba and mamba_mhsa treats at once; a matter of speed, never of the result"""
    span: int = 128
    """bars that attention looks back, the own one included (mamba_mhsa)"""
    kernel: int = 3
    """bars that one convolution sees (tcn)"""
    filters: tuple[int, ...] = (16, 32)
    """channels of each convolution, the first 3 bars wide, the next 5, the next 7 (cnn_lstm)"""
    causal: bool = False
    """no bar of the window looks at a later one, as in language models (transformer)"""
    over: str = "lstm"
    """which encoder reads each asset before the assets look at each other (graph)"""
    over_layers: int = 1
    """how many layers that encoder has (graph)"""
    link: float = 0.3
    """assets whose returns correlate by more than this on training rows look at each other (graph)"""
    head: tuple[int, ...] = ()
    """hidden layers that direction, quantiles and volatility share after the embedding"""
    dropout: float = 0.1
    """share of activations dropped in training, between and inside blocks"""
    input_dropout: float = 0.0
    """share of features hidden from a whole window in training, so that no single noisy column is leant on"""

    def __post_init__(self) -> None:
        check_name("encoder", self.name, ENCODERS)
        for field in ("width", "layers", "heads", "ff", "state", "chunk", "span", "kernel", "over_layers"):
            if getattr(self, field) < 1:
                raise UserError(f"encoder {field} must be at least 1, found {getattr(self, field)}")
        for field in ("filters", "head"):
            if min(getattr(self, field), default=1) < 1:
                raise UserError(f"encoder {field} must hold sizes of at least 1, found {getattr(self, field)}")
        if self.name == "cnn_lstm" and not self.filters:
            raise UserError("a cnn_lstm needs at least one convolution: --net.filters 16 32")
        if self.width % (2 * self.heads) and self.name in HEADED:
            raise UserError(f"encoder width {self.width} must be a multiple of 2 x heads = {2 * self.heads}; "
                            "change --net.width or --net.heads")
        if self.name == "graph":
            check_name("encoder for a graph to stand on", self.over, [name for name in ENCODERS if name != "graph"])
        if not 0 <= self.link <= 1:
            raise UserError(f"encoder link is a correlation between 0 and 1, found {self.link}")
        for field in ("dropout", "input_dropout"):
            if not 0 <= getattr(self, field) < 1:
                raise UserError(f"encoder {field} must be at least 0 and below 1, found {getattr(self, field)}")
