"""The rules of money: one account, one step, written as a ledger and compiled by numba.

This is the only arithmetic of orders, costs and equity in the project. The single env, the vector env, the arena and
the SB3 adapter all run it; a slow ledger written separately in `tests/envs/ledger.py` holds it to 1e-9.

One step goes from the close of the decision row to the close of the next one: one bar, or across a gap all the bars
until a window fits again. At each bar:

1. Equity is taken at the fill price (the open). At or below the ruin level the account ends there, and everything is
   closed.
2. An order that is due is traded (`envs/risk.py` and `envs/orders.py`) to its target weight *of the equity left after
   costs*, so that a weight of 1 leaves cash at zero and never below.
3. Stops, liquidation and take profits happen inside the bar (`envs/exits.py`).
4. Interest is paid on what was borrowed over the bar, coins sold short and negative cash alike; carry (funding) by
   longs to shorts on what is held at the close.
5. Equity is marked at the close. At or below the ruin level the account ends.
"""

from __future__ import annotations

import numpy as np

from envs import layout as at
from envs.compiled import loop, rule
from envs.exits import note_fill, take_profits, walk_adverse
from envs.memory import arrays_of, fetch_ahead, plan_at, work_of
from envs.observations import show_account
from envs.orders import (
    cap_wishes,
    cut_increases,
    drop_small,
    equity_after_costs,
    price_ratio,
    units_of,
    write_orders,
)
from envs.rewards import SMALLEST_SHARE, reward_of
from envs.risk import decide


@rule
def fill_order(account, bar, n, units, order, taker, scale):
    """Buy or sell `units` of asset `n` at the fill price made worse by spread, slippage and impact."""
    h = at.HOLDINGS + at.PER_ASSET * n
    price = bar[n, at.FILL] * price_ratio(bar, n, order, scale)
    fee = abs(units) * price * taker
    held = account[h + at.UNITS]
    after = held + units
    if units == -held:
        after = 0.0
    if after * held <= 0.0:  # closed, turned or opened
        account[h + at.ENTRY] = account[h + at.BEST] = price
        account[h + at.HELD] = 0.0
    elif units * held > 0.0:  # increased: the entry price is the average paid
        account[h + at.ENTRY] = (held * account[h + at.ENTRY] + units * price) / after
    account[h + at.UNITS] = after
    account[at.CASH] -= units * price + fee
    account[at.FEES] += fee
    account[at.SLIPPAGE] += abs(units) * abs(price - bar[n, at.FILL])
    account[at.TRADED] += abs(order)
    note_fill(account, at.HOLDINGS + at.PER_ASSET * (len(bar) + n) + at.ORDER_UNITS, units, price)


@rule
def trade(account, bar, wish, value, order, before, taker, scale, rules):
    """The orders of one bar, from wished weights to fills. Returns the events."""
    assets = len(bar)
    happened = cap_wishes(bar, wish, value, before, rules) | drop_small(wish, value, before, rules)
    equity = equity_after_costs(bar, wish, value, before, taker, scale)
    if equity <= 0.0:  # nothing is left to hold anything with
        for n in range(assets):
            if bar[n, at.CAPACITY] > 0.0:
                wish[n] = 0.0
    happened |= write_orders(bar, wish, value, order, equity)
    if assets > 1:
        cut_increases(value, order, rules[at.GROSS] * equity)
    for n in range(assets):
        if order[n] != 0.0:
            held = account[at.HOLDINGS + at.PER_ASSET * n + at.UNITS]
            units = units_of(bar, n, wish[n], order[n], value[n], held)
            if units != 0.0:
                fill_order(account, bar, n, units, units * bar[n, at.FILL], taker, scale)
    return happened


@rule
def tiers_of(rules):
    """How many fee tiers there are."""
    return (len(rules) - at.RULES) // at.PER_TIER


@rule
def fees_of(account, bar, rules, volumes):
    """Taker and maker fee at this bar; with tiers, by what was traded in the last thirty days of UTC."""
    if tiers_of(rules) == 0:
        return rules[at.TAKER], rules[at.MAKER]
    day = bar[0, at.DAY]
    gone = min(day - account[at.LAST_DAY], float(at.DAYS))
    for back in range(int(gone)):
        account[volumes + int(day - back) % at.DAYS] = 0.0
    account[at.LAST_DAY] = day
    traded = 0.0
    for slot in range(at.DAYS):
        traded += account[volumes + slot]
    reached = at.RULES
    for tier in range(at.RULES + at.PER_TIER, len(rules), at.PER_TIER):
        if traded >= rules[tier + at.FROM]:
            reached = tier
    return rules[reached + at.TIER_TAKER], rules[reached + at.TIER_MAKER]


