"""`Forecast`: what nets, trees and ensembles all say about the next `horizon` bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from configs.errors import UserError
from data.market import Market

LEVELS = (0.1, 0.5, 0.9)
"""the quantiles every forecaster gives, in the order of `Forecast.quantiles`"""


@dataclass(frozen=True, eq=False)
class Forecast:
    """One row per decision, checked when it is made. A row without a forecast (warm-up, gaps) is NaN throughout.

    >>> even = Forecast(np.full((1, 1, 3), 1 / 3), np.array([[[-0.1, 0.0, 0.1]]]), np.array([[0.02]]))
    >>> sure = Forecast(np.array([[[0.0, 0.0, 1.0]]]), np.array([[[0.0, 0.1, 0.2]]]), np.array([[0.02]]))
    >>> mean([even, sure]).quantiles.round(3).tolist()
    [[[-0.05, 0.05, 0.15]]]
    """

    direction: np.ndarray  # (B, N, 3)  P(down, flat, up)
    quantiles: np.ndarray  # (B, N, Q)  forward log return, never crossing
    volatility: np.ndarray  # (B, N)  root mean square log return of one bar
    epistemic: np.ndarray | None = None  # (B, N)  disagreement between members, in log return
    aleatoric: np.ndarray | None = None  # (B, N)  spread of the log return that members agree cannot be foreseen

    def __post_init__(self) -> None:
        shape = self.volatility.shape
        if len(shape) != 2 or self.direction.shape != (*shape, 3) or self.quantiles.shape[:-1] != shape:
            raise UserError(f"a forecast needs direction (B, N, 3), quantiles (B, N, Q) and volatility (B, N), found "
                            f"{self.direction.shape}, {self.quantiles.shape}, {shape}")
        for name, part in (("epistemic", self.epistemic), ("aleatoric", self.aleatoric)):
            if part is not None and part.shape != shape:
                raise UserError(f"{name} must be (B, N) = {shape}, found {part.shape}")
        direction, quantiles, volatility = self.direction, self.quantiles, self.volatility
        empty = np.isnan(volatility)
        if empty.any():
            if not (np.isnan(direction[empty]).all() and np.isnan(quantiles[empty]).all()):
                raise UserError("a row without a volatility must have no direction and no quantiles either: all NaN")
            direction, quantiles, volatility = direction[~empty], quantiles[~empty], volatility[~empty]
        if not (np.isfinite(direction).all() and np.isfinite(quantiles).all() and np.isfinite(volatility).all()):
            raise UserError("a forecast must be finite where there is one; look for non-finite features or weights")
        if (direction < 0).any() or (np.abs(direction.sum(-1) - 1) > 1e-3).any():
            raise UserError("direction must hold probabilities that sum to 1 over (down, flat, up)")
        if (quantiles[..., 1:] < quantiles[..., :-1]).any():
            raise UserError("quantiles must not cross: sort them, lowest level first")
        if (volatility < 0).any():
            raise UserError(f"volatility must not be negative, found {volatility.min()}")

    def __len__(self) -> int:
        return len(self.volatility)

    def __getitem__(self, rows: slice | np.ndarray) -> Forecast:
        """The same forecast for some rows: a slice, row numbers or a mask."""
        return Forecast(self.direction[rows], self.quantiles[rows], self.volatility[rows],
                        None if self.epistemic is None else self.epistemic[rows],
                        None if self.aleatoric is None else self.aleatoric[rows])

    @property
    def known(self) -> np.ndarray:
        """(B,) rows on which every asset has a forecast."""
        return ~np.isnan(self.volatility).any(axis=1)

    @property
    def median(self) -> np.ndarray:
        """(B, N) the middle quantile of the forward log return."""
        return self.quantiles[..., self.quantiles.shape[-1] // 2]


class Forecaster(Protocol):
    """Anything that forecasts every row of a market: a net, trees, a naive rule, an ensemble of them."""

    def forecast(self, market: Market) -> Forecast:
        """One row for each of the market's, from that row's past alone; NaN where there is none."""
        ...


def mean(forecasts: Sequence[Forecast]) -> Forecast:
    """Members at equal weight: the mean of their probabilities, quantiles and variances.

    Their disagreement about the middle of the return, and what each of them disagrees within itself, becomes
    `epistemic`; what is left of their own spread `aleatoric`.
    """
    if not forecasts:
        raise UserError("an ensemble needs at least one member's forecast")
    if len({member.quantiles.shape for member in forecasts}) > 1:
        raise UserError("members must forecast the same rows, assets and quantiles, found "
                        + ", ".join(str(member.quantiles.shape) for member in forecasts))
    middles = np.stack([member.median for member in forecasts])  # (members, B, N)
    return Forecast(
        direction=np.mean([member.direction for member in forecasts], axis=0),
        quantiles=np.mean([member.quantiles for member in forecasts], axis=0),
        volatility=np.sqrt(np.mean([np.square(member.volatility, dtype=np.float64) for member in forecasts], axis=0)),
        epistemic=np.sqrt(middles.var(axis=0) + np.mean([doubt(member) ** 2 for member in forecasts], axis=0)),
        aleatoric=np.sqrt(np.mean([noise(member) ** 2 for member in forecasts], axis=0)),
    )


def doubt(forecast: Forecast) -> np.ndarray:
    """(B, N) how far a forecast of several disagrees within itself; nothing where it is of one."""
    return np.zeros_like(forecast.volatility) if forecast.epistemic is None else forecast.epistemic


def noise(forecast: Forecast) -> np.ndarray:
    """(B, N) how far the return spreads for all that the forecast knows."""
    return own_spread(forecast) if forecast.aleatoric is None else forecast.aleatoric


def own_spread(forecast: Forecast) -> np.ndarray:
    """(B, N) standard deviation of the return under the forecast: of the normal law with its outer quantiles.

    They are about the return itself. Volatility would have to be scaled from one bar to the horizon, as if bars were
    independent, and may be measured over another number of bars.

    >>> said = Forecast(np.full((1, 1, 3), 1 / 3), np.array([[[-1.2816, 0.0, 1.2816]]]), np.array([[0.5]]))
    >>> own_spread(said).round(3).tolist()
    [[1.0]]
    """
    low, high = ndtri((LEVELS[0], LEVELS[-1]))
    return np.asarray(forecast.quantiles[..., -1] - forecast.quantiles[..., 0], np.float64) / (high - low)
