"""What is known on a row of the outcomes of rows before it, and loops that follow it from row to row.

The label of row `t` speaks of bars `t+1 .. t+reach`, so it is known at the close of row `t + reach`. `arrived` is the
only door through which outcomes come in here: its row `t` holds what was measured on row `t - reach`. A loop reads it
at `t` and below, and so cannot see a label before its time whatever else it does.

Numba's cache notices a change only in the file of the function it was asked for: these call nothing compiled elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numba import njit

from data.labels import UNKNOWN, Labels

compiled = njit(cache=True, error_model="numpy")


def arrived(values: np.ndarray, reach: int) -> np.ndarray:
    """`values` (B, ...), each on the row on which it is known; NaN on rows before the first.

    >>> arrived(np.array([1.0, 2.0, 3.0]), reach=2).tolist()
    [nan, nan, 1.0]
    """
    found = np.full(values.shape, np.nan)
    found[reach:] = values[: max(len(values) - reach, 0)]
    return found


def only(labels: Labels, rows: np.ndarray | slice) -> Labels:
    """The labels of `rows` (numbers, a slice or a mask), all others unknown."""
    hidden = np.ones(len(labels.forward), bool)
    hidden[rows] = False
    direction, forward, volatility = (part.copy() for part in (labels.direction, labels.forward, labels.volatility))
    direction[hidden], forward[hidden], volatility[hidden] = UNKNOWN, np.nan, np.nan
    return replace(labels, direction=direction, forward=forward, volatility=volatility)


@compiled
def fading_mean(news: np.ndarray, start: np.ndarray, memory: float) -> np.ndarray:
    """(B, N) mean of the values of `news` up to a row, fading by 1 / memory with each; `start` (N,) before the first.

    >>> fading_mean(np.array([[np.nan], [3.0], [np.nan]]), np.array([1.0]), 2.0).ravel().tolist()
    [1.0, 2.0, 2.0]
    """
    out = np.empty(news.shape)
    mean = start.copy()
    for t in range(news.shape[0]):
        for n in range(news.shape[1]):
            if not np.isnan(news[t, n]):
                mean[n] += (news[t, n] - mean[n]) / memory
            out[t, n] = mean[n]
    return out


@compiled
def fixed_share(news: np.ndarray, rate: float, share: float, weights: np.ndarray | None = None) -> np.ndarray:
    """(B, M) weights that follow who has lost least of late (fixed share: Herbster and Warmuth 1998).

    With each row of losses `news` (B, M), a weight shrinks by exp(-rate * loss); then all give up `share` of theirs,
    which is dealt out evenly, so that the best of today can become the best within a memory of about 1 / share.
    `weights` (M,) are those before the first row, even ones if none are given; they become those of the last.

    >>> fixed_share(np.array([[np.nan, np.nan], [0.0, np.log(3)]]), rate=1.0, share=0.0).tolist()
    [[0.5, 0.5], [0.75, 0.25]]
    """
    rows, members = news.shape
    out = np.empty((rows, members))
    weights = np.full(members, 1.0 / members) if weights is None else weights
    for t in range(rows):
        best, known = np.inf, True
        for m in range(members):
            known = known and not np.isnan(news[t, m])
            best = min(best, news[t, m])
        if known:
            total = 0.0
            for m in range(members):
                weights[m] *= np.exp(-rate * (news[t, m] - best))
                total += weights[m]
            for m in range(members):
                weights[m] = (1.0 - share) * weights[m] / total + share / members
        out[t] = weights
    return out


class Margins(NamedTuple):
    """What `conformal_margins` carries from row to row."""

    window: np.ndarray  # (size,) the last scores, oldest first
    level: np.ndarray  # (G,) of each step size
    weights: np.ndarray  # (G,)
    issued: np.ndarray  # (delay, G) margins of the last rows

    @classmethod
    def begun(cls, seeds: np.ndarray, miss: float, count: int, delay: int) -> Margins:
        return cls(seeds.copy(), np.full(count, miss), np.full(count, 1.0 / count), np.zeros((delay, count)))


def conformal_margins(news: np.ndarray, delay: int, seeds: np.ndarray, miss: float, steps: np.ndarray, rate: float,
                      share: float, carried: Margins | None = None) -> np.ndarray:
    """(B,) margins that a score should exceed on a share `miss` of rows, whatever drifts.

    `news` (B,) are the scores by the row on which they are known, `delay` rows after the one whose margin they judge.
    Adaptive conformal inference (Gibbs and Candes 2021, eq. 2) gives, for each step size, a level that rises by
    step * miss where the score was within the margin and falls by step * (1 - miss) where it was not; its margin is
    that quantile of the last `len(seeds)` scores, begun with `seeds`, oldest first. The margins of all step sizes are
    averaged by how well each has done of late: weights as in Gibbs and Candes (2024, algorithm 1), with the pinball
    loss of the margins themselves, as Zaffran et al. (2022, section 4) have it. With `carried` the loop goes on from
    there instead of from the seeds, and leaves there what it has come to.

    The 2021 paper's interval is infinite where the level falls to 0; here it reaches out to the largest score of the
    window, since every forecast must be finite.

    >>> conformal_margins(np.full(3, np.nan), 1, np.arange(1.0, 10.0), 0.2, np.array([0.1]), 0.0, 0.0).tolist()
    [8.0, 8.0, 8.0]
    """
    return _margins(news, miss, steps, rate, share, *(carried or Margins.begun(seeds, miss, len(steps), delay)))


@compiled
def _margins(news: np.ndarray, miss: float, steps: np.ndarray, rate: float, share: float, window: np.ndarray,
             level: np.ndarray, weights: np.ndarray, before: np.ndarray) -> np.ndarray:
    rows, size, count, delay = len(news), len(window), len(steps), len(before)
    ordered = np.sort(window)
    issued = np.empty((delay + rows, count))  # row t issues its margins at t + delay
    issued[:delay] = before
    out = np.zeros(rows)
    oldest = 0
    for t in range(rows):
        score = news[t]
        if not np.isnan(score):
            total, least = 0.0, np.inf
            loss = np.empty(count)
            for g in range(count):
                beyond = score - issued[t, g]
                loss[g] = max((1.0 - miss) * beyond, -miss * beyond)
                least = min(least, loss[g])
                level[g] = min(max(level[g] + steps[g] * (miss - (beyond > 0.0)), 0.0), 1.0)
            for g in range(count):
                weights[g] *= np.exp(-rate * (loss[g] - least))
                total += weights[g]
            for g in range(count):
                weights[g] = (1.0 - share) * weights[g] / total + share / count
            place = np.searchsorted(ordered, window[oldest])  # the oldest leaves the sorted scores, the new one enters
            while place + 1 < size and ordered[place + 1] < score:
                ordered[place] = ordered[place + 1]
                place += 1
            while place > 0 and ordered[place - 1] > score:
                ordered[place] = ordered[place - 1]
                place -= 1
            ordered[place] = score
            window[oldest] = score
            oldest = (oldest + 1) % size
        for g in range(count):
            rank = int(np.ceil((size + 1) * (1.0 - level[g]) - 1e-9))  # or rounding takes the next score
            issued[t + delay, g] = ordered[min(max(rank, 1), size) - 1]
            out[t] += weights[g] * issued[t + delay, g]
    before[:] = issued[rows:]
    window[:] = np.roll(window, -oldest)
    return out
