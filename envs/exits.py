"""What happens inside a bar: stops, liquidation, take profit, and in which order.

A bar tells its low and its high, not which came first. The worse is assumed: every asset goes from its open to its
adverse price (a long's low, a short's high), all together, at `open + s (adverse - open)` with s from 0 to 1. What is
met first on this way happens first; what is left then meets its take profit. A stop and a take profit within one bar
therefore end as a stop.

An exit fills whole, whatever the bar's volume: `max_share` binds orders only. Liquidation closes everything, at its
last price what has no market on that bar.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError
from envs import layout as at
from envs.compiled import rule
from envs.orders import LEAST_RATIO

NOWHERE = 2.0  # on the way from 0 to 1


@dataclass(frozen=True)
class MarginConfig:
    """When the exchange closes an account out.

    >>> MarginConfig(maintenance=0.05).liquidation_fee_bps
    50.0
    """

    maintenance: float = 0.02
    """the account is closed out where its equity falls to this share of its gross value, inside the bar; 0: never"""
    liquidation_fee_bps: float = 50.0
    """what closing out costs beside the taker fee, on the value closed"""

    def __post_init__(self) -> None:
        if not 0 <= self.maintenance < 1 or not 0 <= self.liquidation_fee_bps < 1000:
            raise UserError("env.margin needs 0 <= maintenance < 1 and 0 <= liquidation_fee_bps < 1000, found "
                            f"{self.maintenance} and {self.liquidation_fee_bps}")


@rule
def adverse_price(bar, n, units):
    """The worst price of the bar for who holds `units`; an asset that cannot be traded stays where it opened."""
    if bar[n, at.CAPACITY] == 0.0:
        return bar[n, at.OPEN]
    return bar[n, at.LOW] if units > 0.0 else bar[n, at.HIGH]


@rule
def stop_level(account, h, rules):
    """Price at which a stop sells a long (buys back a short), and whether it is the trailing one."""
    side = 1.0 if account[h + at.UNITS] > 0.0 else -1.0
    level, trailed = -np.inf, False
    if rules[at.STOP_LOSS] > 0.0:
        level = side * account[h + at.ENTRY] * (1.0 - side * rules[at.STOP_LOSS])
    if rules[at.TRAILING] > 0.0:
        following = side * account[h + at.BEST] * (1.0 - side * rules[at.TRAILING])
        if following > level:
            level, trailed = following, True
    return side * level, trailed


@rule
def first_stop(account, bar, rules):
    """The asset whose stop is met first on the way to the adverse prices: (asset or -1, where on the way, price,
    event)."""
    first, soonest, price, event = -1, NOWHERE, 0.0, 0
    for n in range(len(bar)):
        h = at.HOLDINGS + at.PER_ASSET * n
        units = account[h + at.UNITS]
        if units == 0.0 or bar[n, at.CAPACITY] == 0.0:
            continue
        level, trailed = stop_level(account, h, rules)
        opened = bar[n, at.OPEN]
        adverse = adverse_price(bar, n, units)
        if (adverse - level) * units <= 0.0:
            met = min(level, opened) if units > 0.0 else max(level, opened)
            s = (opened - met) / (opened - adverse) if met != opened else 0.0
            if s < soonest:
                first, soonest, price, event = n, s, met, at.TRAILED if trailed else at.STOPPED
    return first, soonest, price, event


@rule
def liquidation_point(account, bar, rules):
    """Where on the way to the adverse prices equity is down to the maintenance margin.

    Equity and gross value are both linear in s, so this is exact for any number of assets.
    """
    equity, gross = account[at.CASH], 0.0
    falls = grows = 0.0
    for n in range(len(bar)):
        units = account[at.HOLDINGS + at.PER_ASSET * n + at.UNITS]
        opened = bar[n, at.OPEN]
        move = adverse_price(bar, n, units) - opened
        equity += units * opened
        falls -= units * move
        gross += abs(units) * opened
        grows += abs(units) * move
    room = equity - rules[at.MAINTENANCE] * gross
    if gross == 0.0:
        return NOWHERE
    if room <= 0.0:
        return 0.0
    closing_in = falls + rules[at.MAINTENANCE] * grows
    return room / closing_in if room <= closing_in else NOWHERE


@rule
def note_fill(account, place, units, price):
    """Units and price of what filled in this step. Of several fills, across a gap, their sum and their mean price, or
    the last one's where they went both ways."""
    before = account[place]
    account[place] = before + units
    if before * units > 0.0:
        price = (before * account[place + 1] + units * price) / account[place]
    account[place + 1] = price


