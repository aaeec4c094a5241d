"""Cells on a Ray cluster: every node sees the folder of the runs under one path, and has this package installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from logging import WARNING
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from configs.errors import UserError
from configs.process import prepare

RETRIES = 5  # of a cell whose node has died under it
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Needs:
    """What one cell takes of a cluster."""

    threads: int = 1
    device: str = "cpu"
    """cuda takes a GPU for itself, and so does auto where the cluster has any"""


class RayPool:
    """What an executor of processes is, but for the place: a cell whose node dies is begun again on another."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs

    def __enter__(self) -> Self:
        try:
            import ray
        except ImportError:
            raise UserError("Ray is not installed: pip install -e '.[cluster]' where CoinArena lies, or leave --on "
                            "out") from None
        try:
            ray.init(address="auto", log_to_driver=False, logging_level=WARNING)
        except ConnectionError:
            raise UserError("no Ray cluster was found: start one with `ray start --head` (and `ray start --address` on "
                            "the other nodes), or leave --on out") from None
        self._ray: Any = ray
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if (most := max((node.get("CPU", 0) for node in nodes), default=0)) < self.needs.threads:
            raise UserError(f"a cell takes {self.needs.threads} CPUs (--agent.threads), and no node of the Ray cluster "
                            f"has more than {most:g}")
        there = any(node.get("GPU", 0) for node in nodes)
        alone = self.needs.device == "cuda" or (self.needs.device == "auto" and there)
        if alone and not there:
            raise UserError("no node of the Ray cluster has a GPU, and --device cuda asks for one: leave --device out")
        self._do: Any = ray.remote(within).options(num_cpus=self.needs.threads, num_gpus=int(alone),
                                                   max_retries=RETRIES, retry_exceptions=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:
        self._ray.shutdown()

    def submit(self, work: Callable[Arguments, Answer], *given: Arguments.args, **named: Arguments.kwargs
               ) -> Future[Answer]:
        asked, answered = self._do.remote(Path.cwd(), work, *given, **named).future(), Future[Answer]()

        errors = self._ray.exceptions
        died = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError)

        def answer(found: Future[Answer]) -> None:
            error: Any = found.exception()
            if error is None:
                answered.set_result(found.result())
            elif isinstance(error, died):
                answered.set_exception(UserError(
                    f"its worker or its node died {RETRIES + 1} times over ({type(error).__name__}; out of memory?); "
                    "the same command goes on from what is done"))
            else:  # what the cell itself raised, out of Ray's own wrapping
                answered.set_exception(getattr(error, "cause", None) or error)

        asked.add_done_callback(answer)
        return answered


def within(folder: Path, work: Callable[Arguments, Answer], *given: Arguments.args, **named: Arguments.kwargs
           ) -> Answer:
    """On a node: the same relative paths as where the command was given."""
    prepare()
    os.chdir(folder)
    return work(*given, **named)
