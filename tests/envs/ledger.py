"""The rules of money a second time: one account, plain Python floats, slow and separate from the engine on purpose.

Where the engine solves for the equity left after costs in closed form, this one bisects.
"""

from __future__ import annotations

import math


class Ledger:
    def __init__(self, capital: float, assets: int, fee: float, slip: float, borrow: float, min_trade: float,
                 ruin: float) -> None:
        self.capital, self.cash, self.equity = capital, capital, capital
        self.units = [0.0] * assets
        self.fee, self.slip, self.borrow, self.min_trade, self.ruin = fee, slip, borrow, min_trade, ruin
        self.fees = self.slippage = self.carry = self.interest = self.gains = 0.0
        self.ruined = False

    def step(self, weights: list[float], opens: list[float], closes: list[float], marks: list[float],
             carry: list[float], years: float) -> float:
        """Trade at `opens`, mark at `closes`; `marks` are the closes of the last step. Returns the reward."""
        last = self.equity
        for units, mark, price in zip(self.units, marks, opens):
            self.gains += units * (price - mark)
        before = self.cash + sum(u * p for u, p in zip(self.units, opens))
        if before <= self.ruin * self.capital:
            self.cash, self.units = before, [0.0] * len(self.units)
        else:
            sent = [self._worth_sending(n, w, opens[n], before) for n, w in enumerate(weights)]
            after = self._equity_after(weights, opens, before, sent)
            for n, weight in enumerate(weights):
                if sent[n]:
                    self._trade(n, weight * after / opens[n] - self.units[n] if weight else -self.units[n], opens[n])
        held = [u * p for u, p in zip(self.units, opens)]
        owed = max(0.0, -self.cash) + sum(-value for value in held if value < 0)
        paid = sum(rate * value for rate, value in zip(carry, held))
        interest = self.borrow * years * owed
        self.cash -= paid
        self.cash -= interest
        self.carry += paid
        self.interest += interest
        for units, price, close in zip(self.units, opens, closes):
            self.gains += units * (close - price)
        self.equity = self.cash + sum(u * c for u, c in zip(self.units, closes))
        self.ruined = min(before, self.equity) <= self.ruin * self.capital
        return math.log(max(self.equity, 0.001 * self.capital) / last)

    def _worth_sending(self, n: int, weight: float, price: float, before: float) -> bool:
        return weight == 0 or abs(weight * before - self.units[n] * price) >= self.min_trade * before

    def _cost(self, n: int, order: float) -> float:
        """What buying (+) or selling (-) `order` worth at the open's price takes out of equity."""
        if order >= 0:
            return order * (1 + self.slip) * (1 + self.fee) - order
        return -order - (-order) * (1 - self.slip) * (1 - self.fee)

    def _equity_after(self, weights: list[float], opens: list[float], before: float, sent: list[bool]) -> float:
        def excess(equity: float) -> float:
            orders = [w * equity - u * p if s else 0.0 for w, u, p, s in zip(weights, self.units, opens, sent)]
            return before - sum(self._cost(n, order) for n, order in enumerate(orders)) - equity

        low, high = 0.0, before
        for _ in range(200):
            middle = (low + high) / 2
            if excess(middle) > 0:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def _trade(self, n: int, units: float, price: float) -> None:
        paid_price = price * (1 + self.slip if units > 0 else 1 - self.slip)
        fee = abs(units) * paid_price * self.fee
        self.cash -= units * paid_price
        self.cash -= fee
        self.fees += fee
        self.slippage += abs(units) * abs(paid_price - price)
        self.units[n] += units
