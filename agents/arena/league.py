"""A tournament from its command to its report; one that was stopped goes on, and repeats no cell."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agents.arena.config import TournamentConfig
from agents.arena.contest import Window, audit, auditing, learn, meetings, plan, pretrain, pretraining, training
from agents.arena.meeting import TABLES, Meeting, meet
from agents.arena.sections import report
from agents.cells import DIGEST, paths_of, side_by_side
from agents.cluster import Needs
from agents.experiment import ExperimentConfig
from agents.ledger import history_of, trials_of
from configs.errors import UserError
from configs.loader import HELP, flags, parse, parted, read_yaml, sections
from configs.registry import did_you_mean
from configs.run import CONFIG, Run, plain, read_record
from data.bootstrap import BootstrapConfig
from encoders.pretrained import sole

Given = TypeVar("Given")
Found = TypeVar("Found")
CELLS = "cells"  # folder of marks, in that of the tournament


@dataclass(frozen=True)
class Place:
    """Where a tournament's settings are, before they are read."""

    config: Path


def hold(argv: Sequence[str]) -> str:
    """Train everybody in every window, let them meet, and write the report; what there is to say of it."""
    config, settings, passed_on = asked(argv)
    windows = plan(config, settings, passed_on)
    with sole(config.folder) as alone:
        if not alone:
            raise UserError(f"{config.folder} cannot be locked, so another process may be holding that tournament: "
                            "wait for it, or take another --name")
        hold_all(config, windows, shlex.join(["python", "scripts/evaluate.py", *argv]))
        return told_again(config.folder)


def hold_all(config: TournamentConfig, windows: Sequence[Window], command: str) -> None:
    """Everything but the report. A tournament that has come to its end is kept where nothing of it is of use here."""
    started = time.perf_counter()
    first, done = windows[0].first, config.folder / CELLS
    agents, met = training(config, windows), meetings(config, windows)
    run = Run(config.folder, {**plain(config), "experiment": plain(first)}, config.seed,
              goes_on=any(path.exists() for path in paths_of(learn, agents, done).values()))
    needs = Needs(first.agent.threads, first.device)
    announce(config, windows, audit_first=not all(
        path.exists() for path in paths_of(audit, auditing(windows), done).values()))
    [audited] = [found for _, found in side_by_side(audit, auditing(windows), done, 1, config.on, needs)]
    if audited.leaks:
        raise UserError(f"{audited.leaks} leaks found, the first: {audited.worst}; python scripts/audit_leakage.py "
                        "shows all of them")
    each(pretrain, pretraining(config, windows), config, needs, "encoders")
    each(learn, agents, config, needs, "agents")
    forget_lost(met, done)
    said = each(meet, met, config, needs, "meetings")
    run.done(
        windows=len(windows), seeds=config.seeds, costs=config.costs, folder=str(config.folder),
        command=command, bootstrap=first.bootstrap, audit=audited,
        trials=trials_of(config.runs, history_of(first.data)), market=windows[0].market,
        unit=first.env.costs.per_unit, remarks=next(iter(said.values())).remarks,
        meetings=[{"window": window.number, "fingerprint": window.market, "taught on rows": found.taught,
                   "chosen on rows": found.chosen, "tested on rows": found.tested, "contestants": found.contestants}
                  for window, found in zip(windows, said.values(), strict=True)],
        seconds=round(time.perf_counter() - started, 1))


def forget_lost(met: Mapping[str, Meeting], done: Path) -> None:
    """A meeting whose tables are gone has to be held again."""
    for name, path in paths_of(meet, met, done).items():
        if not all((met[name].folder / table).exists() for table in TABLES):
            path.unlink(missing_ok=True)


def told_again(folder: Path) -> str:
    """The report of a tournament that has been held, from what it left on disk."""
    record = read_record(folder)
    if not is_tournament(folder):
        raise UserError(f"{folder} is a run, but no tournament: name a folder that evaluate.py --config has written")
    if "meetings" not in record:
        raise UserError(f"the tournament in {folder} was stopped before its end: give its command again, it goes on "
                        "from what is done")
    said = report(folder, parse(BootstrapConfig, [], record["bootstrap"]))
    return (f"{said}\n\nin {folder}: report.html, report.md, findings.json, table, windows.csv, kinds.csv, tracks of "
            "every window")


def is_tournament(folder: Path) -> bool:
    return (folder / CONFIG).exists() and "algos" in read_yaml(folder / CONFIG)


def asked(argv: Sequence[str]) -> tuple[TournamentConfig, Mapping[str, Any], list[str]]:
    """The tournament's own settings, those of its file for every training, and the flags that are passed on."""
    own, passed_on = parted(TournamentConfig, argv)
    place = parse(Place, parted(Place, argv)[0]).config
    file = read_yaml(place)
    if not file:
        raise UserError(f"{place} is empty: say at least which algos and encoders are to meet")
    settings = file.pop("experiment", {})
    if not isinstance(settings, Mapping):
        raise UserError(f"experiment in {place} must hold 'key: value' lines, found {settings!r}")
    if "config" in file:
        raise UserError(f"{place} cannot name another config: leave config out")
    if HELP & {*passed_on}:
        parse(TournamentConfig, ["--help"], {**file, "config": place})
    config = parse(TournamentConfig, [*flags(file, TournamentConfig), *own])
    check_words(passed_on)
    return config, settings, passed_on


def check_words(passed_on: Sequence[str]) -> None:
    """Refuse a setting that neither a tournament nor a training has."""
    own = sections(TournamentConfig)[""]
    known = {name for inside in sections(ExperimentConfig).values() for name in inside}
    for word in passed_on:
        name = word.removeprefix("--").split("=")[0].replace("-", "_")
        if word.startswith("--") and name not in known and "." not in name:
            raise UserError(f"unknown setting {name!r}: a tournament's own are {', '.join(own)}, and those of "
                            f"train_agent.py may stand beside them{did_you_mean(name, [*own, *known])}")


def announce(config: TournamentConfig, windows: Sequence[Window], audit_first: bool) -> None:
    kinds, seeds = len(config.agents), config.seeds
    at_once = f", {config.jobs} at a time" if config.on == "here" else ""
    first = " First the causal test of data, encoder and agent, which takes minutes" if audit_first else ""
    print(f"windows {len(windows)} x kinds of agents {kinds} x seeds {seeds}: trainings "
          f"{len(windows) * kinds * seeds}{at_once}; a tournament that is stopped goes on by the same command.{first}",
          file=sys.stderr, flush=True)


def each(work: Callable[[Given], Found], cells: Mapping[str, Given], config: TournamentConfig, needs: Needs,
         what: str) -> dict[str, Found]:
    """Every cell's result by its name, in their order, with a line for each that is done now and the time left."""
    folder = config.folder / CELLS
    paths = paths_of(work, cells, folder)
    before = {name for name, path in paths.items() if path.exists()}
    for name in cells.keys() - before:  # what other settings left under this name is now written over
        for mark in folder.glob(f"{name}-{'?' * DIGEST}.json"):
            mark.unlink()
    started, found = time.perf_counter(), {}
    for name, result in side_by_side(work, cells, folder, config.jobs, config.on, needs):
        found[name] = result
        if name in before:
            continue
        new = len(found) - len(before)
        left = (time.perf_counter() - started) / new * (len(cells) - len(found))
        print(f"{what}: {len(found)} of {len(cells)}, {name}; about {time_of(left)} left of these", file=sys.stderr,
              flush=True)
    return {name: found[name] for name in cells}


def time_of(seconds: float) -> str:
    """
    >>> time_of(45.2), time_of(400)
    ('45 s', '7 min')
    """
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
