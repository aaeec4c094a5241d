"""How fast the parts are, each as a ratio to a stated baseline in the same run; medians of several rounds.

    python scripts/benchmark.py                 # everything, about five minutes on two cores
    python scripts/benchmark.py --parts engine ppo
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from configs.errors import run_script
from configs.loader import parse
from configs.registry import check_name

PARTS = ("engine", "ppo", "encoders")
WINDOW, FEATURES, BARS = 48, 32, 50_000


@dataclass(frozen=True)
class BenchmarkConfig:
    """Time the engine, PPO and the encoders."""

    parts: tuple[str, ...] = PARTS
    """what to time: engine, ppo, encoders"""
    rounds: int = 5
    """rounds of each measurement; the median counts, the range stands beside it"""
    threads: int = 1
    """torch threads"""

    def __post_init__(self) -> None:
        for part in self.parts:
            check_name("part", part, PARTS)


@dataclass(frozen=True)
class Timing:
    name: str
    rates: list[float]  # per second, one per round

    @property
    def rate(self) -> float:
        return median(self.rates)

    def line(self, baseline: Timing) -> str:
        return (f"{self.name:<58} {self.rate:>12,.0f} /s  ({min(self.rates):,.0f} to {max(self.rates):,.0f})  "
                f"{self.rate / baseline.rate:8.1f}x")


def side_by_side(work: dict[str, Callable[[], int]], rounds: int) -> list[Timing]:
    """Each piece of work once to warm up, then all in turn, round after round, so that a slow spell hits them alike.

    A piece returns how many units it did; the first one is the baseline of the ratios.
    """
    rates: dict[str, list[float]] = {name: [] for name in work}
    for piece in work.values():
        piece()
    for _ in range(rounds):
        for name, piece in work.items():
            started = time.perf_counter()
            done = piece()
            rates[name].append(done / (time.perf_counter() - started))
    return [Timing(name, found) for name, found in rates.items()]


def show(title: str, timings: list[Timing]) -> None:
    print(f"\n{title}; ratios to the first line")
    for timing in timings:
        print("  " + timing.line(timings[0]), flush=True)


def walk_market():
    """50,000 hourly bars of a random walk with 32 features: prices matter here, their meaning does not."""
    from data.market import Market

    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, BARS)))
    opened = np.concatenate([[100.0], close[:-1]])
    prices = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(BARS)], axis=1)
    return replace(Market.flat(BARS), prices=prices[:, None], columns=tuple(f"f{i}" for i in range(FEATURES)),
                   features=rng.normal(size=(BARS, 1, FEATURES)).astype(np.float32))


def single_steps(observation: str, steps: int = 20_000) -> Callable[[], int]:
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


def vector_steps(observation: str, accounts: int, steps: int) -> Callable[[], int]:
    from envs.vector_env import TradingVectorEnv

    envs = TradingVectorEnv(accounts, walk_market(), WINDOW, observation=observation)
    actions = np.random.default_rng(0).integers(0, 3, (64, accounts))
    envs.reset(seed=0)

    def work() -> int:
        for k in range(steps):
            envs.step(actions[k % 64])
        return steps * accounts

    return work


def sync_steps(accounts: int, steps: int) -> Callable[[], int]:
    """The baseline: gymnasium's own SyncVectorEnv over single envs, windows copied."""
    from gymnasium.vector import SyncVectorEnv

    from envs.trading_env import TradingEnv

    market = walk_market()
    envs = SyncVectorEnv([lambda: TradingEnv(market, WINDOW)] * accounts)
    actions = np.random.default_rng(0).integers(0, 3, (64, accounts))
    envs.reset(seed=0)

    def work() -> int:
        for k in range(steps):
            envs.step(actions[k % 64])
        return steps * accounts

    return work


def engine_part(config: BenchmarkConfig) -> None:
    show(f"env-steps through gymnasium's API, hourly bars, {FEATURES} features, windows of {WINDOW}", side_by_side({
        "8 single envs in a SyncVectorEnv, windows": sync_steps(8, 500),
        "single env, windows": single_steps("window"),
        "single env, rows": single_steps("row"),
        "64 accounts, windows": vector_steps("window", 64, 300),
        "1,024 accounts, rows": vector_steps("row", 1024, 500),
        "4,096 accounts, rows": vector_steps("row", 4096, 150),
    }, config.rounds))


