"""Agents as people train them today, with 8 environments and SB3's defaults, against ours: steps in a second.

With 1,024 accounts each; the small presets of a2c and dqn have 64, and dqn with more of them makes fewer updates for as
many steps: `captured` measures what is learnt in a second by the presets as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.own_ppo import WAYS, beside_sb3
from benchmarks.timing import BARS, WINDOW, Work, show, side_by_side, walk_market

ALGOS = ("ppo", "a2c", "dqn")
ACCOUNTS = 1024
STEPS = {"ppo": (8_192, 262_144), "a2c": (4_000, 131_072), "dqn": (4_000, 131_072)}  # of a round: plain, ours
MEMORY = 20_000  # transitions of plain DQN; its default of a million windows would take 12 GB


def plain(algo: str, market, env, window: int, rows: slice | None = None) -> Any:
    """SB3 with its defaults on copied windows."""
    import stable_baselines3
    from stable_baselines3.common.vec_env import DummyVecEnv

    from envs.trading_env import TradingEnv

    more = {"buffer_size": MEMORY} if algo == "dqn" else {}
    envs = DummyVecEnv([lambda: TradingEnv(market, window, rows, config=env)] * 8)
    return getattr(stable_baselines3, algo.upper())("MultiInputPolicy", envs, device="cpu", seed=0, **more)


def ours(algo: str, market, env, window: int, rows: slice, accounts: int = 0) -> Any:
    """The small preset, on row numbers."""
    from agents.algos.recipe import Task, make_model
    from agents.config import AgentConfig
    from agents.feature_table import make_table, publish
    from agents.sb3_env import AccountsVecEnv
    from configs.loader import parse, preset

    agent = parse(AgentConfig, [], preset("agent", f"{algo}.small"))
    agent = replace(agent, accounts=accounts or agent.accounts, lr_end=1.0)  # it is taught in pieces
    side = AccountsVecEnv(market, env, agent.accounts, window, rows, agent.reward_scale)
    table = make_table(market, None, np.arange(window, rows.stop))
    return make_model(algo, Task(agent, env, agent.accounts, market.assets), side, publish(table))


def agents_part(rounds: int, threads: int) -> None:
    import torch

    from envs.config import EnvConfig

    torch.set_num_threads(threads)
    market, env = walk_market(), EnvConfig()

    def learn(model, steps: int) -> Work:
        def work() -> int:
            before = model.num_timesteps
            model.learn(steps, reset_num_timesteps=False)
            return model.num_timesteps - before

        return work

    for algo in ALGOS:
        few, many = STEPS[algo]
        show(f"{algo} training steps, rollouts and updates together, {threads} torch thread(s)", side_by_side({
            "SB3's defaults: 8 environments, copied windows": learn(plain(algo, market, env, WINDOW), few),
            "1,024 accounts, rows, else the small preset": learn(
                ours(algo, market, env, WINDOW, slice(0, BARS), ACCOUNTS), many),
        }, min(rounds, 3)))
    beside_sb3("small", "cpu", WAYS[:2], min(rounds, 3))
