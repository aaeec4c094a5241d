"""A market with nothing to find, many times over: how often does an agent look as if it had found something?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from agents.arena.rollout import Contestant, compete
from agents.arena.statistics.resampling import resample
from agents.cells import experiment_of
from agents.experiment import ExperimentConfig
from agents.seeds import trained
from configs.errors import UserError
from data.bootstrap import interval
from envs.metrics import returns_of

INSTEAD = {"algo": "--algos", "market": "", "seed": "--games", "seeds": "--games", "data.simulator.seed": "--games",
           "data.simulator.edge": ""}


@dataclass(frozen=True)
class Game:
    algo: str
    encoder: str
    seed: int
    growth: float  # log, over the test rows
    low: float  # ends of its interval
    high: float
    trades: int


def game_of(algo: str, encoder: str, seed: int, passed_on: Sequence[str] = ()) -> ExperimentConfig:
    """A market and an agent of one seed; nobody can know anything of tomorrow."""
    config = experiment_of({"algo": algo, "encoder": encoder, "seed": seed, "ensemble": {"members": ()},
                            "data": {"simulator": {"edge": 0.0, "seed": seed}}}, INSTEAD, passed_on)
    if config.data.source != "simulated":
        raise UserError("only of a simulated market is it known that there is nothing to find, and these flags ask "
                        f"for data.source {config.data.source!r}: leave --data.source and --data.path out")
    return config


def play(config: ExperimentConfig) -> Game:
    """Trained and chosen as ever, and run over the test rows once; for a process of its own."""
    bundle, dataset, _ = trained(config, config.seed, config.device)
    market = dataset.market
    agent = Contestant(bundle.trader(market, cache=config.cache), config.env.actions(len(market.assets)))
    [track] = compete({bundle.name: agent}, market, config.env, bundle.window, dataset.split.test)
    draws = resample(returns_of(track.equity)[None], track.bars_per_year, config.bootstrap)
    low, high = interval(draws.growth[:, 0], config.bootstrap.level)
    growth = float(np.log(track.equity[-1] / track.equity[0]))
    return Game(config.algo, config.encoder, config.seed, growth, low, high, track.metrics.trades)


def counted(games: Sequence[Game]) -> pd.DataFrame:
    """A row for each algorithm, for the eye."""
    lines = {}
    for algo in dict.fromkeys(game.algo for game in games):
        own = [game for game in games if game.algo == algo]
        above, below = sum(game.low > 0 for game in own), sum(game.high < 0 for game in own)
        lines[algo] = {
            "games": len(own), "interval above zero": f"{above} ({above / len(own):.1%})",
            "below zero": f"{below} ({below / len(own):.1%})",
            "stayed in cash": sum(game.trades == 0 for game in own),
            "mean log growth": f"{np.mean([game.growth for game in own]):+.3f}",
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("agent")
