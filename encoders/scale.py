"""What targets are measured in: the volatility that a plain rule expects at each close.

The wildest year of a market is several times as volatile as its calmest. A network that forecasts log returns spends
itself on that, and when the years turn calm after training its volatility and its quantiles are too wide for as long
as they stay so. In units of what the last day, week and month let one expect, the targets of all years and all assets
look alike, and the network only has to say what the rule does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.labels import UNKNOWN, Labels
from data.market import Market
from data.returns import returns_of

DAYS = (0.25, 1.0, 7.0, 30.0)  # of trailing variance that the rule looks at
ENOUGH = 10  # lengths of a window that training rows must hold for it to be of use
STILL = 1e-3  # of the usual variance: the least that a window counts as, else its logarithm is of nothing


@dataclass(frozen=True)
class TargetScale:
    """A log return of `forward` times the expected volatility is one unit; so is a volatility of `volatility` times it.

    The log of the expected variance is a mean of the logs of trailing variances, with weights that sum to one: it is
    the same rule for an asset twice as volatile (Corsi 2009 in logs, without a level to return to). Without `bars` one
    unit of volatility is expected on every row.

    >>> TargetScale(forward=0.02, volatility=0.01).expected(Market.flat(3)).ravel().tolist()
    [1.0, 1.0, 1.0]
    """

    forward: float
    volatility: float
    bars: tuple[int, ...] = ()  # of each trailing variance
    weights: tuple[float, ...] = ()
    usual: float = 1.0  # variance of training rows, where there is no return yet

    @classmethod
    def fit(cls, market: Market, labels: Labels, rows: np.ndarray) -> TargetScale:
        """What training `rows` say about the size of targets."""
        known = labels.direction[rows] != UNKNOWN  # (R, N)
        forward, volatility = (np.asarray(values[rows][known], np.float64)
                               for values in (labels.forward, labels.volatility))
        usual = float(np.mean(volatility**2))
        day = market.bars_per_year / 365
        bars = tuple(dict.fromkeys(max(round(days * day), 2) for days in DAYS if days * day * ENOUGH <= len(rows)))
        if not bars or usual == 0:  # a market that never moves has size zero; any unit will do there
            return cls(float(forward.std()) or 1.0, float(np.sqrt(usual)) or 1.0)
        rule = cls(1.0, 1.0, bars, (1.0,) + (0.0,) * (len(bars) - 1), usual)
        logs = np.log(trailing(market, bars, usual)[:, rows][:, known].T)  # (P, K)
        came = np.log(volatility**2 + STILL * usual)
        # weights that sum to one: the first is what the others leave
        beyond = np.column_stack([np.ones(len(came)), logs[:, 1:] - logs[:, :1]])
        _, *others = np.linalg.lstsq(beyond, came - logs[:, 0])[0].tolist()
        rule = cls(1.0, 1.0, bars, (1.0 - sum(others), *others), usual)
        said = rule.expected(market)[rows][known]
        return cls(float((forward / said).std()) or 1.0, float(np.sqrt(np.mean((volatility / said) ** 2))) or 1.0,
                   bars, rule.weights, usual)

    def expected(self, market: Market) -> np.ndarray:
        """(T, N) volatility of a bar, from the closes up to each row."""
        if not self.bars:
            return np.ones(market.prices.shape[:2])
        logs = np.log(trailing(market, self.bars, self.usual))  # (K, T, N)
        return np.exp(np.sum(np.array(self.weights)[:, None, None] * logs, axis=0) / 2)


def trailing(market: Market, bars: tuple[int, ...], usual: float) -> np.ndarray:
    """(K, T, N) mean square log return of the last `bars` (K,) bars, of those there are; `usual` where there is none.

    >>> trailing(Market.flat(4), (2,), usual=1.0).ravel().tolist()
    [1.0, 0.001, 0.001, 0.001]
    """
    squares = returns_of(market) ** 2
    found = np.empty((len(bars), *squares.shape))
    for part in market.parts:
        there = np.isfinite(squares[part])
        total, count = (np.cumsum(values, axis=0) for values in (np.where(there, squares[part], 0.0), there))
        for k, most in enumerate(bars):
            summed, terms = total.copy(), count.copy()
            summed[most:] -= total[:-most]
            terms[most:] -= count[:-most]
            found[k, part] = np.divide(summed, terms, out=np.full_like(summed, usual), where=terms > 0)
    return np.maximum(found, STILL * usual)
