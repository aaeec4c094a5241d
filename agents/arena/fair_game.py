"""A market with nothing to find, many times over: how often does an agent look as if it had found something?"""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.arena.rollout import Contestant, compete
from agents.arena.statistics import resample
from agents.experiment import ensemble_of, load_experiment, sight_of
from agents.train import train
from configs.loader import flags
from data.bootstrap import interval
from data.dataset import load_dataset
from envs.metrics import returns_of


def flags_of(algo: str, encoder: str, seed: int) -> tuple[str, ...]:
    """A market and an agent of one seed; nobody can know anything of tomorrow."""
    return tuple(flags({"algo": algo, "encoder": encoder, "seed": seed, "progress": False,
                        "ensemble": {"members": ()}, "data": {"simulator": {"edge": 0.0, "seed": seed}}}))


def play(argv: tuple[str, ...]) -> dict[str, Any]:
    """Trained and chosen as ever, and run over the test rows once; for a process of its own."""
    config = load_experiment(argv)
    data = load_dataset(config.data, config.cache / "features")
    window = config.data.window
    ensemble = ensemble_of(config, data, "cpu")[0] if config.agent.extractor.ensemble else None
    bundle = train(data, config.env, config.agent, config.algo, window, sight_of(config, data, "cpu", ensemble), "cpu",
                   None, config.cache, config.seed, config.progress)
    agent = Contestant(bundle.policy(data.market, cache=config.cache), config.env.actions(len(data.market.assets)))
    [track] = compete({bundle.name: agent}, data.market, config.env, window, data.split.test)
    draws = resample(returns_of(track.equity)[None], track.bars_per_year, config.bootstrap)
    low, high = interval(draws.growth[:, 0], config.bootstrap.level)
    return {"algo": config.algo, "encoder": config.encoder, "seed": config.seed, "low": low, "high": high,
            "growth": float(np.log(track.equity[-1] / track.equity[0])), "trades": track.metrics.trades,
            "cash": track.metrics.trades == 0}
