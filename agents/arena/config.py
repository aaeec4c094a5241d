"""Settings of a tournament; without torch, so that a script's --help is quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agents import ALGOS, check_seeds
from configs.errors import UserError
from configs.registry import check_name
from data.folds import WalkConfig
from encoders import ENCODERS

PLACES = ("here", "ray")
KNOWN_WINNERS = ("agents", "signals", "nobody", "nobody_free")  # of scripts/planted_edge.py


@dataclass(frozen=True)
class TournamentConfig:
    """Everybody against everybody over a walk forward, trained anew in each of its windows.

    Further flags are those of train_agent.py, such as --market or --agent.steps; a file holds them under `experiment`.
    """

    config: Path
    """a file of configs/arena, or one like it; flags stand over it"""
    algos: tuple[str, ...] = ("ppo", "a2c", "dqn")
    """names of agents.ALGOS"""
    encoders: tuple[str, ...] = ("lstm", "attention_lstm", "transformer", "mamba")
    """what agents see through, each algorithm through each; each forecasts too, and its signal competes"""
    seed: int = 0
    """of the encoders, and of the first agent of each kind"""
    seeds: int = 3
    """agents of each kind, from `seed` on"""
    walk: WalkConfig = field(default_factory=WalkConfig)
    costs: tuple[float, ...] = (0.0, 2.0, 5.0, 10.0, 20.0, 50.0)
    """basis points that an order may cost in all, rising: everybody meets again at each; none: nobody does"""
    delays: tuple[int, ...] = (1, 2)
    """bars that orders may be on their way longer than they are: everybody meets again at each"""
    noise: tuple[float, ...] = (0.1, 0.3)
    """deviations of noise on every feature, in the spreads that it is scaled by: everybody meets again with each"""
    name: str | None = None
    """folder of the tournament under --runs; by default the name of the file"""
    runs: Path = Path("runs")
    """where runs are written, and where trainings are counted"""
    jobs: int = 2
    """cells side by side, each of agent.threads threads"""
    on: str = "here"
    """here: processes of this machine; ray: a Ray cluster whose nodes share the folder of --runs (the extra
    `cluster`)"""

    def __post_init__(self) -> None:
        for algo in self.algos:
            check_name("algo", algo, ALGOS)
        for encoder in self.encoders:
            check_name("encoder", encoder, (*ENCODERS, "none"))
        check_name("on", self.on, PLACES)
        for name, least in (("seed", 0), ("seeds", 1), ("jobs", 1)):
            if getattr(self, name) < least:
                raise UserError(f"--{name} must be at least {least}, found {getattr(self, name)}")
        check_seeds(self.seed, self.seeds)
        for name, named in (("algos", self.algos), ("encoders", self.encoders)):
            check_once(name, named)
        if self.costs and ([*self.costs] != sorted({*self.costs}) or len(self.costs) < 2 or self.costs[0] != 0):
            raise UserError(f"--costs rise from 0, two of them at least, or are left empty, found {self.costs}")
        if any(delay < 1 for delay in self.delays):
            raise UserError(f"--delays are whole bars, at least 1, found {self.delays}")
        if not all(0 < spread < np.inf for spread in self.noise):
            raise UserError(f"--noise are deviations above 0, found {self.noise}")
        place = Path(self.name or "")
        if place.is_absolute() or ".." in place.parts:
            raise UserError(f"--name is a folder under --runs for this tournament alone, found {self.name!r}: take "
                            "another")

    @property
    def agents(self) -> tuple[tuple[str, str], ...]:
        """Algorithm and encoder of each kind.

        >>> TournamentConfig(Path("mine.yaml"), algos=("ppo",), encoders=("none", "lstm")).agents
        (('ppo', 'none'), ('ppo', 'lstm'))
        """
        return tuple((algo, encoder) for algo in self.algos for encoder in self.encoders)

    @property
    def agent_seeds(self) -> range:
        return range(self.seed, self.seed + self.seeds)

    @property
    def folder(self) -> Path:
        return self.runs / (self.name or self.config.stem)


def check_once(name: str, given: Sequence[str]) -> None:
    """Refuse a setting that names nobody, or somebody twice."""
    if not given:
        raise UserError(f"--{name} names nobody: give at least one")
    if len({*given}) < len(given):
        raise UserError(f"--{name} names each once, found {', '.join(given)}")
