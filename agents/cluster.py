"""Cells on a Ray cluster: every node sees the folder of the runs under one path, and has this package installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from logging import WARNING
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from configs.errors import UserError
from configs.process import prepare

RETRIES = 5  # of a cell whose node has died under it
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class RayPool:
    """What an executor of processes is, but for the place: a cell whose node dies is begun again on another."""

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
        self._do: Any = ray.remote(within).options(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)
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
            else:  # what the cell itself raised, out of Ray's own wrapping
                answered.set_exception(getattr(error, "cause", error))

        asked.add_done_callback(answer)
        return answered


def within(folder: Path, work: Callable[Arguments, Answer], *given: Arguments.args, **named: Arguments.kwargs
           ) -> Answer:
    """On a node: the same relative paths as where the command was given."""
    prepare()
    os.chdir(folder)
    return work(*given, **named)
