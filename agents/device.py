"""Where networks are computed."""

from __future__ import annotations

import torch

from configs.errors import UserError
from configs.registry import check_name


def pick_device(name: str) -> str:
    """`auto` is the GPU when torch sees one."""
    check_name("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for but torch sees no GPU: use --device auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
