"""Perfect foresight: the most that any policy could have made on these rows, by one who knew every bar beforehand.

Growth is log(final equity / starting capital) at the engine's own prices: fill, spread, slippage and fee of each bar,
carry, interest on shorts, gaps. What is left out could only hurt: lots, the no-trade band, partial fills, impact,
interest on borrowed cash, ruin. Stops and liquidation let a position leave inside a bar at the bar's open at best, take
profits at its best price. So the bound holds for every policy, with continuous weights and with orders left out.

One asset. What an account can still become is proportional to its size, so only the ratio of cash to units matters, and
this ratio changes by orders alone once prices are counted less of the carry paid so far. Some ratios (rays of the plane
of cash and units) are kept: pure cash, and those on which an order ended at the largest weights allowed. Backwards in
time each ray is worth the best of: stay; buy or sell to another ray or to this bar's largest weight. Between two rays
the value is taken to be linear. That is never too little: an account between them is a sum of two, on one ray each, and
whatever it may do its parts may do (staying keeps all three where they are, an order to a ray takes each there at the
same price per unit, and costs add up). It is exact for a weight from 0 to 1 without carry, where two rays are all.

Several assets. Long only and without leverage the same argument holds with one ray per asset: exact but for carry. With
shorts or leverage the assets share one limit; there each bar earns the best single move at full leverage, free of
costs, which is far above what can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from agents.policy import Observation, Policy
from configs.errors import UserError
from data.market import Market
from envs import layout as at
from envs.config import EnvConfig
from envs.execution import bar_table
from envs.risk import weight_limits

SHORT, LONG = range(2)
RAYS = 1024  # kept on each side: neighbours are some 0.1 % of leverage apart, and the bound is loose by less than that
BORDER = 1e-6  # that an action may lie beyond its limits, being float32


@dataclass(frozen=True, eq=False)
class Foresight:
    growth: float  # log(final equity / starting capital) that nobody can beat
    steps: int  # decisions on the way
    zone: np.ndarray | None  # (T, N, 2) weights that it pays to buy up to and to sell down to, by row shown; None: only
    # the bound is known

    @property
    def policy(self) -> Policy:
        """Who comes closest, whatever is in hand."""
        if self.zone is None:
            raise UserError("with shorts or leverage in several assets only a bound on the growth is known, no weights "
                            "that reach it; take one asset, or env.levels without negative ones")
        return ZonePolicy(self.zone)


class ZonePolicy:
    """Leaves alone what lies inside its zone, and goes to the nearest edge from outside; sells before it buys."""

    def __init__(self, zone: np.ndarray) -> None:
        self.zone = zone  # (T, N, 2)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        low, high = np.moveaxis(self.zone[observation["row"][:, 0].astype(np.int64)], 2, 0)  # (B, N) each
        kept = np.minimum(observation["account"][:, : low.shape[1]], high)
        others = kept.sum(axis=1, keepdims=True) - kept
        return np.maximum(kept, low - others), state  # an asset is bought with what the others leave


class Steps(NamedTuple):
    """The K orders that a span has room for. Sides are SHORT and LONG; prices are in cash per unit.

    `shift` is what a holder has paid per unit since the span began, carry and interest; a price less the shift of its
    time makes holding free.
    """

    fill: np.ndarray  # (K, N)
    buy: np.ndarray  # (K, N) all that a unit costs
    sell: np.ndarray  # (K, N) all that a unit brings
    shift: np.ndarray  # (K + 1, N, 2)
    leave: np.ndarray  # (K, N, 2) best price for leaving before the next order, less its shift; infinitely bad: none
    last: np.ndarray  # (N,) price that the end is marked at
    limits: np.ndarray  # (K, N, 2) heaviest weight that an order may ask for, short and long, both at least 0
    open: np.ndarray  # (K, N) whether the asset can be traded

    @property
    def even(self) -> np.ndarray:
        """(K + 1, N, 2) price of each order, then of the end, less the shift."""
        return np.vstack([self.fill, self.last[None]])[:, :, None] - self.shift


def foresight(market: Market, config: EnvConfig, window: int, rows: slice | None = None, rays: int = RAYS) -> Foresight:
    """The most that any policy can make of `rows` under `config`, and where it is known how, when to trade.

    >>> from data.simulator.known import make_known
    >>> from envs.execution import CostConfig
    >>> known = make_known("trend", 1_000)  # up by 5 bps an hour: buy once, for 10 bps
    >>> found = foresight(known.market, EnvConfig(costs=CostConfig.flat_fee(10.0)), window=1)
    >>> round(found.growth, 3), found.zone[0, 0].round(6).tolist()  # from below and from above
    (0.489, [1.0, 1.0])
    """
    steps, decided = lay_out(market, config, window, rows)
    edges = None
    if len(market.assets) == 1:
        growth, edges = one_asset(steps, rays)
    else:
        low, high = config.reach
        growth = best_move(steps, min(config.gross, len(market.assets) * max(-low, high)) + BORDER)
        if low >= 0 and config.gross <= 1:
            reached, found = long_only(steps)
            growth = min(growth, reached)
            edges = found if high == 1 else None
    if edges is None:
        return Foresight(growth, len(decided), None)
    zone = np.zeros((*market.prices.shape[:2], 2))
    zone[decided] = edges
    return Foresight(growth, len(decided), zone)


def lay_out(market: Market, config: EnvConfig, window: int, rows: slice | None) -> tuple[Steps, np.ndarray]:
    """The orders of a span, and the row that each decision is shown."""
    # a forecast's size is not known here; without it the limits are wider, never tighter
    risk = replace(config.risk, kelly=0.0, confidence=False)
    bars = bar_table(market, config.costs, config.fill, weight_limits(market, risk))
    decisions = market.decision_rows(window + config.observation_delay, rows)
    if len(decisions) < 2:
        raise UserError(f"too few rows: a window of {window} bars fits on {len(decisions)}, 2 are needed; give more "
                        "rows or a smaller window")
    start, stop = int(decisions[0]) + 1, int(decisions[-1]) + 1
    # an order on its way may arrive at any bar, those of a gap included
    orders = np.arange(start, stop) if config.latency else decisions[:-1] + 1

    fees = np.array(config.costs.tiers or [(0.0, config.costs.fee_bps, config.costs.maker_bps)])[:, 1:].min(axis=0)
    scale = config.episodes.cost_scale[0]
    taker, maker = fees * 1e-4 * scale
    to_buy = (1 + scale * bars[:, :, at.BUY]) * (1 + taker)
    to_sell = (1 - scale * bars[:, :, at.SELL]) * (1 - taker)

    carry = bars[:, :, at.PAYS] * bars[:, :, at.CLOSE]
    interest = bars[:, :, at.YEARS] * bars[:, :, at.BORROW] * bars[:, :, at.FILL]
    paid = np.stack([carry - interest, carry], axis=2)  # (T, N, 2) per unit; a short has negative units
    paid[:start] = 0.0
    after = np.cumsum(paid, axis=0)
    before = after - paid

    opened = bars[orders, :, at.CAPACITY] > 0
    leave = np.stack([np.full(carry.shape, np.inf), np.full(carry.shape, -np.inf)], axis=2)
    if config.risk.stop_loss or config.risk.trailing_stop or config.margin.maintenance:  # at the open or worse
        never = leave[orders]
        leave = np.stack([bars[:, :, at.OPEN] * to_buy, bars[:, :, at.OPEN] * to_sell], axis=2)
        if config.fill == "next_open":  # at that price the order itself could have left
            leave[orders] = np.where(opened[:, :, None], never, leave[orders])
    if config.risk.take_profit:
        leave[:, :, SHORT] = np.minimum(leave[:, :, SHORT], bars[:, :, at.LOW] * (1 + maker))
        leave[:, :, LONG] = np.maximum(leave[:, :, LONG], bars[:, :, at.HIGH] * (1 - maker))
    inside = (leave - before)[start:stop]
    leave = np.stack([np.minimum.reduceat(inside[:, :, SHORT], orders - start),
                      np.maximum.reduceat(inside[:, :, LONG], orders - start)], axis=2)

    border = BORDER if config.action == "weights" else 0.0
    cap = min([cap for cap in (config.risk.max_weight, config.risk.net, config.gross) if cap])
    widest = [min(side, cap) + border if side > 0 else 0.0 for side in (-config.reach[0], config.reach[1])]
    limits = np.broadcast_to(np.array(widest), (*opened.shape, 2))
    if not config.latency:
        limits = np.minimum(limits, bars[orders - 1, :, at.LIMIT][:, :, None])
    fill = bars[orders, :, at.FILL]
    shift = np.vstack([before[orders], after[stop - 1 : stop]])
    last = bars[stop - 1, :, at.CLOSE]
    steps = Steps(fill, fill * to_buy[orders], fill * to_sell[orders], shift, leave, last, limits, opened)
    return steps, orders - 1 - config.observation_delay


def one_asset(steps: Steps, rays: int) -> tuple[float, np.ndarray]:
    """The bound, and the zone (K, 1, 2) of who reaches it."""
    fill, even, limits = steps.fill[:, 0], steps.even[:, 0], steps.limits[:, 0]
    with np.errstate(divide="ignore"):
        # cash per unit at the heaviest weights, infinite where that side is closed
        edges = np.stack([fill * (1 + 1 / limits[:, SHORT]) - steps.shift[:-1, 0, SHORT],
                          -(fill * (1 - 1 / limits[:, LONG]) - steps.shift[:-1, 0, LONG])], axis=1)
    short, long = (thinned(np.unique(edges[np.isfinite(edges[:, side]), side]), rays) for side in (SHORT, LONG))
    flat = len(short)
    # (R,) from the heaviest short over pure cash to the heaviest long
    cash = np.concatenate([short, [1.0], long[::-1]])
    units = np.concatenate([np.full(flat, -1.0), [0.0], np.full(len(long), 1.0)])
    inside = np.stack([np.searchsorted(short, edges[:, SHORT]),
                       len(cash) - 1 - np.searchsorted(long, edges[:, LONG])], axis=1)  # (K, 2) first and last allowed
    price = np.stack([steps.buy[:, 0], steps.sell[:, 0]], axis=1)  # (K, 2)
    shifted = price[:, :, None] - steps.shift[:-1, 0, None, :]  # (K, buy or sell, side)
    sides = (units > 0).astype(np.int64)
    value = cash + units * even[-1, sides]
    zone = np.zeros((len(fill), 2))
    growth = walk_back(cash, units, sides, flat, inside, edges, shifted, fill, even, steps.leave[:, 0],
                       steps.open[:, 0], value, zone)
    zone[~steps.open[:, 0]] = -np.inf, np.inf
    return growth, zone[:, None]


def thinned(values: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the sorted values, both ends among them."""
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(np.int64)]


