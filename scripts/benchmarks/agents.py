"""Agents as people train them today, with 8 environments and SB3's defaults, against ours: steps, time, memory."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.timing import BARS, WINDOW, Work, show, side_by_side, walk_market

ALGOS = ("ppo", "a2c", "dqn")
ACCOUNTS = 1024
STEPS = {"ppo": (8_192, 262_144), "a2c": (4_000, 131_072), "dqn": (4_000, 131_072)}  # of a round: plain, ours
MEMORY = 20_000  # transitions of plain DQN; its default of a million windows would take 12 GB
PIECE = {"plain": 25_000, "ppo": 65_536, "a2c": 131_072, "dqn": 25_600, "all_q": 1_024_000}  # between two looks
GOAL, PATIENCE = 0.8, 300.0  # of the oracle's growth; seconds of learning after which it has not been reached


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
            "1,024 accounts, rows, the small preset": learn(
                ours(algo, market, env, WINDOW, slice(0, BARS), ACCOUNTS), many),
        }, min(rounds, 3)))


@dataclass(frozen=True)
class Reached:
    fraction: float  # of the oracle, at the last look
    seconds: float  # of learning, looks not counted
    memory: float  # MB at the most, of the whole process


def captured_part(rounds: int, threads: int) -> None:
    """From nothing to 80 % of the oracle's growth on `ou_real`, judged on a year that nobody has seen."""
    print(f"\nseconds until {GOAL:.0%} of the oracle on ou_real, at most {PATIENCE:.0f}; peak memory; a process each")
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for algo in (*ALGOS, "all_q"):
            runs = {way: pool.apply(reach, (algo, way, threads)) for way in ("plain", "ours")
                    if way == "ours" or algo in ALGOS}
            for way, run in runs.items():
                got = f"{run.seconds:6.1f} s" if run.fraction >= GOAL else f"not within {run.seconds:.0f} s"
                ratio = f"  {runs['plain'].seconds / run.seconds:6.1f}x" if way == "ours" and "plain" in runs else ""
                print(f"  {algo:<6} {way:<6} {got:<18} {run.fraction:6.3f} of the oracle  {run.memory:7.0f} MB{ratio}",
                      flush=True)


def reach(algo: str, way: str, threads: int) -> Reached:
    import torch

    from agents.arena.known import walk
    from agents.strategies.oracle import solve
    from data.simulator.known import make_known
    from envs.config import EnvConfig
    from envs.execution import CostConfig

    torch.set_num_threads(threads)
    env = EnvConfig(costs=CostConfig.flat_fee(10.0))
    market = make_known("ou_real", 200_000).market
    learnt, unseen = slice(0, 170_000), slice(170_000, 200_000)
    best, _ = walk(solve("ou_real").policy(market), market, replace(env, action="weights"), 1, 1, unseen.start)
    model = plain(algo, market, env, 1, learnt) if way == "plain" else ours(algo, market, env, 1, learnt)
    seconds, fraction = 0.0, 0.0
    while fraction < GOAL and seconds < PATIENCE:
        started = time.perf_counter()
        model.learn(PIECE[algo if way == "ours" else way], reset_num_timesteps=False)
        seconds += time.perf_counter() - started
        growth, _ = walk(Shown(model, market) if way == "plain" else model.policy, market, env, 1, 1, unseen.start)
        fraction = growth / best
    return Reached(fraction, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


class Shown:
    """A policy that wants the market where it is told a row."""

    def __init__(self, model: Any, market) -> None:
        self.model, self.features = model, market.features

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        seen = {"market": self.features[observation["row"][:, 0]], "account": observation["account"]}
        return self.model.policy.predict(seen, deterministic=deterministic)
