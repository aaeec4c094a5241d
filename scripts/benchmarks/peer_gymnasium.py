"""gym-trading-env and gym-anytrading as their documentation sets them up, as fast as that allows; run by `peer_worker`.

Chosen in their favour: no wrappers; one episode as long as the market, which spares them resets; features are shared
where a peer would only copy them; SyncVectorEnv hands out its own batch instead of one more copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peer_market import BORROW_PER_BAR, FEE, Walk, read_market
from benchmarks.timing import WINDOW


def walk_one(env: Any) -> Walk:
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 4096).tolist()
    env.reset(seed=0)

    def walk(steps: int) -> int:
        for k in range(steps):
            _, _, terminated, truncated, _ = env.step(actions[k % 4096])
            if terminated or truncated:
                env.reset()
        return steps

    return walk


def walk_many(make: Callable[[], Any], accounts: int) -> Walk:
    from gymnasium.vector import SyncVectorEnv

    envs: Any = SyncVectorEnv([make] * accounts, copy=False)
    actions = np.random.default_rng(0).integers(0, envs.single_action_space.n, (64, accounts))
    envs.reset(seed=0)

    def walk(steps: int) -> int:
        for k in range(steps):
            envs.step(actions[k % 64])
        return steps * accounts

    return walk


def gym_trading_env(path: str, accounts: int) -> Walk:
    from gym_trading_env.environments import TradingEnv

    bars, features = read_market(path)
    frame = pd.concat([bars.drop(columns="volume"), features], axis=1)

    def make() -> Any:
        return TradingEnv(df=frame, positions=[-1, 0, 1], windows=WINDOW, trading_fees=FEE,
                          borrow_interest_rate=BORROW_PER_BAR, verbose=0)

    return walk_one(make()) if accounts == 1 else walk_many(make, accounts)


def gym_anytrading(path: str, accounts: int) -> Walk:
    from gym_anytrading.envs import StocksEnv

    bars, features = read_market(path)
    arrays = bars["close"].to_numpy(np.float32), features.to_numpy(np.float32)

    class FeaturedEnv(StocksEnv):
        """Own features come in through this method, as its documentation shows."""

        def _process_data(self):
            return arrays

    def make() -> Any:
        return FeaturedEnv(bars, WINDOW, (WINDOW, len(bars)))

    return walk_one(make()) if accounts == 1 else walk_many(make, accounts)
