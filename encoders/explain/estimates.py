"""Means over decisions, with intervals that know that neighbouring decisions resemble each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from data.bootstrap import BootstrapConfig, interval
from encoders.score_table import in_histories

Estimated = TypeVar("Estimated")


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float
    clear: bool
    """the interval leaves out what there would be if nothing were there: zero, or an equal share"""


def means(values: np.ndarray, config: BootstrapConfig, counts: np.ndarray | None = None,
          nothing: float | np.ndarray = 0.0) -> list[Estimate]:
    """One for each column of `values` (K, M), sums over the `counts` (K, 1 or M) of each row, by default one each.

    `nothing` is what a column would be if nothing were there; `config.block` counts rows of `values`.

    >>> found = means(np.tile([[0.0, 3.0], [0.0, 5.0]], (50, 1)), BootstrapConfig(draws=100, block=2))
    >>> [(estimate.value, estimate.clear) for estimate in found]
    [(0.0, False), (4.0, True)]
    """
    rows, columns = values.shape
    counts = np.broadcast_to(np.ones((rows, 1)) if counts is None else counts, values.shape)
    sums, taken = np.split(in_histories(np.concatenate([values, counts], axis=1), config), 2, axis=1)
    # a history may hold no row of an asset that is mostly absent: it has nothing to say, not zero
    drawn = np.divide(sums, taken, out=np.full_like(sums, np.nan), where=taken > 0)  # (1 + draws, M)
    found = []
    for history, null in zip(drawn.T, np.broadcast_to(nothing, columns)):
        told = history[np.isfinite(history)]
        low, high = interval(told, config.level) if len(told) else (np.nan, np.nan)
        found.append(Estimate(float(history[0]), low, high, bool(low > null or high < null)))
    return found


def falling(found: Iterable[Estimated], estimate: Callable[[Estimated], Estimate]) -> tuple[Estimated, ...]:
    """Those whose `estimate` is largest first.

    >>> [word for word in falling(["a", "ccc", "bb"], lambda word: Estimate(len(word), 0.0, 9.0, True))]
    ['ccc', 'bb', 'a']
    """
    return tuple(sorted(found, key=lambda one: -estimate(one).value))
