"""Scaling with the statistics of training rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError


@dataclass(frozen=True, eq=False)
class Scaler:
    """Median and spread of each column; values beyond `clip` spreads are cut.

    >>> scaler = Scaler.fit(np.arange(10.0).reshape(10, 1, 1), ("x",), rows=np.arange(5))
    >>> float(scaler.center[0])
    2.0
    """

    columns: tuple[str, ...]
    center: np.ndarray  # (F,) float64
    scale: np.ndarray  # (F,) float64
    clip: float

    @classmethod
    def fit(cls, values: np.ndarray, columns: tuple[str, ...], rows: np.ndarray, clip: float = 8.0) -> Scaler:
        """`values` (T, N, F); only `rows` are looked at, all assets together."""
        seen = values[rows].reshape(-1, values.shape[-1])
        if len(seen) == 0:
            raise UserError("no training rows to fit the scaler on; give more data or a shorter warm-up")
        low, center, high = np.quantile(seen, (0.1, 0.5, 0.9), axis=0)
        # a normal law spans 2.563 deviations from 10 to 90 %; binary and calendar columns fall back to their deviation
        scale = (high - low) / 2.563
        scale = np.where(scale > 1e-12, scale, seen.std(axis=0))
        return cls(columns, center, np.where(scale > 1e-12, scale, 1.0), clip)

    def transform(self, values: np.ndarray) -> np.ndarray:
        """(T, N, F) scaled float32; NaN stays NaN."""
        return np.clip((values - self.center) / self.scale, -self.clip, self.clip).astype(np.float32)
