"""Baselines without anything to learn. Each is `market -> Policy` giving target weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.policy import Observation, Policy, WeightTable
from data.market import CLOSE, Market

MOMENTUM_BARS = 168
RANDOM_HOLDS = 24


class BuyAndHold:
    """Equal shares at the start, then no order any more: the target is what is held."""

    def __init__(self, assets: int) -> None:
        self.assets = assets

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        held = observation["account"][:, : self.assets]  # (B, N) weights
        bought = np.abs(held).sum(axis=1, keepdims=True) > 0
        return np.where(bought, held, 1.0 / self.assets), state


def cash(market: Market) -> Policy:
    return WeightTable(np.zeros(market.prices.shape[:2]))


def buy_and_hold(market: Market) -> Policy:
    return BuyAndHold(len(market.assets))


def random(market: Market) -> Policy:
    """Long, flat or short by chance, drawn anew every 24 bars on average; the same on every run."""
    rng = np.random.default_rng(0)
    rows, assets = market.prices.shape[:2]
    changes = rng.random((rows, assets)) < 1 / RANDOM_HOLDS
    changes[0] = True
    drawn = rng.integers(-1, 2, (rows, assets)) / assets
    last = np.maximum.accumulate(np.where(changes, np.arange(rows)[:, None], 0), axis=0)
    return WeightTable(np.take_along_axis(drawn, last, axis=0))


def momentum(market: Market) -> Policy:
    """Long after a week that rose, short after one that fell."""
    close = np.log(market.prices[:, :, CLOSE])
    past = np.zeros_like(close)
    past[MOMENTUM_BARS:] = close[MOMENTUM_BARS:] - close[:-MOMENTUM_BARS]
    return WeightTable(np.sign(past) / len(market.assets))