@rule
def due(account, wish, decided, latency, queue):
    """Whether an order is due at this bar; `wish` becomes that order, and what was decided now goes into the queue."""
    if latency == 0:
        return decided
    waiting = False
    slot = queue + (int(account[at.BARS]) % latency) * len(wish)
    for n in range(len(wish)):
        late = account[slot + n]
        account[slot + n] = wish[n] if decided else np.nan
        wish[n] = late
        waiting = waiting or not np.isnan(late)
    return waiting


@rule
def walk_bar(account, bar, wish, value, order, decided, rules, volumes, queue):
    """One bar. Returns (equity before, whether the account has ended)."""
    assets = len(bar)
    ruin_level = rules[at.RUIN] * account[at.START]
    before = account[at.CASH]
    for n in range(assets):
        value[n] = account[at.HOLDINGS + at.PER_ASSET * n + at.UNITS] * bar[n, at.FILL]
        before += value[n]
    if before <= ruin_level:
        for n in range(assets):
            h = at.HOLDINGS + at.PER_ASSET * n
            account[h + at.UNITS] = account[h + at.HELD] = 0.0
        account[at.CASH] = account[at.EQUITY] = before
        return before, True

    scale = account[at.COST_SCALE] * rules[at.PRICE]
    taker, maker = fees_of(account, bar, rules, volumes)
    taker, maker = taker * scale, maker * scale
    traded = account[at.TRADED]
    happened = 0
    if due(account, wish, decided, int(rules[at.LATENCY]), queue):
        happened = trade(account, bar, wish, value, order, before, taker, scale, rules)

    # on what is held after the order, whatever happens to it inside the bar
    cash = account[at.CASH]
    interest = rules[at.CASH_APR] * -cash if cash < 0.0 else 0.0
    short = False
    for n in range(assets):
        units = account[at.HOLDINGS + at.PER_ASSET * n + at.UNITS]
        if units < 0.0:
            interest -= bar[n, at.BORROW] * units * bar[n, at.FILL]
            short = True
    interest *= bar[0, at.YEARS]

    # without debts or shorts, equity never falls to a share of what is held
    if (rules[at.MAINTENANCE] > 0.0 and (short or cash < 0.0)) or rules[at.STOP_LOSS] + rules[at.TRAILING] > 0.0:
        happened |= walk_adverse(account, bar, rules, taker, scale)
    if rules[at.TAKE_PROFIT] > 0.0:
        happened |= take_profits(account, bar, rules, maker)

    paid = 0.0
    for n in range(assets):
        paid += bar[n, at.PAYS] * account[at.HOLDINGS + at.PER_ASSET * n + at.UNITS] * bar[n, at.CLOSE]
    account[at.CASH] -= interest + paid
    account[at.INTEREST] += interest
    account[at.CARRY] += paid

    equity = account[at.CASH]
    for n in range(assets):
        h = at.HOLDINGS + at.PER_ASSET * n
        units = account[h + at.UNITS]
        equity += units * bar[n, at.CLOSE]
        if units != 0.0:
            account[h + at.HELD] += 1.0
            if units > 0.0:
                account[h + at.BEST] = max(account[h + at.BEST], bar[n, at.HIGH])
            else:
                account[h + at.BEST] = min(account[h + at.BEST], bar[n, at.LOW])
    account[at.EQUITY] = equity
    account[at.PEAK] = max(account[at.PEAK], equity)
    account[at.STOP_PEAK] = max(account[at.STOP_PEAK], equity)
    if tiers_of(rules) > 0:
        account[volumes + int(bar[0, at.DAY]) % at.DAYS] += account[at.TRADED] - traded
    account[at.HAPPENED] = float(int(account[at.HAPPENED]) | happened)
    return before, equity <= ruin_level


@rule
def step_account(account, work, bars, decisions, rules):
    """One step of one account, from its decision to the next. Returns (row, reward, whether the account has ended)."""
    assets = bars.shape[1]
    wish, value, order, target = work[0], work[1], work[2], work[3]
    k = int(account[at.DECISION])
    row, following = decisions[k, 0], decisions[k + 1, 0]
    volumes = at.HOLDINGS + 2 * at.PER_ASSET * assets
    queue = volumes + (at.DAYS if tiers_of(rules) > 0 else 0)
    last, last_growth, traded = account[at.EQUITY], account[at.LOG_EQUITY], account[at.TRADED]
    drawdown = 1.0 - last / account[at.PEAK]
    for f in range(at.HOLDINGS + at.PER_ASSET * assets, volumes):
        account[f] = 0.0
    account[at.HAPPENED] = float(decide(account, bars[row], target, wish, rules))

    start_of_step = 0.0
    for r in range(row + 1, following + 1):
        before, ended = walk_bar(account, bars[r], wish, value, order, r == row + 1, rules, volumes, queue)
        account[at.BARS] += 1.0
        if r == row + 1:
            start_of_step = before
        if ended:
            break
    account[at.TURNOVER] = (account[at.TRADED] - traded) / start_of_step if account[at.TRADED] > traded else 0.0
    share = account[at.EQUITY] / account[at.START]
    account[at.LOG_EQUITY] = np.log(share if share > SMALLEST_SHARE else SMALLEST_SHARE)
    growth = account[at.LOG_EQUITY] - last_growth
    account[at.DECISION] = k + 1.0
    account[at.AGE] += 1.0
    return following, reward_of(account, last, account[at.EQUITY], growth, drawdown, rules), ended


