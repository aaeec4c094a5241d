"""Naive forecasters: what a network must beat before it may be said to have learnt anything.

They are fitted on training rows and read no more than the closes up to the row they speak of. Numbers of an asset are
its own, or all assets' together where it has no training rows. A row has a forecast where the market has a decision and
the asset a return: inside a segment, not absent, the bar before it there. Here are those of the direction; those of the
volatility are in `naive_volatility.py`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from data.labels import DOWN, UP, LabelConfig, Labels
from data.market import Market
from data.returns import returns_of
from encoders.forecast import LEVELS, Forecast, Forecaster
from encoders.naive_lessons import Lessons, check_assets, spoken
from encoders.naive_volatility import EwmaVolatility, HarVolatility, LastVolatility, VolatilityRule

HAIR = 1e-6
"""by how much what a rule calls is likelier than the rest, where it would otherwise not be"""


class BaseRates:
    """How often each class came, the quantiles of the return, the root mean square volatility: the same on every row.
    Its likeliest class is the majority's.

    >>> market = Market.flat(40)
    >>> labels = Labels(np.full((40, 1), 2), np.full((40, 1), 0.1), np.full((40, 1), 0.05), reach=1)
    >>> said = BaseRates(Lessons.read(market, labels, np.arange(1, 8), LabelConfig())).forecast(market)
    >>> said.direction[20].round(3).tolist(), said.median[20].tolist(), said.known.sum().item()
    ([[0.1, 0.1, 0.8]], [0.1], 39)
    """

    def __init__(self, lessons: Lessons) -> None:
        self.assets = lessons.market.assets
        self.direction = lessons.frequencies()  # (N, 3)
        self.quantiles = np.array([np.quantile(part, LEVELS) for part in lessons.each(lessons.forward)])  # (N, Q)
        self.volatility = np.sqrt(lessons.usual)  # (N,)

    def forecast(self, market: Market) -> Forecast:
        check_assets(market, self.assets)
        return spoken(market, self.direction, self.quantiles, self.volatility)


class ZeroReturn(BaseRates):
    """No move: a median of 0, quantiles of the return's size on training rows on both sides of it, up as likely as
    down. Volatility and the chance of flat are the base rates'."""

    def __init__(self, lessons: Lessons) -> None:
        super().__init__(lessons)
        aside = 2 * np.asarray(LEVELS) - 1  # the share of sizes inside a quantile, and its side
        self.quantiles = np.array([np.sign(aside) * np.quantile(np.abs(part), np.abs(aside))
                                   for part in lessons.each(lessons.forward)])
        moves = (self.direction[:, DOWN] + self.direction[:, UP]) / 2
        self.direction[:, DOWN] = self.direction[:, UP] = moves


class AlwaysUp(BaseRates):
    """Calls up; its chances are the base rates as far as they let it."""

    def __init__(self, lessons: Lessons) -> None:
        super().__init__(lessons)
        self.direction = np.array([calling(rates, UP) for rates in self.direction])


class LastSign(BaseRates):
    """Calls the sign of the last bar's return. Chances are what followed that sign on training rows, as far as they
    let it; after a bar that did not move they are the base rates."""

    follow: ClassVar[int] = 1

    def __init__(self, lessons: Lessons) -> None:
        super().__init__(lessons)
        last = np.sign(returns_of(lessons.market)[lessons.rows])
        self.after = np.repeat(self.direction[:, None], 3, axis=1)  # (N, sign, 3)
        for sign in (-1, 1):
            call = UP if sign == self.follow else DOWN
            self.after[:, sign + 1] = [calling(rates, call) for rates in lessons.frequencies(last == sign)]

    def forecast(self, market: Market) -> Forecast:
        check_assets(market, self.assets)
        last = np.nan_to_num(np.sign(returns_of(market))).astype(int)  # (T, N)
        direction = self.after[np.arange(last.shape[1]), last + 1]  # (T, N, 3)
        return spoken(market, direction, self.quantiles, self.volatility)


class ReversedSign(LastSign):
    """Calls the opposite of the last bar's sign: short bars bounce more often than they run on."""

    follow: ClassVar[int] = -1


NAIVE: dict[str, type[BaseRates] | type[VolatilityRule]] = {
    "base rates": BaseRates,
    "zero return": ZeroReturn,
    "always up": AlwaysUp,
    "last sign": LastSign,
    "reversed sign": ReversedSign,
    "last volatility": LastVolatility,
    "ewma volatility": EwmaVolatility,
    "har volatility": HarVolatility,
}
"""name -> class; each is made of `Lessons`"""


def fit_naive(market: Market, labels: Labels, rows: np.ndarray, config: LabelConfig) -> dict[str, Forecaster]:
    """All of `NAIVE`, fitted on training `rows` whose labels were made with `config`.

    >>> market = Market.flat(40)
    >>> labels = Labels(np.ones((40, 1), int), np.zeros((40, 1)), np.zeros((40, 1)), reach=1)
    >>> list(fit_naive(market, labels, np.arange(1, 20), LabelConfig(horizon=1)))[-1]
    'har volatility'
    """
    lessons = Lessons.read(market, labels, rows, config)
    return {name: kind(lessons) for name, kind in NAIVE.items()}


def calling(chances: np.ndarray, call: int) -> np.ndarray:
    """The chances (3,) nearest to the given ones in likelihood under which `call` is the likeliest class: it shares
    evenly with those that are likelier, so that the rule pays in log loss for calling what it calls.

    >>> calling(np.array([0.5, 0.2, 0.3]), call=2).round(3).tolist()
    [0.4, 0.2, 0.4]
    """
    shared = [call]
    for other in np.argsort(-chances):
        if other != call and chances[other] >= chances[shared].mean():
            shared.append(int(other))
    found = chances.copy()
    found[shared] = chances[shared].mean()
    found[call] += HAIR
    return found / found.sum()
