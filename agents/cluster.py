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
            raise UserError("Ray is not installed: pip install 'coinarena[cluster]', or leave --on out") from None
        try:
            ray.init(address="auto", log_to_driver=False, logging_level=WARNING)
        except ConnectionError:
            raise UserError("no Ray cluster was found: start one with `ray start --head` (and `ray start --address` on "
                            "the other nodes), or leave --on out") from None
        self._ray: Any = ray
        there = ray.cluster_resources().get("GPU", 0) > 0
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

        def answer(found: Future[Answer]) -> None:
            error: Any = found.exception()
            if error is None:
                answered.set_result(found.result())
            elif (cause := getattr(error, "cause", None)) is not None:  # what the cell itself raised
                answered.set_exception(cause)
            else:
                answered.set_exception(UserError(
                    f"its worker or its node died {RETRIES + 1} times over ({type(error).__name__}; out of memory?); "
                    "the same command goes on from what is done"))

        asked.add_done_callback(answer)
        return answered


def within(folder: Path, work: Callable[Arguments, Answer], *given: Arguments.args, **named: Arguments.kwargs
           ) -> Answer:
    """On a node: the same relative paths as where the command was given."""
    prepare()
    os.chdir(folder)
    return work(*given, **named)
