"""Scaling with the statistics of training rows only, or of trailing rows only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.errors import UserError

QUANTILES = (0.1, 0.5, 0.9)
NORMAL_SPAN = 2.563  # deviations between the 10 and the 90 % quantile of a normal law
REFRESH = 168  # rows for which trailing statistics stand before they are taken anew
LEAST = 168  # trailing values without which a column has no statistics of its own


@dataclass(frozen=True, eq=False)
class Scaler:
    """Median and spread of each column; values beyond `clip` spreads are set there.

    With `rolling`, the median and spread are those of that many trailing rows, taken anew every `REFRESH` rows, and the
    training rows' are kept for columns that have hardly begun, or not moved in all that time. A scale that was right
    for the storms of 2017 makes the calm of 2023 look like nothing.

    >>> scaler = Scaler.fit(np.arange(10.0).reshape(10, 1, 1), ("x",), rows=np.arange(5))
    >>> float(scaler.center[0])
    2.0
    """

    columns: tuple[str, ...]
    center: np.ndarray  # (F,) float64
    scale: np.ndarray  # (F,) float64
    clip: float
    rolling: int = 0  # trailing rows; 0: the training rows' statistics hold throughout
    unseen: tuple[str, ...] = ()  # columns without a value on the training rows: whoever was taught there knows none

    @classmethod
    def fit(cls, values: np.ndarray, columns: tuple[str, ...], rows: np.ndarray, clip: float = 8.0, rolling: int = 0
            ) -> Scaler:
        """`values` (T, N, F), NaN where missing; only `rows` are looked at, all assets together."""
        seen = values[rows].reshape(-1, values.shape[-1])
        if len(seen) == 0:
            raise UserError("no training rows to fit the scaler on; give more data or a shorter warm-up")
        center, scale = middle_and_spread(seen)
        known = np.isfinite(center)  # a column may be missing on all training rows, where a mask says so
        return cls(columns, np.where(known, center, 0.0), np.where(known & (scale > 1e-12), scale, 1.0), clip, rolling,
                   tuple(name for name, there in zip(columns, known, strict=True) if not there))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """(T, N, F) scaled float32; NaN stays NaN, and where trailing rows are too few there is no value."""
        center, scale = (self.center, self.scale) if not self.rolling else self.trailing(values)
        return np.clip((values - center) / scale, -self.clip, self.clip).astype(np.float32)

    def plain(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {"columns": self.columns, "center": self.center.tolist(), "scale": self.scale.tolist(),
                "clip": self.clip, "rolling": self.rolling, "unseen": self.unseen}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Scaler:
        """The scaler that `plain` described; a description that cannot be one is a ValueError."""
        scaler = cls(tuple(stored["columns"]), np.array(stored["center"], float), np.array(stored["scale"], float),
                     float(stored["clip"]), int(stored["rolling"]), tuple(stored.get("unseen", ())))
        shape = (len(scaler.columns),)
        if scaler.center.shape != shape or scaler.scale.shape != shape:
            raise ValueError(f"a scaler of {shape[0]} columns holds {scaler.center.shape} and {scaler.scale.shape} "
                             "numbers")
        if not (np.isfinite(scaler.center).all() and (scaler.scale > 0).all() and scaler.clip > 0):
            raise ValueError("a scaler must hold finite centres and scales above 0")
        return scaler

    def same_as(self, other: Scaler) -> bool:
        return (self.columns == other.columns and self.unseen == other.unseen and self.clip == other.clip
                and self.rolling == other.rolling and np.array_equal(self.center, other.center)
                and np.array_equal(self.scale, other.scale))

    def trailing(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, 1, F) centres and scales of the rows before; NaN until a quarter of `rolling` rows has been seen."""
        rows, assets, width = values.shape
        center, scale = np.full((2, rows, 1, width), np.nan)
        for first in range(0, rows, REFRESH):
            seen = values[max(first - self.rolling, 0) : first].reshape(-1, width)
            count = np.isfinite(seen).sum(axis=0)
            if count.max(initial=0) >= self.rolling * assets / 4:
                here = slice(first, first + REFRESH)
                middle, spread = middle_and_spread(seen)
                # a table that has only just begun is read on the training rows' scale
                center[here, 0] = np.where(count >= LEAST * assets, middle, self.center)
                scale[here, 0] = np.where((count >= LEAST * assets) & (spread > 1e-12), spread, self.scale)
        return center, scale


def middle_and_spread(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F,) median and spread of the rows of (n, F), each column's missing values aside; NaN for a column of them alone.

    >>> middle_and_spread(np.array([[0.0, np.nan], [1.0, np.nan], [2.0, np.nan]]))[0]
    array([ 1., nan])
    """
    ordered = np.sort(seen, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    low, center, high = (quantile(ordered, count, share) for share in QUANTILES)
    # binary and calendar columns, whose 10 and 90 % may be the same, fall back to their deviation
    spread = (high - low) / NORMAL_SPAN
    narrow = np.flatnonzero(~(spread > 1e-12) & (count > 0))
    spread[narrow] = [np.std(ordered[: count[column], column]) for column in narrow]
    return center, spread


def quantile(ordered: np.ndarray, count: np.ndarray, share: float) -> np.ndarray:
    """(F,) quantile of the first `count` rows of sorted columns, straight between neighbours as numpy's."""
    place = np.maximum(count - 1, 0) * share
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    column = np.arange(ordered.shape[1])
    lower, upper = ordered[below, column], ordered[above, column]
    return lower + (upper - lower) * (place - below)
