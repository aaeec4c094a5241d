"""What the training accounts do: added up over all of them at once, from one point of the curves to the next."""

from __future__ import annotations

import numpy as np

from envs.engine import Engine
from envs.layout import EQUITY, LOG_EQUITY, MONEY, PAID, PEAK, START, TURNOVER


class Tally:
    """Sums over accounts and steps. A training that goes on after a kill begins them anew: curves alone rest on them.

    `deepest` and the two `before` belong to episodes that are under way and stay; the others start over with `take`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.grown_before = engine.money[:, LOG_EQUITY].copy()  # (B,)
        self.paid_before = engine.money[:, PAID].sum(axis=1)  # (B,)
        self.deepest = np.zeros(engine.accounts)  # (B,) largest drawdown of the episode so far
        # of account and step: how many, log growth, return, its square, turnover, exposure, costs over start
        self.steps = np.zeros(7)
        self.ended = np.zeros(2)  # of episodes that ended: how many, drawdown

    def step(self) -> None:
        """After each step of the engine, which has opened the accounts that are done anew."""
        engine, assets = self.engine, len(self.engine.market.assets)
        done = engine.terminated | engine.truncated
        money, shown = engine.money, engine.observed[:, :assets]
        if done.any():
            money = np.where(done[:, None], engine.final[:, :MONEY], money)
            shown = np.where(done[:, None], engine.final_observed[:, :assets], shown)
        grown, paid = money[:, LOG_EQUITY], money[:, PAID].sum(axis=1)
        growth = grown - self.grown_before
        returns = np.expm1(growth)
        self.steps += np.array([
            len(growth), growth.sum(), returns.sum(), returns @ returns, money[:, TURNOVER].sum(),
            np.abs(shown, dtype=np.float64).sum(), ((paid - self.paid_before) / money[:, START]).sum()])
        np.maximum(self.deepest, np.minimum(1 - money[:, EQUITY] / money[:, PEAK], 1.0), out=self.deepest)
        self.ended += np.array([done.sum(), self.deepest[done].sum()])
        self.deepest[done] = 0.0
        self.grown_before, self.paid_before = np.where(done, 0.0, grown), np.where(done, 0.0, paid)

    def take(self) -> dict[str, float]:
        """Means since the last call, names and units those of `Look.numbers`; without a step there are none.

        The drawdown is the mean of the episodes that ended, and missing where none did.
        """
        steps, growth, returns, squares, turnover, exposure, paid = self.steps.tolist()
        ended, drawdown = self.ended.tolist()
        self.steps[:], self.ended[:] = 0.0, 0.0
        if steps < 2:
            return {}
        year = self.engine.market.bars_per_year
        mean = returns / steps
        deviation = (max(squares - steps * mean**2, 0.0) / (steps - 1)) ** 0.5
        found = {"growth_per_bar": growth / steps, "exposure": exposure / steps,
                 "sharpe": mean / deviation * year**0.5 if deviation > 1e-9 else 0.0,  # rounding leaves about 1e-10
                 "turnover": turnover / steps * year, "costs": paid / steps * year}
        return {**found, "max_drawdown": drawdown / ended} if ended else found
