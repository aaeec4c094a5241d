"""What naive forecasters learn from, and the rows on which they speak.

`R` training rows, `T` time, `N` assets, `Q` quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError
from data.labels import UNKNOWN, LabelConfig, Labels
from data.market import Market
from data.returns import returns_of
from data.segments import covered
from encoders.forecast import Forecast

STILL = 1e-16
"""usual variance of an asset that never moved"""


@dataclass(frozen=True, eq=False)
class Lessons:
    """Training rows and what came of them, read once for all who are fitted."""

    market: Market
    config: LabelConfig
    rows: np.ndarray  # (R,)
    known: np.ndarray  # (R, N) whether a row teaches of an asset
    direction: np.ndarray  # (R, N)
    forward: np.ndarray  # (R, N)
    variance: np.ndarray  # (R, N)

    @classmethod
    def read(cls, market: Market, labels: Labels, rows: np.ndarray, config: LabelConfig) -> Lessons:
        known = (labels.direction[rows] != UNKNOWN) & ~np.isnan(returns_of(market)[rows])
        if not known.any():
            raise UserError(f"none of {len(rows)} training rows has a label and a bar before it: naive forecasts need "
                            "some; give rows of `labelled_rows`")
        return cls(market, config, rows, known, labels.direction[rows], np.asarray(labels.forward[rows], np.float64),
                   np.asarray(labels.volatility[rows], np.float64) ** 2)

    def each(self, values: np.ndarray) -> list[np.ndarray]:
        """Of each asset the (R, N) `values` that are known; of one that has none, all."""
        return [values[known, n] if known.any() else values[self.known] for n, known in enumerate(self.known.T)]

    @property
    def usual(self) -> np.ndarray:
        """(N,) mean square return of a bar."""
        return np.maximum([part.mean() for part in self.each(self.variance)], STILL)

    def frequencies(self, where: np.ndarray | None = None) -> np.ndarray:
        """(N, 3) of down, flat and up, `where` (R, N); one of each is added, so that nothing is impossible."""
        direction = np.where(True if where is None else where, self.direction, UNKNOWN)
        counts = np.array([np.bincount(part[part != UNKNOWN], minlength=3) + 1.0 for part in self.each(direction)])
        return counts / counts.sum(axis=1, keepdims=True)


def spoken(market: Market, direction: np.ndarray, quantiles: np.ndarray, volatility: np.ndarray) -> Forecast:
    """The forecast that says these, which may be the same on every row, where the market has a decision."""
    known = ~np.isnan(returns_of(market)) & covered(len(market), market.segments)[:, None]  # (T, N)
    if market.absent is not None:
        known &= ~market.absent
    return Forecast(np.where(known[..., None], direction, np.nan), np.where(known[..., None], quantiles, np.nan),
                    np.where(known, volatility, np.nan))


def check_assets(market: Market, assets: tuple[str, ...]) -> None:
    if market.assets != assets:
        raise UserError(f"naive forecasters were fitted on {', '.join(assets)}, the market holds "
                        f"{', '.join(market.assets)}; fit them anew")
