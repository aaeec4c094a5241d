"""Many splits of one history: walk-forward, purged k-fold, and combinatorial purged cross-validation.

A row `t` stands for the bars `t-W+1 .. t` that its window sees and the bars `t+1 .. t+reach` that its labels tell of.
Between a row that teaches and a row that is tested these must not meet, whichever comes first, so `W + reach - 1` rows
are purged on both sides of every test block. After each block an embargo leaves out more, for what stays correlated
once the labels have ended (Lopez de Prado 2018, chapters 7 and 12).

`W` counts what a row is given to see. Features look back further (`Table.warm_up`): give that as the window where rows
after a test block teach, if not even the bars that their features were made of may be tested. Each fold is scaled on
its own rows: `data.dataset.scaled(table, raw, config, fold.train)`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np

from configs.errors import UserError
from data.market import Market
from data.splits import Split, check_spans, gap_of


@dataclass(frozen=True)
class WalkConfig:
    train: int = 8_760
    """bars of the first training span, and of every one that rolls"""
    valid: int = 2_160
    """bars of a validation span"""
    test: int = 2_160
    """bars of a test span"""
    step: int | None = None
    """bars from one fold to the next; None: as long as a test span, so that no bar is tested twice or left out"""
    anchored: bool = True
    """training begins with the first bar and grows; otherwise it keeps its length and rolls on"""
    embargo: int = 24
    """further bars left out between two spans"""

    def __post_init__(self) -> None:
        for name in ("train", "valid", "test", "stride"):
            if getattr(self, name) < 1:
                raise UserError(f"walk-forward needs train, valid, test and step of at least 1 bar, found {self.train},"
                                f" {self.valid}, {self.test} and {self.step}")
        if self.embargo < 0:
            raise UserError(f"the embargo of a walk must be at least 0 bars, found {self.embargo}")

    @property
    def stride(self) -> int:
        return self.test if self.step is None else self.step


@dataclass(frozen=True)
class KFoldConfig:
    folds: int = 5
    """blocks, each tested once by what was learnt on the others"""
    embargo: int = 24
    """further bars left out after a test block"""

    def __post_init__(self) -> None:
        if self.folds < 2 or self.embargo < 0:
            raise UserError(f"k-fold needs at least 2 folds and an embargo of at least 0, found {self.folds} and "
                            f"{self.embargo}")


@dataclass(frozen=True)
class CombinatorialConfig:
    groups: int = 10
    """blocks of equal length, N"""
    tested: int = 2
    """blocks that a fold tests, k: C(N, k) folds, and C(N-1, k-1) paths through the whole history"""
    embargo: int = 24
    """further bars left out after a test block"""

    def __post_init__(self) -> None:
        if not 1 <= self.tested < self.groups or self.embargo < 0:
            raise UserError("combinatorial folds test at least one of their groups, never all, and have an embargo of "
                            f"at least 0; found {self.tested} of {self.groups} and {self.embargo}")


@dataclass(frozen=True)
class Fold:
    """Rows that teach, in runs without a break, and the blocks that are tested."""

    train: tuple[slice, ...]
    test: tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Combinatorial:
    """`paths[p, g]` is the number of the fold whose test of group `g` stands on path `p`.

    >>> found = combinatorial(1_000, 0, 1, CombinatorialConfig(groups=4, tested=2, embargo=0))
    >>> len(found.folds), found.paths.tolist()
    (6, [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]])
    """

    folds: tuple[Fold, ...]
    groups: tuple[slice, ...]
    paths: np.ndarray  # (P, N)


def walk_forward(rows: int, reach: int, window: int, config: WalkConfig) -> list[Split]:
    """Splits one after another, as often as `rows` allow, with the gaps of `splits.chronological`.

    >>> walk = WalkConfig(train=500, valid=100, test=100, embargo=1, anchored=False)
    >>> [(split.train, split.test) for split in walk_forward(1_000, reach=4, window=5, config=walk)][-1]
    (slice(200, 700, None), slice(820, 920, None))
    """
    gap = gap_of(reach, window, config.embargo)
    needed = config.train + config.valid + config.test + 2 * gap
    if rows < needed:
        raise UserError(f"too few rows to walk: {rows} bars, and one fold takes {config.train} + {config.valid} + "
                        f"{config.test} bars and two gaps of {gap}; give more data or shorter spans")
    found = []
    for moved in range(0, rows - needed + 1, config.stride):
        taught = moved + config.train
        chosen = taught + gap + config.valid
        split = Split(slice(0 if config.anchored else moved, taught), slice(taught + gap, chosen),
                      slice(chosen + gap, chosen + gap + config.test), gap)
        check_spans(split, rows, reach, window)
        found.append(split)
    return found


def purged_kfold(rows: int, reach: int, window: int, config: KFoldConfig) -> tuple[Fold, ...]:
    """Every row tested once, by what was learnt before *and* after it.

    >>> folds = purged_kfold(90, reach=3, window=4, config=KFoldConfig(folds=3, embargo=2))
    >>> folds[1]
    Fold(train=(slice(0, 24, None), slice(68, 90, None)), test=(slice(30, 60, None),))
    """
    return combinatorial(rows, reach, window, CombinatorialConfig(config.folds, 1, config.embargo)).folds


def combinatorial(rows: int, reach: int, window: int, config: CombinatorialConfig) -> Combinatorial:
    """Combinatorial purged cross-validation: each choice of `tested` groups is a fold."""
    groups = equal_groups(rows, config.groups)
    shortest = min(group.stop - group.start for group in groups)
    if shortest < window + reach:
        raise UserError(f"too few rows: {rows} bars in {config.groups} groups are {shortest} each, fewer than window "
                        f"{window} + label reach {reach}; give more data or fewer groups")
    gap = window + reach - 1
    chosen = list(combinations(range(config.groups), config.tested))
    paths = np.empty((comb(config.groups - 1, config.tested - 1), config.groups), np.int64)
    used = [0] * config.groups
    folds = []
    for number, tested in enumerate(chosen):
        test = tuple(groups[g] for g in tested)
        train = purged(rows, test, gap, config.embargo)
        if not any(span.stop - span.start >= window + reach for span in train):
            raise UserError(f"nothing is left to learn from where groups {', '.join(map(str, tested))} of "
                            f"{config.groups} are tested: {gap} rows are purged and {config.embargo} embargoed around "
                            "each; give more data, or a smaller window or embargo")
        folds.append(Fold(train, test))
        for g in tested:
            paths[used[g], g] = number
            used[g] += 1
    return Combinatorial(tuple(folds), groups, paths)


def equal_groups(rows: int, count: int) -> tuple[slice, ...]:
    """`count` blocks one after another whose lengths differ by one at most.

    >>> equal_groups(10, 3)
    (slice(0, 3, None), slice(3, 7, None), slice(7, 10, None))
    """
    borders = np.floor(np.arange(count + 1) * rows / count + 0.5).astype(int).tolist()
    return tuple(slice(start, stop) for start, stop in pairwise(borders))


def purged(rows: int, test: tuple[slice, ...], gap: int, embargo: int) -> tuple[slice, ...]:
    """The runs of rows that are farther than `gap` from every test block, and farther by `embargo` after it.

    >>> purged(20, (slice(8, 12),), gap=2, embargo=1)
    (slice(0, 6, None), slice(15, 20, None))
    """
    free = np.ones(rows + 2, bool)  # a blocked row at either end, so that every run has two borders
    free[[0, -1]] = False
    for block in test:
        free[max(block.start - gap, 0) + 1 : min(block.stop + gap + embargo, rows) + 1] = False
    borders = np.flatnonzero(np.diff(free)).tolist()
    return tuple(slice(start, stop) for start, stop in zip(borders[::2], borders[1::2]))


def rows_of(market: Market, spans: Iterable[slice], window: int) -> np.ndarray:
    """Rows of `spans` on which a window fits: outside gaps and warm-up.

    >>> rows_of(Market.flat(10), (slice(0, 4), slice(6, 8)), window=3).tolist()
    [2, 3, 6, 7]
    """
    found = [market.decision_rows(window, span) for span in spans]
    return np.concatenate([*found, np.empty(0, np.int64)]).astype(np.int64)
