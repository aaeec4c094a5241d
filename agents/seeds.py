"""Training as a configuration asks for it: one agent, or several that differ in their seed alone, side by side."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from agents.bundle import Bundle
from agents.callbacks import Say
from agents.cells import paths_of, side_by_side
from agents.experiment import ExperimentConfig
from agents.ledger import Trial, history_of, note
from agents.resume import digest_of
from agents.second_look import in_doubt, second_look
from agents.sight import Sight
from agents.supervised import ensemble_of, sight_of
from agents.train import train
from data.dataset import Dataset, load_dataset

DONE = "done"  # folder of marks, in that of the run


def silent(_: str) -> None:
    """What a cell of a tournament has to say beside its result."""


class Trained(NamedTuple):
    bundle: Bundle
    dataset: Dataset
    seconds: float  # that the agent took to learn, a second look included


@dataclass(frozen=True)
class Given:
    config: ExperimentConfig
    seed: int
    device: str
    market: str  # fingerprint: other data are other work


@dataclass(frozen=True)
class Ended:
    seconds: float


def train_seeds(config: ExperimentConfig, dataset: Dataset, sight: Sight, device: str) -> list[Bundle]:
    """A bundle of each seed; one that was stopped goes on where it stood, one that has ended is taken as it is."""
    seeds = range(config.seed, config.seed + config.seeds)
    if len(seeds) == 1:
        started = time.perf_counter()
        bundle = train_on(config, dataset, sight, config.seed, device, config.folder)
        note(config.runs, trial_of(config, bundle.name, config.seed))
        print(f"{bundle.name} is trained, in {time.perf_counter() - started:.0f} s")
        return [bundle]
    jobs = config.jobs or max((os.cpu_count() or 1) // 2, 1)
    each = replace(config, jobs=0, progress=False)  # which change no number
    cells = {f"seed{seed}": Given(each, seed, device, dataset.market.fingerprint) for seed in seeds}
    marks = config.folder / DONE
    before = {name for name, path in paths_of(train_one, cells, marks).items() if path.exists()}
    for name, ended in side_by_side(train_one, cells, marks, jobs):
        print(f"{name} {'had been' if name in before else 'is'} trained, in {ended.seconds:.0f} s", flush=True)
    return [Bundle.load(config.folder_of(seed) / "bundle") for seed in seeds]


def train_one(given: Given) -> Ended:
    """In a process of its own. An earlier mark of this seed, of other settings, goes as soon as its bundle may."""
    for mark in (given.config.folder / DONE).glob(f"seed{given.seed}-*.json"):
        mark.unlink()
    say = partial(print, f"seed{given.seed}:", flush=True)
    return Ended(trained(given.config, given.seed, given.device, given.config.folder_of(given.seed), say).seconds)


def trained(config: ExperimentConfig, seed: int, device: str, folder: Path | None = None, say: Say = silent
            ) -> Trained:
    """An agent and its market; features, encoders and ensemble come from the cache where they fit."""
    dataset = load_dataset(config.data, config.cache / "features")
    sight = taught_sight(config, dataset, device)
    started = time.perf_counter()
    bundle = train_on(config, dataset, sight, seed, device, folder, say)
    if folder:
        note(config.runs, trial_of(config, bundle.name, seed))
    return Trained(bundle, dataset, time.perf_counter() - started)


def trial_of(config: ExperimentConfig, agent: str, seed: int) -> Trial:
    """What the ledger counts; where it was computed and written, and how it was shown, make it no other."""
    same = replace(config, name=None, runs=Path("runs"), config=None, seed=seed, seeds=1, jobs=0, progress=True,
                   device="auto")
    return Trial(history_of(config.data), digest_of(config=same), agent, seed)


def train_on(config: ExperimentConfig, dataset: Dataset, sight: Sight, seed: int, device: str, folder: Path | None,
             say: Say = tqdm.write) -> Bundle:
    """The agent of one seed, with the evidence for it."""
    bundle = train(dataset, config.env, config.agent, config.algo, config.data.window, sight, device, folder,
                   config.cache, seed, config.progress, say)

    def on_half(part: Dataset, name: str) -> Bundle:
        """Everything anew, from the encoders on, and asked for no evidence."""
        inside = config.within(config.folder_of(seed) / "halves" / name)
        inside = replace(inside, agent=replace(config.agent, stay_out=False))
        return train_on(inside, part, taught_sight(inside, part, device), seed, device,
                        folder and folder / "halves" / name, lambda what: say(f"{name} half: {what}"))

    if config.agent.second_look and in_doubt(bundle):
        bundle = second_look(bundle, dataset, config.data.split.embargo, config.bootstrap.block, on_half, device,
                             config.cache, say)
        if folder:
            bundle.save(folder / "bundle")
    if bundle.stays_out:
        found = bundle.validated
        why = "it never traded" if found is None or found.idle else (
            f"the best look at it earned {found}, which is {'a clear loss' if found.hopeless else 'not clear enough'}")
        say(f"{bundle.name} stays out of the market: on the validation rows {why}; --agent.stay_out False lets it "
            "trade all the same")
    return bundle


def taught_sight(config: ExperimentConfig, dataset: Dataset, device: str) -> Sight:
    """What the agent sees through, the ensemble as well where it is asked for."""
    ensemble = ensemble_of(config, dataset, device)[0] if config.agent.extractor.ensemble else None
    return sight_of(config, dataset, device, ensemble)
