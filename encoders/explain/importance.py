"""Permutation importance: how much worse the forecasts get when a group of features tells of another time.

Breiman 2001, section 10, with two changes for time series: whole windows are swapped, all columns of a group by the
same permutation, and each comes from far away, since the features of a neighbouring hour would tell nearly the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from configs.errors import UserError
from encoders.explain.estimates import Estimate, falling, means
from encoders.explain.subject import Subject
from encoders.heads import Outputs, Targets
from encoders.losses import focal, pinball, qlike

LOSSES = ("direction", "quantiles", "volatility")
SUM = "loss"


@dataclass(frozen=True)
class Rise:
    """What the model loses when `name` tells of another time."""

    name: str
    group: str
    columns: int
    losses: dict[str, Estimate]  # by LOSSES, and SUM
    assets: dict[str, Estimate]  # of SUM, by asset, where there are several


@dataclass(frozen=True)
class Importance:
    losses: dict[str, float]  # as they are, by LOSSES and SUM
    apart: int  # bars that a window and the one it is swapped with are at least apart
    groups: tuple[Rise, ...]  # largest rise of SUM first
    columns: tuple[Rise, ...]


def permutation_importance(subject: Subject) -> Importance:
    """By group and by column, the same swaps for all of them."""
    rng = np.random.default_rng(subject.config.seed)
    swaps = [swapped(len(subject.rows), rng) for _ in range(subject.config.repeats)]
    apart = min(int(np.abs(subject.rows[swap] - subject.rows).min()) for swap in swaps)
    if apart < subject.checkpoint.window + subject.reach:
        raise UserError(f"windows can be swapped over no more than {apart} bars of the validation rows, and windows of "
                        f"{subject.checkpoint.window} bars with labels of {subject.reach} would overlap: give more "
                        "data or a larger data.split.valid")
    base = losses_of(subject)  # (K, N, 3)
    names = subject.market.columns
    groups = [rise_of(subject, base, swaps, group, group, at) for group, at in subject.groups.items()]
    # a group of one column has been looked at already
    alone = {int(at[0]): rise for rise, at in zip(groups, subject.groups.values()) if len(at) == 1}
    columns = [Rise(name, group, 1, alone[at].losses, alone[at].assets) if at in alone
               else rise_of(subject, base, swaps, name, group, np.array([at]))
               for at, (name, group) in enumerate(zip(names, subject.group_of.values()))]
    found = np.nanmean(base.reshape(-1, len(LOSSES)), axis=0)
    return Importance({**dict(zip(LOSSES, found.tolist())), SUM: float(found.sum())}, apart,
                      falling(groups, lambda rise: rise.losses[SUM]), falling(columns, lambda rise: rise.losses[SUM]))


def swapped(rows: int, rng: np.random.Generator) -> np.ndarray:
    """(rows,) a permutation that brings each row from more than an eighth of the rows away.

    All turn by a quarter to three quarters of the way round, then those of each eighth are shuffled: after a turn by
    whole days alone, the hour of the day would meet itself again.

    >>> int(np.abs(swapped(100, np.random.default_rng(0)) - np.arange(100)).min()) > 100 // 8
    True
    """
    turned = (np.arange(rows) + rng.integers(-(-rows // 4), 3 * rows // 4 + 1)) % rows
    for first in range(0, rows, rows // 8):
        rng.shuffle(turned[first : first + rows // 8])
    return turned


def rise_of(subject: Subject, base: np.ndarray, swaps: list[np.ndarray], name: str, group: str, columns: np.ndarray
            ) -> Rise:
    rise = np.mean([losses_of(subject, columns, swap) - base for swap in swaps], axis=0)  # (K, N, 3)
    rise = np.concatenate([rise, rise.sum(axis=2, keepdims=True)], axis=2)
    known = np.isfinite(rise[..., :1])  # (K, N, 1)
    there = np.where(known, rise, 0.0)
    together = means(there.sum(axis=1), subject.bootstrap, known.sum(axis=1))
    assets = subject.market.assets
    each = means(there[..., -1], subject.bootstrap, known[..., 0]) if len(assets) > 1 else []
    return Rise(name, group, len(columns), dict(zip((*LOSSES, SUM), together)), dict(zip(assets, each)))


@torch.no_grad()
def losses_of(subject: Subject, columns: np.ndarray | None = None, swap: np.ndarray | None = None) -> np.ndarray:
    """(K, N, 3) losses of each row and asset, NaN without a label; `columns` are those of the rows that `swap` says."""
    found = []
    for part, x in subject.batches():
        if columns is not None and swap is not None:
            x[..., columns] = subject.windows(subject.rows[swap[part]])[..., columns]
        truth = subject.targets(subject.rows[part])
        found.append(each_loss(subject.model(x), truth, subject.checkpoint.levels).cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def each_loss(outputs: Outputs, truth: Targets, levels: tuple[float, ...]) -> Tensor:
    """(B, N, 3): the losses that `encoders.losses` takes the mean of, one pair of a row and an asset at a time."""
    known = truth.known  # (B, N)
    direction = vmap(lambda logits, came: focal(logits[None], came[None], gamma=0.0))
    quantiles = vmap(pinball, in_dims=(0, 0, None))
    heights = torch.tensor(levels, device=known.device)
    found = torch.full((*known.shape, len(LOSSES)), torch.nan, device=known.device)
    found[known] = torch.stack([
        direction(outputs.direction[known], truth.direction[known]),
        quantiles(outputs.quantiles[known], truth.forward[known], heights),
        vmap(qlike)(outputs.volatility[known], truth.volatility[known]),
    ], dim=-1)
    return found
