"""From wished weights to units: caps, what is sent, equity after costs, the guard, lots."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.envs.ledger_terms import HAIR, Bar, Notes, Rules, clip

HALVINGS = 200
SPECK = 1e-12  # of equity: smaller orders are roundings of the caps
LEAST_RATIO = 0.001  # of the fill price, which a seller always gets


def halved(low: float, high: float, is_high: Callable[[float], bool]) -> float:
    """Where between `low` and `high` the verdict turns, to the last bit of a float.

    >>> halved(0.0, 2.0, lambda x: x * x >= 2) == math.sqrt(2)
    True
    """
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if is_high(middle) else (middle, high)
    return high


def lowest(convex: Callable[[float], float], low: float, high: float) -> float:
    """Where a convex function is lowest, by thirds.

    >>> round(lowest(lambda x: (x - 1) ** 2, 0.0, 5.0), 6)
    1.0
    """
    for _ in range(HALVINGS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if convex(left) <= convex(right) else (left, high)
    return (low + high) / 2


@dataclass
class Desk:
    """Where an account stands as its order reaches the market: values are at the fill price, before any trade.

    >>> from tests.envs.ledger_terms import Bar, Notes, Rules
    >>> desk = Desk(Rules(lots=[4.0]), Bar.still(10.0), Notes(), before=100.0, units=[0.0], taker=0.0)
    >>> desk.orders([1.0])
    {0: 8.0}
    """

    rules: Rules
    bar: Bar
    notes: Notes
    before: float  # equity
    units: list[float]
    taker: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        self.held = [units * price for units, price in zip(self.units, self.bar.fill)]
        self.now = [value / self.before for value in self.held]

    def orders(self, wishes: list[float]) -> dict[int, float]:
        """Units to buy (+) or sell (-) of each asset that trades, for wished weights; NaN leaves an asset alone."""
        weights = self.within_turnover(self.within_net(self.within_gross(self.that_trade(wishes))))
        sent = {n: weight for n, weight in enumerate(weights) if not math.isnan(weight) and self.is_sent(n, weight)}
        left = self.left_after_costs(sent)
        if left <= 0:
            sent = {n: 0.0 for n, value in enumerate(self.held) if value and self.bar.capacity[n] > 0}
        whole = {n: weight * left - self.held[n] for n, weight in sent.items()}
        filled = {n: clip(order, self.bar.capacity[n]) for n, order in whole.items()}
        for n, order in whole.items():
            self.notes.judge(abs(order), self.bar.capacity[n], self.before, "partial_fill")
            if filled[n] != order:
                self.notes.events.add("partial_fill")
        filled = self.guarded(filled, left)
        # a wish that the caps leave no room for: whether a speck of it is opened hangs on a rounding
        self.notes.torn |= any(wishes[n] and abs(self.held[n] + order) <= HAIR * self.before
                               for n, order in filled.items())
        closing = {n for n, weight in sent.items() if weight == 0 and filled[n] == -self.held[n]}
        units = {n: -self.units[n] if n in closing else self.in_lots(n, order / self.bar.fill[n])
                 for n, order in filled.items()}
        return {n: traded for n, traded in units.items() if traded}

    def that_trade(self, wishes: list[float]) -> list[float]:
        """An asset without a market is left alone, and so counts toward the caps with what is held of it."""
        if any(not math.isnan(wish) and not capacity for wish, capacity in zip(wishes, self.bar.capacity)):
            self.notes.events.add("untradeable")
        return [wish if capacity else math.nan for wish, capacity in zip(wishes, self.bar.capacity)]

    def within_gross(self, weights: list[float]) -> list[float]:
        alone = sum(abs(now) for weight, now in zip(weights, self.now) if math.isnan(weight))
        ordered = sum(abs(weight) for weight in weights if not math.isnan(weight))
        self.notes.judge(alone + ordered, self.rules.gross, 1.0, "gross_cap")
        if alone + ordered <= self.rules.gross or not ordered:
            return weights
        self.notes.events.add("gross_cap")
        return [weight * max(0.0, self.rules.gross - alone) / ordered for weight in weights]

    def within_net(self, weights: list[float]) -> list[float]:
        total = sum(now if math.isnan(weight) else weight for weight, now in zip(weights, self.now))
        over = abs(total) - self.rules.net
        excess = abs(sum(weight for weight in weights if weight * total > 0))
        self.notes.judge(abs(total), self.rules.net, 1.0, "net_cap")
        if over <= 0 or not excess:
            return weights
        self.notes.events.add("net_cap")
        return [weight * max(0.0, 1 - over / excess) if weight * total > 0 else weight for weight in weights]

    def within_turnover(self, weights: list[float]) -> list[float]:
        asked = sum(abs(weight - now) for weight, now in zip(weights, self.now) if not math.isnan(weight))
        self.notes.judge(asked, self.rules.turnover, 1.0, "turnover_cap")
        if asked <= self.rules.turnover or not any(weight for weight in weights if not math.isnan(weight)):
            return weights
        self.notes.events.add("turnover_cap")
        return [now + (weight - now) * self.rules.turnover / asked for weight, now in zip(weights, self.now)]

    def is_sent(self, n: int, weight: float) -> bool:
        if weight == 0:
            return True
        size = abs(weight * self.before - self.held[n])
        self.notes.judge(size, 0.0, self.before, "band")  # capped to nothing, or to a close of nothing: a rounding says
        for least in (self.rules.band * self.before, self.rules.min_notional):
            if least:
                self.notes.judge(size, least, self.before)
            if size < least:
                self.notes.events.add("band")
                return False
        self.notes.judge(size, SPECK * self.before, SPECK / HAIR * self.before * 0.9)
        return size > SPECK * self.before

    def rate(self, n: int, order: float) -> float:
        """What `order` pays or gets, as a multiple of the fill price."""
        impact = self.bar.impact[n] * math.sqrt(abs(order))
        worse = (self.bar.buy[n] if order > 0 else self.bar.sell[n]) + impact
        return 1 + self.scale * worse if order > 0 else max(LEAST_RATIO, 1 - self.scale * worse)

    def left_after_costs(self, sent: dict[int, float]) -> float:
        """The largest equity E that pays for going to weights * E, by halving; 0 where none does."""
        def missing(left: float) -> float:
            cost = 0.0
            for n, weight in sent.items():
                order = clip(weight * left - self.held[n], self.bar.capacity[n])
                fee = self.taker if order > 0 else -self.taker
                cost += order * self.rate(n, order) * (1 + fee) - order
            return left - (self.before - cost)

        low = 0.0
        if missing(low) >= 0:  # closing everything cannot be paid for, going part of the way perhaps
            low = lowest(missing, 0.0, self.before)
        self.notes.judge(missing(low), 0.0, self.before)
        if missing(low) >= 0:
            return 0.0
        return halved(low, self.before, lambda left: missing(left) >= 0)

    def guarded(self, orders: dict[int, float], left: float) -> dict[int, float]:
        """Cut what makes positions larger so far that all of them together are worth no more than `gross` allows."""
        after = {n: self.held[n] + order for n, order in orders.items()}
        rise = {n: abs(value) - (abs(self.held[n]) if value * self.held[n] > 0 else 0.0) for n, value in after.items()}
        rise = {n: more for n, more in rise.items() if more > 0}
        over = sum(abs(after.get(n, value)) for n, value in enumerate(self.held)) - self.rules.gross * left
        if over <= 0 or not rise:
            return orders
        cut = min(1.0, over / sum(rise.values()))
        return {n: order - cut * math.copysign(rise.get(n, 0.0), order) for n, order in orders.items()}

    def in_lots(self, n: int, units: float) -> float:
        """A whole number of lots: fewer where a position grows or turns, more where it only shrinks."""
        lot, now = self.rules.lots[n] if self.rules.lots else 0.0, self.units[n]
        if not lot:
            return units
        lots = abs(units) / lot
        self.notes.judge(lots, round(lots), max(1.0, lots))
        if units * now < 0:
            self.notes.judge(abs(units), abs(now), abs(now))
            if abs(units) <= abs(now):
                return math.copysign(min(math.ceil(lots) * lot, abs(now)), units)
        return math.copysign(math.floor(lots) * lot, units)
