"""The formulas of the rewards a second time, one account, one step after the other."""

from __future__ import annotations

import math


class Rewards:
    """The weighted sum of the terms, with what the two moving ratios remember.

    >>> rewards = Rewards({"profit": 2.0, "turnover": 1.0}, memory=100.0, aversion=1.0, start=100.0)
    >>> round(rewards.of(100.0, 110.0, drawdown=0.0, deeper=0.0, turnover=0.05), 9)
    0.15
    """

    def __init__(self, weights: dict[str, float], memory: float, aversion: float, start: float) -> None:
        self.weights, self.rate, self.aversion, self.start = weights, 1 / memory, aversion, start
        self.mean = self.square = self.below = 0.0  # of returns, of their squares, of the squares of losses

    def of(self, before: float, after: float, drawdown: float, deeper: float, turnover: float) -> float:
        """Reward of equity going from `before` to `after`, and the drawdown from `drawdown` to `deeper`."""
        gain = after / before - 1
        floor = 0.001 * self.start
        terms = {
            "log_growth": math.log(max(after, floor)) - math.log(max(before, floor)),
            "profit": (after - before) / self.start,
            "sharpe": self._sharpe(gain),
            "downside": self._downside(gain),
            "mean_variance": gain - self.aversion / 2 * gain * gain,
            "drawdown": -max(0.0, deeper - drawdown),
            "turnover": -turnover,
        }
        self.mean += self.rate * (gain - self.mean)
        self.square += self.rate * (gain * gain - self.square)
        self.below += self.rate * (min(gain, 0.0) ** 2 - self.below)
        return sum(self.weights.get(name, 0.0) * term for name, term in terms.items())

    def _sharpe(self, gain: float) -> float:
        """Differential Sharpe ratio (Moody and Saffell 2001, section II)."""
        variance = self.square - self.mean**2
        if variance <= 1e-12:
            return 0.0
        change, change_of_square = gain - self.mean, gain * gain - self.square
        return (self.square * change - self.mean * change_of_square / 2) / variance**1.5

    def _downside(self, gain: float) -> float:
        """Differential downside deviation ratio (the same paper)."""
        if self.below <= 1e-12:
            return 0.0
        deviation = math.sqrt(self.below)
        if gain > 0:
            return (gain - self.mean / 2) / deviation
        return (self.below * (gain - self.mean / 2) - self.mean * gain * gain / 2) / deviation**3
