"""Markets that look otherwise to those who trade on them, for what a contestant owes to clean and fresh data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.lots import FLAG
from data.market import Market
from data.segments import covered


def noisy(market: Market, spread: float, seed: int = 0) -> Market:
    """Every feature with normal noise of so many of its own spreads on it; prices, and so every fill, as they are.

    What is missing stays missing: flags that say so keep their value, and so do the zeros beside them.

    >>> calm = Market.flat(1_000)
    >>> found = noisy(calm, 0.1)
    >>> bool(abs(found.features.std() - 0.1) < 0.01), bool((found.prices == calm.prices).all())
    (True, True)
    """
    there = covered(len(market), market.segments)[:, None]
    if market.absent is not None:
        there = there & ~market.absent
    flags = np.array([name.endswith(FLAG) for name in market.columns])
    gone = (market.features[..., flags] > 0).any(axis=-1, keepdims=True) & (market.features == 0)
    noise = np.random.default_rng(seed).standard_normal(market.features.shape, np.float32) * np.float32(spread)
    shaken = there[..., None] & ~flags & ~gone
    return replace(market, features=np.where(shaken, market.features + noise, market.features))
