"""One target's trees, and how far they are believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from encoders.trees.targets import Examples, Target

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Trees(Protocol):
    """What a kind of trees must be: made of a target, the files it is stored in and the number S of columns they read,
    with a ValueError for files that are no such trees. TREES names the classes."""

    files: tuple[bytes, ...]

    def added(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """(n, S) -> (n, K) beyond the base rates."""
        ...


@dataclass(frozen=True, eq=False)
class Part:
    """`start + share * what the trees add`, in the units of its target."""

    target: Target
    start: np.ndarray  # (K,)
    share: float  # 0: the base rates, and no trees
    trees: Trees | None

    @classmethod
    def fit(cls, target: Target, grow: Callable[[Target], Trees], train: Examples, valid: Examples, threads: int
            ) -> Part:
        """Trees of the training examples, believed by the share of `SHARES` that the validation examples ask for.

        Trees always find something, in noise too. As early stopping does for a net, the validation rows say whether
        it is more than nothing, and base rates are kept when it is not.
        """
        labels, held_out = target.labels(train), target.labels(valid)
        base = target.start(labels)
        trees = grow(target)
        to_train, to_valid = trees.added(train.x, threads), trees.added(valid.x, threads)  # (n, K)
        starts = {share: target.restart(base, share * to_train, labels) for share in SHARES}
        losses = {share: target.loss(starts[share] + share * to_valid, held_out) for share in SHARES}
        share = min(SHARES, key=losses.__getitem__)  # the smallest of equals
        return cls(target, starts[share], share, trees if share else None)

    def says(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """(n, S) -> (n, K)."""
        if self.trees is None:
            return np.tile(self.start, (len(x), 1))
        return self.start + self.share * self.trees.added(x, threads)
