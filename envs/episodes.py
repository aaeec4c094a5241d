"""Which episodes are played: where in the market one may start, in what order, and how costs vary between them.

What is known of a start is what its decision row shows. With `r` the log returns of the market from close to close
(several assets: their mean), over the last bars up to that row and within its span:

- trailing volatility: root mean square of `r / sqrt(bars that r spans)`, for across a gap one return spans several;
- trend: `sum(r) / (volatility * sqrt(bars))`, about normal with deviation 1 on a market that goes nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from configs.errors import UserError
from configs.registry import check_name
from data.market import CLOSE, Market

Order = Literal["random", "sequential"]
Regime = Literal["", "bull", "bear", "sideways"]
ANYWHERE = (0.0, 1.0)  # the band that asks for nothing
STILL = 1e-12  # volatility below this is the dust of a running sum


@dataclass(frozen=True)
class EpisodeConfig:
    """Where training episodes begin, and what they cost.

    >>> EpisodeConfig(regime="bear", cost_scale=(0.5, 2.0)).regime
    'bear'
    """

    order: Order = "random"
    """random: from anywhere that is allowed; sequential: one after the other through the market, then again"""
    band: tuple[float, float] = ANYWHERE
    """percentiles, from 0 to 1, of trailing volatility among the possible starts; others are left out"""
    band_bars: int = 168
    """trailing bars that the volatility of band is measured on"""
    regime: Regime = ""
    """bull, bear or sideways: only starts where the trend of the last regime_bars is up, down or neither; '': any"""
    regime_bars: int = 720
    """trailing bars that the trend is measured on"""
    regime_trend: float = 0.5
    """a trend above this is a bull market and below minus this a bear market, in trailing volatilities"""
    cost_scale: tuple[float, float] = (1.0, 1.0)
    """fees, spread, slippage and impact of an episode are multiplied by a number drawn evenly from this range (domain
    randomisation); interest, funding and the liquidation fee are not"""

    def __post_init__(self) -> None:
        check_name("episodes.order", self.order, get_args(Order))
        if self.regime:
            check_name("episodes.regime", self.regime, get_args(Regime)[1:])
        low, high = self.band
        if not 0 <= low < high <= 1:
            raise UserError(f"episodes.band must be two rising percentiles from 0 to 1, such as 0.0 0.3: found {low:g} "
                            f"{high:g}")
        if self.band_bars < 2 or self.regime_bars < 2:
            raise UserError("episodes.band_bars and episodes.regime_bars must be at least 2 bars, found "
                            f"{self.band_bars} and {self.regime_bars}")
        if not self.regime_trend >= 0:
            raise UserError(f"episodes.regime_trend must be at least 0, found {self.regime_trend:g}")
        least, most = self.cost_scale
        if not 0 <= least <= most < np.inf:
            raise UserError(f"episodes.cost_scale must be a range of factors from 0 on, such as 0.5 2.0: found "
                            f"{least:g} {most:g}")

    @property
    def selective(self) -> bool:
        """Whether it matters where an episode starts."""
        return self.band != ANYWHERE or bool(self.regime)


def allowed_starts(market: Market, decision_rows: np.ndarray, length: int, config: EpisodeConfig,
                   spans: Sequence[slice]) -> np.ndarray:
    """Rising int64 indices into `decision_rows` at which an episode of `length` steps may start.

    From start `k` it walks to decision `k + length`, and all of that lies inside one of `spans`. Where a band or a
    regime is asked for, a row without enough bars behind it in its span is no start. The band's percentiles are taken
    over all possible starts, early and late ones alike: they choose what is practised on, and no policy sees them.

    >>> market = Market.flat(100)
    >>> allowed_starts(market, market.decision_rows(4), 30, EpisodeConfig(), [slice(0, 40), slice(40, 73)]).tolist()
    [0, 1, 2, 3, 4, 5, 6, 37, 38, 39]
    """
    found = []
    for span in spans:
        first, last, _ = span.indices(len(market))
        inside = np.searchsorted(decision_rows, [first, last])
        found.append(np.arange(inside[0], max(inside[1] - length, inside[0])))
    starts = np.unique(np.concatenate([*found, np.empty(0, np.int64)])).astype(np.int64)
    if not len(starts):
        raise UserError(f"no episode of {length} steps fits: {len(decision_rows)} decisions in {len(spans)} spans "
                        "leave no start; give a shorter episode (env.episode), a smaller window or more data")
    possible = len(starts)
    if config.band != ANYWHERE:
        volatility = trailing(market, spans, config.band_bars)[0][decision_rows[starts]]
        known = np.isfinite(volatility)
        if known.any():
            low, high = np.quantile(volatility[known], config.band)
            known &= (volatility >= low) & (volatility <= high)
        starts = starts[known]
    if config.regime:
        starts = starts[in_regime(trailing(market, spans, config.regime_bars)[1][decision_rows[starts]], config)]
    if not len(starts):
        raise UserError(f"of {possible} possible starts none has {wanted(config)}; widen env.episodes.band, lower "
                        "env.episodes.regime_trend, measure over fewer bars or give more data")
    return starts


def wanted(config: EpisodeConfig) -> str:
    band = f"volatility in the band {config.band[0]:g} to {config.band[1]:g} over {config.band_bars} bars"
    regime = f"a {config.regime} trend over {config.regime_bars} bars"
    return " and ".join([band] * (config.band != ANYWHERE) + [regime] * bool(config.regime))


def in_regime(trend: np.ndarray, config: EpisodeConfig) -> np.ndarray:
    """Where `trend` is that of the regime asked for; nowhere that it is unknown."""
    if config.regime == "bull":
        return trend > config.regime_trend
    if config.regime == "bear":
        return trend < -config.regime_trend
    return np.abs(trend) <= config.regime_trend


def one_after_another(starts: np.ndarray, length: int) -> np.ndarray:
    """Those of the rising `starts` that a sequential player takes: each where the one before has ended, or soon after.

    >>> one_after_another(np.array([0, 1, 2, 3, 4, 9, 10]), length=2).tolist()
    [0, 2, 4, 9]
    """
    taken, place = [], 0
    while place < len(starts):
        taken.append(starts[place])
        place = int(np.searchsorted(starts, starts[place] + length))
    return np.array(taken, np.int64)


def trailing(market: Market, spans: Sequence[slice], bars: int) -> tuple[np.ndarray, np.ndarray]:
    """(T,) volatility per bar and (T,) trend of the last `bars` returns; NaN where a span has not had so many yet.

    >>> closes = np.exp([0.0, 0.1, 0.2, 0.3])[:, None, None] * np.ones(5)
    >>> from dataclasses import replace
    >>> volatility, trend = trailing(replace(Market.flat(4), prices=closes), [slice(None)], 2)
    >>> volatility.round(6).tolist(), trend.round(6).tolist()
    ([nan, nan, 0.1, 0.1], [nan, nan, 1.414214, 1.414214])
    """
    volatility, trend = np.full((2, len(market)), np.nan)
    for span in spans:
        first, last, _ = span.indices(len(market))
        if last - first <= bars:
            continue
        returns = basket_returns(market.prices[first:last, :, CLOSE])
        elapsed = np.diff(market.time[first:last]) / np.timedelta64(1, "D") * market.bars_per_year / 365
        elapsed = np.maximum(elapsed, 1.0)
        moved, took, squares = (windowed_sum(x, bars) for x in (returns, elapsed, returns**2 / elapsed))
        usual = np.sqrt(np.maximum(squares, 0.0) / bars)
        still = usual <= STILL
        volatility[first + bars : last] = np.where(still, 0.0, usual)
        trend[first + bars : last] = np.where(still, 0.0, moved / (np.where(still, 1.0, usual) * np.sqrt(took)))
    return volatility, trend


def windowed_sum(values: np.ndarray, bars: int) -> np.ndarray:
    """(n - bars + 1,) sums of every `bars` neighbours."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return total[bars:] - total[:-bars]


