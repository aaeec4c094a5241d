"""Env-steps through gymnasium's API: single, vector, and gymnasium's own SyncVectorEnv as the baseline."""

from __future__ import annotations

import numpy as np

from benchmarks.timing import FEATURES, WINDOW, Work, show, side_by_side, walk_market


def single_steps(observation: str, steps: int = 20_000) -> Work:
    from envs.trading_env import TradingEnv

    env = TradingEnv(walk_market(), WINDOW, observation=observation)
    actions = np.random.default_rng(0).integers(0, 3, steps).tolist()

    def work() -> int:
        env.reset(seed=0)
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return steps

    return work


def vector_steps(observation: str, accounts: int, steps: int) -> Work:
    from envs.vector_env import TradingVectorEnv

    return walked(TradingVectorEnv(accounts, walk_market(), WINDOW, observation=observation), accounts, steps)


def sync_steps(accounts: int, steps: int) -> Work:
    """The baseline: gymnasium's own SyncVectorEnv over single envs, windows copied."""
    from gymnasium.vector import SyncVectorEnv

    from envs.trading_env import TradingEnv

    market = walk_market()
    return walked(SyncVectorEnv([lambda: TradingEnv(market, WINDOW)] * accounts), accounts, steps)


def walked(envs, accounts: int, steps: int) -> Work:
    actions = np.random.default_rng(0).integers(0, 3, (64, accounts))
    envs.reset(seed=0)

    def work() -> int:
        for k in range(steps):
            envs.step(actions[k % 64])
        return steps * accounts

    return work


def engine_part(rounds: int, threads: int) -> None:
    show(f"env-steps through gymnasium's API, hourly bars, {FEATURES} features, windows of {WINDOW}", side_by_side({
        "8 single envs in a SyncVectorEnv, windows": sync_steps(8, 500),
        "single env, windows": single_steps("window"),
        "single env, rows": single_steps("row"),
        "64 accounts, windows": vector_steps("window", 64, 300),
        "1,024 accounts, rows": vector_steps("row", 1024, 500),
        "4,096 accounts, rows": vector_steps("row", 4096, 150),
    }, rounds))