@rule
def close_out(account, bar, n, price, worse, fee):
    """Sell all of asset `n` (or buy it back) at `price`, worse by a share; what is filled is kept beside the order."""
    h = at.HOLDINGS + at.PER_ASSET * n
    units = account[h + at.UNITS]
    paid_price = price * (1.0 - worse) if units > 0.0 else price * (1.0 + worse)
    charged = abs(units) * paid_price * fee
    account[at.CASH] += units * paid_price - charged
    account[at.FEES] += charged
    account[at.SLIPPAGE] += abs(units) * price * worse
    account[at.TRADED] += abs(units) * price
    note_fill(account, at.HOLDINGS + at.PER_ASSET * (len(bar) + n) + at.EXIT_UNITS, -units, paid_price)
    account[h + at.UNITS] = account[h + at.HELD] = 0.0


@rule
def slip(bar, n, units, scale):
    """Share by which closing a position is worse than the price that set it off."""
    return min(scale * bar[n, at.SELL], 1.0 - LEAST_RATIO) if units > 0.0 else scale * bar[n, at.BUY]


@rule
def walk_adverse(account, bar, rules, taker, scale):
    """Stops and liquidation on the way to the adverse prices, each in its turn. Returns the events."""
    happened = 0
    stops = rules[at.STOP_LOSS] > 0.0 or rules[at.TRAILING] > 0.0
    reached = 0.0
    for _ in range(len(bar) + 1):
        falls_at = liquidation_point(account, bar, rules) if rules[at.MAINTENANCE] > 0.0 else NOWHERE
        falls_at = max(falls_at, reached)
        first, soonest, price, event = first_stop(account, bar, rules) if stops else (-1, NOWHERE, 0.0, 0)
        if first >= 0 and soonest <= falls_at:
            units = account[at.HOLDINGS + at.PER_ASSET * first + at.UNITS]
            close_out(account, bar, first, price, slip(bar, first, units, scale), taker)
            happened |= event
            reached = soonest
        elif falls_at < NOWHERE:
            for n in range(len(bar)):
                units = account[at.HOLDINGS + at.PER_ASSET * n + at.UNITS]
                if units != 0.0:
                    opened = bar[n, at.OPEN]
                    there = opened + falls_at * (adverse_price(bar, n, units) - opened)
                    close_out(account, bar, n, there, slip(bar, n, units, scale), taker + rules[at.LIQUIDATION_FEE])
            return happened | at.LIQUIDATED
        else:
            break
    return happened


@rule
def take_profits(account, bar, rules, maker):
    """A limit order rests at each position's profit: it fills at its price, as a maker. Returns the events."""
    happened = 0
    for n in range(len(bar)):
        h = at.HOLDINGS + at.PER_ASSET * n
        units = account[h + at.UNITS]
        if units == 0.0 or bar[n, at.CAPACITY] == 0.0:
            continue
        side = 1.0 if units > 0.0 else -1.0
        level = account[h + at.ENTRY] * (1.0 + side * rules[at.TAKE_PROFIT])
        best = bar[n, at.HIGH] if units > 0.0 else bar[n, at.LOW]
        if side * (best - level) >= 0.0:
            close_out(account, bar, n, level, 0.0, maker)
            happened |= at.TOOK_PROFIT
    return happened
