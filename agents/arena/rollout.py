"""Everybody over the same rows, through one engine, in one batch; under several sets of rules at once, if need be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from agents.policy import Observation, Policy
from configs.errors import UserError
from data.market import Market
from envs.actions import Actions
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import SECONDS_PER_YEAR
from envs.layout import EQUITY, PAID, TURNOVER
from envs.metrics import Metrics, measure
from envs.observations import observe

RUINED = 1e-9  # of the capital is left to an account that has lost all of it, so that growth has a logarithm


@dataclass(frozen=True, eq=False)
class Contestant:
    policy: Policy
    actions: Actions | None = None  # how its actions are read; None: they are target weights
    kind: str = "baseline"  # rl, supervised, baseline or oracle
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
    def entrant(self) -> str:
        """What is compared and chosen: all seeds of an agent together, anybody else alone."""
        return self.team or self.contestant

    @property
    def years(self) -> float:
        """Time that passed, gaps included."""
        return float((self.time[-1] - self.time[0]) / np.timedelta64(1, "s") / SECONDS_PER_YEAR)

    @property
    def metrics(self) -> Metrics:
        return measure(self.equity, self.weights, self.turnover, float(self.costs.sum()), self.years,
                       self.bars_per_year)


class Field:
    """All contestants under one set of rules, an account each; one that is ruined stays where it ended."""

    def __init__(self, count: int, market: Market, config: EnvConfig, window: int, rows: slice) -> None:
        self.engine = engine = Engine(market, config.judged, count, window, rows)
        engine.reset()
        self.steps, assets = engine.steps, len(market.assets)
        self.rows, self._market = rows, market
        self._equity, self._paid = np.zeros((2, self.steps + 1, count))
        self._weights, self._turnover = np.zeros((self.steps, count, assets)), np.zeros((self.steps, count))
        self._equity[0] = engine.money[:, EQUITY]
        self._alive, self._done = np.ones(count, bool), 0

    @property
    def seen(self) -> Observation:
        return observe(self.engine, "row", self.engine.shown, self.engine.observed)

    def step(self, target: np.ndarray) -> None:
        """`target` (C, N) weights; NaN keeps what is held."""
        k, engine, alive = self._done, self.engine, self._alive
        engine.step(np.where(alive[:, None], target, 0.0))
        money = engine.money
        now = np.maximum(money[:, EQUITY], RUINED * self._equity[0])
        self._equity[k + 1] = np.where(alive, now, self._equity[k])
        self._weights[k] = np.where(alive[:, None], engine.weights(), 0.0)
        self._turnover[k] = np.where(alive, money[:, TURNOVER], 0.0)
        self._paid[k + 1] = np.where(alive, money[:, PAID].sum(axis=1), self._paid[k])
        self._alive, self._done = alive & ~engine.terminated, k + 1

    def tracks(self, contestants: Mapping[str, Contestant]) -> list[Track]:
        time, market = self._market.time[self.engine.decisions[:, 0]], self._market
        costs = np.diff(self._paid, axis=0)
        return [Track(name, one.kind, one.seed, self.rows, time, self._equity[:, b], self._weights[:, b],
                      self._turnover[:, b], costs[:, b], market.bars_per_year, one.team, market.assets)
                for b, (name, one) in enumerate(contestants.items())]


def compete(contestants: Mapping[str, Contestant], market: Market, config: EnvConfig, window: int, rows: slice
            ) -> list[Track]:
    """One track per contestant."""
    return compete_under(contestants, market, {"": config}, window, rows)[""]


def compete_under(contestants: Mapping[str, Contestant], market: Market, rules: Mapping[str, EnvConfig], window: int,
                  rows: slice) -> dict[str, list[Track]]:
    """One track per contestant under each of the rules, which may differ in all but when the first decision is.

    What takes the time is to ask a policy, and to ask it about ten accounts takes hardly longer than about one.
    """
    fields = {name: Field(len(contestants), market, config, window, rows) for name, config in rules.items()}
    first = next(iter(fields.values()))
    if any(len({field.engine.decisions[at, 0] for field in fields.values()}) > 1 for at in (0, -1)):
        raise UserError("rules that are compared must let everybody begin on one row: give all of them the same "
                        "observation_delay")
    states: list[Any] = [None] * len(contestants)
    targets = np.zeros((len(contestants), len(fields), len(market.assets)))  # (C, S, N)
    reach = {name: (min(config.reach[0], 0.0), max(config.reach[1], 0.0)) for name, config in rules.items()}
    low, high = (np.array([one[end] for one in reach.values()])[:, None] for end in (0, 1))
    for k in range(first.steps):
        seen = [field.seen for field in fields.values()]
        together = {key: np.stack([one[key] for one in seen], axis=1) for key in seen[0]}  # (C, S, ...)
        for b, (name, contestant) in enumerate(contestants.items()):
            own = {key: value[b] for key, value in together.items()}
            action, states[b] = contestant.policy.predict(own, states[b], np.full(len(fields), k == 0),
                                                          deterministic=True)
            if contestant.actions is None:  # nobody holds what the env would not let an agent hold
                targets[b] = np.clip(action, low, high)
                if not np.isfinite(targets[b]).all():
                    raise UserError(f"{name} asked for a weight that is not a number on row "
                                    f"{first.engine.rows[b]}")
            else:
                contestant.actions.write(action, targets[b], partial(held_by, fields.values(), b))
        for place, field in enumerate(fields.values()):
            field.step(targets[:, place])
    return {name: field.tracks(contestants) for name, field in fields.items()}


def held_by(fields: Iterable[Field], b: int) -> np.ndarray:
    """(S, N) weights that contestant `b` holds in each field."""
    return np.stack([field.engine.weights()[b] for field in fields])
