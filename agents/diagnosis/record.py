"""What a policy was shown, what it answered, and what it would have answered to something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.policy import Observation, Policy
from envs.config import EnvConfig
from envs.observations import PER_ASSET

AT_ONCE = 1024  # rows that are asked for together: an encoder that is fine-tuned gathers a window for each
ALIKE = 0.1  # of equity: weights that are named freely and differ by less are the same position


@dataclass
class Recorder:
    """Acts as the policy does, one account at a time, and keeps what was said."""

    policy: Policy
    seen: list[Observation] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        action, after = self.policy.predict(observation, state, episode_start, deterministic)
        self.seen.append(observation)
        self.states.append(state)
        self.actions.append(action)
        return action, after

    def record(self, env: EnvConfig, assets: int) -> Record:
        seen = {name: np.concatenate([one[name] for one in self.seen]) for name in self.seen[0]}
        return Record(env, assets, seen, np.concatenate(self.actions), self.states)


@dataclass(frozen=True, eq=False)
class Record:
    """K decisions of one account."""

    env: EnvConfig
    assets: int
    seen: Observation  # (K, ...)
    actions: np.ndarray  # (K, ...)
    states: Sequence[Any]  # before each decision; None where nothing is carried

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def rows(self) -> np.ndarray:
        """(K,) that were shown."""
        return self.seen["row"][:, 0].astype(np.int64)

    @property
    def held(self) -> np.ndarray:
        """(K, N) weights before each decision."""
        return self.seen["account"][:, : self.assets].astype(np.float64)

    @property
    def wanted(self) -> np.ndarray:
        """(K, N) weights that were asked for."""
        return self.weights(self.actions, self.held)

    def weights(self, actions: np.ndarray, held: np.ndarray) -> np.ndarray:
        """(K, N) weights that `actions` ask for, shrunk to what may be held together; held ones, without an order."""
        target = np.zeros_like(held)
        self.env.actions(self.assets).write(actions, target, lambda: held)
        target = np.where(np.isnan(target), held, target)
        gross = np.abs(target).sum(axis=1, keepdims=True)
        return target * (self.env.gross / np.maximum(gross, self.env.gross))

    def positions(self, weights: np.ndarray) -> np.ndarray:
        """The nearest level of each weight; of several assets, which share the account, and of weights that are named
        freely, the side: -1, 0 or 1."""
        if self.env.action == "levels" and self.assets == 1:
            levels = np.array(self.env.levels)
            return levels[np.abs(weights[..., None] - levels).argmin(axis=-1)]
        return np.where(np.abs(weights) < ALIKE, 0.0, np.sign(weights))

    def differs(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(K,) whether weights (K, N) are other ones, of any asset."""
        if self.env.action == "weights":
            return (np.abs(one - other) >= ALIKE).any(axis=1)
        return (np.abs(one - other) > 1e-6).any(axis=1)

    def answers(self, policy: Policy) -> np.ndarray:
        """(K, N) weights that another policy asks for when it is shown the same; it carries a state of its own."""
        return self.weights(in_order(policy, self.seen), self.held)

    def from_level(self, policy: Policy, level: float) -> np.ndarray:
        """(K,) weight of the one asset that the policy asks for on each decision if it holds `level` there.

        Where it does hold it, that is what it did; elsewhere the account is shown with that weight as if it had just
        been taken. What a recurrent policy remembers is what it remembered then.
        """
        there = self.positions(self.held)[:, 0] == level
        account = self.seen["account"].copy()
        account[~there, PER_ASSET.index("weight")] = level
        account[~there, PER_ASSET.index("unrealised")] = account[~there, PER_ASSET.index("held")] = 0.0
        found = []
        for first in range(0, len(self), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            action, _ = policy.predict({"row": self.seen["row"][part], "account": account[part]},
                                       joined(self.states[part]), np.arange(len(self))[part] == 0, deterministic=True)
            found.append(action)
        return self.weights(np.concatenate(found), account[:, :1].astype(np.float64))[:, 0]


def joined(states: Sequence[Any]) -> Any:
    """States of single accounts as that of a batch; the first may be None, which is nothing at all.

    >>> joined([None, (np.ones((1, 1, 2)),)])[0].tolist()
    [[[0.0, 0.0], [1.0, 1.0]]]
    """
    some = next((state for state in states if state is not None), None)
    if some is None:
        return None
    whole = [tuple(np.zeros_like(part) for part in some) if state is None else state for state in states]
    return tuple(np.concatenate(parts, axis=1) for parts in zip(*whole))  # (layers, K, width)


def in_order(policy: Policy, seen: Observation) -> np.ndarray:
    """(K, ...) what the policy answers to one observation after the other, all at once if it carries nothing."""
    count = len(seen["row"])
    one = {name: value[:1] for name, value in seen.items()}
    action, state = policy.predict(one, None, np.array([True]), deterministic=True)
    found = [action]
    step = AT_ONCE if state is None else 1
    for first in range(1, count, step):
        some = {name: value[first : first + step] for name, value in seen.items()}
        action, state = policy.predict(some, state, np.zeros(len(some["row"]), bool), deterministic=True)
        found.append(action)
    return np.concatenate(found)
