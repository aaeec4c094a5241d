"""Naive forecasters of volatility, each with the range and the direction that follow from it.

`T` time, `N` assets, `K` past variances, `P` pairs of a row and an asset.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

from data.market import Market
from data.returns import returns_of
from encoders.forecast import LEVELS, Forecast
from encoders.naive_lessons import Lessons, check_assets, spoken
from encoders.scores import FLOOR, qlike_loss

LAMBDAS = (0.8, 0.9, 0.94, 0.97, 0.985, 0.993, 0.997)
"""decays among which the training rows choose; RiskMetrics (1996) has 0.94 for days and 0.97 for months"""


class VolatilityRule(ABC):
    """A forecast of the variance, and returns that are its multiples.

    Quantiles are those of training returns over the volatility said of them, times the volatility said now. Direction
    comes of the same multiples, counted beyond the borders of flat (the trailing band or the fixed threshold), for in a
    calm hour of a wild week most moves are flat, and nobody needs a network to know.

    A squared return that cannot be had (before the first bar, across a gap, of an asset not yet there) counts as the
    usual one of training rows. So a trailing month that is not complete is filled up with ordinary bars, and the bars
    before a gap are still of use after it.
    """

    def __init__(self, lessons: Lessons) -> None:
        self.assets, self.config, self.usual = lessons.market.assets, lessons.config, lessons.usual
        squares = self._squares(lessons.market)
        self.learn(squares, lessons)
        said = np.sqrt(self._said(squares)[lessons.rows])
        self.multiples = [np.sort(part) for part in lessons.each(lessons.forward / said)]  # N, up to (R,) each

    @abstractmethod
    def learn(self, squares: list[np.ndarray], lessons: Lessons) -> None:
        """Find on training rows what `variance` needs."""

    @abstractmethod
    def variance(self, squares: np.ndarray) -> np.ndarray:
        """(T, N) mean square return to come, from (T, N) squared returns so far, all over the usual one."""

    def forecast(self, market: Market) -> Forecast:
        check_assets(market, self.assets)
        squares = self._squares(market)
        volatility = np.sqrt(self._said(squares))  # (T, N)
        low, high = self._borders(squares)
        direction = np.empty((*volatility.shape, 3))
        for n, multiples in enumerate(self.multiples):
            down = np.searchsorted(multiples, low[:, n] / volatility[:, n], side="left")
            up = len(multiples) - np.searchsorted(multiples, high[:, n] / volatility[:, n], side="right")
            counts = np.stack([down, len(multiples) - down - up, up], axis=1) + 1.0
            direction[:, n] = counts / counts.sum(axis=1, keepdims=True)
        quantiles = np.array([np.quantile(part, LEVELS) for part in self.multiples])  # (N, Q)
        return spoken(market, direction, quantiles * volatility[..., None], volatility)

    def _squares(self, market: Market) -> list[np.ndarray]:
        """Of each part of `market`, (T, N) squared returns over the usual one; 1 where there is none."""
        squares = returns_of(market) ** 2 / self.usual
        return [np.where(np.isnan(squares[part]), 1.0, squares[part]) for part in market.parts]

    def _said(self, squares: list[np.ndarray]) -> np.ndarray:
        """(T, N) variance said of all parts, in squared log returns."""
        return np.maximum(np.concatenate([self.variance(part) for part in squares]), FLOOR) * self.usual

    def _borders(self, squares: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(T, N) log returns below which down and above which up begins, as in `data.labels`."""
        usual = np.concatenate([trailing_mean(part, self.config.volatility_window) for part in squares]) * self.usual
        if self.config.threshold is not None:
            low, high = np.log1p(-self.config.threshold), np.log1p(self.config.threshold)
            return np.full_like(usual, low), np.full_like(usual, high)
        band = self.config.flat_band * np.sqrt(usual * self.config.horizon)
        return -band, band


class LastVolatility(VolatilityRule):
    """What the last bars did, the next will do: as many bars as the label looks ahead."""

    def learn(self, squares: list[np.ndarray], lessons: Lessons) -> None:
        self.bars = lessons.config.volatility_bars

    def variance(self, squares: np.ndarray) -> np.ndarray:
        return trailing_mean(squares, self.bars)


