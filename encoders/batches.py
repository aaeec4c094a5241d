"""Windows cut on the device: the whole market lies there once, a batch is a list of row numbers.

A copy of every window would be W times the market; row numbers and one gather cost nothing and need no loader.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from configs.errors import UserError
from data.labels import UNKNOWN, Labels
from data.market import Market
from encoders.heads import Targets
from encoders.scale import TargetScale


class Windows:
    """`windows(rows)` is (B, N, W, F), the last bar of each window being its row."""

    def __init__(self, market: Market, window: int, device: torch.device | str) -> None:
        # NaN outside the segments stays NaN: a row that should not be asked for makes the first loss non-finite
        self.table = torch.from_numpy(np.ascontiguousarray(market.features, np.float32)).to(device)  # (T, N, F)
        self.back = torch.arange(-window + 1, 1, device=device)

    def __call__(self, rows: Tensor | np.ndarray) -> Tensor:
        last = torch.as_tensor(rows, device=self.table.device)
        return self.table[last[:, None] + self.back].transpose(1, 2)  # (B, W, N, F) -> (B, N, W, F)


class LabelTable:
    """Labels in units of `scale`, on the device: `labels(rows)` are the targets (B, N) of those rows."""

    def __init__(self, market: Market, labels: Labels, scale: TargetScale, device: torch.device | str) -> None:
        self.all = Targets(*(torch.from_numpy(part).to(device) for part in in_units(market, labels, scale)))

    def __call__(self, rows: Tensor | np.ndarray) -> Targets:
        last = torch.as_tensor(rows, device=self.all.forward.device)
        return Targets(*(part[last] for part in self.all))

    def of_bars(self, bars: Tensor, teaches: Tensor) -> Targets:
        """Targets (B * N, T) of the bars (B, T) of a stream; those that do not teach are unknown."""
        direction, forward, volatility = (part[bars].transpose(1, 2).flatten(0, 1) for part in self.all)
        silent = ~teaches.repeat_interleave(self.all.direction.shape[1], dim=0)
        return Targets(direction.masked_fill(silent, UNKNOWN), forward, volatility)


def in_units(market: Market, labels: Labels, scale: TargetScale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, N) direction, and forward return and volatility in units of `scale`, float32."""
    expected = scale.expected(market)
    return (labels.direction, (labels.forward / (scale.forward * expected)).astype(np.float32),
            (labels.volatility / (scale.volatility * expected)).astype(np.float32))


def labelled_rows(market: Market, labels: Labels, window: int, rows: slice) -> np.ndarray:
    """Rows of a span on which a window fits and some asset's label is known *inside the span*."""
    found = market.decision_rows(window, rows)
    # the last rows of a span know their label only from the bars after it; those belong to the next span
    last = rows.indices(len(market))[1] - labels.reach
    found = found[(labels.direction[found] != UNKNOWN).any(axis=1) & (found < last)]
    if len(found) == 0:
        raise UserError(f"no labelled windows of {window} bars in rows {rows.start} to {rows.stop}: give more data or "
                        "a smaller window")
    return found


def spread_rows(rows: np.ndarray, count: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """`count` of the rows, one from each of as many equal stretches: at random, or the middle one without `rng`.

    Labels of neighbouring rows look at almost the same bars; spread rows share as little as they can.

    >>> spread_rows(np.arange(100, 120), 4).tolist()
    [102, 107, 112, 117]
    """
    if count <= 0 or count >= len(rows):
        return rows
    within = 0.5 if rng is None else rng.random(count)
    return rows[((np.arange(count) + within) * (len(rows) / count)).astype(np.int64)]
