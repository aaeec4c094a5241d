"""Judging on blocks of time what was learnt on the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from configs.errors import UserError
from data.folds import KFoldConfig, purged_kfold
from encoders.forecast import Forecast


class Block(NamedTuple):
    teach: np.ndarray  # row numbers
    test: np.ndarray


def time_blocks(rows: np.ndarray, reach: int, count: int) -> list[Block]:
    """`count` blocks of equal time over `rows`; those within `reach` of a tested block do not teach.

    >>> [(block.teach.tolist(), block.test.tolist()) for block in time_blocks(np.arange(10, 18), reach=1, count=2)]
    [([15, 16, 17], [10, 11, 12, 13]), ([10, 11, 12], [14, 15, 16, 17])]
    """
    first = int(rows.min())
    try:
        folds = purged_kfold(int(rows.max()) - first + 1, reach, 1, KFoldConfig(count, embargo=0))
    except UserError as error:
        raise UserError(f"the rows to fuse on are too few for {count} blocks and labels that reach {reach} bars: give "
                        "more rows or fewer fusion.blocks") from error
    found = []
    for fold in folds:
        test = _within(rows, fold.test, first)
        teach = _within(rows, fold.train, first)
        if len(test) and len(teach):  # a block of a long gap tests nothing
            found.append(Block(teach, test))
    if len(found) < 2:
        raise UserError(f"the {len(rows)} rows to fuse on lie in one of {count} blocks of time, and two are needed to "
                        "judge one by the other: give more rows or more fusion.blocks")
    return found


def _within(rows: np.ndarray, spans: tuple[slice, ...], first: int) -> np.ndarray:
    inside = [(rows >= first + span.start) & (rows < first + span.stop) for span in spans]
    return rows[np.logical_or.reduce(inside)]


def cross_fitted(learn: Callable[[np.ndarray], Forecast], blocks: list[Block]) -> Forecast:
    """Each block as forecast by what `learn` made of the rows that teach; NaN on all other rows."""
    found: Forecast | None = None
    for block in blocks:
        said = learn(block.teach)
        if found is None:
            found = Forecast(*(np.full(part.shape, np.nan) for part in (
                said.direction, said.quantiles, said.volatility, said.volatility, said.volatility)))
        for name in ("direction", "quantiles", "volatility", "epistemic", "aleatoric"):
            getattr(found, name)[block.test] = getattr(said, name)[block.test]
    assert found is not None, "time_blocks gives at least two"
    return found


def plainest(losses: np.ndarray) -> int:
    """Of candidates' losses (C, blocks), plainest first: the first that the best one does not beat by more than one
    standard error of their difference over the blocks (the rule of Breiman et al. 1984, section 3.4.3, paired).

    >>> plainest(np.array([[1.0, 1.2, 0.8], [0.9, 1.3, 0.7]])), plainest(np.array([[1.0, 1.2, 0.8], [0.5, 0.6, 0.4]]))
    (0, 1)
    """
    best = losses[losses.mean(axis=1).argmin()]
    behind = losses - best
    error = behind.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return int(np.argmax(behind.mean(axis=1) <= error))
