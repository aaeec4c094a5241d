"""The last bars, as many as what a new one makes known depends on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from data.labels import UNKNOWN, LabelConfig, Labels, make_labels
from data.market import Market
from encoders.scale import TargetScale


class Past:
    """Of each new bar: the outcome of the row `reach` bars before it, and the volatility that is expected at its close.

    >>> past = Past(Market.flat(1), LabelConfig(horizon=1, threshold=0.05), "2020-01-01", [])
    >>> past.add(np.datetime64("2020-01-01T02:00"), np.full((1, 5), 106.0))
    >>> past.outcome().direction.tolist(), round(past.outcome().forward.item(), 4)
    ([[2]], 0.0583)
    """

    def __init__(self, history: Market, labels: LabelConfig, since: str, scales: Iterable[TargetScale]) -> None:
        self.labels, self.since = labels, np.datetime64(since)
        bars = [count for scale in scales for count in scale.bars]
        # a label: the bars it looks back on and ahead to; a trailing variance: one more than its returns
        self.of_label = labels.volatility_window + labels.reach + 1
        self.most = max([self.of_label, *(count + 1 for count in bars)])
        rows = history.parts[-1]
        last = history.slice(slice(max(rows.start, rows.stop - self.most), rows.stop))
        self.market = replace(last, features=np.zeros((*last.features.shape[:2], 1), np.float32), columns=("none",),
                              carry=np.zeros_like(last.carry), spread=None)

    @property
    def open(self) -> int:
        """Bars of the segment that the next bar follows."""
        start, stop = self.market.segments[-1] if len(self.market.segments) else (0, 0)
        return int(stop - start) if stop == len(self.market) else 0

    def add(self, time: np.datetime64, prices: np.ndarray, absent: np.ndarray | None = None, inside: bool = True,
            gap: bool = False) -> None:
        """A bar with prices (N, 5), `inside` a segment, which is a new one after a `gap`."""
        old, assets = self.market, len(self.market.assets)
        segments = old.segments
        if inside:
            begin, before = (segments[-1, 0], segments[:-1]) if self.open and not gap else (len(old), segments)
            segments = np.concatenate([before, [[begin, len(old) + 1]]])
        dropped = max(len(old) + 1 - self.most, 0)
        segments = np.maximum(segments - dropped, 0)
        missing = None
        if absent is not None or old.absent is not None:
            before, there = (np.zeros((rows, assets), bool) for rows in (len(old), 1))
            missing = np.concatenate([(before if old.absent is None else old.absent)[dropped:],
                                      there if absent is None else absent[None]])
        rows = len(old) + 1 - dropped
        self.market = replace(
            old, time=np.append(old.time[dropped:], time), prices=np.concatenate([old.prices[dropped:], prices[None]]),
            features=np.zeros((rows, assets, 1), np.float32), carry=np.zeros((rows, assets)),
            segments=segments[segments[:, 1] > segments[:, 0]], absent=missing)

    def outcome(self) -> Labels:
        """The label (1, N) that the last bar made known; unknown where that lies before a gap or does not count."""
        row = len(self.market) - 1 - self.labels.reach
        if self.open <= self.labels.reach or self.market.time[row] < self.since:
            return unknown(len(self.market.assets), self.labels.reach)
        first = max(len(self.market) - self.of_label, 0)
        found = make_labels(self.market.prices[first:], np.maximum(self.market.segments[-1:] - first, 0), self.labels,
                            None if self.market.absent is None else self.market.absent[first:])
        here = slice(row - first, row - first + 1)
        return Labels(found.direction[here], found.forward[here], found.volatility[here], self.labels.reach)

    def expected(self, scale: TargetScale) -> np.ndarray:
        """(1, N) at the close of the last bar."""
        return scale.expected(self.market)[-1:]


def unknown(assets: int, reach: int) -> Labels:
    """One row without an outcome."""
    nothing = np.full((1, assets), np.nan, np.float32)
    return Labels(np.full((1, assets), UNKNOWN), nothing, nothing, reach)
