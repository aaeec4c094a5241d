"""A policy on the validation rows: one look, and all that it shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.policy import Observation, Policy
from data.market import CLOSE, Market
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.metrics import Metrics, measure
from envs.observations import observe


@dataclass(frozen=True, eq=False)
class Look:
    """What a policy did: K steps, those of the parts one after the other, N assets."""

    parts: int
    time: np.ndarray  # (K + 1,) of each point of equity
    equity: np.ndarray  # (K + 1,) as if each part began with what the last one left, from 1
    chosen: np.ndarray  # (K, N) weights asked for; what was held, where no order was sent
    opened: np.ndarray  # (K, N) weights held once this step's orders had filled, at prices and equity decided on
    weights: np.ndarray  # (K, N) held at the close of each step
    rows: np.ndarray  # (K,) int64 of the bar that was decided on
    prices: np.ndarray  # (K, N) close of the bar that was decided on
    rewards: np.ndarray  # (K,) of the env, not scaled
    alive: np.ndarray  # (K,) not ruined before this step
    ruined: np.ndarray  # (K,) in this step
    seen: Observation  # (K, ...) what was decided on
    years: float  # time that passed
    metrics: Metrics

    @property
    def growths(self) -> np.ndarray:
        """(K,) log growth of each step."""
        return np.diff(np.log(self.equity))

    @property
    def numbers(self) -> dict[str, float]:
        """What is drawn as curves; turnover and costs are a year's, as those of the training accounts are."""
        found = {name: float(getattr(self.metrics, name)) for name in (
            "total_return", "sharpe", "max_drawdown", "turnover", "exposure", "trades", "win_rate")}
        return {"growth_per_bar": float(self.growths.mean()),
                "growth_per_year": float(np.log(self.equity[-1] / self.equity[0])) / self.years,
                "costs": self.metrics.costs / self.years, **found}


class Validation:
    """A span cut into parts that are walked side by side, so that a look at it costs a fraction of a second."""

    def __init__(self, market: Market, config: EnvConfig, window: int, rows: slice, parts: int = 32) -> None:
        decisions = len(market.decision_rows(window + config.observation_delay, rows)) - 1
        parts = max(1, min(parts, decisions // 50))
        self.engine = Engine(market, config, parts, window, rows)
        self.steps = decisions // parts
        self.starts = np.arange(parts) * self.steps
        self._actions = config.actions(len(market.assets))

    def run(self, policy: Policy) -> Look:
        """Deterministic, each part from cash; what an account that is ruined would have done next is not counted."""
        engine, market, steps = self.engine, self.engine.market, self.steps
        parts, assets = engine.accounts, len(market.assets)
        engine.reset(range(parts), self.starts)  # every look meets the same costs, where their scale is drawn
        target, before, costs = np.zeros((parts, assets)), np.zeros(parts), np.zeros(parts)
        growths, rewards, turnover = (np.zeros((parts, steps)) for _ in range(3))
        weights, chosen, opened = (np.zeros((parts, steps, assets)) for _ in range(3))
        living, ruined = np.zeros((parts, steps), bool), np.zeros((parts, steps), bool)
        shown = np.zeros((parts, steps, 1), np.int32)
        accounts = np.zeros((parts, steps, engine.observed.shape[1]), np.float32)
        state, alive = None, np.ones(parts, bool)
        for k in range(steps):
            observation = observe(engine, "row", engine.shown, engine.observed)
            shown[:, k], accounts[:, k], living[:, k] = observation["row"], observation["account"], alive
            action, state = policy.predict(observation, state, np.full(parts, k == 0), deterministic=True)
            self._actions.write(action, target, engine.weights)
            chosen[:, k] = np.where(np.isnan(target), engine.weights(), target)
            target[~alive] = 0.0
            units, price = engine.holdings[:, :, at.UNITS].copy(), engine.bars[engine.rows, :, at.CLOSE]  # (parts, N)
            worth = np.where(alive, engine.money[:, at.EQUITY], np.inf)[:, None]
            engine.step(target)
            opened[:, k] = (units + engine.fills[:, :, at.ORDER_UNITS]) * price / worth
            after = engine.money[:, at.LOG_EQUITY]
            growths[:, k] = np.where(alive, after - before, 0.0)
            rewards[:, k] = np.where(alive, engine.reward, 0.0)
            weights[:, k] = np.where(alive[:, None], engine.observed[:, :assets], 0.0)
            turnover[:, k] = np.where(alive, engine.money[:, at.TURNOVER], 0.0)
            costs = np.where(alive, engine.money[:, at.PAID].sum(axis=1), costs)
            ruined[:, k] = alive & engine.terminated
            alive &= ~engine.terminated
            before = after.copy()
        equity = np.exp(np.concatenate([[0.0], growths.ravel().cumsum()]))
        years = float(engine.years[: steps * parts].sum())
        held = weights.reshape(-1, assets)
        metrics = measure(equity, held, turnover.ravel(), float(costs.sum() / engine.config.capital), years,
                          market.bars_per_year)
        rows, last = np.split(engine.decisions[: steps * parts + 1, 0], [-1])
        return Look(parts, market.time[np.append(rows, last)], equity, chosen.reshape(-1, assets),
                    opened.reshape(-1, assets), held, rows, market.prices[rows, :, CLOSE], rewards.ravel(),
                    living.ravel(), ruined.ravel(),
                    {"row": shown.reshape(-1, 1), "account": accounts.reshape(parts * steps, -1)}, years, metrics)
