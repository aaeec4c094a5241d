"""What it holds in which kind of market: up, down or neither, calm or wild, by what a decision row shows.

Kinds of market are those that training episodes can be chosen by (`envs/episodes.py`): the trend of the last 720 bars,
and thirds of the volatility of the last 168 among the validation rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agents.arena.rollout import Track
from agents.diagnosis.subject import Subject
from data.market import CLOSE, Market
from encoders.explain.estimates import Estimate, means
from envs.episodes import EpisodeConfig, basket_returns, in_regime, trailing
from envs.metrics import returns_of

EVERY, UNKNOWN = "all", "unknown"
THIRDS = ("low volatility", "middle volatility", "high volatility")


@dataclass(frozen=True)
class Regime:
    """What the agent did on the rows of one kind."""

    name: str
    share: float  # of the decisions
    weight: float  # mean of the sum of weights: long less short
    exposure: float  # mean of the sum of absolute weights
    growth: Estimate | None  # log growth per bar; None: of fewer than two blocks of the bootstrap nothing can be said
    market: float  # log growth per bar of the market itself, of several assets the mean
    turnover: float  # value traded over equity, per bar


def regimes(subject: Subject, track: Track, rows: np.ndarray) -> tuple[Regime, ...]:
    """`rows` (K + 1,) are those of each point of the track's equity."""
    market = subject.ground.market
    kinds = {EVERY: np.ones(len(rows) - 1, bool), **kinds_of(market, rows[:-1])}
    kinds = {name: there for name, there in kinds.items() if there.any()}

    growth = np.log1p(returns_of(track.equity))
    path = np.concatenate([[0.0], np.cumsum(basket_returns(market.prices[:, :, CLOSE]))])
    moves = np.diff(path[rows])
    there = np.stack(list(kinds.values()), axis=1).astype(float)  # (K, kinds)
    estimates = means(growth[:, None] * there, subject.bootstrap, there)
    net, gross = track.weights.sum(axis=1), np.abs(track.weights).sum(axis=1)
    enough = 2 * subject.bootstrap.block
    return tuple(Regime(name, float(at.mean()), float(net[at].mean()), float(gross[at].mean()),
                        estimate if at.sum() >= enough or name == EVERY else None, float(moves[at].mean()),
                        float(track.turnover[at].mean()))
                 for (name, at), estimate in zip(kinds.items(), estimates))


def kinds_of(market: Market, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Which of the rows (K,) are of which kind; thirds of the volatility are those of these very rows."""
    config = EpisodeConfig()
    trend = trailing(market, [slice(None)], config.regime_bars)[1][rows]
    volatility = trailing(market, [slice(None)], config.band_bars)[0][rows]
    kinds = {name: in_regime(trend, replace(config, regime=name)) for name in ("bull", "bear", "sideways")}
    if np.isfinite(volatility).any():
        borders = np.nanquantile(volatility, (1 / 3, 2 / 3))
        third = np.where(np.isfinite(volatility), np.searchsorted(borders, volatility), -1)
        kinds |= {name: third == place for place, name in enumerate(THIRDS)}
    return {**kinds, UNKNOWN: ~(np.isfinite(trend) & np.isfinite(volatility))}
