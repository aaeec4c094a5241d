"""What a tournament is made of: cells that do not know of each other, each kept on disk once it is done.

In every window each encoder is pretrained, each agent trained through it, and then everybody meets on the window's test
rows. Nothing is carried over from one window to the next.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.arena.config import TournamentConfig
from agents.arena.rollout import Track, compete, compete_under
from agents.arena.tournament import everyone, remarks_on, said_by
from agents.arena.tracks import save_tracks
from agents.arena.windows import windows
from agents.audit import audit_experiment
from agents.bundle import Bundle
from agents.cells import experiment_of, paths_of
from agents.diagnosis.regimes import kinds_of
from agents.experiment import ExperimentConfig
from agents.seeds import Ended, trained
from agents.supervised import encode, ensemble_of
from configs.errors import UserError
from data.dataset import Dataset, load_dataset
from data.durable import write_durably
from data.labels import UNKNOWN
from data.market import CLOSE, HIGH, LOW, OPEN, Market
from encoders import ENCODERS
from encoders.batches import labelled_rows
from encoders.forecast import Forecast
from envs.config import EnvConfig

INSTEAD = {"algo": "--algos", "encoder": "--encoders", "data.span": "--walk.train", "data.borders": "--walk.train",
           "data.dates": "--walk.train", "data.split.embargo": "--walk.embargo", "progress": ""}
OWN_PLACE = {"seed", "seeds", "name", "runs", "jobs", "config"}  # settings that the tournament has of its own
TRACKS, VALIDATION, SCENARIOS = "tracks.parquet", "validation.parquet", "scenarios.parquet"
BARS, FORECASTS = "bars.parquet", "forecasts.parquet"
OWN, WORST = "as it is", "worst fills"


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
class Meeting:
    window: int
    config: ExperimentConfig
    market: str
    bundles: tuple[Path, ...]
    taught: tuple[str, ...]  # names of the marks of those who meet: agents that were taught anew meet anew
    costs: tuple[float, ...]
    delays: tuple[int, ...]
    folder: Path


@dataclass(frozen=True)
class Met:
    contestants: int
    remarks: str  # what a reader has to know first
    taught: str  # rows of the history, the first and the last of each span
    chosen: str
    tested: str
    seconds: float


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
                                            INSTEAD, passed_on) for algo, encoder in config.agents}
    first = next(iter(kinds.values()))
    rules_of(first.env, config.costs, config.delays)
    trees = tuple(member for member in first.ensemble.members if member not in ENCODERS)
    members = tuple(name for name in config.encoders if name != "none") + trees
    ensemble = replace(first.ensemble, members=members)
    found = []
    for number, data in enumerate(windows(first.data, config.walk, config.runs / "cache" / "features"), start=1):
        folder = config.folder / f"window{number}"
        found.append(Window(number, folder, {
            (algo, encoder): replace(one, data=data, ensemble=ensemble, runs=config.runs, seeds=config.seeds,
                                     name=str((folder / f"{algo}-{encoder}").relative_to(config.runs)))
            for (algo, encoder), one in kinds.items()}))
    return found


def pretraining(config: TournamentConfig, plan: Sequence[Window]) -> dict[str, Cell]:
    """Each encoder of each window."""
    algo = config.algos[0]
    return {f"window{window.number}-{encoder}": Cell(window.kinds[algo, encoder], window.market)
            for window in plan for encoder in config.encoders if encoder != "none"}


def training(config: TournamentConfig, plan: Sequence[Window]) -> dict[str, Cell]:
    """Each agent of each window: first seeds first, so that a tournament that is stopped has all kinds."""
    seeds = range(config.seed, config.seed + config.seeds)
    return {f"window{window.number}-{algo}-{encoder}-seed{seed}": Cell(one, window.market, seed)
            for window in plan for seed in seeds for (algo, encoder), one in window.kinds.items()}


def meetings(config: TournamentConfig, plan: Sequence[Window]) -> dict[str, Meeting]:
    seeds = range(config.seed, config.seed + config.seeds)
    return {f"window{window.number}-meeting": Meeting(
        window.number, window.first, window.market,
        tuple(one.folder_of(seed) / "bundle" for one in window.kinds.values() for seed in seeds),
        tuple(path.name for path in paths_of(learn, training(config, [window]), Path()).values()),
        config.costs, config.delays, window.folder) for window in plan}


def auditing(plan: Sequence[Window]) -> dict[str, Cell]:
    """An agent that sees through an encoder, if there is one: more can leak there."""
    first = plan[0]
    return {"audit": Cell(next((one for (_, encoder), one in first.kinds.items() if encoder != "none"), first.first),
                          first.market)}


def pretrain(cell: Cell) -> Ended:
    """An encoder and what it makes of the market, into the cache; for a process of its own, as all these are."""
    started, config = time.perf_counter(), cell.config
    encode(config, load_dataset(config.data, config.cache / "features"), config.encoder, config.device)
    return Ended(time.perf_counter() - started)


def learn(cell: Cell) -> Ended:
    """An agent, into its folder."""
    config = cell.config
    return Ended(trained(config, cell.seed, config.device, config.folder_of(cell.seed)).seconds)


def audit(cell: Cell) -> Audited:
    """The causal test on the whole history: moments near its end are later than a window's last row."""
    started, config = time.perf_counter(), cell.config
    found = audit_experiment(replace(config, data=replace(config.data, span=None, borders=None)))
    lines = found.lines()
    return Audited(len(lines), len(found.outputs), found.columns, found.cuts, found.kinds,
                   f"{config.algo} + {config.encoder}", lines[0] if lines else "", time.perf_counter() - started)


