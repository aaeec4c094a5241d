"""The rules of money a second time: one account, plain Python floats, as an accountant would check them.

Slow, and separate from the engine on purpose: nothing here is shared with `envs`, and where there is a choice the
method is another one. What is left after costs and the point of liquidation are found by halving an interval; the
volume behind a fee tier is added up from a list of dated trades.
"""

from __future__ import annotations

import math

from tests.envs.ledger_orders import LEAST_RATIO, Desk, halved
from tests.envs.ledger_rewards import Rewards
from tests.envs.ledger_terms import HAIR, Bar, Fill, Notes, Position, Rules, clip


class Ledger:
    """One account.

    >>> ledger = Ledger(Rules(capital=100.0, taker=0.01), assets=1)
    >>> reward = ledger.step([1.0], [Bar.still(10.0)], limit=[math.inf])
    >>> round(ledger.equity, 6), round(ledger.fees, 6)
    (99.009901, 0.990099)
    """

    def __init__(self, rules: Rules, assets: int, scale: float = 1.0) -> None:
        self.rules, self.scale = rules, scale
        self.cash = self.equity = self.peak = self.stop_peak = rules.capital
        self.positions = [Position() for _ in range(assets)]
        self.fees = self.slippage = self.carry = self.interest = self.traded = self.gains = 0.0
        self.ended = False
        self.notes = Notes()
        self.fills: list[Fill] = []  # of the last step
        self.turnover = 0.0  # of the last step
        self.marks = [0.0] * assets  # closes at which positions were last valued
        self.waiting: list[tuple[int, list[float]]] = []  # bars to wait, wishes
        self.closed_for: float = 0.0  # decisions for which the drawdown stop still holds
        self.trades: list[tuple[int, float]] = []  # day, value
        self.rewards = Rewards(rules.rewards, rules.memory, rules.aversion, rules.capital)

    @property
    def floor(self) -> float:
        return self.rules.ruin * self.rules.capital

    @property
    def units(self) -> list[float]:
        return [position.units for position in self.positions]

    def step(self, wishes: list[float], bars: list[Bar], limit: list[float]) -> float:
        """Decide on the row that has just closed, walk `bars` up to the next decision, and return the reward."""
        self.notes, self.fills = Notes(), []
        if self.ended:
            return 0.0
        before, drawdown, traded = self.equity, 1 - self.equity / self.peak, self.traded
        self._decide(wishes, limit)
        at_fill = self.cash + sum(u * p for u, p in zip(self.units, bars[0].fill))
        for bar in bars:
            if not self.ended:
                self._walk(bar)
        self.turnover = (self.traded - traded) / at_fill
        return self.rewards.of(before, self.equity, drawdown, 1 - self.equity / self.peak, self.turnover)

    def _decide(self, wishes: list[float], limit: list[float]) -> None:
        rules = self.rules
        if rules.drawdown_stop > 0:
            if self.closed_for == 1:  # the last decision was the last one held back
                self.stop_peak = self.equity
            self.closed_for = max(0, self.closed_for - 1)
            drawdown = 1 - self.equity / self.stop_peak
            if not self.closed_for:
                self.notes.judge(drawdown, rules.drawdown_stop, 1.0)
                self.closed_for = (rules.cooldown or math.inf) if drawdown >= rules.drawdown_stop else 0
            if self.closed_for:
                self.notes.events.add("drawdown_stop")
                wishes = [0.0] * len(wishes)
        most = [min(known, rules.max_weight) for known in limit]
        if any(abs(wish) > cap for wish, cap in zip(wishes, most)):
            self.notes.events.add("sized")
        sized = [wish if math.isnan(wish) else clip(wish, cap) for wish, cap in zip(wishes, most)]
        self.waiting.append((rules.latency, sized))

    def _walk(self, bar: Bar) -> None:
        rules = self.rules
        self.gains += sum(u * (p - last) for u, p, last in zip(self.units, bar.fill, self.marks))
        before = self.cash + sum(u * p for u, p in zip(self.units, bar.fill))
        self.notes.judge(before, self.floor, rules.capital)
        if before <= self.floor:
            self.cash = self.equity = before
            self.positions = [Position() for _ in self.positions]
            self.ended = True
            return
        taker, maker = self._fees_of(bar.day)
        due = [wishes for wait, wishes in self.waiting if wait == 0]
        self.waiting = [(wait - 1, wishes) for wait, wishes in self.waiting if wait > 0]
        for wishes in due:
            desk = Desk(rules, bar, self.notes, before, self.units, taker, self.scale)
            for n, units in desk.orders(wishes).items():
                price = bar.fill[n] * desk.rate(n, units * bar.fill[n])
                self._book(Fill(n, units, bar.fill[n], price, "order"), taker, bar.day)
        short = sum(-u * p * rules.borrow_of.get(n, rules.borrow)
                    for n, (u, p) in enumerate(zip(self.units, bar.fill)) if u < 0)
        interest = bar.years * (short + rules.borrow * max(0.0, -self.cash))
        self.gains += sum(u * (o - f) for u, o, f in zip(self.units, bar.open, bar.fill))
        self._inside(bar, taker, maker)
        carry = sum(rate * u * close for rate, u, close in zip(bar.carry, self.units, bar.close))
        self.gains += sum(u * (close - o) for u, close, o in zip(self.units, bar.close, bar.open))
        self.cash -= interest + carry
        self.interest += interest
        self.carry += carry
        self._mark(bar)

    def _mark(self, bar: Bar) -> None:
        self.marks = bar.close
        self.equity = self.cash + sum(u * p for u, p in zip(self.units, bar.close))
        self.peak, self.stop_peak = max(self.peak, self.equity), max(self.stop_peak, self.equity)
        for position, high, low in zip(self.positions, bar.high, bar.low):
            if position.units > 0:
                position.best = max(position.best, high)
            elif position.units < 0:
                position.best = min(position.best, low)
            position.held += position.units != 0
        self.notes.judge(self.equity, self.floor, self.rules.capital)
        self.ended = self.equity <= self.floor

    def _fees_of(self, day: int) -> tuple[float, float]:
        """Taker and maker fee of a day: the highest tier that the value traded in thirty days has reached."""
        volume = sum(value for when, value in self.trades if day - 30 < when <= day)
        taker, maker = self.rules.taker, self.rules.maker
        for needed, its_taker, its_maker in sorted(self.rules.tiers):
            self.notes.judge(volume, needed or -1.0, needed)
            if volume >= needed:
                taker, maker = its_taker, its_maker
        return taker * self.scale, maker * self.scale

    def _book(self, fill: Fill, rate: float, day: int) -> None:
        value = abs(fill.units) * fill.quoted
        fee = rate * abs(fill.units) * fill.price
        self.cash -= fill.units * fill.price + fee
        self.fees += fee
        self.slippage += abs(fill.units * (fill.price - fill.quoted))
        self.traded += value
        self.trades.append((day, value))
        self.positions[fill.asset].change(fill.units, fill.price)
        self.fills.append(fill)

    def _inside(self, bar: Bar, taker: float, maker: float) -> None:
        """Between open and close: stops and liquidation as prices turn against all positions, then take profits.

        `s` is how far all assets have gone from their open to their worst price together, from 0 to 1.
        """
        tradeable = [capacity > 0 for capacity in bar.capacity]
        worst = [(low if u > 0 else high) if able else o
                 for u, able, o, high, low in zip(self.units, tradeable, bar.open, bar.high, bar.low)]
        now, stops = 0.0, self._stops(bar, worst, tradeable)
        while True:
            end = self._liquidation(bar.open, worst, now)
            if end is not None and stops:
                self.notes.torn |= end != stops[0][0] and abs(end - stops[0][0]) <= HAIR
            if end is not None and (not stops or end < stops[0][0]):
                for n, (o, far) in enumerate(zip(bar.open, worst)):
                    self._exit(n, o + end * (far - o), bar, taker + self.rules.liquidation_fee, "liquidation")
                return
            if not stops:
                break
            now, n, level, why = stops.pop(0)
            self._exit(n, level, bar, taker, why)
        for n, position in enumerate(self.positions):
            level = position.entry * (1 + math.copysign(self.rules.take_profit, position.units))
            reached = bar.high[n] - level if position.units > 0 else level - bar.low[n]
            if position.units and self.rules.take_profit and tradeable[n]:
                self.notes.judge(reached, 0.0, level)
                if reached >= 0:
                    self._exit(n, level, bar, maker, "take_profit")

    def _stops(self, bar: Bar, worst: list[float], tradeable: list[bool]) -> list[tuple[float, int, float, str]]:
        """Stops that the bar touches as (s, asset, price, why), the first to be touched first."""
        found = []
        for n, (position, o, far) in enumerate(zip(self.positions, bar.open, worst)):
            side = math.copysign(1.0, position.units)
            levels = [(position.entry * (1 - side * self.rules.stop_loss), "stop_loss")] if self.rules.stop_loss else []
            if self.rules.trailing_stop:
                levels.append((position.best * (1 - side * self.rules.trailing_stop), "trailing_stop"))
            if not (levels and position.units and tradeable[n]):
                continue
            level, why = max(levels, key=lambda known: side * known[0])
            if len(levels) == 2:
                self.notes.judge(levels[0][0], levels[1][0], level, "stop_loss")
                self.notes.judge(levels[0][0], levels[1][0], level, "trailing_stop")
            self.notes.judge(far, level, level)
            if side * (level - far) >= 0:
                price = min(level, o) if side > 0 else max(level, o)
                found.append(((o - price) / (o - far) if o != price else 0.0, n, price, why))
        return sorted(found)

    def _liquidation(self, opens: list[float], worst: list[float], now: float) -> float | None:
        """The first s from `now` on at which equity is no more than the maintenance margin."""
        def room(s: float) -> float:
            prices = [o + s * (far - o) for o, far in zip(opens, worst)]
            equity = self.cash + sum(u * p for u, p in zip(self.units, prices))
            return equity - self.rules.maintenance * sum(abs(u) * p for u, p in zip(self.units, prices))

        if not self.rules.maintenance or not any(self.units):
            return None
        self.notes.judge(room(now), 0.0, self.rules.capital)
        self.notes.judge(room(1.0), 0.0, self.rules.capital)
        if room(now) <= 0:
            return now
        if room(1.0) > 0:
            return None
        return halved(now, 1.0, lambda s: room(s) <= 0)

    def _exit(self, n: int, level: float, bar: Bar, rate: float, why: str) -> None:
        """Close asset `n` at `level`; all but a take profit cross the spread."""
        units = self.positions[n].units
        if not units:
            return
        ratio = max(LEAST_RATIO, 1 - bar.sell[n] * self.scale) if units > 0 else 1 + bar.buy[n] * self.scale
        self.gains += units * (level - bar.open[n])
        self._book(Fill(n, -units, level, level * (1.0 if why == "take_profit" else ratio), why), rate, bar.day)
        self.notes.events.add(why)
