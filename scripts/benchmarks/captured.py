"""How long agents take to find most of what there is, and in how much memory: SB3's defaults against ours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.agents import ALGOS, ours, plain

PIECE = {"plain": 25_000, "ppo": 65_536, "a2c": 131_072, "dqn": 25_600, "all_q": 1_024_000}  # between two looks
MARKET, BARS, LEARNT = "ou_real", 200_000, 170_000  # the rest is unseen
GOAL, PATIENCE = 0.8, 300.0  # of the oracle's growth; seconds of learning after which it has not been reached


@dataclass(frozen=True)
class Reached:
    fraction: float  # of the oracle, at the last look
    seconds: float  # of learning, looks not counted
    memory: float  # MB at the most, of a process of its own that learns and looks


def captured_part(rounds: int, threads: int) -> None:
    """From nothing to 80 % of the oracle's growth, judged on bars that nobody has seen."""
    print(f"\nseconds until {GOAL:.0%} of the oracle on {MARKET}, at most {PATIENCE:.0f}; peak memory; a process each")
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        best = pool.apply(oracle)  # in a process of its own: it takes more memory than learning does
        for algo in (*ALGOS, "all_q"):
            runs = {way: pool.apply(reach, (algo, way, threads, best)) for way in ("plain", "ours")
                    if way == "ours" or algo in ALGOS}
            for way, run in runs.items():
                got = f"{run.seconds:6.1f} s" if run.fraction >= GOAL else f"not within {run.seconds:.0f} s"
                ratio = f"  {runs['plain'].seconds / run.seconds:6.1f}x" if way == "ours" and "plain" in runs else ""
                print(f"  {algo:<6} {way:<6} {got:<18} {run.fraction:6.3f} of the oracle  {run.memory:7.0f} MB{ratio}",
                      flush=True)


def growth(policy: Any, market: Any, env: Any) -> float:
    """Per bar of the unseen rows."""
    from agents.arena.known import luck, walk

    return walk(policy, market, env, 1, luck(MARKET, BARS, seed=0), 1, LEARNT).growth


def oracle() -> float:
    from agents.strategies.oracle import solve
    from data.simulator.known import make_known
    from envs.config import EnvConfig

    market = make_known(MARKET, BARS).market
    return growth(solve(MARKET).policy(market), market, EnvConfig(costs=costs(), action="weights"))


def costs():
    from envs.execution import CostConfig

    return CostConfig.flat_fee(10.0)


def reach(algo: str, way: str, threads: int, best: float) -> Reached:
    import torch

    from data.simulator.known import make_known
    from envs.config import EnvConfig

    torch.set_num_threads(threads)
    env, market = EnvConfig(costs=costs()), make_known(MARKET, BARS).market
    model = (plain if way == "plain" else ours)(algo, market, env, 1, slice(0, LEARNT))
    seconds, fraction = 0.0, 0.0
    while fraction < GOAL and seconds < PATIENCE:
        started = time.perf_counter()
        model.learn(PIECE[algo if way == "ours" else way], reset_num_timesteps=False)
        seconds += time.perf_counter() - started
        fraction = growth(Shown(model, market) if way == "plain" else model.policy, market, env) / best
    return Reached(fraction, seconds, peak_memory())


def peak_memory() -> float:
    """MB that this process has held at once; what `getrusage` says begins with what its parent held."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


class Shown:
    """A policy that wants the market where it is told a row."""

    def __init__(self, model: Any, market) -> None:
        self.model, self.features = model, market.features

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        seen = {"market": self.features[observation["row"][:, 0]], "account": observation["account"]}
        return self.model.policy.predict(seen, deterministic=deterministic)
