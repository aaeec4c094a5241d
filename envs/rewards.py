"""What a step is worth: terms that a config weighs and adds up.

Letters: E0 and E1 equity before and after the step, R = E1 / E0 - 1 its return, A and B running averages of R and R^2
with rate eta = 1 / memory, D^2 the running average of min(R, 0)^2; all three start at 0 in each episode.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from configs.errors import UserError
from envs import layout as at
from envs.compiled import rule

SMALLEST_SHARE = 1e-3  # equity enters the logarithm at no less than this share of the start, so ruin has a finite price
SMALLEST_VARIANCE = 1e-12  # below it a ratio to risk is 0
REWARDS = ("log_growth", "profit", "sharpe", "downside", "mean_variance", "drawdown", "turnover")


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the terms; a term with weight 0 costs nothing.

    >>> RewardConfig(log_growth=0.0, sharpe=1.0).terms
    ('sharpe',)
    """

    log_growth: float = 1.0
    """log(E1 / E0): what compounds"""
    profit: float = 0.0
    """(E1 - E0) / capital: what adds up"""
    sharpe: float = 0.0
    """differential Sharpe ratio (Moody, Saffell 2001, section II.C): (B dA - A dB / 2) / (B - A^2)^1.5 with dA = R - A,
    dB = R^2 - B"""
    downside: float = 0.0
    """differential downside deviation ratio (the same, section II.D): (R - A / 2) / D where R > 0, else
    (D^2 (R - A / 2) - A R^2 / 2) / D^3"""
    mean_variance: float = 0.0
    """R - aversion / 2 R^2"""
    drawdown: float = 0.0
    """minus the rise of 1 - E / highest E so far; 0 where it did not rise"""
    turnover: float = 0.0
    """minus the value traded over equity"""
    memory: float = 100.0
    """steps over which the averages of sharpe and downside forget"""
    aversion: float = 1.0
    """of mean_variance"""

    def __post_init__(self) -> None:
        if not np.isfinite(astuple(self)).all() or not any(self.weights):
            raise UserError(f"env.reward needs a weight other than 0 for one of {', '.join(REWARDS)}, all of them "
                            f"finite, found {self.weights}")
        if self.memory < 1 or self.aversion < 0:
            raise UserError(f"env.reward needs memory >= 1 and aversion >= 0, found {self.memory}, {self.aversion}")

    @property
    def weights(self) -> tuple[float, ...]:
        return tuple(getattr(self, name) for name in REWARDS)

    @property
    def terms(self) -> tuple[str, ...]:
        return tuple(name for name, weight in zip(REWARDS, self.weights) if weight)


@rule
def differential_sharpe(r, mean, square):
    variance = square - mean * mean
    if variance <= SMALLEST_VARIANCE:
        return 0.0
    return (square * (r - mean) - 0.5 * mean * (r * r - square)) / (variance * np.sqrt(variance))


@rule
def differential_downside(r, mean, downside):
    if downside <= SMALLEST_VARIANCE:
        return 0.0
    deviation = np.sqrt(downside)
    if r > 0.0:
        return (r - 0.5 * mean) / deviation
    return (downside * (r - 0.5 * mean) - 0.5 * mean * r * r) / (downside * deviation)


@rule
def reward_of(account, before, equity, growth, drawdown_before, rules):
    """Reward of a step from equity `before` to `equity`; moves the running averages on. PEAK is already the new one."""
    reward = rules[at.OF_GROWTH] * growth
    if rules[at.OF_PROFIT] != 0.0:
        reward += rules[at.OF_PROFIT] * (equity - before) / account[at.START]
    if rules[at.OF_TURNOVER] != 0.0:
        reward -= rules[at.OF_TURNOVER] * account[at.TURNOVER]
    if rules[at.OF_DRAWDOWN] != 0.0:
        reward -= rules[at.OF_DRAWDOWN] * max(1.0 - equity / account[at.PEAK] - drawdown_before, 0.0)
    if rules[at.OF_MEAN_VARIANCE] != 0.0:
        r = equity / before - 1.0
        reward += rules[at.OF_MEAN_VARIANCE] * (r - 0.5 * rules[at.AVERSION] * r * r)
    if rules[at.OF_SHARPE] != 0.0 or rules[at.OF_DOWNSIDE] != 0.0:
        r = equity / before - 1.0
        mean, square, downside = account[at.MEAN], account[at.SQUARE], account[at.DOWNSIDE]
        reward += rules[at.OF_SHARPE] * differential_sharpe(r, mean, square)
        reward += rules[at.OF_DOWNSIDE] * differential_downside(r, mean, downside)
        account[at.MEAN] += rules[at.RATE] * (r - mean)
        account[at.SQUARE] += rules[at.RATE] * (r * r - square)
        account[at.DOWNSIDE] += rules[at.RATE] * (min(r, 0.0) * min(r, 0.0) - downside)
    return reward
