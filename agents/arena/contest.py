"""What a tournament is made of: cells that do not know of each other, each kept on disk once it is done.

In every window each encoder is pretrained, each agent trained through it, and then everybody meets on the window's test
rows. Nothing is carried over from one window to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from agents.arena.config import TournamentConfig
from agents.arena.meeting import Meeting, rules_of
from agents.arena.tournament import best_possible
from agents.arena.windows import windows
from agents.audit import audit_experiment
from agents.cells import experiment_of, paths_of
from agents.device import pick_device
from agents.experiment import ExperimentConfig
from agents.seeds import Ended, trained
from agents.supervised import encode
from configs.errors import UserError
from data.dataset import load_dataset
from encoders import ENCODERS

INSTEAD = {"algo": "--algos", "encoder": "--encoders", "data.span": "--walk.train", "data.borders": "--walk.train",
           "data.dates": "--walk.train", "data.split.embargo": "--walk.embargo", "progress": ""}
OWN_PLACE = {"seed", "seeds", "name", "runs", "jobs", "config"}  # settings that the tournament has of its own


@dataclass(frozen=True, eq=False)
class Window:
    """One fold of the walk: what is trained in it, by algorithm and encoder."""

    number: int  # from 1 on
    folder: Path
    kinds: Mapping[tuple[str, str], ExperimentConfig]

    @property
    def first(self) -> ExperimentConfig:
        """Whose data, rules and ensemble are everybody's."""
        return next(iter(self.kinds.values()))

    def agents(self, seeds: Iterable[int]) -> dict[tuple[str, str, int], ExperimentConfig]:
        """Each with a folder of its own. Who else takes part is in none of them: more seeds, or encoders, leave the
        others as they are."""
        return {(*kind, seed): replace(alone(one), name=f"{one.name}/seed{seed}")
                for seed in seeds for kind, one in self.kinds.items()}

    @cached_property
    def market(self) -> str:
        """Fingerprint: other data are other work."""
        return load_dataset(self.first.data, self.first.cache / "features").market.fingerprint


@dataclass(frozen=True)
class Cell:
    config: ExperimentConfig
    market: str
    seed: int = 0  # of the agent


@dataclass(frozen=True)
class Audited:
    """What the causal test has found."""

    leaks: int
    outputs: int
    columns: int
    cuts: int
    kinds: int
    agent: str  # whose encoder, observations and actions were watched
    worst: str  # its first line; empty where there is none
    seconds: float


def plan(config: TournamentConfig, settings: Mapping[str, Any], passed_on: Sequence[str]) -> list[Window]:
    """The windows, with the settings of each agent in each; what is wrong is said before any work.

    `settings` are those of a file, `passed_on` the flags over them.
    """
    if any(word.split(".")[0] == "--net" for word in passed_on) or "net" in settings:
        raise UserError("net. is about one encoder, and a tournament has several, each by its own preset: leave it out")
    for name in named_in(settings):
        if name in INSTEAD or name in OWN_PLACE:
            hint = INSTEAD.get(name) or f"--{name} of the tournament" if name != "progress" else ""
            raise UserError(f"experiment.{name} is not for a tournament's file: leave it out"
                            f"{f', did you mean {hint}?' if hint else ''}")
    if config.walk.stride != config.walk.test:
        raise UserError("a tournament joins its windows, so that no bar may be tested twice or left out: leave "
                        f"--walk.step out, or give it the {config.walk.test} bars of --walk.test")
    kinds = {(algo, encoder): experiment_of({**settings, "algo": algo, "encoder": encoder, "seed": config.seed},
                                            INSTEAD, passed_on, pick=False)  # each cell picks, where it is done
             for algo, encoder in config.agents}
    first = next(iter(kinds.values()))
    if config.on == "here":
        pick_device(first.device)  # refuses one that is not there
    rules_of(first.env, config.costs, config.delays)
    best_possible(first.data, first.env)  # refuses rules that it cannot play by
    trees = tuple(member for member in first.ensemble.members if member not in ENCODERS)
    members = tuple(name for name in config.encoders if name != "none") + trees
    if not members:
        raise UserError("agents alone have nobody to be compared with: name an encoder, or --ensemble.members forest")
    ensemble = replace(first.ensemble, members=members)
    found = []
    for number, data in enumerate(windows(first.data, config.walk, config.runs / "cache" / "features"), start=1):
        folder = config.folder / f"window{number}"
        found.append(Window(number, folder, {
            (algo, encoder): replace(one, data=data, ensemble=ensemble, runs=config.runs, seeds=1,
                                     name=str((folder / f"{algo}-{encoder}").relative_to(config.runs)))
            for (algo, encoder), one in kinds.items()}))
    return found


