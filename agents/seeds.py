"""Several agents that differ in their seed alone, trained side by side in processes."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agents.arena.cells import side_by_side
from agents.bundle import Bundle
from agents.experiment import ExperimentConfig, ensemble_of, sight_of
from agents.train import train
from data.dataset import Dataset, load_dataset

if TYPE_CHECKING:
    from agents.sight import Sight


@dataclass(frozen=True)
class Given:
    config: ExperimentConfig
    seed: int
    device: str
    market: str  # fingerprint: other data are other work


def train_seeds(config: ExperimentConfig, dataset: Dataset, sight: Sight, device: str) -> list[Bundle]:
    """A bundle of each seed; one that was stopped goes on where it stood, one that has ended is taken as it is."""
    seeds = range(config.seed, config.seed + config.seeds)
    if len(seeds) == 1:
        return [train(dataset, config.env, config.agent, config.algo, config.data.window, sight, device, config.folder,
                      config.cache, config.seed, config.progress)]
    cells = {f"seed{seed}": Given(config, seed, device, dataset.market.fingerprint) for seed in seeds}
    jobs = config.jobs or max((os.cpu_count() or 1) // 2, 1)
    for name, _ in side_by_side(train_one, cells, config.folder / "done", jobs):
        print(f"{name} is trained")
    return [Bundle.load(config.folder_of(seed) / "bundle") for seed in seeds]


def train_one(given: Given) -> dict[str, int]:
    """In a process of its own, which finds market and encoders in the cache."""
    config = given.config
    dataset = load_dataset(config.data, config.cache / "features")
    ensemble = ensemble_of(config, dataset, given.device)[0] if config.agent.extractor.ensemble else None
    train(dataset, config.env, config.agent, config.algo, config.data.window,
          sight_of(replace(config, progress=False), dataset, given.device, ensemble), given.device,
          config.folder_of(given.seed), config.cache, given.seed, progress=False)
    return {"seed": given.seed}
