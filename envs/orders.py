"""From wished weights to fills: the compiled rules of one account's orders at one bar.

`wish` (N,) holds target weights, NaN for an asset that is left as it is; `value` (N,) what is held, at the fill price;
`order` (N,) values to buy (+) or sell (-).
"""

from __future__ import annotations

import numpy as np

from envs import layout as at
from envs.compiled import rule

ROUNDING = 1e-9  # a cap that is exceeded by less is not reported as one
SOLVED = 1e-15  # share of equity below which the solution no longer moves
SPECK = 1e-12
MOST_ROUNDS = 60
LEAST_RATIO = 1e-3  # nobody pays for being sold to, whatever costs are multiplied by


@rule
def cap_wishes(bar, wish, value, before, rules):
    """Caps on gross weight, net weight and turnover, in this order, each by one factor. Returns the events.

    What is left alone, and what cannot be traded, counts with the weight it has. Orders that only close positions are
    not held up by the cap on turnover.
    """
    happened = 0
    assets = len(wish)
    asked_long = asked_short = kept_long = kept_short = 0.0
    for n in range(assets):
        if not np.isnan(wish[n]) and bar[n, at.CAPACITY] == 0.0:
            wish[n] = np.nan
            happened |= at.UNTRADEABLE
        if np.isnan(wish[n]):
            weight = value[n] / before
            kept_long += max(weight, 0.0)
            kept_short += max(-weight, 0.0)
        else:
            asked_long += max(wish[n], 0.0)
            asked_short += max(-wish[n], 0.0)

    asked = asked_long + asked_short
    room = max(rules[at.GROSS] - kept_long - kept_short, 0.0)
    if asked > room:
        if asked > room + ROUNDING:
            happened |= at.GROSS_CAP
        for n in range(assets):
            wish[n] *= room / asked
        asked_long *= room / asked
        asked_short *= room / asked

    excess = asked_long + kept_long - asked_short - kept_short
    if abs(excess) > rules[at.NET]:
        side = asked_long if excess > 0.0 else asked_short
        if side > 0.0 and abs(excess) > rules[at.NET] + ROUNDING:
            happened |= at.NET_CAP
        left = max(side - (abs(excess) - rules[at.NET]), 0.0)
        for n in range(assets):
            if wish[n] * excess > 0.0:
                wish[n] *= left / side

    if rules[at.TURNOVER_LIMIT] < np.inf:
        change, closes = 0.0, True
        for n in range(assets):
            if not np.isnan(wish[n]):
                change += abs(wish[n] - value[n] / before)
                closes = closes and wish[n] == 0.0
        if change > rules[at.TURNOVER_LIMIT] and not closes:
            if change > rules[at.TURNOVER_LIMIT] + ROUNDING:
                happened |= at.TURNOVER_CAP
            for n in range(assets):
                weight = value[n] / before
                wish[n] = weight + (wish[n] - weight) * rules[at.TURNOVER_LIMIT] / change
    return happened


@rule
def drop_small(wish, value, before, rules):
    """Leave alone what is too small to be sent; closing a position never is. Returns the events."""
    happened = 0
    for n in range(len(wish)):
        if wish[n] != 0.0:  # NaN as well, which no comparison below lets through
            size = abs(wish[n] * before - value[n])
            if size < rules[at.NO_TRADE] * before or size < rules[at.MIN_NOTIONAL]:
                wish[n] = np.nan
                happened |= at.BAND
            elif size <= SPECK * before:  # a rounding of the caps is no order
                wish[n] = np.nan
    return happened


@rule
def impact_of(bar, n, order, scale):
    """Share by which an order of this value moves the price that it is filled at."""
    if bar[n, at.IMPACT] == 0.0:
        return 0.0
    return scale * bar[n, at.IMPACT] * np.sqrt(abs(order))


@rule
def price_ratio(bar, n, order, scale):
    """Price paid or received over the fill price, for an order of this value."""
    if order > 0.0:
        return 1.0 + scale * bar[n, at.BUY] + impact_of(bar, n, order, scale)
    return max(1.0 - scale * bar[n, at.SELL] - impact_of(bar, n, order, scale), LEAST_RATIO)