@njit(cache=True, error_model="numpy")
def walk_back(cash, units, sides, flat, inside, edges, shifted, fill, even, leave, tradeable, value, zone):
    """The value of every ray before the first order, as the logarithm of that of one unit of cash.

    `zone` (K, 2) receives the weights between which nothing is traded: bought up to the first, sold down to the second.
    """
    grown = 0.0
    for k in range(len(fill) - 1, -1, -1):
        for j in range(len(cash)):  # left inside the bar: cash from here on
            if units[j] != 0.0 and np.isfinite(leave[k, sides[j]]):
                value[j] = max(value[j], (cash[j] + units[j] * leave[k, sides[j]]) * value[flat])
        if tradeable[k]:
            held = value.copy()  # as it is when nothing is traded
            ends = (edge_value(cash, held, inside[k, 0], inside[k, 0] - 1, edges[k, 0]),
                    edge_value(cash, held, inside[k, 1], inside[k, 1] + 1, edges[k, 1]))
            for buying in (1, 0):
                sell = 1 - buying
                side = buying  # an order to buy may at most end at the long edge
                step = 1 - 2 * buying
                best, weight = -np.inf, 0.0
                if np.isfinite(edges[k, side]):
                    sign = 2.0 * side - 1.0
                    best = ends[side] / (edges[k, side] + sign * shifted[k, sell, side])
                    weight = sign * fill[k] / (edges[k, side] + sign * even[k, side])
                j = inside[k, side]
                while 0 <= j < len(cash):  # beyond the other edge too: what lies there may come back by any step
                    worth = cash[j] + units[j] * shifted[k, sell, sides[j]]
                    if worth > 0.0 and held[j] > best * worth:
                        best = held[j] / worth
                        if inside[k, 0] <= j <= inside[k, 1]:
                            weight = units[j] * fill[k] / (cash[j] + units[j] * even[k, sides[j]])
                    value[j] = max(value[j], worth * best)
                    j += step
                zone[k, sell] = weight
        grown += np.log(value[flat])
        value /= value[flat]
    return grown


