"""A policy's weights on disk: safetensors that carry a digest of themselves, so that a flipped bit is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from configs.errors import UserError
from data.durable import write_durably

Weights = dict[str, torch.Tensor]


def portable(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Copies on the CPU, each with memory of its own: safetensors refuses shared tensors."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}


def digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Sixteen hex digits of names and values."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode() + weights[name].numpy().tobytes())
    return found.hexdigest()[:16]


def save_weights(weights: Weights, path: Path) -> None:
    write_durably(path, save(weights, metadata={"digest": digest(weights)}))


def load_weights(path: Path) -> Weights:
    """The weights in `path`, refused if they are not whole or hold values that are not numbers."""
    try:
        with safe_open(path, framework="pt") as stored:
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  not a mapping
            said = (stored.metadata() or {}).get("digest")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())}): train again or restore a copy") from None
    if said != digest(weights):
        raise UserError(f"{path} is damaged: its values are not those that were saved; train again or restore a copy")
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise UserError(f"{path} is damaged: {name} holds values that are not numbers")
    return weights
