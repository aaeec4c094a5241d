"""Volatility: regimes that stay for days, clusters that fade within one, and the hours of the day and week.

None of it has a drift, and none of it looks at the return of its own bar, so volatility can be forecast and the
direction cannot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.simulator.config import SimulatorConfig
from data.simulator.draws import ar1, shared_and_own, stream


class Regime(NamedTuple):
    name: str
    level: float  # volatility as a multiple of normal
    spell: float  # mean stay in bars


REGIMES = (Regime("calm", 0.6, 240.0), Regime("normal", 1.0, 160.0), Regime("storm", 1.9, 60.0))
CLUSTER_SPREAD = 0.35  # standard deviation of log volatility within a regime
CLUSTER_HALF_LIFE = 18.0  # bars
CLUSTER_CORRELATION = 0.7  # of log volatility between two assets


def regime_path(seed: int, rows: int) -> np.ndarray:
    """(T,) index into REGIMES: a Markov chain drawn spell by spell, the same for all assets."""
    spells = int(rows / min(regime.spell for regime in REGIMES)) + 1  # each spell lasts at least one bar
    while True:
        hops = stream(seed, "regime hops").integers(1, len(REGIMES), spells)  # to one of the others, equally likely
        states = (1 + np.cumsum(hops)) % len(REGIMES)
        means = np.array([regime.spell for regime in REGIMES])[states]
        stays = np.ceil(-means * np.log1p(-stream(seed, "regime stays").random(spells))).astype(int)
        if stays.sum() >= rows:
            return np.repeat(states, stays)[:rows]
        spells *= 2


def regime_levels() -> np.ndarray:
    """(3,) volatility of each regime; the mean square is 1 in the long run.

    >>> regime_levels().round(3).tolist()
    [0.598, 0.997, 1.894]
    """
    levels = np.array([regime.level for regime in REGIMES])
    shares = np.array([regime.spell for regime in REGIMES])
    return levels / np.sqrt((shares * levels**2).sum() / shares.sum())


def season(hours: np.ndarray) -> np.ndarray:
    """Activity by hour since the epoch: highest in the American afternoon, lower at weekends; mean square 1.

    >>> bool(season(np.array([15])) > season(np.array([4])))
    True
    """
    return _SEASON[hours % 168]


def _week() -> np.ndarray:
    hours = np.arange(168)
    day = 1 + 0.3 * np.cos(2 * np.pi * (hours % 24 - 15) / 24) + 0.1 * np.cos(4 * np.pi * (hours % 24 - 14) / 24)
    weekday = (hours // 24 + 3) % 7  # hour 0 of the epoch was a Thursday
    shape = day * np.where(weekday >= 5, 0.75, 1.0)
    return shape / np.sqrt(np.mean(shape**2))


_SEASON = _week()


def volatility(config: SimulatorConfig, hours: np.ndarray) -> np.ndarray:
    """(T, N) standard deviation of each bar's return, jumps aside; its root mean square is `config.sigma`."""
    rows = len(hours)
    common = ar1(stream(config.seed, "cluster"), rows, CLUSTER_HALF_LIFE)
    clusters = np.stack([
        shared_and_own(common, ar1(stream(config.seed, "cluster", a), rows, CLUSTER_HALF_LIFE), CLUSTER_CORRELATION)
        for a in config.assets
    ], axis=1)  # (T, N)
    base = config.sigma * regime_levels()[regime_path(config.seed, rows)] * season(hours)  # (T,)
    return base[:, None] * np.exp(CLUSTER_SPREAD * clusters - CLUSTER_SPREAD**2)  # minus: keeps the mean square
