"""SB3's own PPO beside ours, the same but for what is not arithmetic: frames in a second, and what they go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import BARS, WINDOW, Work, show, side_by_side, walk_market

WAYS = ("SB3's own PPO, the same network and accounts", "ours", "ours, compiled")
ROLLOUTS = 4  # of a round


def ppo_of(way: str, size: str, device: str) -> Any:
    """A preset of PPO on its accounts."""
    from stable_baselines3 import PPO

    from agents.algos.recipe import Task, network_of, recipe_of
    from agents.config import AgentConfig
    from agents.feature_table import make_table, publish
    from agents.sb3_env import AccountsVecEnv
    from configs.loader import parse, preset
    from envs.config import EnvConfig

    market, env = walk_market(), EnvConfig()
    agent = parse(AgentConfig, [], preset("agent", f"ppo.{size}"))
    task = Task(agent, env, agent.accounts, market.assets)
    side = AccountsVecEnv(market, env, task.accounts, WINDOW, slice(0, BARS), agent.reward_scale)
    recipe, table = recipe_of("ppo", task), publish(make_table(market, None, np.arange(WINDOW, BARS)))
    network, settings = network_of(recipe, task, table), {**recipe.settings, "compile": way == WAYS[2]}
    if way == WAYS[0]:
        del settings["compile"], network["optimizer_kwargs"]
    build: Callable[..., Any] = PPO if way == WAYS[0] else recipe.model
    return build(recipe.policy, side, learning_rate=agent.lr, gamma=agent.gamma, device=device, seed=0,
                 policy_kwargs=network, **settings)


def beside_sb3(size: str, device: str, ways: tuple[str, ...], rounds: int) -> None:
    models = {way: ppo_of(way, size, device) for way in ways}

    def learn(model) -> Work:
        def work() -> int:
            before = model.num_timesteps
            model.learn(ROLLOUTS * model.n_steps * model.n_envs, reset_num_timesteps=False)
            return model.num_timesteps - before

        return work

    model = models[WAYS[1]]
    show(f"PPO's {size} preset, {model.n_envs:,} accounts, frames with rollouts and updates, networks on {device}",
         side_by_side({way: learn(model) for way, model in models.items()}, rounds))
    shares = shares_of(model, learn(model), device)
    print("  of our time " + ", ".join(f"{share:.0%} {name}" for name, share in shares.items()), flush=True)


def shares_of(model, work: Work, device: str) -> dict[str, float]:
    """What a piece of work is spent on, the card waited for before and after each part."""
    import torch

    wait: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None
    spent = dict.fromkeys(("stepping the accounts", "choosing actions", "updating", "the rest"), 0.0)

    def timed(does: Callable, name: str) -> Callable:
        def do(*given: Any) -> Any:
            wait()
            started = time.perf_counter()
            found = does(*given)
            wait()
            spent[name] += time.perf_counter() - started
            return found

        return do

    def asked(swift=model.swift) -> Any:
        made = swift()
        made.act = timed(made.act, "choosing actions")
        return made

    model.env.step = timed(model.env.step, "stepping the accounts")
    model.train = timed(model.train, "updating")
    model.swift = asked
    whole: list[int] = []
    timed(lambda: whole.append(work()), "the rest")()
    spent["the rest"] = 2 * spent["the rest"] - sum(spent.values())
    return {name: seconds / sum(spent.values()) for name, seconds in spent.items()}
