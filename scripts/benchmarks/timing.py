"""Pieces of work timed side by side, and the market that the parts share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

WINDOW, FEATURES, BARS = 48, 32, 50_000
Work = Callable[[], int]  # does a piece of work and says how many units it was


@dataclass(frozen=True)
class Timing:
    name: str
    rates: list[float]  # per second, one per round

    @property
    def rate(self) -> float:
        return median(self.rates)

    def line(self, baseline: Timing) -> str:
        return (f"{self.name:<58} {self.rate:>12,.0f} /s  ({min(self.rates):,.0f} to {max(self.rates):,.0f})  "
                f"{self.rate / baseline.rate:8.1f}x")


def side_by_side(work: dict[str, Work], rounds: int) -> list[Timing]:
    """Each piece of work once to warm up, then all in turn, round after round, so that a slow spell hits them alike.

    A piece returns how many units it did; the first one is the baseline of the ratios.
    """
    rates: dict[str, list[float]] = {name: [] for name in work}
    for piece in work.values():
        piece()
    for _ in range(rounds):
        for name, piece in work.items():
            started = time.perf_counter()
            done = piece()
            rates[name].append(done / (time.perf_counter() - started))
    return [Timing(name, found) for name, found in rates.items()]


def show(title: str, timings: list[Timing]) -> None:
    print(f"\n{title}; ratios to the first line")
    for timing in timings:
        print("  " + timing.line(timings[0]), flush=True)


def walk_market():
    """50,000 hourly bars of a random walk with 32 features: prices matter here, their meaning does not."""
    from data.market import Market

    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, BARS)))
    opened = np.concatenate([[100.0], close[:-1]])
    prices = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(BARS)], axis=1)
    return replace(Market.flat(BARS), prices=prices[:, None], columns=tuple(f"f{i}" for i in range(FEATURES)),
                   features=rng.normal(size=(BARS, 1, FEATURES)).astype(np.float32))
