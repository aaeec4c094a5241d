"""Folds against the definition, row by row: what may teach is exactly what shares no bar with what is tested."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from data.folds import (
    CombinatorialConfig,
    Fold,
    KFoldConfig,
    WalkConfig,
    combinatorial,
    purged_kfold,
    rows_of,
    walk_forward,
)
from data.labels import UNKNOWN, LabelConfig, make_labels
from data.market import Market, hourly_times

SIZES = {"reach": st.integers(1, 9), "window": st.integers(1, 9), "embargo": st.integers(0, 6)}


def rows_in(spans: tuple[slice, ...]) -> list[int]:
    return [row for span in spans for row in range(span.start, span.stop)]


def bars_of(row: int, reach: int, window: int) -> set[int]:
    """Every bar that the row's window or its labels know of."""
    return set(range(row - window + 1, row + reach + 1))


def allowed(rows: int, test: tuple[slice, ...], reach: int, window: int, embargo: int) -> list[int]:
    """Brute force: rows that share no bar with any tested row, and that no embargo holds back."""
    known = {bar for row in rows_in(test) for bar in bars_of(row, reach, window)}
    found = []
    for row in range(rows):
        # an embargo holds back windows that begin too soon after the last bar that a tested label knows of
        ends = [block.stop - 1 + reach for block in test]
        late = any(end < row - window + 1 <= end + embargo for end in ends)
        if not late and not bars_of(row, reach, window) & known:
            found.append(row)
    return found


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(120, 260), groups=st.integers(2, 6), tested=st.integers(1, 3), **SIZES)
def test_what_teaches_is_all_that_may_and_nothing_else(rows, groups, tested, reach, window, embargo):
    config = CombinatorialConfig(groups, min(tested, groups - 1), embargo)
    try:
        found = combinatorial(rows, reach, window, config)
    except UserError as error:
        assert "few rows" in str(error) or "nothing is left" in str(error)  # noqa: PT017
        return
    for fold in found.folds:
        assert rows_in(fold.train) == allowed(rows, fold.test, reach, window, embargo)
        assert all(a.stop < b.start for a, b in pairwise(fold.train)), "runs are as long as they can be"


@settings(max_examples=60, deadline=None)
@given(groups=st.integers(2, 9), tested=st.integers(1, 8), rows=st.integers(800, 1_000))
def test_every_row_is_tested_once_on_every_path(groups, tested, rows):
    config = CombinatorialConfig(groups, min(tested, groups - 1), embargo=0)
    found = combinatorial(rows, 1, 1, config)
    assert len(found.folds) == comb(groups, config.tested)
    # skfolio's CombinatorialPurgedCV: n_splits = C(N, k), n_test_paths = n_splits k / N
    assert len(found.paths) == comb(groups, config.tested) * config.tested // groups
    for path in found.paths:
        tested_rows = []
        for g, number in enumerate(path):
            assert found.groups[g] in found.folds[number].test
            tested_rows += rows_in((found.groups[g],))
        assert tested_rows == list(range(rows))
    used = [(int(number), g) for path in found.paths for g, number in enumerate(path)]
    assert len(set(used)) == len(used) == len(found.folds) * config.tested, "every test is used, and none twice"


def test_ten_groups_of_which_two_are_tested():
    found = combinatorial(10_000, 24, 48, CombinatorialConfig())
    assert (len(found.folds), found.paths.shape) == (45, (9, 10))
    assert found.folds[0].test == (slice(0, 1_000), slice(1_000, 2_000))
    assert found.folds[0].train == (slice(2_000 + 71 + 24, 10_000),)


@settings(max_examples=40, deadline=None)
@given(folds=st.integers(2, 6), rows=st.integers(200, 300), **SIZES)
def test_k_folds_test_every_row_once(folds, rows, reach, window, embargo):
    found = purged_kfold(rows, reach, window, KFoldConfig(folds, embargo))
    assert sorted(row for fold in found for row in rows_in(fold.test)) == list(range(rows))
    for fold in found:
        assert rows_in(fold.train) == allowed(rows, fold.test, reach, window, embargo)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(150, 400), anchored=st.booleans(), step=st.none() | st.integers(5, 60), **SIZES)