class EwmaVolatility(VolatilityRule):
    """RiskMetrics (1996): lambda times the variance before plus 1 - lambda times the new square, with the lambda of
    `LAMBDAS` that has the least QLIKE on training rows."""

    def learn(self, squares: list[np.ndarray], lessons: Lessons) -> None:
        target = (lessons.variance / self.usual)[lessons.known]

        def loss(decay: float) -> float:
            said = np.concatenate([smoothed(part, decay) for part in squares])[lessons.rows][lessons.known]
            return float(qlike_loss(target, said, FLOOR).mean())

        self.decay = min(LAMBDAS, key=loss)

    def variance(self, squares: np.ndarray) -> np.ndarray:
        return smoothed(squares, self.decay)


@dataclass(frozen=True, eq=False)
class Regression:
    """Variance to come on past variances, all over the usual one: least squares in logs or in levels, then multiplied
    by the mean of true over said variance. In logs that is Duan's (1983) smearing; in either it is the factor of least
    QLIKE, which the exponent of a mean of logs would miss from below.

    >>> past = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> Regression.fit(past, 2 * past[:, 0], logs=False).said(np.array([[5.0]])).round(6).tolist()
    [10.0]
    """

    logs: bool
    weights: np.ndarray  # (1 + K,) of a one and K past variances
    factor: float

    @classmethod
    def fit(cls, past: np.ndarray, came: np.ndarray, logs: bool) -> Regression:
        """`past` (P, K), `came` (P,)."""
        y, x = (np.log(values + FLOOR) if logs else values for values in (came, past))
        raw = cls(logs, np.linalg.lstsq(np.column_stack([np.ones(len(x)), x]), y)[0], 1.0)
        return replace(raw, factor=float(np.mean((came + FLOOR) / (raw.said(past) + FLOOR))))

    def said(self, past: np.ndarray) -> np.ndarray:
        """(...) of `past` (..., K); at least `FLOOR`, below which the levels may lead."""
        linear = self.weights[0] + (np.log(past + FLOOR) if self.logs else past) @ self.weights[1:]
        return self.factor * np.maximum(np.exp(linear) if self.logs else linear, FLOOR)


class HarVolatility(VolatilityRule):
    """Heterogeneous autoregression (Corsi 2009): a regression on the variance of the trailing day, week and month, and
    of as many bars as the label looks ahead where those are less than a day.

    One regression serves all assets, each over its usual variance. It is fitted in logs, where wild days do not rule
    the least squares, and in levels, and the form with the lower QLIKE on training rows is kept.
    """

    def learn(self, squares: list[np.ndarray], lessons: Lessons) -> None:
        day = max(round(lessons.market.bars_per_year / 365), 1)
        self.bars = tuple(dict.fromkeys((min(self.config.volatility_bars, day), day, 7 * day, 30 * day)))
        came = (lessons.variance / self.usual)[lessons.known]
        past = np.concatenate([self.past(part) for part in squares])[lessons.rows][lessons.known]
        self.regression = min((Regression.fit(past, came, logs) for logs in (True, False)),
                              key=lambda fitted: float(qlike_loss(came, fitted.said(past), FLOOR).mean()))

    def past(self, squares: np.ndarray) -> np.ndarray:
        return np.stack([trailing_mean(squares, bars) for bars in self.bars], axis=-1)  # (T, N, K)

    def variance(self, squares: np.ndarray) -> np.ndarray:
        return self.regression.said(self.past(squares))


def trailing_mean(squares: np.ndarray, bars: int) -> np.ndarray:
    """(T, N) mean of the last `bars` rows, as if every row before the first were 1.

    >>> trailing_mean(np.array([[3.0], [5.0], [1.0]]), 2).ravel().tolist()
    [2.0, 4.0, 3.0]
    """
    total = np.cumsum(np.concatenate([np.ones((bars, squares.shape[1])), squares]), axis=0)
    # differences of sums leave dust where nothing moves
    return np.maximum(total[bars:] - total[:-bars], 0) / bars


def smoothed(squares: np.ndarray, decay: float) -> np.ndarray:
    """(T, N) exponentially weighted mean, begun at 1.

    >>> smoothed(np.array([[3.0], [1.0]]), 0.5).ravel().tolist()
    [2.0, 1.5]
    """
    begun = np.full((1, squares.shape[1]), decay)
    return lfilter([1 - decay], [1, -decay], squares, axis=0, zi=begun)[0]
