"""A net that reads one bar at a time: streams carry their state, windows roll."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from encoders.checkpoint import Checkpoint
from encoders.heads import Outputs
from encoders.live.reader import Reader, Rolling
from encoders.model import ForecastModel
from encoders.streams import CHUNK

State = Any  # a tensor, or lists and tuples of such


class Streamed(Reader):
    """One step of the recurrence a bar, whatever the window."""

    state: list[Tensor] | None

    def __init__(self, checkpoint: Checkpoint, assets: int) -> None:
        super().__init__(checkpoint)
        self.model = checkpoint.model()
        bar = torch.zeros(assets, 1, len(checkpoint.columns))
        self.grown = grown_state(self.model, bar.expand(-1, self.window, -1))
        parts = tensors(self.grown)
        self.shapes = [part.shape for part in parts]
        self.step = traced(Step(self.model, self.grown), bar, *parts)

    def forget(self) -> None:
        super().forget()
        self.state = None

    def said(self, bars: Tensor) -> tuple[Tensor, ...]:
        if self.state and bars.shape[1] == 1 and [part.shape for part in self.state] == self.shapes:
            told = self.step(bars, *self.state)
            self.state = list(told[len(Outputs._fields) :])
            return told[: len(Outputs._fields)]
        state = self.state and filled(self.grown, iter(self.state))
        for part in bars.split(CHUNK, dim=1):
            hidden, state = self.model.encoder.stream(part, state)  # (N, T, D)
        self.state = tensors(state)
        return self.model.said(hidden[None, :, -1])


class Windowed(Rolling):
    """The last `window` bars, read anew at each decision: what a pool or attention says of a bar changes with its age.
    """

    def __init__(self, checkpoint: Checkpoint, assets: int) -> None:
        super().__init__(checkpoint, assets)
        self.read_window = traced(Reading(checkpoint.model()), self.bars[None])

    def said(self, bars: Tensor) -> tuple[Tensor, ...]:
        return self.read_window(self.with_last(bars)[None])


def live_net(checkpoint: Checkpoint, assets: int) -> Reader:
    return (Streamed if checkpoint.context == "stream" else Windowed)(checkpoint, assets)


class Reading(nn.Module):
    """What a model says of windows as a forward pass, which is what can be traced."""

    def __init__(self, model: ForecastModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.said(self.model.encode(x)))


class Step(nn.Module):
    """One bar of a stream as a forward pass, the state before and after it as so many tensors."""

    def __init__(self, model: ForecastModel, like: State) -> None:
        super().__init__()
        self.model = model
        self.like = like

    def forward(self, bar: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        hidden, after = self.model.encoder.stream(bar, filled(self.like, iter(state)))  # (N, 1, D)
        return (*self.model.said(hidden.transpose(0, 1)), *tensors(after))


@torch.inference_mode()
def grown_state(model: ForecastModel, bars: Tensor) -> State:
    """One as large as it becomes: sliding attention's grows with the first bars."""
    before, after = None, model.encoder.stream(bars)[1]
    while before is None or [part.shape for part in tensors(before)] != [part.shape for part in tensors(after)]:
        before, after = after, model.encoder.stream(bars, after)[1]
    return after


def tensors(state: State) -> list[Tensor]:
    """Those of a tensor, or of lists and tuples of such, in order."""
    return [state] if isinstance(state, Tensor) else [tensor for part in state for tensor in tensors(part)]


def filled(like: State, parts: Iterator[Tensor]) -> State:
    """`parts` in the order of `tensors`, put together as `like` is.

    >>> filled((torch.zeros(1), [torch.zeros(1)]), iter([torch.ones(1), torch.ones(1)]))
    (tensor([1.]), [tensor([1.])])
    """
    return next(parts) if isinstance(like, Tensor) else type(like)(filled(part, parts) for part in like)


def traced(module: nn.Module, *example: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    """The module for inputs of these shapes, without its Python and with the weights as constants.

    At one window a decision most of the time goes to calling the layers, and this takes about half as long.
    `torch.compile`, which torch names as its successor, is no faster than the trace here, takes half a minute to start
    and needs a C++ compiler beside the process that decides.

    >>> traced(nn.Softmax(dim=-1), torch.zeros(1, 2))(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated (above); and that sizes become constants, which is the purpose
        found = torch.jit.freeze(torch.jit.trace(module.eval(), example, check_trace=False))
        for _ in range(3):  # the first calls profile and rewrite it
            found(*example)
    return found
