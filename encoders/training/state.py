"""A training run on disk between two passes, so that a kill costs one pass and the rest ends as if nothing had been.

One safetensors file, written whole or not at all: weights, averages, AdamW's moments, the best weights so far, and as
JSON in its header the counters and scores. Nothing is unpickled. Each pass draws its randomness from the seed and its
own number, so no random state has to be kept.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from configs.errors import UserError
from data.durable import write_durably
from encoders.training.averaging import Average

FILE = "training.safetensors"
MASKED = "masked"  # folder of the warm start's own state


@dataclass
class Progress:
    """What the loop has to remember beside tensors."""

    batch: int = 0  # its size, which may have been fitted to the memory there was
    epoch: int = 0  # passes done
    best_epoch: int = 0
    base: dict[str, float] = field(default_factory=dict)  # scores before the first step: those of the base rates
    best: dict[str, float] = field(default_factory=dict)


def batch_begun_with(folder: Path) -> int:
    """The size of batches that a training which was killed had begun with; 0 where none was."""
    with contextlib.suppress(OSError, safetensors.SafetensorError, ValueError, KeyError), \
            safetensors.safe_open(folder / FILE, framework="pt") as stored:
        return int(json.loads(stored.metadata()["progress"])["batch"])
    return 0


def save_training(folder: Path, progress: Progress, objective: nn.Module, average: Average,
                  optimiser: torch.optim.Optimizer, best: dict[str, Tensor]) -> None:
    tensors = {f"now/{name}": value for name, value in objective.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in average.weights.items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{index}/{name}": value for name, value in moments.items()}
    header = {"progress": json.dumps(asdict(progress)), "average_steps": str(average.steps)}
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_durably(folder / FILE, safetensors.torch.save(own, metadata=header))


def load_training(folder: Path, objective: nn.Module, average: Average, optimiser: torch.optim.Optimizer
                  ) -> tuple[Progress, dict[str, Tensor]] | None:
    """Everything put back where it was, with the best weights so far; nothing where no training was begun."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as stored:
            header = stored.metadata()
            parts: dict[str, dict[str, Tensor]] = {}
            for name in stored.keys():  # noqa: SIM118, not a mapping
                part, _, rest = name.partition("/")
                parts.setdefault(part, {})[rest] = stored.get_tensor(name)
        progress = Progress(**json.loads(header["progress"]))
        objective.load_state_dict(parts["now"])
        average.averaged = {name: parts["average"][name].to(value.device) for name, value in average.weights.items()}
        average.steps = int(header["average_steps"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["adam"].items():
            index, _, moment = name.partition("/")
            moments.setdefault(int(index), {})[moment] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} cannot be trained on from ({type(error).__name__}: {str(error).splitlines()[0]}); "
                        "delete it to begin anew") from None
    return progress, parts.get("best", {})