def ppo_part(config: BenchmarkConfig) -> None:
    """PPO as people run it today (8 environments, copied windows, SB3's defaults) against PPO on rows."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from agents.algos import common_arguments, policy_kwargs, ppo
    from agents.config import AgentConfig
    from agents.feature_table import make_table, publish
    from agents.sb3_env import AccountsVecEnv
    from configs.loader import preset
    from envs.engine import EnvConfig
    from envs.observations import account_names
    from envs.trading_env import TradingEnv

    torch.set_num_threads(config.threads)
    market, env = walk_market(), EnvConfig()
    plain = PPO("MultiInputPolicy", DummyVecEnv([lambda: TradingEnv(market, WINDOW, config=env)] * 8), device="cpu")
    agent = replace(parse(AgentConfig, [], preset("agent", "ppo.small")), accounts=1024)
    accounts = AccountsVecEnv(market, env, 1024, WINDOW, slice(0, BARS))
    table = make_table(market, None, np.arange(WINDOW, BARS))
    rows = ppo(accounts, agent, policy_kwargs(agent, publish(table), account_names(market.assets)),
               common_arguments("cpu", 0, None))

    def learn(model, steps: int) -> Callable[[], int]:
        def work() -> int:
            before = model.num_timesteps
            model.learn(steps, reset_num_timesteps=False)
            return model.num_timesteps - before

        return work

    show(f"PPO training steps, rollouts and updates together, {config.threads} torch thread(s)", side_by_side({
        "SB3's defaults: 8 environments, copied windows": learn(plain, 16_384),
        "1,024 accounts, rows, the small preset": learn(rows, 131_072),
    }, min(config.rounds, 3)))


def encoders_part(config: BenchmarkConfig) -> None:
    """Windows embedded and trained on, gathered on the device, against a DataLoader over copied windows."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from configs.loader import preset
    from encoders import ENCODERS
    from encoders.base import make_encoder
    from encoders.batches import Windows
    from encoders.config import EncoderConfig

    torch.set_num_threads(config.threads)
    market, count, batch = walk_market(), 4096, 256
    rows = np.arange(WINDOW, WINDOW + count)
    windows = Windows(market, WINDOW, "cpu")
    copied = DataLoader(TensorDataset(windows(rows).clone()), batch_size=batch)

    def embedding(model, batches: Callable) -> Callable[[], int]:
        def work() -> int:
            with torch.no_grad():
                for x in batches():
                    model.encode(x)
            return count

        return work

    def training(model, batches: Callable) -> Callable[[], int]:
        optimiser = torch.optim.AdamW(model.parameters())

        def work() -> int:
            for x in batches():
                optimiser.zero_grad()
                model.encode(x).square().mean().backward()
                optimiser.step()
            return count

        return work

    def gathered():
        return (windows(part) for part in np.split(rows, range(batch, count, batch)))

    def loaded():
        return (x for (x,) in copied)

    for name in ENCODERS:
        model = make_encoder(FEATURES, parse(EncoderConfig, [], preset("encoder", f"{name}.small")))
        show(f"{name}, small preset, windows of {WINDOW} x {FEATURES}, {config.threads} torch thread(s)", side_by_side({
            "trained on, DataLoader over copied windows": training(model.train(), loaded),
            "trained on, gathered from the resident market": training(model.train(), gathered),
            "embedded, gathered": embedding(model.eval(), gathered),
        }, min(config.rounds, 3)))


def main() -> None:
    config = parse(BenchmarkConfig, sys.argv[1:])
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, median of "
          f"{config.rounds} rounds (3 for training), range in brackets")
    for part in config.parts:
        {"engine": engine_part, "ppo": ppo_part, "encoders": encoders_part}[part](config)


if __name__ == "__main__":
    run_script(main)
