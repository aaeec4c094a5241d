"""What the encoders are pretrained to forecast: direction, return and volatility of the bars to come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError
from data.market import CLOSE

DOWN, FLAT, UP, UNKNOWN = 0, 1, 2, -1


@dataclass(frozen=True)
class LabelConfig:
    """Hourly by default. `LabelConfig(horizon=90, threshold=0.05, volatility_horizon=30)` is a long look on daily bars.

    >>> LabelConfig(horizon=90, threshold=0.05, volatility_horizon=30).reach
    90
    """

    horizon: int = 24
    """bars ahead that direction and return look"""
    flat_band: float = 0.25
    """a move smaller than this share of its usual size (trailing volatility times sqrt(horizon)) counts as flat"""
    volatility_window: int = 168
    """trailing bars that the usual size is measured on"""
    threshold: float | None = None
    """a fixed simple return that still counts as flat, such as 0.05, in place of the band; None: the band"""
    volatility_horizon: int | None = None
    """bars ahead that the volatility is measured over; None: the horizon"""

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.volatility_window < 2 or self.flat_band < 0:
            raise UserError("labels need horizon >= 1, volatility_window >= 2 and flat_band >= 0, found "
                            f"{self.horizon}, {self.volatility_window}, {self.flat_band}")
        if self.threshold is not None and not 0 <= self.threshold < 1:
            raise UserError("labels.threshold is a share at least 0 and below 1 (0.05 for 5 %), found "
                            f"{self.threshold}; leave it out for the adaptive flat_band")
        if self.volatility_horizon is not None and self.volatility_horizon < 1:
            raise UserError(f"labels.volatility_horizon must be at least 1, found {self.volatility_horizon}; leave it "
                            "out to measure over the horizon")

    @property
    def reach(self) -> int:
        """Bars ahead that the farthest-looking label needs, which is what splits purge by."""
        return max(self.horizon, self.volatility_bars)

    @property
    def volatility_bars(self) -> int:
        return self.horizon if self.volatility_horizon is None else self.volatility_horizon


@dataclass(frozen=True, eq=False)
class Labels:
    """Row `t` speaks of bars `t+1 .. t+reach`; where those are not all in its segment it is unknown."""

    direction: np.ndarray  # (T, N) int64: DOWN, FLAT, UP or UNKNOWN
    forward: np.ndarray  # (T, N) float32 log return, NaN where unknown
    volatility: np.ndarray  # (T, N) float32 root mean square log return of one bar, NaN where unknown
    reach: int  # of the farthest-looking of the three: what splits purge by

    @property
    def known(self) -> np.ndarray:
        """(T,) rows on which every asset has labels."""
        return (self.direction != UNKNOWN).all(axis=1)


def make_labels(prices: np.ndarray, segments: np.ndarray, config: LabelConfig, absent: np.ndarray | None = None
                ) -> Labels:
    """Labels of (T, N, 5) prices.

    Where an asset is `absent` (T, N), or has no bar (NaN) before its label ends, it has none; the others keep theirs.
    The usual size at the start of a segment is measured on what there is, at least two bars, so a row's label depends
    on nothing before its segment and nothing after `t+reach`. A fixed threshold needs no usual size, and no such start.

    >>> close = np.array([100.0, 105.0, 106.0, 100.0])
    >>> prices = np.repeat(close[:, None, None], 5, axis=2)
    >>> make_labels(prices, np.array([[0, 4]]), LabelConfig(horizon=1, threshold=0.05)).direction.ravel().tolist()
    [1, 1, 0, -1]
    """
    if absent is not None:
        alone = [make_labels(prices[:, n : n + 1], with_bars(prices[:, n, CLOSE], segments), config)
                 for n in range(prices.shape[1])]
        direction, forward, volatility = (np.concatenate([getattr(one, name) for one in alone], axis=1)
                                          for name in ("direction", "forward", "volatility"))
        return Labels(np.where(absent, UNKNOWN, direction), np.where(absent, np.float32(np.nan), forward),
                      np.where(absent, np.float32(np.nan), volatility), config.reach)
    close = prices[:, :, CLOSE]  # (T, N)
    log_close = np.log(close)
    ratio = np.full(close.shape, np.nan)  # of the close `horizon` bars on to this one
    forward, volatility = (np.full(close.shape, np.nan) for _ in range(2))
    band = flat_band(prices, segments, config)
    h, v = config.horizon, config.volatility_bars
    for start, stop in segments:
        if stop - start <= config.reach:
            continue
        path = log_close[start:stop]
        squares = np.concatenate([np.zeros_like(path[:1]), np.diff(path, axis=0) ** 2])
        total = np.cumsum(squares, axis=0)
        ratio[start : stop - h] = close[start + h : stop] / close[start : stop - h]
        forward[start : stop - h] = path[h:] - path[:-h]
        volatility[start : stop - v] = np.sqrt(np.maximum(total[v:] - total[:-v], 0) / v)
    known = np.isfinite(forward) & np.isfinite(volatility)
    if config.threshold is None:
        known &= np.isfinite(band)
        up, down = forward > band, forward < -band
    else:
        up, down = ratio > 1 + config.threshold, ratio < 1 - config.threshold
    return Labels(
        direction=np.where(known, np.where(up, UP, np.where(down, DOWN, FLAT)), UNKNOWN),
        forward=np.where(known, forward, np.nan).astype(np.float32),
        volatility=np.where(known, volatility, np.nan).astype(np.float32),
        reach=config.reach,
    )


def flat_band(prices: np.ndarray, segments: np.ndarray, config: LabelConfig) -> np.ndarray:
    """(T, N) log returns over the horizon up to this size count as flat; NaN where no usual size is known.

    It is known at the row itself. A fixed `threshold` has no band: it is of simple returns, and as wide everywhere.
    """
    log_close = np.log(prices[:, :, CLOSE])  # (T, N)
    usual = np.full(log_close.shape, np.nan)
    for start, stop in segments:
        path = log_close[start:stop]
        total = np.cumsum(np.concatenate([np.zeros_like(path[:1]), np.diff(path, axis=0) ** 2]), axis=0)
        rows = np.arange(stop - start)
        first = np.maximum(rows - config.volatility_window, 0)
        usual[start:stop] = np.sqrt((total[rows] - total[first]) / np.maximum(rows - first, 1)[:, None])
        usual[start : start + 2] = np.nan
    return config.flat_band * usual * np.sqrt(config.horizon)


def with_bars(close: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """The runs of bars of (T,) closes within `segments`.

    >>> with_bars(np.array([1.0, 2.0, np.nan, 3.0, 4.0, 5.0]), np.array([[0, 4], [4, 6]])).tolist()
    [[0, 2], [3, 4], [4, 6]]
    """
    there = np.isfinite(close)
    found = [np.empty((0, 2), np.int64)]
    for start, stop in segments:
        borders = np.flatnonzero(np.diff(there[start:stop], prepend=False, append=False)) + start
        found.append(borders.reshape(-1, 2))
    return np.concatenate(found)
