"""A walk forward: every window is the dataset that was meant, and tests follow one another without a gap or overlap."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agents.arena.windows import windows
from configs.errors import UserError
from data.dataset import DataConfig, load_dataset, load_raw, tabulate
from data.folds import WalkConfig, walk_forward
from data.labels import LabelConfig
from data.simulator.config import SimulatorConfig

DATA = DataConfig(groups=("returns",), window=8, labels=LabelConfig(horizon=4), simulator=SimulatorConfig(bars=3_000))


@pytest.mark.parametrize("anchored", [True, False])
def test_a_window_is_the_split_that_was_walked(anchored):
    walk = WalkConfig(train=900, valid=300, test=250, embargo=6, anchored=anchored)
    rows = len(tabulate(load_raw(DATA), DATA).time)
    splits = walk_forward(rows, DATA.labels.reach, DATA.window, walk)
    found = windows(DATA, walk)
    assert len(found) == len(splits) == 7
    for one, split in zip(found, splits, strict=True):
        dataset = load_dataset(one)
        assert dataset.split == split
        assert len(dataset.market) == split.test.stop
    tested = [load_dataset(one).split.test for one in found]
    assert all(later.start == earlier.stop for earlier, later in pairwise(tested))


def test_too_short_a_history_is_refused():
    with pytest.raises(UserError, match="too few rows to walk"):
        windows(DATA, WalkConfig())
