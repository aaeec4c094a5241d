"""The rules of money: one account, one step, written as a ledger and compiled by numba.

This is the only arithmetic of orders, costs and equity in the project. The single env, the vector env, the arena and
the SB3 adapter all run it; a slow ledger written separately in `tests/envs/ledger.py` holds it to 1e-9.

One step, from the close of the decision row to the next decision row's close:

1. Equity is taken at the fill price (the next open). At or below the ruin level the account ends there: everything is
   closed at the open.
2. Each asset is traded to its target weight *of the equity left after costs*, so that a weight of 1 leaves cash at zero
   and never below. A buyer pays `open * (1 + slip)`, a seller gets `open * (1 - slip)`, where slip is half the spread
   plus slippage; the taker fee is charged on what was paid or received. Orders smaller than `min_trade` of equity are
   not sent, except those that close a position.
3. Carry is paid by longs and received by shorts on the value at the fill price; interest is paid on what is borrowed,
   coins sold short and negative cash alike.
4. Equity is marked at the close. At or below the ruin level the account ends.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# columns of `money` (B, 11): one account's cash and running totals in quote currency; LOG_EQUITY is log(equity / start)
CASH, EQUITY, PEAK, START, LOG_EQUITY, TURNOVER, FEES, SLIPPAGE, CARRY, INTEREST, TRADED = range(11)
# last axis of `holdings` (B, N, 3)
UNITS, ENTRY, HELD = range(3)
# entries of `rules` (6,)
FEE, SLIP, BORROW, MIN_TRADE, RUIN, CAPITAL = range(6)

# columns of `clock` (B, 4) int64
DECISION, AGE, LENGTH, EPISODES = range(4)

ACCOUNT_BOUND = 20.0  # what an account shows of itself is cut here
# Compiled functions all stand in this file: numba's cache notices a change only in the file of the outermost one, and
# would go on running old rules of money. numpy's error model: no divisor here can be zero, so none is checked.
rule = njit(error_model="numpy", forceinline=True)
loop = njit(error_model="numpy", cache=True)

SMALLEST_SHARE = 1e-3  # equity enters the logarithm at no less than this share of the start, so ruin has a finite price


@rule
def order_value(weight, value, equity, before, rules):
    """Value to buy (+) or sell (-) at the open to reach `weight` of `equity`; zero when it is not worth sending."""
    if weight == 0.0:
        return -value
    if abs(weight * before - value) < rules[MIN_TRADE] * before:
        return 0.0
    return weight * equity - value


@rule
def equity_after_costs(b, k, target, holdings, fill, before, rules):
    """Equity E left when every asset holds its target weight of E.

    E = before - sum(rate * |weight * E - value|). With the side of each order known this is linear in E; the sides are
    taken from the last E and solved again until they stay, at most once per asset. One asset alone keeps its side.
    The cost is convex in E, so the solutions fall towards the true one; at or below zero nothing is left to hold
    anything with, and all that is held gets closed.
    """
    fee, slip = rules[FEE], rules[SLIP]
    buy_rate = (1.0 + slip) * (1.0 + fee) - 1.0
    sell_rate = 1.0 - (1.0 - slip) * (1.0 - fee)
    equity = before
    for _ in range(holdings.shape[1] + 2 if holdings.shape[1] > 1 else 1):
        top, bottom = before, 1.0
        for n in range(holdings.shape[1]):
            value = holdings[b, n, UNITS] * fill[k, n]
            order = order_value(target[b, n], value, equity, before, rules)
            if order > 0.0:
                top += buy_rate * value
                bottom += buy_rate * target[b, n]
            elif order < 0.0:
                top -= sell_rate * value
                bottom -= sell_rate * target[b, n]
        solved = top / bottom
        if solved <= 0.0:
            return 0.0
        if solved == equity:
            break
        equity = solved
    return equity


@rule
def fill_order(order, price, units, entry, held, rules):
    """Buy or sell `order` worth at the open `price`.

    Returns what is then held (units, entry price, bars held) and what it took: cash, and in it fee and slippage.
    """
    bought = order / price
    paid_price = price * (1.0 + rules[SLIP]) if order > 0.0 else price * (1.0 - rules[SLIP])
    fee = abs(bought) * paid_price * rules[FEE]
    after = units + bought
    if after * units <= 0.0:  # closed, turned or opened
        entry, held = paid_price, 0.0
    elif bought * units > 0.0:  # increased: the entry price is the average paid
        entry = (units * entry + bought * paid_price) / after
    return after, entry, held, bought * paid_price + fee, fee, abs(order) * rules[SLIP]


@rule
def trade_and_mark(b, k, target, money, holdings, fill, mark, carry, years, rules):
    """One step of account `b` from decision `k` to the next. Returns (reward, ruined).

    `fill`, `carry` (K, N) and `years` (K,) belong to the step that follows a decision, `mark` (K + 1, N) holds the
    closes of the decisions themselves, so that a step ends at `mark[k + 1]`.
    """
    # Totals are kept in scalars and stored once: the compiler cannot know that the arrays do not overlap.
    assets = holdings.shape[1]
    start, cash = money[b, START], money[b, CASH]
    ruin_level = rules[RUIN] * start

    before = cash
    for n in range(assets):
        before += holdings[b, n, UNITS] * fill[k, n]

    fees = slippage = traded = 0.0
    if before <= ruin_level:
        cash = before
        for n in range(assets):
            holdings[b, n, UNITS] = holdings[b, n, HELD] = 0.0
    else:
        equity = equity_after_costs(b, k, target, holdings, fill, before, rules)
        for n in range(assets):
            units, entry, held = holdings[b, n, UNITS], holdings[b, n, ENTRY], holdings[b, n, HELD]
            order = order_value(target[b, n], units * fill[k, n], equity, before, rules)
            if order != 0.0:
                units, entry, held, spent, fee, slip = fill_order(order, fill[k, n], units, entry, held, rules)
                if target[b, n] == 0.0:
                    units = 0.0  # exactly: order / price * price can miss by a rounding
                cash -= spent
                fees += fee
                slippage += slip
                traded += abs(order)
                holdings[b, n, UNITS] = units
                holdings[b, n, ENTRY] = entry
            holdings[b, n, HELD] = held + 1.0 if units != 0.0 else 0.0

    paid = 0.0
    borrowed = -cash if cash < 0.0 else 0.0
    for n in range(assets):
        value = holdings[b, n, UNITS] * fill[k, n]
        paid += carry[k, n] * value
        if value < 0.0:
            borrowed -= value
    interest = rules[BORROW] * years[k] * borrowed
    cash -= paid + interest

    equity = cash
    for n in range(assets):
        equity += holdings[b, n, UNITS] * mark[k + 1, n]
    share = equity / start
    log_equity = np.log(share if share > SMALLEST_SHARE else SMALLEST_SHARE)
    reward = log_equity - money[b, LOG_EQUITY]

    money[b, CASH] = cash
    money[b, EQUITY] = equity
    if equity > money[b, PEAK]:
        money[b, PEAK] = equity
    money[b, LOG_EQUITY] = log_equity
    money[b, TURNOVER] = traded / before if traded > 0.0 else 0.0
    money[b, FEES] += fees
    money[b, SLIPPAGE] += slippage
    money[b, CARRY] += paid
    money[b, INTEREST] += interest
    money[b, TRADED] += traded
    return reward, before <= ruin_level or equity <= ruin_level


@rule
def open_account(b, money, holdings, rules):
    """All cash, nothing held, every total at zero."""
    for column in range(money.shape[1]):
        money[b, column] = 0.0
    for column in (CASH, EQUITY, PEAK, START):
        money[b, column] = rules[CAPITAL]
    for n in range(holdings.shape[1]):
        for column in range(holdings.shape[2]):
            holdings[b, n, column] = 0.0


@rule
def clip(x, low, high):
    return min(max(x, low), high)


@rule
def write_account(b, money, holdings, last_price, remaining, out):
    """Fill row `b` of `out` (B, 3N + 4) float32 in the order of `account_names`."""
    assets = holdings.shape[1]
    equity = money[b, EQUITY]
    for n in range(assets):
        units, entry = holdings[b, n, UNITS], holdings[b, n, ENTRY]
        weight = units * last_price[n] / equity if equity > 0.0 else 0.0
        gain = 0.0
        if units != 0.0:
            gain = last_price[n] / entry - 1.0 if units > 0.0 else 1.0 - last_price[n] / entry
        out[b, n] = clip(weight, -ACCOUNT_BOUND, ACCOUNT_BOUND)
        out[b, assets + n] = clip(gain, -ACCOUNT_BOUND, ACCOUNT_BOUND)
        out[b, 2 * assets + n] = holdings[b, n, HELD] / (holdings[b, n, HELD] + 24.0)
    at = 3 * assets
    out[b, at] = clip(1.0 - equity / money[b, PEAK], 0.0, 1.0)
    out[b, at + 1] = money[b, LOG_EQUITY]
    out[b, at + 2] = clip(money[b, TURNOVER], 0.0, ACCOUNT_BOUND)
    out[b, at + 3] = remaining


@rule
def hashed_start(stream, episode, choices):
    """A start among `choices`: SplitMix64 (Steele, Lea, Flood 2014, figure 17) at position `episode` of `stream`."""
    z = stream + np.uint64(episode + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) % np.uint64(choices))


@rule
def open_episode(b, chosen, starts, length, streams, money, holdings, clock, decision_rows, mark, rules, rows,
                 observed):
    """Put account `b` at decision `chosen`, or, if that is -1, at the next start of its own stream."""
    start = chosen if chosen >= 0 else hashed_start(streams[b], clock[b, EPISODES], starts)
    clock[b, DECISION] = start
    clock[b, AGE] = 0
    clock[b, LENGTH] = min(length, len(decision_rows) - 1 - start)
    clock[b, EPISODES] += 1
    open_account(b, money, holdings, rules)
    rows[b] = decision_rows[start]
    write_account(b, money, holdings, mark[start], 1.0, observed)


@loop
def reset_accounts(chosen, starts, length, streams, money, holdings, clock, decision_rows, mark, rules, rows, observed):
    for b in range(len(rows)):
        open_episode(b, chosen[b], starts, length, streams, money, holdings, clock, decision_rows, mark, rules, rows,
                     observed)


@loop
def step_accounts(target, autoreset, starts, length, streams, money, holdings, clock, decision_rows, fill, mark, carry,
                  years, rules, rows, observed, reward, terminated, truncated, final_rows, final_observed, final_money):
    """One step of every account; with `autoreset`, one that is done is opened anew and its end kept in `final_*`."""
    for b in range(len(rows)):
        k = clock[b, DECISION]
        if k + 1 >= len(decision_rows):
            raise IndexError("the span is over: reset the engine before the next step")
        reward[b], ruined = trade_and_mark(b, k, target, money, holdings, fill, mark, carry, years, rules)
        clock[b, DECISION] = k + 1
        clock[b, AGE] += 1
        rows[b] = decision_rows[k + 1]
        remaining = 1.0 - clock[b, AGE] / clock[b, LENGTH]
        write_account(b, money, holdings, mark[k + 1], remaining, observed)
        terminated[b] = ruined
        truncated[b] = not ruined and clock[b, AGE] >= clock[b, LENGTH]
        if (terminated[b] or truncated[b]) and autoreset:
            final_rows[b] = rows[b]
            final_observed[b] = observed[b]
            final_money[b] = money[b]
            open_episode(b, -1, starts, length, streams, money, holdings, clock, decision_rows, mark, rules, rows,
                         observed)


@loop
def gather_windows(features, rows, window, out):
    """Copy features[row - W + 1 : row + 1] of every account into `out` (B, W, N, F)."""
    for b in range(len(rows)):
        out[b] = features[rows[b] - window + 1 : rows[b] + 1]
