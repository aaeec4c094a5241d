"""What trees read: a few numbers for each feature of a window, of every row of a market at once.

`L` rows of one segment. A window's moments are joined from those of its halves, quarters and so on (Chan, Golub and
LeVeque 1983, eq. 2.1, for sums of squares; the sum of products with time joins in the same way). Nothing is subtracted
from a running total: a calm window after a wild year keeps all its digits, and a row's summary is a function of its
window alone, to the bit, wherever the market begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.market import Market

SUMMARIES = ("last", "mean", "deviation", "slope", "recent")
"""the last bar, then over the window the mean, the standard deviation and the slope of the straight line through it,
and the mean of its last quarter"""


def summaries(market: Market, window: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """(T, N, S) float32 and the S names; NaN on the rows where no window of `window` bars fits.

    >>> values, names = summaries(Market.flat(6), window=4)
    >>> values.shape, names[:2], np.isnan(values[:, 0, 0]).tolist()
    ((6, 1, 5), ('nothing.last', 'nothing.mean'), [True, True, True, False, False, False])
    """
    names = tuple(f"{column}.{summary}" for summary in SUMMARIES for column in market.columns)
    values = np.full((len(market), len(market.assets), len(names)), np.nan, np.float32)
    for start, stop in market.segments:
        if stop - start < window:
            continue
        for asset in range(len(market.assets)):
            values[start + window - 1 : stop, asset] = described(market.features[start:stop, asset], window)
    return values, names


def described(features: np.ndarray, window: int) -> np.ndarray:
    """(L, F) -> (L - window + 1, S), one row for each window that fits."""
    bars = features.astype(np.float64)
    whole, recent = moments(bars, window), moments(bars, max(window // 4, 1))
    return np.concatenate([bars[window - 1 :], whole.mean, whole.deviation, whole.slope,
                           recent.mean[window - recent.count :]], axis=1)


@dataclass(frozen=True, eq=False)
class Moments:
    """Of each `count` bars that follow one another; the first row stands for the first `count` bars."""

    count: int
    mean: np.ndarray  # (L - count + 1, F)
    squares: np.ndarray  # (L - count + 1, F) sum of squared distances from the mean
    products: np.ndarray  # (L - count + 1, F) sum of distances from the mean times distances from the middle bar

    @property
    def deviation(self) -> np.ndarray:
        return np.sqrt(self.squares / self.count)

    @property
    def slope(self) -> np.ndarray:
        """Per bar, by least squares; 0 of a single bar."""
        return self.products / (self.count * (self.count**2 - 1) / 12 or 1.0)

    def then(self, later: Moments) -> Moments:
        """Those of the bars of `self` with as many of `later` as it counts right after them."""
        count = self.count + later.count
        rows = len(self.mean) - later.count
        before, after = slice(0, rows), slice(self.count, self.count + rows)
        apart = later.mean[after] - self.mean[before]
        weight = self.count * later.count / count
        return Moments(
            count,
            self.mean[before] + apart * (later.count / count),
            self.squares[before] + later.squares[after] + apart**2 * weight,
            # the middles of the two lie half of all their bars apart
            self.products[before] + later.products[after] + apart * (weight * count / 2),
        )


def moments(bars: np.ndarray, count: int) -> Moments:
    """Of every `count` bars of (L, F), in as many steps as `count` has binary digits.

    >>> found = moments(np.array([[1.0], [2.0], [4.0], [5.0]]), 3)
    >>> found.mean.ravel().round(3).tolist(), found.slope.ravel().tolist()
    ([2.333, 3.667], [1.5, 1.5])
    """
    piece = Moments(1, bars, np.zeros_like(bars), np.zeros_like(bars))
    found = None
    while True:
        if count & piece.count:
            found = piece if found is None else piece.then(found)
        if piece.count * 2 > count:
            assert found is not None  # the highest digit of a count is never 0
            return found
        piece = piece.then(piece)