@rule
def hashed(stream, episode):
    """Sixty-four random bits: SplitMix64 (Steele, Lea, Flood 2014, figure 17) at position `episode` of `stream`."""
    z = np.uint64(stream) + np.uint64(episode + 1.0) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@rule
def open_episode(account, chosen, bars, decisions, starts, rules):
    """All cash at decision `chosen`, or, if that is -1, at the next start of the account's own stream."""
    assets = bars.shape[1]
    stream, episodes = account[at.STREAM], account[at.EPISODES]
    bits = hashed(stream, episodes)
    if chosen < 0:
        place = np.int64(bits % np.uint64(len(starts)))
        if rules[at.SEQUENTIAL] > 0.0:  # one after the other, from where the stream says
            place = np.int64(hashed(stream, -1.0) % np.uint64(len(starts)) + np.uint64(episodes)) % len(starts)
        chosen = starts[place]
    for column in range(len(account)):
        account[column] = 0.0
    account[at.STREAM], account[at.EPISODES] = stream, episodes + 1.0
    account[at.CASH] = account[at.EQUITY] = account[at.PEAK] = account[at.START] = rules[at.CAPITAL]
    account[at.STOP_PEAK] = rules[at.CAPITAL]
    share = np.float64(bits >> np.uint64(11)) / 9007199254740992.0
    account[at.COST_SCALE] = rules[at.SCALE_LOW] + share * (rules[at.SCALE_HIGH] - rules[at.SCALE_LOW])
    account[at.DECISION] = chosen
    account[at.LENGTH] = min(rules[at.LONGEST], decisions[chosen, 1] - chosen)
    queue = at.HOLDINGS + 2 * at.PER_ASSET * assets + (at.DAYS if tiers_of(rules) > 0 else 0)
    for slot in range(queue, queue + int(rules[at.LATENCY]) * assets):
        account[slot] = np.nan
    return decisions[chosen, 0]


@loop
def reset_accounts(chosen, address):
    plan = plan_at(address)
    state, _, outcome, observed, _, _, bars, decisions, starts, rules = arrays_of(plan, plan[at.ASSETS])
    for b in range(len(state)):
        row = open_episode(state[b], chosen[b], bars, decisions, starts, rules)
        show_account(state[b], bars[row], observed[b])
        outcome[:, b] = 0.0
        outcome[at.ROW, b] = row


@rule
def step_each(first, last, plan, assets):
    state, target, outcome, observed, final, final_observed, bars, decisions, starts, rules = arrays_of(plan, assets)
    work = work_of(plan, first, assets)
    for b in range(first, last):
        fetch_ahead(b, last, state, outcome, plan)
        account = state[b]
        if account[at.ENDED] > 0.0:  # ruined and not opened anew: nothing moves any more
            outcome[at.REWARD, b] = outcome[at.EVENT_BITS, b] = account[at.TURNOVER] = 0.0
            continue
        k = int(account[at.DECISION])
        if k >= decisions[k, 1]:
            return True
        for n in range(assets):
            work[3, n] = target[b, n]
        row, reward, ended = step_account(account, work, bars, decisions, rules)
        account[at.ENDED] = 1.0 if ended else 0.0
        done = ended or account[at.AGE] >= account[at.LENGTH]
        outcome[at.ROW, b] = row
        outcome[at.REWARD, b] = reward
        outcome[at.TERMINATED, b] = 1.0 if ended else 0.0
        outcome[at.TRUNCATED, b] = 1.0 if done and not ended else 0.0
        outcome[at.EVENT_BITS, b] = account[at.HAPPENED]
        show_account(account, bars[row], observed[b])
        if done and rules[at.AUTORESET] > 0.0:
            final[b] = account
            final_observed[b] = observed[b]
            row = open_episode(account, -1, bars, decisions, starts, rules)
            outcome[at.ROW, b] = row
            show_account(account, bars[row], observed[b])
    return False


@loop
def step_accounts(first, last, address):
    """One step of accounts `first` to `last`; with AUTORESET, one that is done is opened anew and its end kept.

    Returns whether it stopped at an account whose span was over.
    """
    plan = plan_at(address)
    if plan[at.ASSETS] == 1:  # a number that the compiler knows: its loops over assets fall away
        return step_each(first, last, plan, 1)
    return step_each(first, last, plan, plan[at.ASSETS])
