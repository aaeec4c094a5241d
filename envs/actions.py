"""From what a policy says to target weights; what makes no sense is refused, never traded."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from configs.errors import UserError


class LevelActions:
    """Each asset holds one of a few target weights: `Discrete(L)` for one asset, `MultiDiscrete` for several."""

    def __init__(self, levels: tuple[float, ...], gross: float, assets: int) -> None:
        if len(levels) < 2 or len(set(levels)) != len(levels) or not np.isfinite(levels).all():
            raise UserError(f"env.levels needs at least two different weights, found {levels}")
        self.levels = np.array(levels)
        self._weights = self.levels.tolist()
        self.space: spaces.Space = (
            spaces.Discrete(len(levels)) if assets == 1 else spaces.MultiDiscrete([len(levels)] * assets)
        )
        self.gross = gross

    def write(self, action: np.ndarray, target: np.ndarray) -> None:
        """`action` (B,) or (B, N) of level numbers into `target` (B, N)."""
        if isinstance(action, (int, np.integer)) and target.size == 1 and 0 <= action < len(self._weights):
            target[0, 0] = self._weights[action]  # one account: array arithmetic would take longer than the step
            return
        numbers = np.asarray(action).reshape(target.shape)
        if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= len(self.levels):
            raise UserError(f"an action must be a whole number from 0 to {len(self.levels) - 1} (weights "
                            f"{self.levels.tolist()}), found {np.asarray(action).tolist()}")
        np.take(self.levels, numbers, out=target)
        if target.shape[1] > 1:  # one level alone is within the limit, which the config has checked
            shrink(target, self.gross)


class WeightActions:
    """Target weights themselves, each within [low, high]; if they add up to more than `gross`, all shrink alike."""

    def __init__(self, low: float, high: float, gross: float, assets: int) -> None:
        if not (low < high and gross > 0):
            raise UserError(f"env.low must lie below env.high and env.gross above 0, found {low}, {high}, {gross}")
        self.low, self.high, self.gross = low, high, gross
        self.space: spaces.Space = spaces.Box(low, high, (assets,), np.float32)

    def write(self, action: np.ndarray, target: np.ndarray) -> None:
        """`action` (B, N) of weights into `target` (B, N)."""
        weights = np.asarray(action, np.float64).reshape(target.shape)
        slack = 1e-6  # float32 actions at the border
        if not ((weights >= self.low - slack) & (weights <= self.high + slack)).all():  # NaN fails as well
            raise UserError(f"target weights must lie in [{self.low}, {self.high}], found {weights.tolist()}")
        target[:] = weights
        shrink(target, self.gross)


def shrink(target: np.ndarray, gross: float) -> None:
    """Scale each account's weights (B, N) down, all alike, until their absolute sum is within `gross`."""
    held = np.abs(target).sum(axis=1, keepdims=True)
    np.divide(target, np.maximum(held / gross, 1.0), out=target)
