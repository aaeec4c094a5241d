"""Recordings made by hand for the tests of the pictures and the replay: every kind of fill, a gap, a missing bar."""

from __future__ import annotations

import numpy as np

from data.market import hourly_times
from envs.layout import EVENTS
from envs.recording import Recording


def made_recording(steps: int = 60, assets: tuple[str, ...] = ("BTC",), seed: int = 0, gap: bool = False,
                   fills: int = 12) -> Recording:
    """A walk of `steps` steps that is plausible to look at; its sums do not add up, a ledger is tested elsewhere.

    Asset 0's fills go through all kinds in turn. With `gap` the middle step spans five bars, and the last asset of
    several lacks its first third.
    """
    rng, count = np.random.default_rng(seed), len(assets)
    ahead = np.ones(steps, int)
    if gap:
        ahead[steps // 2] = 5
    rows = 7 + np.concatenate([[0], np.cumsum(ahead)])
    bars = int(rows[-1] - rows[0] + 1)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, count)), axis=0))
    opens = np.vstack([np.full((1, count), 100.0), closes[:-1]]) * np.exp(rng.normal(0, 0.002, (bars, count)))
    wick = np.abs(rng.normal(0, 0.004, (2, bars, count)))
    candles = np.stack([opens, np.maximum(opens, closes) * (1 + wick[0]), np.minimum(opens, closes) * (1 - wick[1]),
                        closes], axis=2)
    if gap and count > 1:
        candles[: bars // 3, -1] = np.nan
    blocks = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (steps // 12 + 1, count)) / count
    wishes = np.repeat(blocks, 12, axis=0)[:steps]
    weights = np.vstack([np.zeros((1, count)), wishes * rng.uniform(0.95, 1.0, (steps, count))])
    growth = (weights[1:] * (closes[rows[1:] - 7] / closes[rows[:-1] - 7] - 1)).sum(axis=1)
    equity = 10_000 * np.concatenate([[1.0], np.cumprod(1 + growth)])
    filled, events = np.zeros((steps, count, 4)), np.zeros(steps, np.int64)
    kinds: tuple[str, ...] = ("", "stop_loss", "", "take_profit", "", "liquidation")
    for i, k in enumerate(np.linspace(0, steps - 1, min(fills, steps)).astype(int).tolist()):
        bar, kind = int(rows[k] - 7) + 1, kinds[i % len(kinds)]
        columns, price = (slice(2, 4), candles[bar, 0, 2]) if kind else (slice(0, 2), opens[bar, 0])
        filled[k, 0, columns] = (-1.0 if i // 2 % 2 else 1.0) * 30, price
        events[k] |= 1 << EVENTS.index(kind) if kind else 0
    paid = np.cumsum(rng.uniform(0, 1, (steps, 4)) * (5.0, 2.0, 0.5, 0.2), axis=0)
    return Recording(
        assets=assets, rows=rows, time=hourly_times(bars), candles=candles, equity=equity, weights=weights,
        costs=np.vstack([np.zeros((1, 4)), paid]), entry=np.full_like(weights, 100.0), wishes=wishes,
        reward=np.diff(np.log(equity)), fills=filled, events=events, terminated=False, bars_per_year=8760.0,
    )
