"""A feature: a named function of the past with a declared reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from configs.registry import check_name

Series = Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True)
class Feature:
    """`compute` gets one asset's rows without a gap, on a RangeIndex, and answers with one or more columns.

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

    @property
    def columns(self) -> tuple[str, ...]:
        """What it makes: `outputs`, or one column of its own name."""
        return self.outputs or (self.name,)


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


def choose(features: Iterable[Feature], groups: Sequence[str], columns: Iterable[str]
           ) -> tuple[list[Feature], tuple[str, ...]]:
    """The features of `groups` that `columns` can feed, and the groups dropped because they lack a column.

    A group goes as a whole: half of one would be another set of inputs under the same name.
    """
    table = list(features)
    present = set(columns)
    known = dict.fromkeys(feature.group for feature in table)
    for group in groups:
        check_name("feature group", group, known)
    dropped = {f.group for f in table if f.group in groups and not present.issuperset(f.needs)}
    chosen = [f for f in table if f.group in groups and f.group not in dropped]
    return chosen, tuple(group for group in groups if group in dropped)


def compute_features(frame: pd.DataFrame, features: Sequence[Feature], segments: np.ndarray) -> pd.DataFrame:
    """(T, F) values of `features` on `frame`, segment by segment; NaN outside them and while a feature warms up.

    >>> from data.features import FEATURES
    >>> frame = pd.DataFrame({"close": [1.0, 2.0, 4.0, 8.0]})
    >>> chosen = [f for f in FEATURES if f.name == "return_1"]
    >>> compute_features(frame, chosen, np.array([[0, 4]]))["return_1"].round(4).tolist()
    [nan, 0.6931, 0.6931, 0.6931]
    """
    pieces: list[pd.DataFrame] = []
    for start, stop in segments:
        rows = frame.iloc[start:stop].reset_index(drop=True)
        done = [values_in(rows, feature) for feature in features if len(rows) >= feature.lookback]
        if done:
            pieces.append(pd.concat(done, axis=1).set_index(frame.index[start:stop]))
    columns = [column for feature in features for column in feature.columns]
    return (pd.concat(pieces) if pieces else pd.DataFrame(dtype=float)).reindex(index=frame.index, columns=columns)


def values_in(rows: pd.DataFrame, feature: Feature) -> pd.DataFrame:
    """One feature on one segment: infinities become missing, 0/0 neutral, the warm-up missing whatever was written."""
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 is answered for just below
        values = feature.compute(rows)[list(feature.columns)].replace([np.inf, -np.inf], np.nan)
    if feature.neutral is not None:
        values = values.fillna(feature.neutral)
    values.iloc[: feature.lookback - 1] = np.nan  # ADX and ATR of `ta` write 0 there
    return values