def basket_returns(close: np.ndarray) -> np.ndarray:
    """(T - 1,) mean log return, over the assets that have traded before, of (T, N) closes; NaN: the last one."""
    last = np.where(np.isfinite(close), np.arange(len(close))[:, None], 0)
    held = np.log(np.take_along_axis(close, np.maximum.accumulate(last), axis=0))
    moves = np.diff(held, axis=0)
    listed = np.isfinite(moves)
    return np.where(listed, moves, 0.0).sum(axis=1) / np.maximum(listed.sum(axis=1), 1)


def curriculum(stages: Sequence[float] = (0.3, 0.6, 1.0, 1.0)) -> Callable[[float], tuple[float, float]]:
    """From progress, 0 to 1, to the band to play in: calm markets first, of equally long stages each as wide as named.

    `env.unwrapped.engine.practise(band(progress))` has an environment's next episodes begin there.

    >>> band = curriculum()
    >>> [band(progress) for progress in (0.0, 0.24, 0.25, 0.5, 1.0)]
    [(0.0, 0.3), (0.0, 0.3), (0.0, 0.6), (0.0, 1.0), (0.0, 1.0)]
    """
    if not stages or not all(0 < width <= 1 for width in stages):
        raise UserError(f"stages of a curriculum must be shares of the data above 0 and up to 1, such as 0.3 0.6 1.0: "
                        f"found {' '.join(f'{width:g}' for width in stages) or 'none'}")

    def band(progress: float) -> tuple[float, float]:
        return (0.0, stages[min(max(int(progress * len(stages)), 0), len(stages) - 1)])

    return band