def test_a_walk_never_teaches_with_what_it_is_tested_on(rows, anchored, step, reach, window, embargo):
    config = WalkConfig(train=40, valid=20, test=30, step=step, anchored=anchored, embargo=embargo)
    walk = walk_forward(rows, reach, window, config)
    for n, split in enumerate(walk):
        assert split.train.start == (0 if anchored else n * config.stride)
        assert split.train.stop == 40 + n * config.stride
        assert split.test.stop <= rows
        for before, after in ((split.train, split.valid), (split.valid, split.test), (split.train, split.test)):
            assert after.start - (window - 1) - (before.stop - 1 + reach) > embargo
        assert split.valid.start - split.train.stop == split.test.start - split.valid.stop == split.gap
    assert rows - walk[-1].test.stop < config.stride, "one more fold would not have fitted"


def test_a_walk_tests_each_bar_once_unless_told_otherwise():
    walk = walk_forward(2_000, 10, 20, WalkConfig(train=500, valid=100, test=150))
    assert all(later.test.start == sooner.test.stop for sooner, later in pairwise(walk))
    often = walk_forward(2_000, 10, 20, WalkConfig(train=500, valid=100, test=150, step=50))
    assert len(often) > 2 * len(walk)
    assert often[1].test == slice(often[0].test.start + 50, often[0].test.stop + 50)


def test_labels_and_windows_of_a_real_fold_share_no_bar():
    """The purge means what the labels do: bars after a training row's reach may change, and its labels stay."""
    rng = np.random.default_rng(0)
    prices = np.repeat(100 * np.exp(np.cumsum(rng.normal(0, 0.01, (600, 1)), axis=0))[:, :, None], 5, axis=2)
    config, window = LabelConfig(horizon=7, volatility_horizon=12, threshold=0.01), 5
    segments = np.array([[0, 290], [295, 600]])
    labels = make_labels(prices, segments, config)
    for fold in combinatorial(600, labels.reach, window, CombinatorialConfig(6, 2, 3)).folds:
        train = rows_in(fold.train)
        other = prices.copy()
        for block in fold.test:
            other[block.start - window + 1 : block.stop] *= rng.uniform(0.5, 2.0)  # all that a tested row may see
        again = make_labels(other, segments, config)
        np.testing.assert_array_equal(labels.direction[train], again.direction[train])
        np.testing.assert_array_equal(labels.volatility[train], again.volatility[train])
        assert (again.forward[train] != UNKNOWN).any()


def test_rows_of_a_fold_leave_out_gaps_and_warm_up():
    segments = np.array([[10, 40], [45, 90]])
    flat = Market.flat(100)
    market = Market(hourly_times(100), flat.assets, flat.prices, flat.features, flat.columns, flat.carry, segments,
                    flat.bars_per_year)
    fold = Fold(train=(slice(0, 30), slice(60, 100)), test=(slice(35, 50),))
    expected = [row for row in rows_in(fold.train) if any(a + 3 <= row < b for a, b in segments)]
    assert rows_of(market, fold.train, window=4).tolist() == expected
    assert rows_of(market, fold.test, window=4).tolist() == [35, 36, 37, 38, 39, 48, 49]
    assert len(rows_of(market, (), window=4)) == 0


@pytest.mark.parametrize(("wrong", "said"), [
    (lambda: WalkConfig(train=0), "at least 1 bar, found 0"),
    (lambda: WalkConfig(step=0), "step of at least 1 bar"),
    (lambda: WalkConfig(embargo=-1), "embargo of a walk must be at least 0 bars, found -1"),
    (lambda: KFoldConfig(folds=1), "at least 2 folds"),
    (lambda: CombinatorialConfig(groups=4, tested=4), "never all.*found 4 of 4"),
    (lambda: CombinatorialConfig(embargo=-1), "embargo of at least 0"),
    (lambda: walk_forward(500, 10, 20, WalkConfig(train=400, valid=100, test=100)), "too few rows to walk: 500 bars"),
    (lambda: walk_forward(900, 60, 60, WalkConfig(train=400, valid=100, test=100)), "fewer than window 60"),
    (lambda: combinatorial(300, 24, 48, CombinatorialConfig()), "300 bars in 10 groups are 30 each"),
    (lambda: combinatorial(300, 40, 40, CombinatorialConfig(3, 2)), "nothing is left to learn from where groups 0, 1"),
])
def test_what_cannot_be_is_refused_in_one_line(wrong, said):
    with pytest.raises(UserError, match=said) as refusal:
        wrong()
    assert "\n" not in str(refusal.value)
