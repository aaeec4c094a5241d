"""Everybody over the same rows, through one engine, in one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from agents.policy import Policy
from configs.errors import UserError
from data.market import Market
from envs.actions import Actions
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import SECONDS_PER_YEAR
from envs.layout import CARRY, EQUITY, FEES, INTEREST, SLIPPAGE, TURNOVER
from envs.metrics import Metrics, measure
from envs.observations import observe


@dataclass(frozen=True, eq=False)
class Contestant:
    policy: Policy
    actions: Actions | None = None  # how its actions are read; None: they are target weights
    kind: str = "baseline"  # rl, supervised or baseline
    seed: int = 0
    team: str = ""  # what several seeds of one agent have in common


@dataclass(frozen=True, eq=False)
class Track:
    """What one contestant did over one span."""

    contestant: str
    kind: str
    seed: int
    rows: slice
    time: np.ndarray  # (K + 1,) of each point of equity
    equity: np.ndarray  # (K + 1,) at each close, the starting capital first
    weights: np.ndarray  # (K, N) at the close of each step
    turnover: np.ndarray  # (K,) value traded over equity
    costs: np.ndarray  # (K,) paid in each step: fees, slippage, carry, interest
    bars_per_year: float
    team: str = ""
    assets: tuple[str, ...] = ()
    window: int = 0  # of a walk-forward

    @property
    def years(self) -> float:
        """Time that passed, gaps included."""
        return float((self.time[-1] - self.time[0]) / np.timedelta64(1, "s") / SECONDS_PER_YEAR)

    @property
    def metrics(self) -> Metrics:
        return measure(self.equity, self.weights, self.turnover, float(self.costs.sum()), self.years,
                       self.bars_per_year)


def weights_of(engine: Engine, b: int) -> np.ndarray:
    """(1, N) weights that account `b` holds."""
    return engine.weights()[b : b + 1]


def compete(contestants: Mapping[str, Contestant], market: Market, config: EnvConfig, window: int, rows: slice
            ) -> list[Track]:
    """One track per contestant; an account that is ruined stays where it ended."""
    engine = Engine(market, config, len(contestants), window, rows)
    engine.reset()
    steps, count, assets = engine.steps, len(contestants), len(market.assets)
    equity = np.zeros((steps + 1, count))
    weights = np.zeros((steps, count, assets))
    turnover, paid = np.zeros((steps, count)), np.zeros((steps + 1, count))
    equity[0] = engine.money[:, EQUITY]
    target, states = np.zeros((count, assets)), [None] * count
    alive = np.ones(count, bool)
    reach = min(config.reach[0], 0.0), max(config.reach[1], 0.0)
    for k in range(steps):
        observation = observe(engine, "row", engine.shown, engine.observed)
        for b, (name, contestant) in enumerate(contestants.items()):
            own = {key: value[b : b + 1] for key, value in observation.items()}
            action, states[b] = contestant.policy.predict(own, states[b], np.array([k == 0]), deterministic=True)
            if contestant.actions is None:  # nobody holds what the env would not let an agent hold
                target[b] = np.clip(action, *reach)
            else:
                contestant.actions.write(action, target[b : b + 1], partial(weights_of, engine, b))
            if contestant.actions is None and not np.isfinite(target[b]).all():
                raise UserError(f"{name} asked for a weight that is not a number on row {engine.rows[b]}")
        target[~alive] = 0.0
        engine.step(target)
        money = engine.money
        now = np.maximum(money[:, EQUITY], 1e-9 * equity[0])
        equity[k + 1] = np.where(alive, now, equity[k])
        weights[k] = np.where(alive[:, None], engine.weights(), 0.0)
        turnover[k] = np.where(alive, money[:, TURNOVER], 0.0)
        total = money[:, [FEES, SLIPPAGE, CARRY, INTEREST]].sum(axis=1)
        paid[k + 1] = np.where(alive, total, paid[k])
        alive &= ~engine.terminated
    costs = np.diff(paid, axis=0)
    time = market.time[engine.decisions[:, 0]]
    return [Track(name, contestant.kind, contestant.seed, rows, time, equity[:, b], weights[:, b], turnover[:, b],
                  costs[:, b], market.bars_per_year, contestant.team, market.assets)
            for b, (name, contestant) in enumerate(contestants.items())]
