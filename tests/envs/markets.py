"""Small markets made by hand for the tests of the engine."""

from __future__ import annotations

import numpy as np

from data.market import Market, hourly_times


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
