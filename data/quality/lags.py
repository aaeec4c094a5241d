"""By how many periods one series is stamped late or early against another, row by row.

A lag of -4 says: what `own` calls period t, `other` calls t + 4, so own's stamps are four periods early.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np

from data.quality.finding import runs
from data.quality.lines import Pair

REACH = {True: 5, False: 12}  # periods (of daily, of hourly series) tried on either side
BLOCK = {True: 10, False: 24}  # periods summed at a time; windows advance by one
WINDOW = {True: 6, False: 3}  # blocks in a window
CLEAR = 0.6  # a correlation over a window that chance does not reach
WEAK = 0.5  # at lag 0 a shifted window has less than this share of its best correlation
SWITCH = 12.0  # what a change of lag costs, in squared deviations: a few rows alike are no reason
SHORTEST = {True: 15, False: 12}  # periods


@dataclass(frozen=True)
class Regime:
    """Grid indices start .. stop - 1, where the lag is the same."""

    start: int
    stop: int
    lag: int
    correlation: float
    at_zero: float


def correlations(own: np.ndarray, other: np.ndarray, reach: int, block: int, window: int) -> np.ndarray:
    """(W, L) of `window` blocks from every block on, at lags -reach .. reach; NaN where under half the rows count.

    >>> own = np.random.default_rng(0).normal(size=400)
    >>> np.nanargmax(correlations(own, np.roll(own, 3), 5, 20, 4), axis=1)[1:-1] - 5  # own is stamped 3 early
    array([-3, -3, -3, -3, -3, -3, -3, -3, -3, -3, -3, -3, -3, -3, -3])
    """
    blocks = -(-len(own) // block)
    found = np.full((max(blocks - window + 1, 1), 2 * reach + 1), np.nan)
    for column, lag in enumerate(range(-reach, reach + 1)):
        theirs = moved(other, lag)
        both = np.isfinite(own) & np.isfinite(theirs)
        x, y = np.where(both, own, 0.0), np.where(both, theirs, 0.0)
        products = np.zeros((4, blocks * block))
        products[:, : len(own)] = x * y, x * x, y * y, both
        sums = np.concatenate([np.zeros((4, 1)), products.reshape(4, blocks, block).sum(axis=2).cumsum(axis=1)], axis=1)
        width = min(window, blocks)
        xy, xx, yy, count = sums[:, width:] - sums[:, :-width]
        with np.errstate(divide="ignore", invalid="ignore"):
            found[:, column] = np.where((count >= 0.5 * width * block) & (xx > 1e-9) & (yy > 1e-9),
                                        xy / np.sqrt(xx * yy), np.nan)
    return found


def moved(other: np.ndarray, lag: int) -> np.ndarray:
    """`other[t - lag]` at t, missing past the ends."""
    out = np.full(len(other), np.nan)
    if lag >= 0:
        out[lag:] = other[: len(other) - lag]
    else:
        out[:lag] = other[-lag:]
    return out


def regimes(both: Pair, against: bool = False) -> list[Regime]:
    """Stretches whose lag is not 0, found in windows and then bordered to the row."""
    own, other = both.scaled
    other = -other if against else other
    reach, block, window = REACH[both.daily], BLOCK[both.daily], WINDOW[both.daily]
    if len(own) < block * window:
        return []
    table = np.nan_to_num(correlations(own, other, reach, block, window), nan=-1.0)
    best = table.argmax(axis=1)
    top = table[np.arange(len(table)), best]
    shifted = (best != reach) & (top > CLEAR) & (table[:, reach] < WEAK * top)
    if not shifted.any():
        return []
    lags = np.unique(np.concatenate([[0], best[shifted] - reach]))
    near = np.zeros(len(own), bool)
    for first, stop in runs(shifted):  # a window more on either side, for the borders
        near[max((first - window) * block, 0) : (stop + 2 * window) * block] = True
    lag = np.zeros(len(own), np.int64)
    for start, stop in runs(near):
        theirs = np.stack([moved(other, int(each))[start:stop] for each in lags], axis=1)
        cost = (own[start:stop, None] - theirs) ** 2
        cost = np.where(np.isfinite(cost), np.minimum(cost, 4.0), 1.0)  # rows that are absent decide nothing
        lag[start:stop] = lags[cheapest_path(cost, SWITCH)]
    borders = np.concatenate([[0], np.flatnonzero(np.diff(lag)) + 1, [len(lag)]])
    found = []
    for start, stop in pairwise(borders.tolist()):
        if lag[start] and stop - start >= SHORTEST[both.daily]:
            x, here = own[start:stop], int(lag[start])
            at_lag, at_zero = (alike(x, moved(other, each)[start:stop]) for each in (here, 0))
            if at_lag > CLEAR and at_zero < WEAK * at_lag:
                found.append(Regime(start, stop, here, at_lag, at_zero))
    return found


def alike(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of what both have, about zero, which changes have for their mean; 0 where there is too little."""
    both = np.isfinite(x) & np.isfinite(y)
    scale = np.sqrt(np.sum(x[both] ** 2) * np.sum(y[both] ** 2))
    return float(np.sum(x[both] * y[both]) / scale) if both.sum() >= 8 and scale > 0 else 0.0


@numba.njit(cache=True)
def cheapest_path(cost: np.ndarray, switch: float) -> np.ndarray:
    """(T,) the state of each row that makes the sum of `cost` (T, S) and of `switch` per change least (Viterbi)."""
    rows, states = cost.shape
    came = np.zeros((rows, states), np.int64)
    total = cost[0].copy()
    for t in range(1, rows):
        cheapest = total.argmin()
        for state in range(states):
            if total[cheapest] + switch < total[state]:
                came[t, state] = cheapest
                came_total = total[cheapest] + switch
            else:
                came[t, state] = state
                came_total = total[state]
            cost[t, state] += came_total
        total = cost[t].copy()
    path = np.zeros(rows, np.int64)
    path[-1] = total.argmin()
    for t in range(rows - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return path