def pretraining(config: TournamentConfig, plan: Sequence[Window]) -> dict[str, Cell]:
    """Each encoder of each window."""
    algo = config.algos[0]
    return {f"window{window.number}-{encoder}": Cell(alone(window.kinds[algo, encoder]), window.market)
            for window in plan for encoder in config.encoders if encoder != "none"}


def training(config: TournamentConfig, plan: Sequence[Window]) -> dict[str, Cell]:
    """Each agent of each window: first seeds first, so that a tournament that is stopped has all kinds."""
    return {f"window{window.number}-{algo}-{encoder}-seed{seed}": Cell(one, window.market, seed)
            for window in plan for (algo, encoder, seed), one in window.agents(config.agent_seeds).items()}


def meetings(config: TournamentConfig, plan: Sequence[Window]) -> dict[str, Meeting]:
    span = plan[-1].first.data.span
    assert span is not None
    end = span[1]
    return {f"window{window.number}-meeting": Meeting(
        window.number, window.first, window.market,
        tuple(one.folder / "bundle" for one in window.agents(config.agent_seeds).values()),
        tuple(path.name for path in paths_of(learn, training(config, [window]), Path()).values()),
        config.costs, config.delays, config.noise, end, plan[-1].market, window.folder)
        for window in plan}


def auditing(plan: Sequence[Window]) -> dict[str, Cell]:
    """An agent that sees through an encoder, if there is one, for more can leak there; and all nets that forecast."""
    first = plan[0]
    seeing = next((one for (_, encoder), one in first.kinds.items() if encoder != "none"), first.first)
    return {"audit": Cell(seeing, first.market)}


def pretrain(cell: Cell) -> Ended:
    """An encoder and what it makes of the market, into the cache; for a process of its own, as all these are."""
    started, config = time.perf_counter(), cell.config
    encode(config, load_dataset(config.data, config.cache / "features"), config.encoder, pick_device(config.device))
    return Ended(time.perf_counter() - started)


def learn(cell: Cell) -> Ended:
    """An agent, into its folder."""
    config = cell.config
    return Ended(trained(config, cell.seed, pick_device(config.device), config.folder).seconds)


def audit(cell: Cell) -> Audited:
    """The causal test on the whole history: moments near its end are later than a window's last row."""
    started, config = time.perf_counter(), cell.config
    found = audit_experiment(replace(config, device=pick_device(config.device),
                                     data=replace(config.data, span=None, borders=None)))
    lines = found.lines()
    return Audited(len(lines), len(found.outputs), found.columns, found.cuts, found.kinds,
                   f"{config.algo} + {config.encoder}", lines[0] if lines else "", time.perf_counter() - started)


def alone(config: ExperimentConfig) -> ExperimentConfig:
    """Without the ensemble, unless the agent sees through it."""
    return config if config.agent.extractor.ensemble else replace(config, ensemble=replace(config.ensemble, members=()))


def named_in(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of nested settings.

    >>> named_in({"market": "bundled", "data": {"window": 8}})
    ['market', 'data.window']
    """
    return [name for key, value in settings.items() for name in (
        named_in(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [f"{prefix}{key}"])]
