"""A walk forward as data settings: each window is a dataset of its own, which any other script can be given as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.dataset import DataConfig, load_raw, tabulate
from data.folds import WalkConfig, walk_forward


def windows(data: DataConfig, walk: WalkConfig, cache: Path | None = None) -> list[DataConfig]:
    """One for each window, in order of time. Nothing after the last row that a window tests exists in it, and its
    scaler, encoders, thresholds and agents are made of its own training and validation rows.

    >>> from data.dataset import KnownConfig, load_dataset
    >>> data = DataConfig(source="known", known=KnownConfig("ou_real", bars=3_000), window=8)
    >>> walk = WalkConfig(train=1_000, valid=400, test=400, embargo=0)
    >>> [(one.span, one.borders) for one in windows(data, walk)]
    [((0, 1864), (1000, 1432)), ((0, 2264), (1400, 1832)), ((0, 2664), (1800, 2232))]
    """
    rows = len(tabulate(load_raw(data), data, cache).time)
    return [replace(data, span=(split.train.start, split.test.stop), borders=(split.train.stop, split.valid.stop),
                    dates=None, split=replace(data.split, embargo=walk.embargo))
            for split in walk_forward(rows, data.labels.reach, data.window, walk)]
