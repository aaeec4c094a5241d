"""From what a policy says to target weights; what makes no sense is refused, never traded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from gymnasium import spaces

from configs.errors import UserError

if TYPE_CHECKING:
    from envs.config import EnvConfig

Weights = Callable[[], np.ndarray]
HOLD, BUY, SELL = range(3)
SLACK = 1e-6  # float32 actions at the border


class Actions(Protocol):
    space: spaces.Space
    out: np.ndarray | None  # (N,) action of an account in cash that stays there; None where none does

    def write(self, action: np.ndarray, target: np.ndarray, weights: Weights) -> None:
        """`action` of B accounts into `target` (B, N), NaN leaves an asset as it is; `weights()` are held (B, N)."""

    def masks(self, held: np.ndarray, tradeable: np.ndarray) -> np.ndarray:
        """(B, choices) which choices make sense, as MaskablePPO wants them: N times as many for N assets."""


class LevelActions:
    """Each asset holds one of a few target weights: `Discrete(L)` for one asset, `MultiDiscrete` for several."""

    def __init__(self, levels: tuple[float, ...], assets: int) -> None:
        if len(levels) < 2 or len(set(levels)) != len(levels) or not np.isfinite(levels).all():
            raise UserError(f"env.levels needs at least two different weights, found {levels}")
        self.levels = np.array(levels)
        self._weights = self.levels.tolist()
        self._meaning = f"target weights {self._weights}"
        self.space: spaces.Space = choices(len(levels), assets)
        self.out: np.ndarray | None = np.full(assets, levels.index(0.0)) if 0 in levels else None

    def write(self, action: np.ndarray, target: np.ndarray, weights: Weights) -> None:
        if isinstance(action, (int, np.integer)) and target.size == 1 and 0 <= action < len(self._weights):
            target[0, 0] = self._weights[action]  # one account: array arithmetic would take longer than the step
            return
        looked_up(self.levels, action, target, self._meaning)

    def masks(self, held: np.ndarray, tradeable: np.ndarray) -> np.ndarray:
        """Where an asset cannot be traded only the level nearest to what is held is left."""
        nearest = np.abs(held[:, :, None] - self.levels).argmin(axis=2)  # (B, N)
        stay = np.arange(len(self.levels)) == nearest[:, :, None]
        return (tradeable[:, :, None] | stay).reshape(len(held), -1)


class StepActions:
    """Each asset is held, bought or sold by a step of weight: 0 holds, 1 buys, 2 sells. Holding sends no order."""

    def __init__(self, step: float, low: float, high: float, assets: int) -> None:
        if not (step > 0 and low < high):
            raise UserError(f"env.step must be above 0 and env.low below env.high, found {step}, {low}, {high}")
        self.low, self.high = low, high
        self.changes = np.array([np.nan, step, -step])
        self.space: spaces.Space = choices(3, assets)
        self.out: np.ndarray | None = np.full(assets, HOLD)

    def write(self, action: np.ndarray, target: np.ndarray, weights: Weights) -> None:
        numbers = looked_up(self.changes, action, target, "hold, buy, sell")
        held = weights()
        target += held
        np.clip(target, self.low, self.high, out=target)  # NaN stays NaN
        # what has drifted beyond its limit is never moved further out, nor back by an order for the other way
        target[(numbers == BUY) & (held >= self.high)] = np.nan
        target[(numbers == SELL) & (held <= self.low)] = np.nan

    def masks(self, held: np.ndarray, tradeable: np.ndarray) -> np.ndarray:
        """Holding always makes sense; buying below the highest weight, selling above the lowest."""
        allowed = np.ones((*held.shape, 3), bool)
        allowed[:, :, BUY] = tradeable & (held < self.high - SLACK)
        allowed[:, :, SELL] = tradeable & (held > self.low + SLACK)
        return allowed.reshape(len(held), -1)


class WeightActions:
    """Target weights themselves, each within [low, high]; with low 0 a long-only account whose rest is cash."""

    def __init__(self, low: float, high: float, assets: int) -> None:
        if not low < high:
            raise UserError(f"env.low must lie below env.high, found {low}, {high}")
        self.low, self.high = low, high
        self.space: spaces.Space = spaces.Box(low, high, (assets,), np.float32)
        self.out: np.ndarray | None = np.zeros(assets, np.float32) if low <= 0 <= high else None

    def write(self, action: np.ndarray, target: np.ndarray, weights: Weights) -> None:
        try:
            wished = np.asarray(action, np.float64)
        except (TypeError, ValueError):
            raise UserError(f"an action is target weights, found {action!r}") from None
        if wished.size != target.size:
            raise UserError(f"an action needs {target.shape[-1]} target weights for each account, found {wished.size} "
                            f"for {len(target)}")
        if not ((wished >= self.low - SLACK) & (wished <= self.high + SLACK)).all():  # NaN fails as well
            raise UserError(f"target weights must lie in [{self.low}, {self.high}], found {wished.tolist()}")
        target[:] = wished.reshape(target.shape)

    def masks(self, held: np.ndarray, tradeable: np.ndarray) -> np.ndarray:
        raise UserError("env.action 'weights' is continuous and has no choices to mask; take 'levels' or 'steps'")


ACTIONS: dict[str, Callable[[EnvConfig, int], Actions]] = {
    "levels": lambda config, assets: LevelActions(config.levels, assets),
    "steps": lambda config, assets: StepActions(config.step, config.low, config.high, assets),
    "weights": lambda config, assets: WeightActions(config.low, config.high, assets),
}


def choices(count: int, assets: int) -> spaces.Space:
    return spaces.Discrete(count) if assets == 1 else spaces.MultiDiscrete([count] * assets)


def looked_up(table: np.ndarray, action: np.ndarray, target: np.ndarray, meaning: str) -> np.ndarray:
    """`table[action]` into `target`, or a plain refusal; returns the action as numbers in the target's shape."""
    numbers = np.asarray(action)
    if numbers.size == target.size and numbers.dtype.kind in "iu" and numbers.min() >= 0:
        numbers = numbers.reshape(target.shape)
        try:
            target[:] = table[numbers]
            return numbers
        except IndexError:
            pass
    found = str(numbers.ravel()[:8].tolist()) + (" and so on" if numbers.size > 8 else "")
    accounts, assets = target.shape
    raise UserError(f"an action must be a whole number from 0 to {len(table) - 1} ({meaning}) for each asset, here for "
                    f"{accounts} account(s) of {assets} asset(s), found {found}, shape {numbers.shape}")
