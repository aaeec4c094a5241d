"""What changes as training goes on: the learning rate, the dropout, and which rows teach."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from data.labels import UNKNOWN, Labels
from encoders.layers import WindowDropout

FLOOR = 1e-4  # of the highest rate, where a fall ends
FIRST = 1 / 25  # of the highest rate, where one cycle begins (Smith and Topin 2019)
MOMENTA = (0.85, 0.95)  # of one cycle: at the highest rate, and at both ends


def rate(schedule: str, done: float, warmup: float) -> float:
    """Share of the highest learning rate when a share `done` of the training lies behind.

    >>> [round(rate("cosine", done, 0.1), 3) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    >>> [round(rate("one_cycle", done, 0.5), 3) for done in (0.0, 0.25, 0.5, 1.0)]
    [0.04, 0.52, 1.0, 0.0]
    """
    if done < warmup:
        if schedule == "one_cycle":
            return FIRST + (1 - FIRST) * (1 - math.cos(math.pi * done / warmup)) / 2
        return max(done / warmup, FLOOR)
    if schedule == "constant":
        return 1.0
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def momentum(schedule: str, share: float) -> float:
    """AdamW's first beta where the rate is `share` of the highest; one cycle lowers it as the rate rises."""
    if schedule != "one_cycle":
        return 0.9
    low, high = MOMENTA
    return high - (high - low) * (share - FIRST) / (1 - FIRST)


def set_rate(optimiser: torch.optim.Optimizer, highest: float, share: float, beta: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = highest * share
        group["betas"] = (beta, group["betas"][1])


def set_dropout(module: nn.Module, share: float) -> None:
    """Every dropout inside the network; what hides whole features from a window is another matter and stays."""
    for name, part in module.named_modules():
        if isinstance(part, WindowDropout) and not name.endswith("hide_features"):
            part.share = share
        elif isinstance(part, nn.RNNBase) and part.num_layers > 1:
            part.dropout = share


def between(pair: tuple[float, float], epoch: int, epochs: int) -> float:
    """
    >>> [between((0.5, 0.1), epoch, 3) for epoch in (1, 2, 3)]
    [0.5, 0.3, 0.1]
    """
    first, last = pair
    return round(first + (last - first) * (epoch - 1) / max(epochs - 1, 1), 12)


def stage_share(curriculum: tuple[float, ...], epoch: int, epochs: int) -> float:
    """Share of the rows that teach in `epoch` (1 to `epochs`).

    >>> [stage_share((0.3, 0.6, 1.0, 1.0), epoch, 8) for epoch in range(1, 9)]
    [0.3, 0.3, 0.6, 0.6, 1.0, 1.0, 1.0, 1.0]
    """
    if not curriculum:
        return 1.0
    return curriculum[min((epoch - 1) * len(curriculum) // epochs, len(curriculum) - 1)]


def stages_end(curriculum: tuple[float, ...], epochs: int) -> int:
    """The last pass that learns from fewer rows than the end will; until then a model is not judged by its patience.

    >>> stages_end((0.3, 0.6, 1.0, 1.0), 8), stages_end((), 8)
    (4, 0)
    """
    return max((epoch for epoch in range(1, epochs + 1)
                if stage_share(curriculum, epoch, epochs) != stage_share(curriculum, epochs, epochs)), default=0)


def calmest(labels: Labels, rows: np.ndarray, share: float) -> np.ndarray:
    """The `share` of the training rows whose labels tell of the least volatility, in their order of time."""
    if share >= 1:
        return rows
    known = labels.direction[rows] != UNKNOWN  # (R, N)
    volatility = np.where(known, labels.volatility[rows], 0.0).sum(axis=1) / known.sum(axis=1)
    return rows[volatility <= np.quantile(volatility, share)]
