"""Pieces of work that do not know of each other, side by side in processes; each that is done is kept on disk.

A tournament that was stopped goes on where it stood: what has left its file is not done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from configs.errors import UserError
from configs.process import prepare
from configs.run import plain
from data.durable import write_durably

Given = TypeVar("Given")


def side_by_side(work: Callable[[Given], Any], cells: Mapping[str, Given], folder: Path, jobs: int
                 ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every cell's name with what `work` made of it, as they come: those on disk first, then in order of being done.

    A file carries a digest of what the cell was given, so that other settings are other cells. `work` is a function of
    a module (processes look it up by name) and answers with a dataclass or a dict that JSON can hold. A cell that fails
    stops the others from being begun, and says which one it was.
    """
    if jobs < 1:
        raise UserError(f"jobs must be at least 1, found {jobs}")
    paths = {name: folder / f"{name}-{digest_of(given)}.json" for name, given in cells.items()}
    missing = [name for name, path in paths.items() if not path.exists()]
    for name, path in paths.items():
        if name not in missing:
            yield name, json.loads(path.read_text())
    if not missing:
        return
    with ProcessPoolExecutor(min(jobs, len(missing)), get_context("spawn"), prepare) as pool:
        running: dict[Future[dict[str, Any]], str] = {}
        waiting = iter(missing)
        while True:
            while len(running) < jobs and (following := next(waiting, None)) is not None:
                running[pool.submit(done, work, cells[following], paths[following])] = following
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                try:
                    yield name, future.result()
                except UserError as error:
                    raise UserError(f"{name}: {error}") from None


def digest_of(given: Any) -> str:
    return hashlib.sha256(repr(given).encode()).hexdigest()[:8]


def done(work: Callable[[Given], Any], given: Given, path: Path) -> dict[str, Any]:
    """In the process of a cell: its result, once it is on disk."""
    found: dict[str, Any] = plain(work(given))
    write_durably(path, (json.dumps(found, indent=2) + "\n").encode())
    return found
