"""PPO training, rollouts and updates together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.timing import BARS, WINDOW, Work, show, side_by_side, walk_market


def ppo_part(rounds: int, threads: int) -> None:
    """PPO as people run it today (8 environments, copied windows, SB3's defaults) against PPO on rows."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from agents.algos.recipe import Task, make_model
    from agents.config import AgentConfig
    from agents.feature_table import make_table, publish
    from agents.sb3_env import AccountsVecEnv
    from configs.loader import parse, preset
    from envs.config import EnvConfig
    from envs.trading_env import TradingEnv

    torch.set_num_threads(threads)
    market, env = walk_market(), EnvConfig()
    plain = PPO("MultiInputPolicy", DummyVecEnv([lambda: TradingEnv(market, WINDOW, config=env)] * 8), device="cpu")
    agent = replace(parse(AgentConfig, [], preset("agent", "ppo.small")), accounts=1024)
    accounts = AccountsVecEnv(market, env, 1024, WINDOW, slice(0, BARS))
    table = make_table(market, None, np.arange(WINDOW, BARS))
    rows = make_model("ppo", Task(agent, env, 1024, market.assets), accounts, publish(table))

    def learn(model, steps: int) -> Work:
        def work() -> int:
            before = model.num_timesteps
            model.learn(steps, reset_num_timesteps=False)
            return model.num_timesteps - before

        return work

    show(f"PPO training steps, rollouts and updates together, {threads} torch thread(s)", side_by_side({
        "SB3's defaults: 8 environments, copied windows": learn(plain, 16_384),
        "1,024 accounts, rows, the small preset": learn(rows, 131_072),
    }, min(rounds, 3)))
