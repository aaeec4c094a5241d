"""Where the work runs: threads, precision, how many windows fit, and several GPUs started by torchrun."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from configs.errors import UserError
from encoders.training.feeds import Batch, Feed
from encoders.training.objective import Objective

CPU = torch.device("cpu")
MOST_BATCH = 8192
SHARE = 0.6  # of the free memory that a batch may take: what else is allocated meanwhile is not known


@contextlib.contextmanager
def own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Seeded inside, and the caller's random state as it was afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def wants_bf16(precision: str, device: torch.device) -> bool:
    """On a CPU bfloat16 is slower, and not the same to the bit."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")


def compiled(module: nn.Module, device: torch.device) -> nn.Module:
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "c++", "clang++"))):
        raise UserError("pretrain.compile needs a C++ compiler on a CPU (g++ or clang++): install one, or leave it out")
    return torch.compile(module)  # type: ignore[return-value]


@dataclass(frozen=True)
class Ranks:
    """The processes that train one model together: torchrun says how many there are and which one this is."""

    rank: int = 0
    world: int = 1
    device: torch.device = CPU  # of this process, where NCCL wants what the processes tell each other

    @classmethod
    @contextlib.contextmanager
    def joined(cls, device: torch.device) -> Iterator[Ranks]:
        """All of them, until all are done; one alone where torchrun is not used, or the caller has joined already.

        >>> with Ranks.joined(torch.device("cpu")) as ranks:
        ...     ranks.first, ranks.world
        (True, 1)
        """
        world = processes()
        if world == 1:
            yield cls(device=device)
            return
        started = not torch.distributed.is_initialized()
        cuda = device.type == "cuda"
        if cuda:
            torch.cuda.set_device(device)  # else whatever names no GPU, barriers too, goes to the first one of all
        if started:
            torch.distributed.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(hours=1),
                                                 device_id=device if cuda else None)
        try:
            yield cls(torch.distributed.get_rank(), world, device)
            torch.distributed.barrier()
        finally:
            if started:
                torch.distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """The one that logs and writes files."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's part of a batch."""
        if self.world == 1:
            return batch
        return batch._replace(rows=batch.rows[self.rank :: self.world], teaches=batch.teaches[self.rank :: self.world])

    def spread(self, module: nn.Module) -> nn.Module:
        """Gradients become the mean over all processes."""
        return module if self.world == 1 else DistributedDataParallel(module)

    def least(self, batch: int) -> int:
        """The smallest of all processes' batches; refused if some process would have no part of it."""
        if self.world == 1:
            return batch
        found = torch.tensor(batch, device=self.device)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MIN)
        if found < self.world:
            raise UserError(f"a batch of {int(found)} cannot be shared by {self.world} processes: set pretrain.batch "
                            f"to at least {self.world}, or start fewer with torchrun")
        return int(found)

    def agreed(self, scores: dict[str, float]) -> dict[str, float]:
        """What the first process found: sums over other parts round otherwise, and nobody may stop before the others.

        >>> Ranks().agreed({"loss": 0.5})
        {'loss': 0.5}
        """
        if self.world == 1:
            return scores
        found = torch.tensor(list(scores.values()), dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(found, src=0)
        return dict(zip(scores, found.tolist()))


def processes() -> int:
    """How many torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Whether this process is the one that writes files: the only one, or the first of torchrun's."""
    return int(os.environ.get("RANK", 0)) == 0


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process where torchrun gives each its own."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def fitted_batch(objective: Objective, feed: Feed, rows: np.ndarray, device: torch.device, free: int | None = None
                 ) -> int:
    """The size of a batch that fits the memory there is, as a power of two; at most an eighth of a pass.

    What autograd keeps of two small batches is counted, so that what one window more takes is known, not guessed.
    """
    def kept(count: int) -> int:
        held: dict[int, int] = {}

        def weigh(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
            return tensor

        batch = next(feed.passes(rows, np.random.default_rng(0), count))
        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
            objective(*feed.inputs(batch._replace(rows=batch.rows[:count], teaches=batch.teaches[:count] | True)))
        return sum(held.values())

    each = max((kept(16) - kept(8)) / 8, 1)
    space = free_memory(device) if free is None else free
    most = min(space * SHARE / (2 * each), feed.count(1) / 8, MOST_BATCH)  # twice: gradients take as much again
    return max(1 << int(max(most, 1)).bit_length() - 1, 1)


def free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
