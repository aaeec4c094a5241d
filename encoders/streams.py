"""A state carried through a market, bar by bar or in long chunks: the same numbers either way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from encoders.base import Encoder

CHUNK = 4096
"""bars read at once: a matter of memory, and of the result only where dropout stays on, for that is drawn by chunk"""


@torch.no_grad()
def carried(encoder: Encoder, table: Tensor, segments: np.ndarray, rows: np.ndarray, before: int | None = None
            ) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Some of the rising `rows` at a time, with their embeddings (R, N, D), from a table (T, N, F) of features.

    The state begins at the start of each segment, or `before` bars ahead of the first row asked for there, and is
    carried to the last.
    """
    for start, stop in segments:
        wanted = rows[(rows >= start) & (rows < stop)]
        if not len(wanted):
            continue
        state, end = None, int(wanted[-1]) + 1
        begin = int(start) if before is None else max(int(start), int(wanted[0]) - before)
        for first in range(begin, end, CHUNK):
            last = min(first + CHUNK, end)
            hidden, state = encoder.stream(table[first:last].transpose(0, 1), state)  # (N, T, D)
            here = wanted[(wanted >= first) & (wanted < last)]
            if len(here):
                yield here, hidden[:, torch.as_tensor(here - first, device=hidden.device)].transpose(0, 1)
