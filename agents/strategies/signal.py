"""Trading an encoder's own forecast: enter when it is sure enough, leave when it no longer is, hold as much as it is
worth.

The opponent must be strong for a comparison to mean anything, so it gets what the agents get: the same features and
costs, the same limits on weights, and everything that is chosen is chosen on the same validation rows, after costs, all
candidates at once in one engine. `sized` adds to the thresholds how much is held, and how little is not worth an order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
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
KELLY_SHARES = (0.1, 0.25, 0.5)  # of the weight that would grow most if the forecast were right; never more than all
BANDS = (0.1, 0.25)  # of the account: what is held is left as it is where less than this would change
FULL, VOLATILITY = "full", "volatility target"


@dataclass(frozen=True)
class Thresholds:
    enter: np.ndarray  # (B, 1) score beyond which a position is opened
    exit: np.ndarray  # (B, 1) score below which it is closed
    low: float = -1.0  # weight of a full short, as far as the env allows one
    high: float = 1.0  # weight of a full long


@dataclass(frozen=True, eq=False)
class Sizing:
    """How much of a full position is held, of each of B signals."""

    tables: np.ndarray  # (S, T, N) shares from 0 to 1
    used: np.ndarray  # (B,) which of the tables
    band: np.ndarray  # (B, 1) of the account
    names: tuple[str, ...]  # (S,)
    usual: np.ndarray  # (N,) volatility on the rows that it was chosen on

    def of(self, best: int) -> Sizing:
        """Of one signal alone."""
        place = self.used[best]
        return replace(self, tables=self.tables[place : place + 1], used=np.zeros(1, np.int64),
                       band=self.band[best : best + 1], names=self.names[place : place + 1])

    def reading(self, forecast: Forecast) -> Sizing:
        """The same ways to size, of another forecast."""
        found = sizes(forecast, self.usual)
        return replace(self, tables=np.stack([found[name] for name in self.names]))


class SignalPolicy:
    """score = P(up) - P(down). Flat: long above `enter`, short below `-enter`. Long: stays while score > `exit`."""

    def __init__(self, score: np.ndarray, thresholds: Thresholds, sizing: Sizing | None = None) -> None:
        self.score, self.thresholds, self.sizing = score, thresholds, sizing  # score (T, N)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        rows = observation["row"][:, 0].astype(np.int64)
        score = self.score[rows]  # (B, N)
        assets = score.shape[1]
        weights = observation["account"][:, :assets]
        held = np.sign(weights)
        enter, leave = self.thresholds.enter, self.thresholds.exit
        target = np.where(held * score > leave, held, 0.0)
        target = np.where(score > enter, 1.0, np.where(score < -enter, -1.0, target))
        wanted = np.where(target > 0, self.thresholds.high, -min(self.thresholds.low, 0.0)) * target
        if self.sizing is None:
            return wanted / assets, state
        wanted *= self.sizing.tables[self.sizing.used, rows]
        same = (target == held) & (target != 0) & (np.abs(wanted - weights * assets) < self.sizing.band)
        return np.where(same, weights, wanted / assets), state

    def reading(self, forecast: Forecast) -> SignalPolicy:
        """The same signal where another market is forecast: nothing is chosen anew."""
        return SignalPolicy(score_of(forecast), self.thresholds, self.sizing and self.sizing.reading(forecast))


def score_of(forecast: Forecast) -> np.ndarray:
    """(T, N) P(up) - P(down)."""
    return forecast.direction[..., 2] - forecast.direction[..., 0]


def tuned(forecast: Forecast, market: Market, config: EnvConfig, window: int, rows: slice, sized: bool = False
          ) -> SignalPolicy:
    """The signal that grew most over `rows` after costs; 'never enter' is among the candidates."""
    score = score_of(forecast)
    seen = market.decision_rows(window, rows)
    enters = np.unique(np.quantile(np.abs(score[seen]), ENTER_SHARES))
    pairs = [(NEVER, 1.0), *((enter, share * enter) for enter in enters for share in EXIT_SHARES)]
    low, high = config.reach
    sizing = None
    if sized:
        usual = np.nanmedian(forecast.volatility[seen], axis=0)
        tables = sizes(forecast, usual)
        ways = [(0, 0.0), *product(range(1, len(tables)), BANDS)]
        pairs, used = [pair for pair in pairs for _ in ways], [way for _ in pairs for way in ways]
        sizing = Sizing(np.stack([*tables.values()]), np.array([place for place, _ in used]),
                        np.array([[band] for _, band in used]), (*tables,), usual)
    every = np.array(pairs)
    policy = SignalPolicy(score, Thresholds(every[:, :1], every[:, 1:], low, high), sizing)
    best = grown_most(policy, len(every), market, config, window, rows)
    return SignalPolicy(score, Thresholds(every[best : best + 1, :1], every[best : best + 1, 1:], low, high),
                        sizing and sizing.of(best))


def sizes(forecast: Forecast, usual: np.ndarray) -> dict[str, np.ndarray]:
    """(T, N) shares of a full position by each way to size one.

    The volatility target is what is `usual` (N,): less is held where more is forecast. A Kelly share holds so much of
    the mean over the variance that the quantiles speak of, in the direction that it favours.
    """
    volatility = np.maximum(forecast.volatility, 1e-12)
    low, middle, high = (forecast.quantiles[..., place] for place in (0, forecast.quantiles.shape[-1] // 2, -1))
    mean, spread = 0.3 * low + 0.4 * middle + 0.3 * high, (high - low) / 2.563  # Swanson's rule; 10 % to 90 %
    fraction = np.abs(mean) / np.maximum(spread, 1e-12) ** 2
    found = {FULL: np.ones_like(volatility), VOLATILITY: np.minimum(usual / volatility, 1.0)}
    for share in KELLY_SHARES:
        found[f"{share:g} of Kelly"] = np.minimum(share * fraction, 1.0)
    return {name: np.nan_to_num(table) for name, table in found.items()}


def grown_most(policy: SignalPolicy, candidates: int, market: Market, config: EnvConfig, window: int, rows: slice
               ) -> int:
    """Which of the candidates has grown most over `rows`; ties go to the first."""
    engine = Engine(market, config.judged, candidates, window, rows)
    engine.reset()
    ruined = np.zeros(candidates, bool)
    for _ in range(engine.steps):
        target, _ = policy.predict(observe(engine, "row", engine.shown, engine.observed))
        target[ruined] = 0.0
        engine.step(target)
        ruined |= engine.terminated
    return int(np.argmax(np.where(ruined, -np.inf, engine.money[:, LOG_EQUITY])))
