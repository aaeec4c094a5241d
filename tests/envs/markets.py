"""Small markets made by hand for the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from data.market import CLOSE, HIGH, LOW, VOLUME, Market, hourly_times


def bars(opens: np.ndarray, closes: np.ndarray) -> np.ndarray:
    """(T, N, 5) prices whose highs and lows are no wider than they must be."""
    return np.stack([opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, np.ones_like(opens)], axis=2)


def market_of(opens: np.ndarray, closes: np.ndarray, carry: np.ndarray | None = None,
              features: np.ndarray | None = None, segments: np.ndarray | None = None,
              time: np.ndarray | None = None) -> Market:
    rows, assets = opens.shape
    if features is None:
        features = np.random.default_rng(0).normal(size=(rows, assets, 3)).astype(np.float32)
    return Market(
        time=hourly_times(rows) if time is None else time,
        assets=tuple(f"A{n}" for n in range(assets)),
        prices=bars(opens, closes),
        features=features,
        columns=tuple(f"f{i}" for i in range(features.shape[2])),
        carry=np.zeros((rows, assets)) if carry is None else carry,
        segments=np.array([[0, rows]]) if segments is None else segments,
        bars_per_year=8760.0,
    )


def random_market(rows: int = 200, assets: int = 1, seed: int = 0, scale: float = 0.02) -> Market:
    """A random walk whose opens differ from the closes before, with carry."""
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, scale, (rows, assets)), axis=0))
    opens = np.vstack([np.full((1, assets), 100.0), closes[:-1]]) * np.exp(rng.normal(0, scale / 4, (rows, assets)))
    return market_of(opens, closes, rng.normal(0, 1e-4, (rows, assets)))


def closing_at(*closes: float, **others) -> Market:
    """One asset that opens where it closed before."""
    close = np.array(closes, float)[:, None]
    return market_of(np.vstack([close[:1], close[:-1]]), close, **others)


def no_carry(market: Market) -> Market:
    return replace(market, carry=np.zeros_like(market.carry))


def missing(prices, rng):
    prices[rng.random(prices.shape[:2]) < 0.1] = np.nan


def listed_late(prices, rng):
    prices[: len(prices) // 4, -1] = np.nan


def delisted(prices, rng):
    prices[-len(prices) // 4 :, -1] = np.nan


def halted(prices, rng):
    first = rng.integers(len(prices))
    prices[first : first + len(prices) // 5, rng.integers(prices.shape[1])] = np.nan


def silent(prices, rng):
    prices[:, :, VOLUME] *= rng.random(prices.shape[:2]) > 0.2  # where there is no bar, there is none after it


def between_bars(prices, rng):
    """A hundredfold move, up or down, from a close to the next open."""
    prices[rng.integers(len(prices)) :, rng.integers(prices.shape[1]), :VOLUME] *= rng.choice([0.01, 100.0])


def inside_a_bar(prices, rng):
    """A hundredfold move, up or down, from an open to its close."""
    row, n, factor = rng.integers(len(prices)), rng.integers(prices.shape[1]), rng.choice([0.01, 100.0])
    prices[row, n, [CLOSE, HIGH if factor > 1 else LOW]] *= factor
    prices[row + 1 :, n, :VOLUME] *= factor


def wick(prices, rng):
    """A bar that visits a hundredth and the hundredfold and closes as if nothing had been."""
    prices[rng.integers(len(prices)), rng.integers(prices.shape[1]), [LOW, HIGH]] *= [0.01, 100.0]


Trouble = Callable[[np.ndarray, np.random.Generator], None]
TROUBLES: dict[str, Trouble] = {trouble.__name__: trouble for trouble in (
    missing, listed_late, delisted, halted, silent, between_bars, inside_a_bar, wick)}


def troubled(market: Market, *names: str, seed: int = 0) -> Market:
    """`market` with what goes wrong in real ones; an asset without a bar shows zeros."""
    rng, prices = np.random.default_rng(seed), market.prices.copy()
    prices[:, :, VOLUME] *= np.exp(rng.normal(4, 1, prices.shape[:2]))
    for name in names:
        TROUBLES[name](prices, rng)
    absent = np.isnan(prices).all(axis=2)
    return replace(market, prices=prices, absent=absent, features=np.where(absent[:, :, None], 0, market.features))


def with_gap(market: Market, first: int, last: int, days: int = 3) -> Market:
    """Days are missing before row `first`, and no window holds the rows from there to `last`."""
    time = market.time.copy()
    time[first:] += np.timedelta64(days, "D")
    segments = np.array([[0, first], [last, len(market)]])
    return replace(market, time=time, segments=segments)
