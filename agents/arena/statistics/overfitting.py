"""Does choosing the best of a table find what is good, or what was lucky? Bailey, Borwein, Lopez de Prado, Zhu 2015.

Combinatorially symmetric cross-validation: history is cut into blocks, and on every half of them the best contestant is
chosen and looked up on the other half. Of a table in which all are worthless the probability may lie anywhere, so it is
told with the size of the table and decides nothing alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from configs.errors import UserError


@dataclass(frozen=True, eq=False)
class Overfitting:
    probability: float  # that the chosen one is in the lower half where it was not chosen
    logits: np.ndarray  # (halves,) of its relative rank there: above 0 it is in the upper half
    chosen: np.ndarray  # (halves,) place of the contestant that was best on one half
    contestants: int
    blocks: int


def overfitting(returns: np.ndarray, blocks: int = 16) -> Overfitting:
    """Of `returns` (C, K), by the Sharpe ratio. All halves of 16 blocks are 12,870.

    >>> rng = np.random.default_rng(0)
    >>> returns = rng.normal(0, 0.01, (10, 1_600))
    >>> returns[3] += 0.005
    >>> overfitting(returns, blocks=8).probability
    0.0
    """
    contestants, bars = returns.shape
    if blocks < 2 or blocks % 2:
        raise UserError(f"a history is cut into an even number of blocks, at least 2, found {blocks}")
    if contestants < 2 or bars < 2 * blocks:
        raise UserError(f"the probability of overfitting is of 2 contestants or more and two bars in each of {blocks} "
                        f"blocks, found {contestants} and {bars} bars")
    length = bars // blocks
    cut = returns[:, bars - blocks * length :].reshape(contestants, blocks, length)
    sums, squares = cut.sum(axis=2), (cut**2).sum(axis=2)  # (C, blocks)
    halves = np.zeros((len(pairs := list(combinations(range(blocks), blocks // 2))), blocks))
    halves[np.arange(len(pairs))[:, None], pairs] = 1.0
    inside, outside = (ratios(sums @ part.T, squares @ part.T, blocks // 2 * length) for part in (halves, 1 - halves))
    chosen = inside.argmax(axis=0)  # (halves,)
    ranks = rankdata(outside, axis=0)[chosen, np.arange(len(pairs))] / (contestants + 1)
    logits = np.log(ranks / (1 - ranks))
    return Overfitting(float((logits <= 0).mean()), logits, chosen, contestants, blocks)


def ratios(sums: np.ndarray, squares: np.ndarray, bars: int) -> np.ndarray:
    """Sharpe ratios of a bar from sums over so many; 0 where nothing moved."""
    mean = sums / bars
    variance = (squares - bars * mean**2) / (bars - 1)
    moved = variance > 1e-28
    return np.where(moved, mean / np.sqrt(np.where(moved, variance, 1.0)), 0.0)
