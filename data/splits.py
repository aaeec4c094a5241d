"""Which rows may teach, which may choose, and which are looked at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError


@dataclass(frozen=True)
class SplitConfig:
    valid: float = 0.2
    """share of the rows that choose (early stopping, thresholds, the best model)"""
    test: float = 0.2
    """share of the rows that are looked at once, at the end"""
    embargo: int = 24
    """further bars left out between two spans, for what stays correlated after the labels have ended"""

    def __post_init__(self) -> None:
        if not (0 < self.valid < 1 and 0 < self.test < 1 and self.valid + self.test < 1 and self.embargo >= 0):
            raise UserError("split shares must be above 0 and leave rows for training, embargo at least 0: found "
                            f"valid {self.valid}, test {self.test}, embargo {self.embargo}")


@dataclass(frozen=True)
class Split:
    """Three spans in order of time, with `gap` rows between them that belong to none."""

    train: slice
    valid: slice
    test: slice
    gap: int

    def moved(self, rows: int) -> Split:
        """The same spans, so many rows later."""
        train, valid, test = (slice(span.start + rows, span.stop + rows)
                              for span in (self.train, self.valid, self.test))
        return Split(train, valid, test, self.gap)


def chronological(rows: int, horizon: int, window: int, config: SplitConfig) -> Split:
    """Train, validation and test spans, purged by label horizon (`LabelConfig.reach`) and window, then embargoed.

    >>> chronological(1000, horizon=10, window=20, config=SplitConfig(embargo=5))
    Split(train=slice(0, 600, None), valid=slice(635, 800, None), test=slice(835, 1000, None), gap=35)
    """
    gap = gap_of(horizon, window, config.embargo)
    first = int(np.floor(rows * (1 - config.valid - config.test) + 0.5))
    second = int(np.floor(rows * (1 - config.test) + 0.5))
    split = Split(slice(0, first), slice(first + gap, second), slice(second + gap, rows), gap)
    check_spans(split, rows, horizon, window)
    return split


def gap_of(horizon: int, window: int, embargo: int) -> int:
    """Rows between two spans, so that no label of the earlier meets a window of the later.

    The label of the last training row looks `horizon` rows ahead and the window of the first validation row
    `window - 1` rows back; with `horizon + window + embargo` rows between them the two cannot meet.

    >>> gap_of(horizon=10, window=20, embargo=5)
    35
    """
    return horizon + window + embargo


def check_spans(split: Split, rows: int, horizon: int, window: int) -> None:
    """Refuse a span that could not hold a labelled window."""
    for name in ("train", "valid", "test"):
        span = getattr(split, name)
        if span.stop - span.start < window + horizon:
            raise UserError(f"too few rows: {rows} bars leave {max(span.stop - span.start, 0)} for {name}, fewer than "
                            f"window {window} + horizon {horizon}; give more data, or a smaller window or embargo")
