"""Our environments beside the peers', on one market and in the same run."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.engine import walked
from benchmarks.every_rule import every_rule
from benchmarks.peer_market import make_market
from benchmarks.peer_process import Peer, started
from benchmarks.timing import BARS, FEATURES, WINDOW, Timing, Work, show, side_by_side

if TYPE_CHECKING:
    from data.market import Market
    from envs.config import EnvConfig

OURS = "CoinArena, windows"
# steps in a piece of work, so that each takes about half a second, by the number of accounts
STEPS = {
    1: {"gym-trading-env": 10_000, "gym-anytrading": 80_000, "torchtrade": 2_000, "ours": 40_000},
    64: {"gym-trading-env": 150, "gym-anytrading": 800, "torchtrade": 400, "ours": 5_000},
    4096: {"ours": 1_000},
}


def compare_with_peers(rounds: int, python: Path) -> None:
    from envs.config import EnvConfig

    with ExitStack() as stack:
        market, file, told = make_market(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        print(f"{told}: {len(market):,} bars, {FEATURES} features, windows of {WINDOW}; one thread each where "
              "no other number stands")
        peers = started(python, file, stack)
        beside_peers("one account, steps/s", peers, 1, rounds, {
            OURS: ours(market, 1, "window"), "CoinArena, rows": ours(market, 1, "row")})
        beside_peers("64 accounts, windows, env-steps/s", peers, 64, rounds, {OURS: ours(market, 64, "window")})
    show("4,096 accounts, rows, env-steps/s", side_by_side({
        f"CoinArena, {title}, {threads} thread(s)": ours(market, 4096, "row", rules, threads)
        for title, rules in (("plain rules", EnvConfig()), ("every rule on", every_rule())) for threads in (1, 2)
    }, rounds))
    lengths = ((market.slice(slice(0, BARS // 10)), 500), (market, 500), (market, 20_000))
    for accounts in (1, 64):
        show(f"{accounts} account(s), windows, longer markets and longer episodes, env-steps/s", side_by_side({
            f"{len(bars):,} bars, episodes of {length:,} steps": ours(bars, accounts, "window",
                                                                      EnvConfig(episode=length))
            for bars, length in lengths}, rounds))


def beside_peers(title: str, peers: list[Peer], accounts: int, rounds: int, our_work: dict[str, Work]) -> None:
    """All of them in turn, round after round, and how far ahead of each peer we are."""
    work = {f"{peer.name} {peer.about['version']}": peer.steps(accounts, STEPS[accounts][peer.name]) for peer in peers}
    timings = side_by_side(work | our_work, rounds)
    show(title, timings)
    mine = next(timing for timing in timings if timing.name == OURS)
    for peer in timings[: len(peers)]:
        print(f"  {OURS}, against {peer.name}: {ahead(mine, peer)}")


def ahead(mine: Timing, peer: Timing) -> str:
    """From the ratio within each round: what slowed the machine down then slowed both."""
    ratios = np.divide(mine.rates, peer.rates)
    return f"{np.median(ratios):.1f}x ({ratios.min():.1f} to {ratios.max():.1f})"


def ours(market: Market, accounts: int, observation: str, config: EnvConfig | None = None, threads: int = 1) -> Work:
    """Without gymnasium's wrappers for one account, as the peers are; through `make_vec` for many."""
    import gymnasium as gym

    from envs.trading_env import TradingEnv

    steps = STEPS[accounts]["ours"]
    if accounts > 1:
        return walked(gym.make_vec("envs:CoinArena/Trading-v0", num_envs=accounts, market=market, window=WINDOW,
                                   config=config, observation=observation, threads=threads), accounts, steps)
    env = TradingEnv(market, WINDOW, config=config, observation=observation)
    actions = np.random.default_rng(0).integers(0, 3, 4096).tolist()
    env.reset(seed=0)

    def work() -> int:
        for k in range(steps):
            _, _, terminated, truncated, _ = env.step(actions[k % 4096])
            if terminated or truncated:
                env.reset()
        return steps

    return work