def meet(given: Meeting) -> Met:
    """Everybody over the window's validation rows, and over its test rows under every set of rules; tracks on disk."""
    started, config = time.perf_counter(), given.config
    dataset = load_dataset(config.data, config.cache / "features")
    ensemble, forecasts = ensemble_of(config, dataset, config.device)
    market, split, width = dataset.market, dataset.split, config.data.window
    said = said_by(forecasts, ensemble, market)
    contestants = everyone([Bundle.load(place) for place in given.bundles], said, dataset, config.env, width,
                           config.device, config.cache, sized=True)
    chosen = compete(contestants, market, config.env, width, split.valid)
    found = compete_under(contestants, market, rules_of(config.env, given.costs, given.delays), width, split.test)
    save_tracks(in_window(chosen, given.window), given.folder / VALIDATION)
    save_tracks(in_window(found[OWN], given.window), given.folder / TRACKS)
    table = pd.concat([scenario(name, in_window(tracks, given.window)) for name, tracks in found.items()])
    for file, rows in ((SCENARIOS, table), (BARS, bars_of(market, split.test)),
                       (FORECASTS, forecasts_of(said, dataset, width, given.window))):
        write_durably(given.folder / file, rows.to_parquet(index=False))
    taught, validated, tested = (f"{span.start} to {span.stop - 1}" for span in (split.train, split.valid, split.test))
    return Met(len(contestants), " ".join(remarks_on(dataset, config.env)), taught, validated, tested,
               time.perf_counter() - started)


def rules_of(env: EnvConfig, costs: Sequence[float], delays: Sequence[int]) -> dict[str, EnvConfig]:
    """Those that everybody plays by, and then one thing changed at a time.

    >>> list(rules_of(EnvConfig(), (0.0, 10.0), (1, 2)))
    ['as it is', '0 bps', '10 bps', '1 bar late', '2 bars late', 'worst fills']
    """
    return {OWN: env, **{at_cost(bps): env.charging(bps) for bps in costs},
            **{late_by(bars): replace(env, latency=env.latency + bars) for bars in delays},
            WORST: replace(env, fill="worst")}


def named_in(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of nested settings.

    >>> named_in({"market": "bundled", "data": {"window": 8}})
    ['market', 'data.window']
    """
    return [name for key, value in settings.items() for name in (
        named_in(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [f"{prefix}{key}"])]


def at_cost(bps: float) -> str:
    return f"{bps:g} bps"


def late_by(bars: int) -> str:
    return f"{bars} bar{'s' * (bars > 1)} late"


def in_window(tracks: Sequence[Track], window: int) -> list[Track]:
    return [replace(track, window=window) for track in tracks]


def scenario(rule: str, tracks: Sequence[Track]) -> pd.DataFrame:
    """A row for each contestant: what it made of the window under one other rule."""
    return pd.DataFrame([{
        "rule": rule, "window": track.window, "contestant": track.contestant, "seed": track.seed, "kind": track.kind,
        "team": track.team, "bars": len(track.weights), "total_return": track.equity[-1] / track.equity[0] - 1,
        "traded": float(track.turnover.sum()),
    } for track in tracks])


def bars_of(market: Market, rows: slice) -> pd.DataFrame:
    """The window's own bars, and what kind of market each of them was seen to be."""
    numbers = np.arange(rows.start, rows.stop)
    kinds = kinds_of(market, numbers)
    found = {"row": numbers, "time": market.time[rows]}
    for n, asset in enumerate(market.assets):
        found |= {f"{name}:{asset}": market.prices[rows, n, column]
                  for name, column in (("open", OPEN), ("high", HIGH), ("low", LOW), ("close", CLOSE))}
    return pd.DataFrame({**found, **{f"kind:{name}": there for name, there in kinds.items()}})


def forecasts_of(said: Mapping[str, Forecast], dataset: Dataset, width: int, window: int) -> pd.DataFrame:
    """The three chances that everybody gave on the test rows, and which of them came (down, flat, up: 0, 1, 2)."""
    if not said:
        return pd.DataFrame({"window": [], "forecaster": [], "down": [], "flat": [], "up": [], "came": []})
    rows = labelled_rows(dataset.market, dataset.labels, width, dataset.split.test)
    at, asset = np.nonzero(dataset.labels.direction[rows] != UNKNOWN)
    at = rows[at]
    tables = []
    for name, forecast in said.items():
        chances = forecast.direction[at, asset]  # (P, 3)
        tables.append(pd.DataFrame({
            "window": window, "forecaster": name, "time": dataset.market.time[at],
            "asset": np.array(dataset.market.assets)[asset], "down": chances[:, 0], "flat": chances[:, 1],
            "up": chances[:, 2], "came": dataset.labels.direction[at, asset]}))
    return pd.concat(tables, ignore_index=True).dropna()
