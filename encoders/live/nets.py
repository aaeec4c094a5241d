"""A net that reads one bar at a time: streams carry their state, windows roll."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from encoders.checkpoint import Checkpoint
from encoders.model import ForecastModel
from encoders.streams import CHUNK

Embedding = Callable[[Tensor], Tensor]


class LiveNet:
    """`after(bars)` is the embedding of the last of some bars that follow those read so far, or None before `window`
    bars are there; `forget` makes the next bar the first one."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.model = checkpoint.model()
        self.window = checkpoint.window
        self.forget()

    def forget(self) -> None:
        self.read = 0

    @torch.inference_mode()
    def after(self, bars: Tensor) -> Tensor | None:
        """(T, N, F) -> (1, N, D)."""
        self.read += len(bars)
        embedding = self.embedding(bars.transpose(0, 1))  # (N, T, F) -> (N, D)
        return embedding[None] if self.read >= self.window else None

    def embedding(self, bars: Tensor) -> Tensor:
        raise NotImplementedError


class Streamed(LiveNet):
    """One step of the recurrence a bar, whatever the window."""

    state: Any

    def forget(self) -> None:
        super().forget()
        self.state = None

    def embedding(self, bars: Tensor) -> Tensor:
        for part in bars.split(CHUNK, dim=1):
            hidden, self.state = self.model.encoder.stream(part, self.state)  # (N, T, D)
        return hidden[:, -1]


class Windowed(LiveNet):
    """The last `window` bars, read anew at each decision: what a pool or attention says of a bar changes with its age.
    """

    def __init__(self, checkpoint: Checkpoint, assets: int) -> None:
        super().__init__(checkpoint)
        self.bars = torch.zeros(assets, self.window, len(checkpoint.columns))  # (N, W, F)
        self.encode = traced(self.model, self.bars[None])

    def embedding(self, bars: Tensor) -> Tensor:
        self.bars = torch.cat([self.bars, bars], dim=1)[:, -self.window :]
        return self.encode(self.bars[None])[0]


def live_net(checkpoint: Checkpoint, assets: int) -> LiveNet:
    return Streamed(checkpoint) if checkpoint.context == "stream" else Windowed(checkpoint, assets)


class Embedder(nn.Module):
    """`encode` as a forward pass, which is what can be traced."""

    def __init__(self, model: ForecastModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.encode(x)


def traced(model: ForecastModel, example: Tensor) -> Embedding:
    """The encoder for windows of this one shape, without its Python and with the weights as constants.

    At one window a decision most of the time goes to calling the layers, and this takes about half as long.
    `torch.compile`, which torch names as its successor, is no faster than the trace here, takes half a minute to start
    and needs a C++ compiler beside the process that decides.

    >>> from encoders.config import EncoderConfig
    >>> from encoders.scale import TargetScale
    >>> model = ForecastModel.build(5, EncoderConfig("lstm", width=8), TargetScale(1.0, 1.0)).eval()
    >>> traced(model, torch.zeros(1, 2, 48, 5))(torch.randn(1, 2, 48, 5)).shape
    torch.Size([1, 2, 8])
    """
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated (above); and that sizes become constants, which is the purpose
        found = torch.jit.freeze(torch.jit.trace(Embedder(model).eval(), example, check_trace=False))
        for _ in range(3):  # the first calls profile and rewrite it
            found(example)
    return found
