"""Features written over plain arrays, and the few series that many of them begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from data.features.base import Feature
from data.features.kernels import fading, unmoved

Values = Callable[..., np.ndarray | Sequence[np.ndarray]]


def array_feature(group: str, name: str, lookback: int, needs: tuple[str, ...], meaning: str, values: Values,
                  neutral: float | None = None, outputs: tuple[str, ...] = ()) -> Feature:
    """`values` gets the columns of `needs` in their order, as arrays of its own, and answers with one array an output.

    >>> double = array_feature("returns", "double", 1, ("close",), "twice the close", lambda close: 2 * close)
    >>> double.compute(pd.DataFrame({"close": [1.0, 2.0]}))["double"].tolist()
    [2.0, 4.0]
    """
    made = pd.Index(outputs or (name,))

    def compute(frame: pd.DataFrame) -> pd.DataFrame:
        # copies, for numba compiles anew for arrays that are read-only or strided, as columns of a frame may be
        found = values(*(frame[column].to_numpy(float, copy=True) for column in needs))
        return pd.DataFrame(np.stack(list(found) if outputs else [np.asarray(found)], axis=1), columns=made)

    return Feature(name, group, lookback, needs, meaning, compute, neutral, outputs)


def before(x: np.ndarray, bars: int) -> np.ndarray:
    """The value of `bars` rows ago.

    >>> before(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [nan, nan, 1.0]
    """
    return np.concatenate([np.full(min(bars, len(x)), np.nan), x[:-bars]])


def change(x: np.ndarray, bars: int = 1) -> np.ndarray:
    """Difference from `bars` rows ago.

    >>> change(np.array([1.0, 3.0, 4.0])).tolist()
    [nan, 2.0, 1.0]
    """
    return x - before(x, bars)


def log_returns(close: np.ndarray) -> np.ndarray:
    """Log return of each bar.

    >>> log_returns(np.array([1.0, 2.0])).round(4).tolist()
    [nan, 0.6931]
    """
    return change(np.log(close))


def true_range(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """The range of a bar, stretched to the close before it.

    >>> true_range(np.array([2.0, 5.0]), np.array([1.0, 4.0]), np.array([2.0, 5.0])).tolist()
    [nan, 3.0]
    """
    return np.maximum(high, before(close, 1)) - np.minimum(low, before(close, 1))


def ema(x: np.ndarray, bars: int) -> np.ndarray:
    """Exponential mean of `bars`, begun at the first value: one part in a million of that is left after 8 times `bars`.

    >>> ema(np.array([1.0, 3.0]), 3).tolist()
    [1.0, 2.0]
    """
    return fading(x, 2.0 / (bars + 1))


def wilder(x: np.ndarray, bars: int) -> np.ndarray:
    """Wilder's mean of `bars`: one part in a million of its first value is left after 14 times `bars`.

    >>> wilder(np.array([1.0, 3.0]), 2).tolist()
    [1.0, 2.0]
    """
    return fading(x, 1.0 / bars)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part` over `whole`, missing where `whole` is zero, whatever `part` is there.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    return part / np.where(whole == 0, np.nan, whole)


def still(bars: int, *columns: np.ndarray) -> np.ndarray:
    """Whether no column has moved for `bars` rows: past that a ratio of two fading means is 0/0 in all but name.

    >>> still(2, np.array([1.0, 2.0, 2.0]), np.array([0.0, 0.0, 0.0])).tolist()
    [False, False, True]
    """
    return np.min([unmoved(column) for column in columns], axis=0) >= bars - 1
