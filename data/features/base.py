"""A feature: a named function of the past with a declared reach, computed block by block.

Blocks of bars are cut on a grid of absolute time, and each is computed from the rows that its features may look back
on and no others. A value is therefore the same number whether it was computed with the whole history or for the last
day alone, also where an average forgets slowly; and a block that has been computed need never be again (`cache.py`).
The short tables of context are computed whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from configs.registry import check_name
from data.features.cache import BlockCache

BARS = "bars"  # what a feature is computed on unless it names a kind of table
BLOCK = 2048  # bars that are computed at a time

Series = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True)
class Feature:
    """`compute` gets the rows of one asset without a gap, on a RangeIndex, and answers with one or more columns.

    Of the columns it is shown those it `needs` and no others; where it needs `company` (the number of assets side by
    side), also the `close:<asset>` and `volume:<asset>` of each.

    `on` says which rows those are: the bars, with what was known at each close beside them, or a context table of that
    kind, whose rows miss none of `needs`; what is computed there is then joined to the bars by `known_at`. Long
    averages of daily values thus warm up on history from before the first bar.

    `lookback` counts the rows, its own included, that a value may depend on by more than one part in a million; a
    feature has no value on the first `lookback - 1` rows. Indicators with a long memory (EMA, Wilder) thus declare more
    than their period. `neutral` is the value where the definition says 0/0, as on a flat or unsold stretch; without one
    such a row has no value, and the market refuses it.
    """

    name: str
    group: str
    lookback: int
    needs: tuple[str, ...]
    meaning: str
    compute: Callable[[pd.DataFrame], pd.DataFrame]
    neutral: float | None = None
    outputs: tuple[str, ...] = ()
    on: str = BARS

    @property
    def columns(self) -> tuple[str, ...]:
        """What it makes: `outputs`, or one column of its own name."""
        return self.outputs or (self.name,)

    def reads(self, columns: Iterable[str]) -> list[str]:
        """The columns it may look at, of those there are."""
        beside = [column for column in columns if column.startswith(("close:", "volume:"))]
        return [*dict.fromkeys(self.needs), *(beside if "company" in self.needs else [])]

    def fed_by(self, tables: Mapping[str, Sequence[Collection[str]]]) -> bool:
        """Whether one of the tables of the kind it is computed on has all it needs."""
        return any(set(self.needs) <= set(columns) for columns in tables.get(self.on, ()))


def one(name: str, value: Series) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A computation of the single column `name`."""
    return lambda frame: value(frame).rename(name).to_frame()


def log(values: pd.Series) -> pd.Series:
    """Natural logarithm."""
    return pd.Series(np.log(values.to_numpy(float)), index=values.index)


def zscore(values: pd.Series, bars: int) -> pd.Series:
    """Distance from the trailing mean in trailing deviations; 0/0 where nothing has moved.

    >>> zscore(pd.Series([1.0, 1.0, 1.0, 4.0]), 2).tolist()
    [nan, nan, nan, 1.0]
    """
    mean, spread = values.rolling(bars).mean(), values.rolling(bars).std(ddof=0)
    return (values - mean) / spread.where(spread > 1e-9 * mean.abs())  # below that a sliding sum leaves only dust


def choose(features: Iterable[Feature], groups: Sequence[str], tables: Mapping[str, Sequence[Collection[str]]]
           ) -> tuple[list[Feature], tuple[str, ...]]:
    """The features of `groups` that `tables` (columns, by kind) can feed, and the groups dropped for want of one.

    A group goes as a whole: half of one would be another set of inputs under the same name.
    """
    table = list(features)
    for group in groups:
        check_name("feature group", group, dict.fromkeys(feature.group for feature in table))
    dropped = {f.group for f in table if f.group in groups and not f.fed_by(tables)}
    chosen = [f for f in table if f.group in groups and f.group not in dropped]
    return chosen, tuple(group for group in groups if group in dropped)


def compute_features(frame: pd.DataFrame, features: Sequence[Feature], segments: np.ndarray,
                     position: np.ndarray | None = None, cache: BlockCache | None = None) -> pd.DataFrame:
    """(T, F) values of `features` on `frame`, segment by segment; NaN outside them and while a feature warms up.

    `position` numbers the bars from one fixed moment on (by default from the first row), and says where blocks end.

    >>> from data.features import FEATURES
    >>> frame = pd.DataFrame({"close": [1.0, 2.0, 4.0, 8.0]})
    >>> chosen = [f for f in FEATURES if f.name == "return_1"]
    >>> compute_features(frame, chosen, np.array([[0, 4]]))["return_1"].round(4).tolist()
    [nan, 0.6931, 0.6931, 0.6931]
    """
    columns = [column for feature in features for column in feature.columns]
    values = np.full((len(frame), len(columns)), np.nan)  # (T, F)
    position = np.arange(len(frame)) if position is None else position
    reach = max((feature.lookback for feature in features), default=1) - 1
    for start, stop in segments:
        borders = np.flatnonzero(np.diff(position[start:stop] // BLOCK)) + start + 1
        for first, last in pairwise([start, *borders, stop]):
            inputs = frame.iloc[max(start, first - reach) : last]
            key = cache.key(inputs, features, last - first) if cache else ""
            block = cache.get(key) if cache else None
            if block is None:
                block = block_of(inputs, features, last - first)
                if cache:
                    cache.put(key, block)
            values[first:last] = block
    return pd.DataFrame(values, index=frame.index, columns=columns)


def block_of(inputs: pd.DataFrame, features: Sequence[Feature], rows: int) -> np.ndarray:
    """(rows, F) of the last `rows` rows; each feature is given its own lookback before them and nothing more."""
    reaches: dict[int, pd.DataFrame] = {}
    done = []
    for feature in features:
        first = max(len(inputs) - rows - feature.lookback + 1, 0)
        if len(inputs) - first < feature.lookback:
            done.append(np.full((rows, len(feature.columns)), np.nan))
            continue
        if first not in reaches:
            reaches[first] = inputs.iloc[first:].reset_index(drop=True)
        done.append(computed(reaches[first], feature)[-rows:])
    return np.concatenate(done, axis=1) if done else np.empty((rows, 0))


def values_in(rows: pd.DataFrame, feature: Feature) -> pd.DataFrame:
    """One feature on one segment."""
    return pd.DataFrame(computed(rows, feature), index=rows.index, columns=list(feature.columns))


def computed(rows: pd.DataFrame, feature: Feature) -> np.ndarray:
    """(T, outputs): infinities become missing, 0/0 neutral, the warm-up missing whatever was written there."""
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is answered for just below
        found = feature.compute(rows[feature.reads(rows.columns)])
    if tuple(found.columns) != feature.columns:
        found = found[list(feature.columns)]
    values = found.to_numpy(float, copy=True)
    values[np.isinf(values)] = np.nan
    if feature.neutral is not None:
        values[np.isnan(values)] = feature.neutral
    values[: feature.lookback - 1] = np.nan  # ADX and ATR of `ta` write 0 there
    return values
