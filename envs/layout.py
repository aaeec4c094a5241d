"""Where each number stands in the arrays that the compiled rules read and write.

An account is one row of `state` (B, S) float64: money, clock and outcome of the last step, then for each asset what is
held and what was filled, then, where they are in use, the value traded on each of thirty days and orders on their way.
A copy of one row is the whole account, and there is nothing else to save or restore.
"""

from __future__ import annotations

from functools import lru_cache

# one account: money in quote currency, LOG_EQUITY is log(equity / start); totals run over the episode
CASH, EQUITY, PEAK, START, LOG_EQUITY, TURNOVER, FEES, SLIPPAGE, CARRY, INTEREST, TRADED = range(11)
PAID = [FEES, SLIPPAGE, CARRY, INTEREST]  # all that trading and holding cost
# drawdown stop: highest equity since it last fired, decisions it still holds (-1: for good); costs of this episode
STOP_PEAK, HALT, COST_SCALE = range(11, 14)
# running averages of the returns, for rewards
MEAN, SQUARE, DOWNSIDE = range(14, 17)
MONEY = 17  # how many of the above
# clock: decision, steps and bars walked, length of the episode; STREAM is below 2**53, so exact
DECISION, AGE, LENGTH, EPISODES, STREAM, BARS, LAST_DAY = range(17, 24)
HAPPENED, ENDED = range(24, 26)  # bits of what happened in the last step; ruined
HOLDINGS = 26  # first of 4 N numbers: units, entry price, bars held, best price since entry
UNITS, ENTRY, HELD, BEST = range(4)
# the 4 N after them: what the order filled, and what a stop, a take profit or a liquidation filled inside the bar
ORDER_UNITS, ORDER_PRICE, EXIT_UNITS, EXIT_PRICE = range(4)
PER_ASSET = 4
# first axis of `outcome` (5, B): the row that is now decided on, how the last step ended, bits of what happened in it
ROW, REWARD, TERMINATED, TRUNCATED, EVENT_BITS = range(5)
DAYS = 30  # of trading that decide the fee tier

# bits of HAPPENED
EVENTS = ("sized", "gross_cap", "net_cap", "turnover_cap", "band", "partial_fill", "untradeable", "stop_loss",
          "trailing_stop", "take_profit", "drawdown_stop", "liquidation")
(SIZED, GROSS_CAP, NET_CAP, TURNOVER_CAP, BAND, PARTIAL_FILL, UNTRADEABLE, STOPPED, TRAILED, TOOK_PROFIT,
 DRAWDOWN_STOPPED, LIQUIDATED) = (1 << bit for bit in range(len(EVENTS)))

# last axis of `bars` (T, N, 16): what a bar means to an account, see envs/execution.py; two cache lines
(FILL, OPEN, HIGH, LOW, CLOSE, BUY, SELL, IMPACT, CAPACITY, PAYS, LIMIT, TRADEABLE, YEARS, DAY, BORROW,
 LOT) = range(16)

COLUMNS = 16

# entries of `plan`, addresses and then sizes: everything that the compiled loops need to find an engine's arrays
(STATE, TARGET, WORK, OUTCOME, OBSERVED, FINAL, FINAL_OBSERVED, BAR_TABLE, DECISIONS, STARTS, RULE_LIST) = range(11)
(ACCOUNTS, WIDTH, SHOWN, ROWS, ASSETS, CHOICES, OPENINGS, RULE_COUNT) = range(11, 19)
PLAN = 19
WORKED = 4  # rows of N numbers that a step works with: wish, value, order, target

# entries of `rules`; the fee tiers follow them, three numbers each
(TAKER, MAKER, CASH_APR, MIN_NOTIONAL, RUIN, CAPITAL, LATENCY, GROSS, NET, TURNOVER_LIMIT, MAX_WEIGHT, NO_TRADE,
 STOP_LOSS, TAKE_PROFIT, TRAILING, DRAWDOWN, COOLDOWN, MAINTENANCE, LIQUIDATION_FEE, SCALE_LOW, SCALE_HIGH, SEQUENTIAL,
 LONGEST, AUTORESET, PRICE) = range(25)
# weights of the reward's terms, and what two of them need
(OF_GROWTH, OF_PROFIT, OF_SHARPE, OF_DOWNSIDE, OF_MEAN_VARIANCE, OF_DRAWDOWN, OF_TURNOVER, RATE,
 AVERSION) = range(25, 34)
RULES = 34
FROM, TIER_TAKER, TIER_MAKER = range(3)  # of a tier: the value traded from which it counts, and its fees
PER_TIER = 3


def width(assets: int, tiers: int, latency: int) -> int:
    """Numbers of one account, in whole cache lines."""
    used = HOLDINGS + 2 * PER_ASSET * assets + (DAYS if tiers else 0) + latency * assets
    return -(-used // 8) * 8


@lru_cache(maxsize=4096)
def happened(bits: int) -> tuple[str, ...]:
    """Names of the events of a step.

    >>> happened(GROSS_CAP | LIQUIDATED)
    ('gross_cap', 'liquidation')
    """
    return () if not bits else tuple(name for bit, name in enumerate(EVENTS) if bits >> bit & 1)
