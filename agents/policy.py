"""`Policy`: what acts in the arena. It is Stable-Baselines3's own `predict`, so a trained PPO already is one."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

Observation = dict[str, np.ndarray]


class Policy(Protocol):
    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        """Actions (B, ...) for a batch of observations `Dict(row, account)`, and the state to hand back next time."""
        ...


class StayOut:
    """The same action for every account, at every row."""

    def __init__(self, action: np.ndarray) -> None:
        self.action = action  # (N,)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        accounts = observation["row"].shape[:-1]  # none for a single one
        return np.broadcast_to(self.action, (*accounts, len(self.action))), state


class WeightTable:
    """Target weights fixed beforehand for every row; whoever fills the table answers for looking at the past only."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights  # (T, N)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        return self.weights[observation["row"][:, 0].astype(np.int64)], state
