"""What is watched while an agent learns: validation growth, finance scalars, an equity picture, updates, throughput."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure
from tqdm import tqdm

from agents.plots import equity_figure
from agents.policy import Policy
from agents.weights import Weights, portable
from configs.errors import UserError
from data.market import Market
from envs.config import EnvConfig
from envs.engine import Engine
from envs.layout import CARRY, EQUITY, FEES, INTEREST, SLIPPAGE, START, TRADED, TURNOVER
from envs.metrics import Metrics, measure
from envs.observations import observe

PAID = [FEES, SLIPPAGE, CARRY, INTEREST]


class Validation:
    """A span cut into parts that are walked side by side, so that a look at it costs a fraction of a second."""

    def __init__(self, market: Market, config: EnvConfig, window: int, rows: slice, parts: int = 32) -> None:
        decisions = len(market.decision_rows(window, rows)) - 1
        parts = max(1, min(parts, decisions // 50))
        self.engine = Engine(market, config, parts, window, rows)
        self.steps = decisions // parts
        self.starts = np.arange(parts) * self.steps
        self._actions = config.actions(len(market.assets))

    def run(self, policy: Policy) -> tuple[np.ndarray, Metrics]:
        """Equity of the parts one after the other, as if each began with what the last one left; and its metrics."""
        engine, assets = self.engine, len(self.engine.market.assets)
        engine.reset(starts=self.starts)
        target = np.zeros((engine.accounts, assets))
        rewards = np.zeros((engine.accounts, self.steps))
        weights = np.zeros((engine.accounts, self.steps, assets))
        turnover = np.zeros((engine.accounts, self.steps))
        costs = np.zeros(engine.accounts)
        state, alive = None, np.ones(engine.accounts, bool)
        for k in range(self.steps):
            observation = observe(engine, "row", engine.shown, engine.observed)
            action, state = policy.predict(observation, state, deterministic=True)
            self._actions.write(action, target, engine.weights)
            target[~alive] = 0.0
            engine.step(target)
            rewards[:, k] = np.where(alive, engine.reward, 0.0)
            weights[:, k] = np.where(alive[:, None], engine.observed[:, :assets], 0.0)
            turnover[:, k] = np.where(alive, engine.money[:, TURNOVER], 0.0)
            costs = np.where(alive, engine.money[:, PAID].sum(axis=1), costs)
            alive &= ~engine.terminated
        equity = np.exp(np.concatenate([[0.0], rewards.ravel().cumsum()]))
        years = float(engine.years[: self.steps * engine.accounts].sum())
        return equity, measure(equity, weights.reshape(-1, assets), turnover.ravel(),
                               float(costs.sum() / engine.config.capital), years, engine.market.bars_per_year)


class Watch(BaseCallback):
    """Validates `times` times, keeps the best weights on disk and in memory, draws, and shows a bar.

    Best is the highest mean growth less one standard error: among a dozen looks at a noisy span the mean alone would
    choose a lucky gambler over a policy that has learnt to stay out.
    """

    def __init__(self, validation: Validation, steps: int, times: int, keep: Callable[[Weights], None],
                 progress: bool) -> None:
        super().__init__()
        self.validation, self.steps, self.times, self.keep = validation, steps, times, keep
        self.best_score, self.best_step = -np.inf, 0
        self.best_weights: Weights = {}
        # disable=None: no bar where the output is a file
        self._bar = tqdm(total=steps, desc="agent", unit=" steps", unit_scale=True,
                         disable=None if progress else True)
        self._episodes: list[np.ndarray] = []
        self._next = 0
        self._started = time.perf_counter()

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "final_money" in info:
                self._episodes.append(info["final_money"])
        self._bar.update(min(self.num_timesteps, self.steps) - self._bar.n)
        if self.num_timesteps >= self._next:
            self._next += self.steps // self.times
            self._validate()
        return True

    def _on_rollout_end(self) -> None:
        if self._episodes:
            money = np.array(self._episodes)
            capital = money[:, START]
            growth = np.log(np.maximum(money[:, EQUITY] / capital, 1e-3))
            self.logger.record("train/episode_growth", float(growth.mean()))
            self.logger.record("train/episode_costs", float((money[:, PAID].sum(axis=1) / capital).mean()))
            self.logger.record("train/episode_turnover", float((money[:, TRADED] / capital).mean()))
            self._episodes.clear()

    def _on_training_end(self) -> None:
        self._validate()
        self._bar.close()

    def _validate(self) -> None:
        policy = self.model.policy
        policy.set_training_mode(False)
        weights = policy.state_dict()
        for name, value in weights.items():
            if not torch.isfinite(value).all():
                raise UserError(f"the policy's {name} is not a number after {self.num_timesteps} steps; lower agent.lr "
                                f"(the best weights so far are kept, from step {self.best_step})")
        equity, metrics = self.validation.run(policy)
        growths = np.diff(np.log(equity))
        growth = float(growths.mean())
        score = growth - float(growths.std()) / np.sqrt(len(growths))
        if score > self.best_score:
            self.best_score, self.best_step = score, self.num_timesteps
            self.best_weights = portable(weights)
            self.keep(self.best_weights)
        updates = getattr(self.model, "_n_updates", 0)
        for name in ("total_return", "sharpe", "max_drawdown", "turnover", "exposure", "costs", "trades", "win_rate"):
            self.logger.record(f"valid/{name}", float(getattr(metrics, name)))
        self.logger.record("valid/growth_per_bar", growth)
        self.logger.record("time/updates", updates)
        self.logger.record("time/steps_per_second", self.num_timesteps / (time.perf_counter() - self._started))
        figure = equity_figure({"validation": equity}, f"after {self.num_timesteps:,} steps, {updates:,} updates")
        self.logger.record("valid/equity", Figure(figure, close=True), exclude=("stdout", "log", "json", "csv"))
        self.logger.dump(self.num_timesteps)
        self._bar.set_postfix(updates=updates, valid=f"{growth * 1e4:+.2f} bps/bar")
