"""What the encoders are pretrained to forecast: direction, return and volatility over the next `horizon` bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError
from data.market import CLOSE

DOWN, FLAT, UP, UNKNOWN = 0, 1, 2, -1


@dataclass(frozen=True)
class LabelConfig:
    horizon: int = 24
    """bars ahead that the labels look"""
    flat_band: float = 0.25
    """a move smaller than this share of its usual size (trailing volatility times sqrt(horizon)) counts as flat"""
    volatility_window: int = 168
    """trailing bars that the usual size is measured on"""

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.volatility_window < 2 or self.flat_band < 0:
            raise UserError("labels need horizon >= 1, volatility_window >= 2 and flat_band >= 0, found "
                            f"{self.horizon}, {self.volatility_window}, {self.flat_band}")


@dataclass(frozen=True, eq=False)
class Labels:
    """Row `t` speaks of bars `t+1 .. t+horizon`; where those are not all in the same segment it is unknown."""

    direction: np.ndarray  # (T, N) int64: DOWN, FLAT, UP or UNKNOWN
    forward: np.ndarray  # (T, N) float32 log return, NaN where unknown
    volatility: np.ndarray  # (T, N) float32 root mean square log return of one bar, NaN where unknown
    horizon: int

    @property
    def known(self) -> np.ndarray:
        """(T,) rows on which every asset has labels."""
        return (self.direction != UNKNOWN).all(axis=1)


def make_labels(prices: np.ndarray, segments: np.ndarray, config: LabelConfig) -> Labels:
    """Labels of (T, N, 5) prices.

    The usual size at the start of a segment is measured on what there is, at least two bars, so a row's label depends
    on nothing before its segment and nothing after `t+horizon`.
    """
    log_close = np.log(prices[:, :, CLOSE])  # (T, N)
    forward = np.full(log_close.shape, np.nan)
    volatility = np.full(log_close.shape, np.nan)
    usual = np.full(log_close.shape, np.nan)
    h = config.horizon
    for start, stop in segments:
        if stop - start <= h + 2:
            continue
        path = log_close[start:stop]
        squares = np.concatenate([np.zeros_like(path[:1]), np.diff(path, axis=0) ** 2])
        total = np.cumsum(squares, axis=0)
        rows = np.arange(stop - start)
        first = np.maximum(rows - config.volatility_window, 0)
        bars = np.maximum(rows - first, 1)[:, None]
        usual[start:stop] = np.sqrt((total[rows] - total[first]) / bars)
        forward[start : stop - h] = path[h:] - path[:-h]
        volatility[start : stop - h] = np.sqrt(np.maximum(total[h:] - total[:-h], 0) / h)
        usual[start : start + 2] = np.nan
    known = np.isfinite(forward) & np.isfinite(usual)
    with np.errstate(invalid="ignore"):
        band = config.flat_band * usual * np.sqrt(h)
        direction = np.where(forward > band, UP, np.where(forward < -band, DOWN, FLAT))
    return Labels(
        direction=np.where(known, direction, UNKNOWN),
        forward=np.where(known, forward, np.nan).astype(np.float32),
        volatility=np.where(known, volatility, np.nan).astype(np.float32),
        horizon=h,
    )
