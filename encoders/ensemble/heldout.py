"""Forecasts of training rows by ensembles that were not taught on them.

What a member says of the rows it was taught on is better than what it will say of later ones. Whoever learns from its
forecasts on those very rows, as an agent does, comes to trust them too much. So the training rows are cut into blocks,
and each is forecast by an ensemble of the same settings that knows no label of it: neither of its rows nor of those
around it whose labels or windows meet it (`data.folds.purged_kfold`). Validation rows stop the training and fuse the
members as ever. These ensembles know a little less than the one that was taught on all rows, so the forecasts are, if
anything, modest; but the rows after a block are among those that teach, so they are nothing to trade on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from data.dataset import Dataset
from data.folds import KFoldConfig, purged_kfold
from encoders.ensemble.ensemble import Ensemble
from encoders.ensemble.online import only
from encoders.forecast import Forecast

Taught = Callable[[Dataset, int], tuple[Ensemble, dict[str, Forecast]]]


class Held(NamedTuple):
    dataset: Dataset  # with unknown labels in the block and on the rows around it that meet it
    block: slice  # training rows that are held out
    taught: tuple[slice, ...]  # training rows that are left


def without_block(dataset: Dataset, window: int, folds: int, embargo: int) -> list[Held]:
    """Each block of the training rows held out in turn. The scaler, which knows the spread of all training rows, stays
    as it is.

    >>> from data.dataset import DataConfig, KnownConfig, load_dataset
    >>> data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_real", bars=2_000)))
    >>> part, block, taught = without_block(data, window=8, folds=3, embargo=0)[1]
    >>> block, taught
    (slice(400, 800, None), (slice(0, 369, None), slice(831, 1200, None)))
    >>> part.labels.known[[368, 369, 830, 831]].tolist()
    [True, False, False, True]
    """
    first, last, _ = dataset.split.train.indices(len(dataset.market))
    found = []
    for fold in purged_kfold(last - first, dataset.labels.reach, window, KFoldConfig(folds, embargo)):
        known = np.ones(len(dataset.market), bool)
        known[first:last] = False
        taught = tuple(slice(first + span.start, first + span.stop) for span in fold.train)
        for span in taught:
            known[span] = True
        [block] = fold.test
        found.append(Held(replace(dataset, labels=only(dataset.labels, known)),
                          slice(first + block.start, first + block.stop), taught))
    return found


def held_out(said: Forecast, dataset: Dataset, window: int, folds: int, embargo: int, taught: Taught) -> Forecast:
    """`said` of the whole market, but of each block of the training rows what an ensemble says that `taught` makes of
    the dataset without that block's labels."""
    parts = {name: np.array(value, copy=True) for name, value in vars(said).items() if value is not None}
    for number, (part, block, _) in enumerate(without_block(dataset, window, folds, embargo)):
        ensemble, forecasts = taught(part, number)
        # members' track record begins with the block, as it begins with the validation rows for the ensemble itself
        found = ensemble.fusion.apply(forecasts, dataset.labels, since=block.start)
        for name, values in parts.items():
            values[block] = getattr(found, name)[block]
    return Forecast(**parts)
