"""Trading an encoder's own forecast: enter when it is sure enough, leave when it no longer is.

The opponent must be strong for a comparison to mean anything, so it gets what the agents get: the same features and
costs, the same limits on weights, and thresholds chosen on the same validation rows, after costs, all candidates at
once in one engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.policy import Observation
from data.market import Market
from encoders.forecast import Forecast
from envs.config import EnvConfig
from envs.engine import Engine
from envs.layout import LOG_EQUITY
from envs.observations import observe

ENTER_SHARES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # of the validation rows that are not sure enough to enter
EXIT_SHARES = (-0.5, 0.0, 0.25, 0.5, 0.8)  # of the threshold to enter; below 0 waits for the opposite view
NEVER = 2.0  # a score lies in [-1, 1]


@dataclass(frozen=True)
class Thresholds:
    enter: np.ndarray  # (B, 1) score beyond which a position is opened
    exit: np.ndarray  # (B, 1) score below which it is closed
    low: float = -1.0  # weight of a full short, as far as the env allows one
    high: float = 1.0  # weight of a full long


class SignalPolicy:
    """score = P(up) - P(down). Flat: long above `enter`, short below `-enter`. Long: stays while score > `exit`."""

    def __init__(self, score: np.ndarray, thresholds: Thresholds) -> None:
        self.score, self.thresholds = score, thresholds  # score (T, N)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        score = self.score[observation["row"][:, 0].astype(np.int64)]  # (B, N)
        assets = score.shape[1]
        held = np.sign(observation["account"][:, :assets])
        enter, leave = self.thresholds.enter, self.thresholds.exit
        target = np.where(held * score > leave, held, 0.0)
        target = np.where(score > enter, 1.0, np.where(score < -enter, -1.0, target))
        weights = np.where(target > 0, self.thresholds.high, -min(self.thresholds.low, 0.0)) * target
        return weights / assets, state


def score_of(forecast: Forecast) -> np.ndarray:
    """(T, N) P(up) - P(down)."""
    return forecast.direction[..., 2] - forecast.direction[..., 0]


def tuned(forecast: Forecast, market: Market, config: EnvConfig, window: int, rows: slice) -> SignalPolicy:
    """The signal with the thresholds that grew most over `rows` after costs; 'never enter' is among the candidates."""
    score = score_of(forecast)
    seen = np.abs(score[market.decision_rows(window, rows)])
    enters = np.unique(np.quantile(seen, ENTER_SHARES))
    pairs = np.array([(NEVER, 1.0)] + [(enter, share * enter) for enter in enters for share in EXIT_SHARES])
    low, high = config.reach
    candidates = Thresholds(pairs[:, :1], pairs[:, 1:], low, high)
    policy = SignalPolicy(score, candidates)
    engine = Engine(market, config, len(pairs), window, rows)
    engine.reset()
    ruined = np.zeros(len(pairs), bool)
    for _ in range(engine.steps):
        target, _ = policy.predict(observe(engine, "row", engine.shown, engine.observed))
        target[ruined] = 0.0
        engine.step(target)
        ruined |= engine.terminated
    best = int(np.argmax(np.where(ruined, -np.inf, engine.money[:, LOG_EQUITY])))  # ties go to the first, 'never'
    return SignalPolicy(score, Thresholds(pairs[best : best + 1, :1], pairs[best : best + 1, 1:], low, high))
