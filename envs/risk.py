"""Between wish and order: how large a position may be, and when to stay out.

One pass, each piece optional: sizing (the least of the sizes asked for), caps on weight, gross, net and turnover, stops
inside the bar (`envs/exits.py`), a drawdown stop, a no-trade band. What acted in a step stands in `info["events"]`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from configs.errors import UserError
from data.market import CLOSE, Market
from envs import layout as at
from envs.compiled import rule

KELLY_CAP = 0.25  # most of the account that a Kelly size may hold, whatever the forecast promises
STOP_IN_DAYS = 2.0  # without a stop loss, a trade is taken to be given up after a move of so many days' volatility


@dataclass(frozen=True)
class RiskConfig:
    """Everything at 0 is off.

    >>> RiskConfig(fixed=0.5, volatility_target=0.4).sizing
    ('fixed', 'volatility_target')
    """

    fixed: float = 0.0
    """sizing: no weight above this"""
    volatility_target: float = 0.0
    """sizing: yearly volatility that a position may have; its weight is this over the asset's trailing volatility"""
    kelly: float = 0.0
    """sizing: this share of the Kelly weight |mean| / volatility^2 of a forecast, never above 25 % of the account"""
    risk_per_trade: float = 0.0
    """sizing: share of the account that is lost when the stop is hit; the stop is stop_loss, or without one two days'
    volatility away"""
    confidence: bool = False
    """sizing: no weight above the confidence, from 0 to 1, of a forecast"""
    volatility_bars: int = 168
    """trailing bars that volatility is measured on"""
    max_weight: float = 0.0
    """cap on each weight"""
    net: float = 0.0
    """cap on the sum of weights, long less short"""
    turnover: float = 0.0
    """cap on the sum of changes of weights at one bar; what only closes positions is not held up by it"""
    band: float = 0.02
    """orders smaller than this share of equity are not sent, except those that close a position"""
    stop_loss: float = 0.0
    """closes a position inside the bar that has lost this share of its entry price; the next decision may reopen it"""
    take_profit: float = 0.0
    """closes a position inside the bar when it has gained this share of its entry price"""
    trailing_stop: float = 0.0
    """closes a position inside the bar when it has lost this share of its best price since entry"""
    drawdown_stop: float = 0.0
    """closes everything at the next open when equity is this share below its highest"""
    cooldown: int = 0
    """decisions that the drawdown stop holds; 0: to the end of the episode"""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < np.inf:
                raise UserError(f"env.risk.{field.name} must be at least 0 (0 is off) and finite, found {value}")
        for name in ("band", "stop_loss", "trailing_stop", "drawdown_stop", "risk_per_trade"):
            if getattr(self, name) >= 1:
                raise UserError(f"env.risk.{name} is a share, below 1, found {getattr(self, name)}")
        if self.volatility_bars < 2:
            raise UserError(f"env.risk.volatility_bars must be at least 2, found {self.volatility_bars}")

    @property
    def sizing(self) -> tuple[str, ...]:
        names = ("fixed", "volatility_target", "kelly", "risk_per_trade", "confidence")
        return tuple(name for name in names if getattr(self, name))


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is believed of each asset at each row, for the sizes that ask for it: a forecast that has seen the row."""

    mean: np.ndarray  # (T, N) forward log return over the forecast's horizon
    volatility: np.ndarray  # (T, N) its deviation over the same horizon
    confidence: np.ndarray  # (T, N) from 0 to 1


def weight_limits(market: Market, config: RiskConfig, outlook: Outlook | None = None) -> np.ndarray:
    """(T, N) largest |weight| that a decision on row t may ask for: the least of the sizes that are on.

    >>> weight_limits(Market.flat(3), RiskConfig(fixed=0.5)).ravel().tolist()
    [0.5, 0.5, 0.5]
    """
    limits = np.full(market.prices.shape[:2], np.inf)
    if (config.kelly or config.confidence) and outlook is None:
        raise UserError("env.risk.kelly and env.risk.confidence size by a forecast: give the engine an Outlook, or "
                        "leave them at 0")
    if config.fixed:
        limits = np.minimum(limits, config.fixed)
    if config.volatility_target or config.risk_per_trade:
        volatility = trailing_volatility(market, config.volatility_bars)
    if config.volatility_target:
        a_bar = config.volatility_target / np.sqrt(market.bars_per_year)
        limits = np.minimum(limits, at_most(a_bar, volatility))
    if config.risk_per_trade:
        days = np.sqrt(market.bars_per_year / 365.0)
        distance = np.full_like(limits, config.stop_loss) if config.stop_loss else STOP_IN_DAYS * days * volatility
        limits = np.minimum(limits, at_most(config.risk_per_trade, distance))
    if outlook is not None and config.kelly:
        wanted = config.kelly * np.abs(outlook.mean) / np.maximum(outlook.volatility, 1e-12) ** 2
        limits = np.minimum(limits, np.minimum(wanted, KELLY_CAP))
    if outlook is not None and config.confidence:
        limits = np.minimum(limits, np.clip(outlook.confidence, 0.0, 1.0))
    unknown = np.isnan(limits)
    return np.where(unknown, 0.0, limits)  # nothing is known of the asset's volatility yet: nothing is risked on it


def at_most(amount: float, per_weight: np.ndarray) -> np.ndarray:
    """Weight at which `per_weight` of it comes to `amount`."""
    return np.divide(amount, per_weight, out=np.full_like(per_weight, np.inf), where=~(per_weight <= 0))


def trailing_volatility(market: Market, bars: int) -> np.ndarray:
    """(T, N) root mean square of the last `bars` log returns of a close, in bars of time; NaN before there are two.

    A return across a gap counts for the bars it spans. An asset without a bar keeps its last close. A market that
    another is joined to has no past in it.
    """
    if len(market.parts) > 1:
        return np.concatenate([trailing_volatility(market.slice(part), bars) for part in market.parts])
    close = filled_forward(market.prices[:, :, CLOSE])
    bar = 365 * 24 * 3600 / market.bars_per_year
    spans = np.maximum(np.diff(market.time) / np.timedelta64(1, "s") / bar, 1.0)[:, None]
    with np.errstate(invalid="ignore"):
        squares = np.diff(np.log(close), axis=0) ** 2 / spans
    known = np.isfinite(squares)
    sums = np.cumsum(np.vstack([np.zeros((1, close.shape[1])), np.where(known, squares, 0.0)]), axis=0)
    counts = np.cumsum(np.vstack([np.zeros((1, close.shape[1])), known]), axis=0)
    first = np.maximum(np.arange(len(market)) - bars, 0)
    number = counts - counts[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(number >= 2, np.sqrt(np.maximum(sums - sums[first], 0.0) / number), np.nan)


def filled_forward(prices: np.ndarray) -> np.ndarray:
    """(T, N) with each NaN replaced by the last number before it in its column."""
    rows = np.where(np.isnan(prices), 0, np.arange(len(prices))[:, None])
    return np.take_along_axis(prices, np.maximum.accumulate(rows, axis=0), axis=0)


@rule
def decide(account, bar, target, wish, rules):
    """What is wished for after the drawdown stop, sizing and the cap on weights. Returns the events."""
    happened = 0
    halted = False
    if rules[at.DRAWDOWN] > 0.0:
        if account[at.HALT] > 0.0:
            account[at.HALT] -= 1.0
            if account[at.HALT] == 0.0:
                account[at.STOP_PEAK] = account[at.EQUITY]
        elif account[at.HALT] == 0.0 and account[at.EQUITY] <= (1.0 - rules[at.DRAWDOWN]) * account[at.STOP_PEAK]:
            account[at.HALT] = rules[at.COOLDOWN] if rules[at.COOLDOWN] > 0.0 else -1.0
        halted = account[at.HALT] != 0.0
        happened = at.DRAWDOWN_STOPPED if halted else 0
    for n in range(len(target)):
        wish[n] = target[n]
        if halted:
            wish[n] = 0.0
        else:
            most = min(bar[n, at.LIMIT], rules[at.MAX_WEIGHT])
            if abs(wish[n]) > most:
                wish[n] = most if wish[n] > 0.0 else -most
                happened |= at.SIZED
    return happened