@rule
def cost_of(bar, n, order, taker, scale):
    """What an order takes out of equity: (cost, cost of the next unit of value)."""
    ratio = price_ratio(bar, n, order, scale)
    rising = 0.5 * impact_of(bar, n, order, scale)
    if order > 0.0:
        rate = ratio * (1.0 + taker) - 1.0
        return rate * order, rate + rising * (1.0 + taker)
    rate = 1.0 - ratio * (1.0 - taker)
    if ratio == LEAST_RATIO:
        rising = 0.0
    return -rate * order, rate + rising * (1.0 - taker)


@rule
def equity_after_costs(bar, wish, value, before, taker, scale):
    """The largest equity E left when every order is done: E = before - costs of (wish * E - value), within capacity.

    Newton's rule from above, which for convex costs never steps past the solution; a capacity makes them level off, so
    that a step may leave the bracket and is halved. Zero where no E pays for the orders: then nothing is left to hold
    anything with. One asset without impact or capacity has straight costs: one round.
    """
    equity = high = before
    low = 0.0
    for _ in range(MOST_ROUNDS):
        top, bottom, bent = before, 1.0, len(wish) > 1
        for n in range(len(wish)):
            if np.isnan(wish[n]):
                continue
            order = wish[n] * equity - value[n]
            most = bar[n, at.CAPACITY]
            if abs(order) > most:
                bent = True
                top -= cost_of(bar, n, min(max(order, -most), most), taker, scale)[0]
            elif order != 0.0:
                bent = bent or bar[n, at.IMPACT] > 0.0 or most < np.inf
                cost, slope = cost_of(bar, n, order, taker, scale)
                top += slope * abs(order) - cost
                if order < 0.0:
                    slope = -slope
                top += slope * value[n]
                bottom += slope * wish[n]
        last = equity
        equity = top / bottom if bottom > 0.0 else 0.0
        if not bent or abs(equity - last) <= SOLVED * before:
            break
        if equity < last:
            high = last
        else:
            low = last
        if not low < equity < high:
            equity = 0.5 * (low + high)
    return equity if equity > SPECK * before else 0.0


@rule
def write_orders(bar, wish, value, order, equity):
    """Value of each order, partly filled where the bar has no room for more. Returns the events."""
    happened = 0
    for n in range(len(wish)):
        order[n] = 0.0
        if not np.isnan(wish[n]):
            most = bar[n, at.CAPACITY]
            order[n] = -value[n] if wish[n] == 0.0 else wish[n] * equity - value[n]
            if abs(order[n]) > most:
                order[n] = most if order[n] > 0.0 else -most
                happened |= at.PARTIAL_FILL
    return happened


@rule
def cut_increases(value, order, limit):
    """Where sales were filled in part, or assets left alone, buyers must not borrow: cut what increases a position."""
    gross = growth = 0.0
    for n in range(len(order)):
        after = value[n] + order[n]
        gross += abs(after)
        growth += increase(value[n], after)
    if gross > limit and growth > 0.0:
        kept = max(growth - (gross - limit), 0.0) / growth
        for n in range(len(order)):
            after = value[n] + order[n]
            more = increase(value[n], after)
            if more > 0.0:
                order[n] -= (1.0 - kept) * more * (1.0 if after > 0.0 else -1.0)


@rule
def increase(value, after):
    """By how much a position grows; all of it when it turns."""
    if value * after > 0.0:
        return max(abs(after) - abs(value), 0.0)
    return abs(after)


@rule
def units_of(bar, n, wish, order, value, held):
    """Units to buy or sell: closing sells all of it exactly, everything else in whole lots.

    Rounded toward zero; what only reduces is rounded up, so that sales pay for the purchases they are meant to.
    """
    if wish == 0.0 and order == -value:
        return -held
    units = order / bar[n, at.FILL]
    lot = bar[n, at.LOT]
    if lot > 0.0:
        lots = abs(units) / lot
        whole = np.floor(lots + ROUNDING)
        if units * held < 0.0 and abs(units) <= abs(held):
            whole = np.ceil(lots - ROUNDING)
            if whole * lot >= abs(held):
                return -held
        units = whole * lot if units > 0.0 else -whole * lot
    return units
