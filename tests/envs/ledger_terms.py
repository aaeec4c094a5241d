"""What the plain ledger reads and books: a bar, the rules, positions, fills, and notes on how sure a verdict is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

HAIR = 1e-9


@dataclass
class Notes:
    """What happened in a step, and which verdicts hang on less than one part in a thousand million.

    Two correct programs may differ on those: a low that just touches a stop, an order as large as the band. `torn` says
    that money hangs on one of them, `unsure` names the events that do and that no money hangs on.

    >>> notes = Notes()
    >>> notes.judge(1.0, 1.0 + 1e-12, 1.0)
    >>> notes.torn
    True
    """

    events: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    torn: bool = False

    def judge(self, one: float, other: float, scale: float, event: str = "") -> None:
        """Note that it hangs on a hair which of the two is larger."""
        if abs(one - other) <= HAIR * abs(scale):
            if event:
                self.unsure.add(event)
            else:
                self.torn = True


@dataclass
class Bar:
    """What one bar means for money; a list has one number per asset."""

    fill: list[float]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    buy: list[float]
    sell: list[float]
    impact: list[float]
    capacity: list[float]
    carry: list[float]
    years: float = 0.0
    day: int = 0

    @classmethod
    def still(cls, *prices: float, **others: Any) -> Bar:
        """A bar in which every price stands still and trading is free.

        >>> Bar.still(10.0, 20.0).high
        [10.0, 20.0]
        """
        here, nothing = list(prices), [0.0] * len(prices)
        numbers: dict[str, Any] = dict.fromkeys(("fill", "open", "high", "low", "close"), here)
        costs = dict.fromkeys(("buy", "sell", "impact", "carry"), nothing)
        return cls(**{**numbers, **costs, "capacity": [math.inf] * len(prices), **others})


@dataclass
class Rules:
    """Settings of one account; zero, infinity or an empty list mean that a rule is off."""

    capital: float = 1000.0
    ruin: float = 0.0
    gross: float = 1.0
    latency: int = 0
    taker: float = 0.0
    maker: float = 0.0
    tiers: list[tuple[float, float, float]] = field(default_factory=list)  # volume of 30 days, taker, maker
    borrow: float = 0.0
    borrow_of: dict[int, float] = field(default_factory=dict)  # by number of the asset
    min_notional: float = 0.0
    lots: list[float] = field(default_factory=list)
    max_weight: float = math.inf
    net: float = math.inf
    turnover: float = math.inf
    band: float = 0.0
    stop_loss: float = 0.0
    take_profit: float = 0.0
    trailing_stop: float = 0.0
    drawdown_stop: float = 0.0
    cooldown: int = 0
    maintenance: float = 0.0
    liquidation_fee: float = 0.0
    rewards: dict[str, float] = field(default_factory=lambda: {"log_growth": 1.0})
    memory: float = 100.0
    aversion: float = 1.0


@dataclass
class Fill:
    """Units bought (+) or sold (-) and the price before and after spread, slippage and impact."""

    asset: int
    units: float
    quoted: float
    price: float
    why: str


@dataclass
class Position:
    units: float = 0.0
    entry: float = 0.0
    best: float = 0.0
    held: int = 0  # bars

    def change(self, units: float, price: float) -> None:
        """Book a fill: the entry is the average paid, and starts anew with a position."""
        now = self.units + units
        if self.units * now <= 0:  # opened, turned or closed
            self.entry = self.best = price if now else 0.0
            self.held = 0
        elif abs(now) > abs(self.units):
            self.entry = (self.entry * abs(self.units) + price * abs(units)) / abs(now)
        self.units = now


def clip(value: float, most: float) -> float:
    return max(-most, min(most, value))
