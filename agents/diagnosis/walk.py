"""Accounts of one policy side by side: parts of a span walked at once, or one span at several costs and delays.

What takes the time is to ask a policy, and to ask it about thirty accounts takes hardly longer than about one. So all
accounts of a comparison are asked together, whatever rules each of them trades by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.policy import Observation, Policy
from data.market import Market
from envs.config import EnvConfig
from envs.engine import Engine
from envs.layout import LOG_EQUITY, TURNOVER
from envs.observations import observe

PARTS = 32  # that a span is cut into where only differences of growth are asked for
SHORTEST = 50  # steps of a part


@dataclass(frozen=True)
class Ground:
    """Where accounts walk, and by which rules."""

    market: Market  # with nothing after `rows`
    rows: slice
    window: int
    env: EnvConfig

    def under(self, env: EnvConfig) -> Ground:
        """The same rows by other rules."""
        return replace(self, env=env)

    def engine(self, accounts: int = 1) -> Engine:
        return Engine(self.market, self.env, accounts, self.window, self.rows)


class Walk:
    """B accounts over K steps of one ground, each with cash alone at its start; all at the first decision by default.

    With `cost_scale` (B,) an account's costs are so many times those of the ground.
    """

    def __init__(self, ground: Ground, cost_scale: Sequence[float] | np.ndarray = (1.0,),
                 starts: np.ndarray | None = None, steps: int = 0) -> None:
        scale = np.asarray(cost_scale, np.float64)
        starts = np.zeros(len(scale), np.int64) if starts is None else starts
        self.engine = ground.engine(len(starts))
        self.steps = steps or self.engine.steps
        self.rows = self.engine.decisions[starts + np.arange(self.steps)[:, None], 0]  # (K, B) decided on
        self.growth, self.turnover = np.zeros((2, self.steps, len(starts)))  # (K, B) logarithms; value over equity
        self._actions = ground.env.actions(len(ground.market.assets))
        self._target = np.zeros((len(starts), len(ground.market.assets)))
        self._done, self._grown = 0, np.zeros(len(starts))
        self.engine.place(starts, np.zeros_like(self._target), scale)

    @property
    def seen(self) -> Observation:
        return observe(self.engine, "row", self.engine.shown, self.engine.observed)

    def step(self, action: np.ndarray) -> None:
        """Nothing happens any more once its span is over, while others still walk."""
        if self._done == self.steps:
            return
        self._actions.write(action, self._target, self.engine.weights)
        self.engine.step(self._target)
        grown = self.engine.money[:, LOG_EQUITY].copy()
        self.growth[self._done], self.turnover[self._done] = grown - self._grown, self.engine.money[:, TURNOVER]
        self._done, self._grown = self._done + 1, grown


def walk(policy: Policy, walks: Sequence[Walk]) -> None:
    """Walk all of them to their ends, in step.

    >>> from agents.policy import WeightTable
    >>> ground = Ground(Market.flat(10), slice(None), 4, EnvConfig(action="weights"))
    >>> plain, late = Walk(ground, (0.0, 1.0, 2.0)), Walk(ground.under(replace(ground.env, latency=1)))
    >>> walk(WeightTable(np.ones((10, 1))), [plain, late])  # one order of 7 bps each
    >>> (plain.growth.sum(axis=0) * 1e4).round(1).tolist(), (late.growth[:3, 0] * 1e4).round(1).tolist()
    ([0.0, -7.0, -14.0], [0.0, -7.0, 0.0])
    """
    borders = np.cumsum([one.engine.accounts for one in walks])
    state = None
    for k in range(max(one.steps for one in walks)):
        seen = [one.seen for one in walks]
        together = {name: np.concatenate([one[name] for one in seen]) for name in seen[0]}
        action, state = policy.predict(together, state, np.full(borders[-1], k == 0), deterministic=True)
        for one, own in zip(walks, np.split(action, borders[:-1])):
            one.step(own)


def in_parts(policy: Policy, ground: Ground) -> np.ndarray:
    """(K,) log growth of the steps of parts walked at once, one part after the other; the last few may be missing.

    Thirty times as fast as one account from end to end. Each part begins in cash, which costs a slow trader some
    orders that one account would not have sent; where two policies are compared it costs both the same.
    """
    steps = ground.engine().steps
    parts = max(1, min(PARTS, steps // SHORTEST))
    length = steps // parts
    found = Walk(ground, np.ones(parts), np.arange(parts) * length, length)
    walk(policy, [found])
    return found.growth.T.ravel()
