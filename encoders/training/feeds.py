"""What a pass through the training rows consists of: windows in random order, or pieces of a stream in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from data.market import Market
from encoders.batches import LabelTable, Windows, spread_rows
from encoders.heads import Targets


class Batch(NamedTuple):
    rows: np.ndarray  # rows of windows (B,), or of the bars of a stream (B, T)
    teaches: np.ndarray  # of the same shape: whose labels count
    begins: bool = True  # with no state carried into it


class Feed(Protocol):
    def passes(self, rows: np.ndarray, rng: np.random.Generator, batch: int) -> Iterator[Batch]:
        """The batches of one pass that learns from `rows`."""
        ...

    def count(self, batch: int) -> int:
        """Batches of a pass that learns from all training rows."""
        ...

    def inputs(self, batch: Batch) -> tuple[Tensor, Targets]:
        """What the objective takes."""
        ...


class WindowFeed:
    """Windows cut on the device, `per_pass` of them a pass."""

    def __init__(self, windows: Windows, labels: LabelTable, rows: np.ndarray, per_pass: int) -> None:
        self.windows, self.labels = windows, labels
        self.rows, self.per_pass = rows, per_pass

    def passes(self, rows: np.ndarray, rng: np.random.Generator, batch: int) -> Iterator[Batch]:
        drawn = rng.permutation(spread_rows(rows, self.per_pass, rng))
        for part in np.array_split(drawn, -(-len(drawn) // batch)):
            yield Batch(part, np.ones(len(part), bool))

    def count(self, batch: int) -> int:
        return -(-len(spread_rows(self.rows, self.per_pass)) // batch)

    def inputs(self, batch: Batch) -> tuple[Tensor, Targets]:
        return self.windows(batch.rows), self.labels(batch.rows)


class StreamFeed:
    """Pieces of the training stretches side by side, each read chunk by chunk with the state carried on.

    A piece is `carried` chunks of `tbptt` bars. Its first `window - 1` bars only warm the state up, as a window's do;
    they teach in the piece before. Where pieces begin is drawn anew for each pass, so that no bar is always read with
    a young state.
    """

    def __init__(self, market: Market, labels: LabelTable, rows: np.ndarray, window: int, tbptt: int, carried: int,
                 device: torch.device | str) -> None:
        self.labels, self.window, self.tbptt, self.carried = labels, window, tbptt, carried
        self.rows = rows
        self.length = tbptt * carried
        self.fresh = self.length - window + 1  # bars of a piece that teach
        # padding reads row 0, where features may be NaN; nothing of it is ever learnt from
        self.table = torch.from_numpy(np.nan_to_num(market.features)).to(device)  # (T, N, F)
        first, last = int(rows[0]) - window + 1, int(rows[-1]) + 1
        self.stretches = [(max(int(start), first), min(int(stop), last)) for start, stop in market.segments]

    def pieces(self, offset: int) -> list[tuple[int, int]]:
        """First and last-plus-one bar of every piece.

        >>> market, rows = Market.flat(30), np.arange(4, 30)
        >>> StreamFeed(market, None, rows, window=5, tbptt=4, carried=3, device="cpu").pieces(offset=0)
        [(0, 12), (8, 20), (16, 28), (24, 30)]
        """
        found = []
        for start, stop in self.stretches:
            for first in range(start - offset % self.fresh, stop, self.fresh):
                begin, end = max(first, start), min(first + self.length, stop)
                if end - begin >= self.window:
                    found.append((begin, end))
        return found

    def passes(self, rows: np.ndarray, rng: np.random.Generator, batch: int) -> Iterator[Batch]:
        pieces = self.pieces(int(rng.integers(self.fresh)))
        for group in np.array_split(rng.permutation(len(pieces)), -(-len(pieces) // batch)):
            bars = np.zeros((len(group), self.length), np.int64)
            teaches = np.zeros(bars.shape, bool)
            for lane, (begin, end) in enumerate(pieces[index] for index in group):
                bars[lane, : end - begin] = np.arange(begin, end)
                teaches[lane, self.window - 1 : end - begin] = np.isin(np.arange(begin + self.window - 1, end), rows)
            for first in range(0, self.length, self.tbptt):
                chunk = slice(first, first + self.tbptt)
                if teaches[:, first:].any():
                    yield Batch(bars[:, chunk], teaches[:, chunk], begins=first == 0)

    def count(self, batch: int) -> int:
        return -(-len(self.pieces(0)) // batch) * self.carried

    def inputs(self, batch: Batch) -> tuple[Tensor, Targets]:
        bars = torch.as_tensor(batch.rows, device=self.table.device)
        x = self.table[bars].transpose(1, 2).flatten(0, 1)  # (B, T, N, F) -> (B * N, T, F)
        return x, self.labels.of_bars(bars, torch.as_tensor(batch.teaches, device=bars.device))