@njit(cache=True, error_model="numpy")
def edge_value(cash, value, near, beyond, edge):
    """Value of the heaviest weight allowed, between the last ray inside and the next one beyond."""
    if not np.isfinite(edge) or cash[near] == edge:
        return value[near]
    share = (edge - cash[near]) / (cash[beyond] - cash[near])
    return value[near] + share * (value[beyond] - value[near])


def long_only(steps: Steps) -> tuple[float, np.ndarray]:
    """The bound for several assets without shorts or leverage, and the zone (K, N, 2): cash goes into one or none."""
    count, assets = steps.fill.shape
    paid = np.diff(steps.shift[:, :, LONG], axis=0)  # (K, N)
    leave = steps.leave[:, :, LONG] + steps.shift[:-1, :, LONG]
    cash, unit, grown = 1.0, steps.last.copy(), 0.0  # worth of one of cash, of one unit of each asset
    zone = np.zeros((count, assets, 2))
    for k in range(count - 1, -1, -1):
        # carry received is worth what cash is; carry paid can be owed to the end, which costs no less than itself
        unit = np.maximum(unit - paid[k] * np.where(paid[k] > 0, np.exp(-grown), cash), leave[k] * cash)
        rates = np.where(steps.open[k], unit / steps.buy[k], -np.inf)
        if rates.max() > cash:
            zone[k, np.argmax(rates), 0] = 1.0
        cash = max(cash, rates.max())
        sold = np.where(steps.open[k], steps.sell[k] * cash, -np.inf)
        zone[k, :, 1] = np.where(unit >= sold, np.inf, 0.0)
        unit = np.maximum(unit, sold)
        grown, unit, cash = grown + np.log(cash), unit / cash, 1.0
    return float(grown), zone


def best_move(steps: Steps, gross: float) -> float:
    """A bound for any number of assets, shorts and leverage: the best single move of each step, free of costs.

    Equity and what is held are bounded together: an order holds at most `gross` of equity, but what is then left alone
    may grow beyond.
    """
    even, fill = steps.even, steps.fill
    gains = np.zeros_like(fill)
    for side, sign in ((SHORT, -1.0), (LONG, 1.0)):
        moves = np.stack([even[1:, :, side], steps.leave[:, :, side]]) - even[:-1, :, side]
        best = (sign * moves).max(axis=0) / fill
        gains = np.where((steps.limits[:, :, side] > 0).any(axis=0), np.maximum(gains, best), gains)
    held = np.logical_or.accumulate(steps.open, axis=0)  # nobody holds what could never be bought
    gain = np.where(held, gains, 0.0).max(axis=1)
    growing = np.where(held, np.vstack([fill[1:], steps.last[None]]) / fill - 1, 0.0).max(axis=1, initial=0.0)
    log_equity, load = 0.0, gross  # of what is held over equity, at most
    for now, more in zip(gain, growing):
        factor = 1 + load * now
        load = max(gross, load * (1 + more) / factor)
        log_equity += np.log(factor)
    return float(log_equity)
