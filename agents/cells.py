"""Pieces of work that do not know of each other, side by side in processes; each that is done is kept on disk.

A tournament that was stopped goes on where it stood: what has left its file is not done again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar, get_type_hints

from agents.cluster import Needs, RayPool
from agents.device import pick_device
from agents.experiment import ExperimentConfig, load_experiment
from configs.errors import UserError
from configs.loader import flags
from configs.process import prepare
from configs.run import code_digest, plain
from data.durable import write_durably

NOTHING_MORE = Needs()
DIGEST = 8  # letters of it in the name of a file
Given = TypeVar("Given")
Found = TypeVar("Found")


def experiment_of(setting: Mapping[str, Any], instead: Mapping[str, str], passed_on: Sequence[str],
                  pick: bool = True) -> ExperimentConfig:
    """What a cell is trained with: its setting, and over it the flags of train_agent.py that are passed on to all.

    Those in `instead` are what a cell is named for, and refused; each with the flag that may have been meant. The
    device is picked here, unless other machines than this are to `pick` their own.
    """
    check_not_in(instead, passed_on)
    config = load_experiment((*flags({**setting, "progress": False}), *passed_on))
    return replace(config, device=pick_device(config.device)) if pick else config


def check_not_in(instead: Mapping[str, str], passed_on: Sequence[str]) -> None:
    for word in passed_on:
        name = word.removeprefix("--").split("=")[0].replace("-", "_")
        if word.startswith("--") and name in instead:
            hint = f"did you mean {instead[name]}?" if instead[name] else "leave it out"
            raise UserError(f"--{name} would make every run another than it is called: {hint}")


def side_by_side(work: Callable[[Given], Found], cells: Mapping[str, Given], folder: Path, jobs: int,
                 on: str = "here", needs: Needs = NOTHING_MORE) -> Iterator[tuple[str, Found]]:
    """Every cell's name with what `work` made of it, as they come: those on disk first, then in order of being done.

    `work` is a function of a module (processes look it up by name) and answers with a flat dataclass that JSON can
    hold. A file carries a digest of what the cell was given, of what was measured and of the code that did it: other
    settings and other code are other cells. A cell that fails stops the others from being begun, and says which one it
    was. On `ray` the cluster's nodes are the processes: how many cells there are at a time follows from what each
    `needs`.
    """
    if jobs < 1:
        raise UserError(f"jobs must be at least 1, found {jobs}")
    answer = get_type_hints(work)["return"]
    paths = paths_of(work, cells, folder)
    missing = [name for name, path in paths.items() if not path.exists()]
    for name, path in paths.items():
        if name not in missing:
            yield name, answer(**json.loads(path.read_text()))
    if not missing:
        return
    jobs = min(jobs if on == "here" else len(missing), len(missing))
    with ProcessPoolExecutor(jobs, get_context("spawn"), begin) if on == "here" else RayPool(needs) as pool:
        running: dict[Future[Found], str] = {}
        waiting = iter(missing)
        try:
            while True:
                while len(running) < jobs and (name := next(waiting, "")):
                    running[pool.submit(done, work, cells[name], paths[name])] = name
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    yield name, future.result()
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
        except BrokenProcessPool:
            raise UserError(f"{name}, or one beside it, was killed (out of memory?); the same command goes on from "
                            "what is done") from None
        except Exception as error:
            error.add_note(name)
            raise


def paths_of(work: Callable[[Given], Found], cells: Mapping[str, Given], folder: Path) -> dict[str, Path]:
    """Where the result of each cell is, or will be."""
    return {name: folder / f"{name}-{digest_of(work, given)}.json" for name, given in cells.items()}


def begin() -> None:
    """In the process of a cell, first of all: nobody waits for what it does once its parent was killed."""
    prepare()
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def digest_of(work: Callable[[Given], Found], given: Given) -> str:
    measured = work.__module__, work.__qualname__, [field.name for field in fields(get_type_hints(work)["return"])]
    return hashlib.sha256(repr((measured, given, code_digest())).encode()).hexdigest()[:DIGEST]


def done(work: Callable[[Given], Found], given: Given, path: Path) -> Found:
    """In the process of a cell: its result, once it is on disk."""
    found = work(given)
    write_durably(path, (json.dumps(plain(found), indent=2) + "\n").encode())
    return found
