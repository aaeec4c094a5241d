"""The plain ledger itself, against numbers that the comments work out: who checks the engine must first be right."""

from __future__ import annotations

import math

import pytest

from tests.envs.ledger import Ledger
from tests.envs.ledger_costs import numbers_of, quotes
from tests.envs.ledger_rewards import Rewards
from tests.envs.ledger_terms import Bar, Rules

NAN, FREE = math.nan, [math.inf] * 3


def account(assets: int = 1, **rules) -> Ledger:
    return Ledger(Rules(**{"capital": 100.0, "gross": 3.0, **rules}), assets)


def bar(*prices: tuple[float, float, float, float], **others) -> Bar:
    """Fills at the open; each price is (open, high, low, close)."""
    o, high, low, close = (list(known) for known in zip(*prices))
    return Bar(**{**Bar.still(*o).__dict__, "high": high, "low": low, "close": close, **others})


def trade(ledger: Ledger, weights: list[float], *prices: float, **others) -> float:
    return ledger.step(weights, [Bar.still(*prices, **others)], FREE)


def test_fee_and_spread():
    ledger = account(taker=0.01)
    trade(ledger, [1.0], 10.0, buy=[0.01], sell=[0.02])
    assert ledger.equity == pytest.approx(100 / 1.01 / 1.01)  # 1.01 the price, 1.01 with the fee
    trade(ledger, [0.0], 10.0, buy=[0.01], sell=[0.02])
    assert ledger.cash == pytest.approx(100 / 1.01 / 1.01 * 0.98 * 0.99)
    assert ledger.units == [0.0]


def test_impact_grows_with_the_root_of_the_order():
    ledger = account(capital=101.0)
    trade(ledger, [1.0], 10.0, impact=[0.001])  # 100 moves the price by 0.001 * 10 = 1%
    assert ledger.equity == pytest.approx(100.0)
    assert (ledger.fills[0].units, ledger.fills[0].price) == pytest.approx((10.0, 10.1))
    assert ledger.slippage == pytest.approx(1.0)


@pytest.mark.parametrize(("rules", "wishes", "values", "event"), [
    ({"gross": 1.0}, [1.0, -1.0], [50.0, -50.0], "gross_cap"),
    ({"gross": 2.0, "net": 0.2}, [0.8, -0.4], [60.0, -40.0], "net_cap"),
    ({"gross": 2.0, "net": 0.2}, [-0.8, 0.4], [-60.0, 40.0], "net_cap"),
    ({"gross": 2.0, "net": 0.0}, [0.8, NAN], [0.0, 0.0], "net_cap"),
    ({"turnover": 0.5}, [1.0, -1.0], [25.0, -25.0], "turnover_cap"),
    ({"max_weight": 0.3}, [1.0, -0.1], [30.0, -10.0], "sized"),
    ({"band": 0.02}, [0.01, -0.5], [0.0, -50.0], "band"),
    ({"min_notional": 30.0}, [0.2, 0.4], [0.0, 40.0], "band"),
    ({"lots": [4.0, 3.0]}, [1.0, -1.0], [80.0, -90.0], None),
])
def test_one_rule_on_an_order_of_100_at_a_price_of_10(rules, wishes, values, event):
    ledger = account(2, **rules)
    trade(ledger, wishes, 10.0, 10.0)
    assert [10 * units for units in ledger.units] == pytest.approx(values)
    assert ledger.notes.events == ({event} if event else set())


def test_an_asset_left_alone_counts_toward_the_caps():
    ledger = account(2, gross=1.0)
    trade(ledger, [0.5, NAN], 10.0, 10.0)
    trade(ledger, [NAN, 1.0], 10.0, 10.0)
    assert ledger.units == pytest.approx([5.0, 5.0])


def test_sizing_looks_at_the_row_of_the_decision():
    ledger = account(latency=1)
    ledger.step([1.0], [Bar.still(10.0)], [0.4])
    assert ledger.units == [0.0]
    ledger.step([NAN], [Bar.still(10.0)], [0.1])
    assert ledger.units == pytest.approx([4.0])


def test_a_close_is_always_sent_but_not_without_a_market():
    ledger = account(band=0.5)
    trade(ledger, [0.6], 10.0)
    trade(ledger, [0.5], 10.0)
    assert ledger.notes.events == {"band"}
    trade(ledger, [0.0], 10.0, capacity=[0.0])
    assert ledger.notes.events == {"untradeable"}
    assert ledger.units == pytest.approx([6.0])
    trade(ledger, [0.0], 10.0)
    assert ledger.units == [0.0]


def test_a_partial_sale_must_not_make_a_buyer_borrow():
    ledger = account(2, gross=1.0)
    trade(ledger, [1.0, 0.0], 10.0, 10.0)
    trade(ledger, [0.0, 1.0], 10.0, 10.0, capacity=[40.0, math.inf])  # 60 are left in the one: 40 for the other
    assert ledger.units == pytest.approx([6.0, 4.0])
    assert ledger.notes.events == {"partial_fill"}


def test_who_turns_has_all_of_the_new_side_cut():
    ledger = account(2, gross=1.0)
    trade(ledger, [0.2, 0.8], 10.0, 10.0)
    trade(ledger, [-1.0, 0.0], 10.0, 10.0, capacity=[math.inf, 10.0])  # 70 are left of the 80: 30 for the short
    assert ledger.units == pytest.approx([-3.0, 7.0])


def test_an_order_that_costs_more_than_is_left_closes_everything():
    ledger = account(gross=1.0)
    trade(ledger, [-1.0], 10.0)
    ledger.rules.taker = 0.1
    trade(ledger, [1.0], 19.4)  # 6 are left, and buying back costs 19.4
    assert ledger.units == [0.0]
    assert ledger.equity == pytest.approx(6 - 19.4)
    assert ledger.ended


def test_lots_never_leave_more_than_was_asked_for():
    ledger = account(lots=[4.0])
    trade(ledger, [0.9], 10.0)  # 9 units: two lots
    assert ledger.units == [8.0]
    trade(ledger, [0.5], 10.0)  # down by 3: a whole lot
    assert ledger.units == [4.0]
    ledger.rules.lots = [3.0]
    trade(ledger, [-0.5], 10.0)  # turns by 9: three lots
    assert ledger.units == [-5.0]
    trade(ledger, [-0.1], 10.0)  # back by 4: two lots would turn
    assert ledger.units == [0.0]
    trade(ledger, [-0.35], 10.0)
    trade(ledger, [0.0], 10.0)
    assert ledger.units == [0.0]


def test_entry_price():
    ledger = account()
    for weight, price, entry in ((0.5, 10.0, 10.0), (4 / 3, 20.0, 15.0), (0.5, 20.0, 15.0), (-0.5, 25.0, 25.0)):
        trade(ledger, [weight], price)  # 5 at 10, 5 more at 20; selling leaves the average; a turn starts anew
        assert ledger.positions[0].entry == pytest.approx(entry)


@pytest.mark.parametrize(("weight", "rules", "prices", "out", "why"), [
    (1.0, {"stop_loss": 0.1}, (9.5, 9.6, 8.5, 9.2), 9.0, "stop_loss"),
    (1.0, {"stop_loss": 0.1}, (8.8, 9.6, 8.5, 9.2), 8.8, "stop_loss"),
    (-1.0, {"stop_loss": 0.1}, (10.5, 11.5, 10.0, 10.2), 11.0, "stop_loss"),
    (-1.0, {"stop_loss": 0.1}, (11.2, 11.5, 10.0, 10.2), 11.2, "stop_loss"),
    (1.0, {"trailing_stop": 0.1, "stop_loss": 0.5}, (11.0, 11.0, 10.0, 11.0), 10.8, "trailing_stop"),
    (-1.0, {"trailing_stop": 0.1}, (9.0, 9.95, 9.0, 9.0), 9.9, "trailing_stop"),
    (1.0, {"take_profit": 0.1}, (10.5, 11.5, 10.0, 11.2), 11.0, "take_profit"),
    (-1.0, {"take_profit": 0.1}, (9.5, 9.5, 8.5, 9.2), 9.0, "take_profit"),
    (1.0, {"take_profit": 0.1, "stop_loss": 0.1}, (10.0, 12.0, 8.0, 10.0), 9.0, "stop_loss"),
])
def test_exits_inside_a_bar(weight, rules, prices, out, why):
    """In at 10; that bar reaches 12 and 9, so a trailing stop stands at 10.8 for a long and at 9.9 for a short."""
    ledger = account(maker=0.001, taker=0.01)
    first = bar((10.0, 12.0, 9.0, 10.0), capacity=[math.inf])
    ledger.step([weight], [first], FREE)
    ledger.rules.__dict__.update(rules)
    units = ledger.units[0]
    paid = ledger.fees
    ledger.step([NAN], [bar(prices, sell=[0.02], buy=[0.02])], FREE)
    taken = 0.0 if why == "take_profit" else -0.02 * weight
    assert (ledger.units[0], ledger.notes.events) == (0.0, {why})
    assert ledger.fills[0].price == pytest.approx(out * (1 + taken))
    assert ledger.fees - paid == pytest.approx(abs(units) * out * (1 + taken) * (0.001 if not taken else 0.01))


def test_no_stop_where_nobody_trades_but_a_liquidation():
    ledger = account(stop_loss=0.1, take_profit=0.1)
    trade(ledger, [1.0], 10.0)
    ledger.step([NAN], [bar((10.0, 20.0, 5.0, 10.0), capacity=[0.0])], FREE)
    assert ledger.units == [10.0]
    ledger.rules.maintenance = 1.0
    ledger.step([NAN], [bar((10.0, 20.0, 5.0, 10.0), capacity=[0.0])], FREE)
    assert (ledger.units, ledger.cash) == ([0.0], pytest.approx(100.0))


def test_liquidation():
    ledger = account(maintenance=0.1, liquidation_fee=0.05)
    ledger.step([3.0], [bar((10.0, 10.0, 5.0, 8.0))], FREE)
    # 30 units and 200 of debt: 30 p - 200 = 0.1 * 30 p at p = 200 / 27; the fee is 5% of 222.22
    assert ledger.fills[-1].price == pytest.approx(200 / 27)
    assert ledger.equity == pytest.approx(30 * 200 / 27 * 0.95 - 200)
    assert ledger.notes.events == {"liquidation"}
    assert ledger.interest == 0.0
    assert not ledger.ended


@pytest.mark.parametrize(("stop", "events", "cash"), [
    (0.2, {"stop_loss"}, -20.0),  # the first asset is out at 8, s = 0.4, before 7 (a + b) = 100 at s = 0.879
    (0.48, {"liquidation"}, 100 / 0.7 - 100),
])
def test_a_stop_and_a_liquidation_happen_in_the_order_of_prices(stop, events, cash):
    ledger = account(2, maintenance=0.3, stop_loss=stop)
    ledger.step([1.0, 1.0], [bar((10.0, 10.0, 5.0, 9.0), (10.0, 10.0, 8.5, 9.0))], FREE)
    assert ledger.notes.events == events
    assert ledger.cash == pytest.approx(cash)


def test_carry_and_interest():
    ledger = account(2, borrow=0.1, borrow_of={1: 0.5})
    ledger.step([2.0, -1.0], [bar((10.0, 11.0, 10.0, 11.0), (10.0, 10.0, 10.0, 10.0), carry=[0.01, 0.02], years=0.5)],
                FREE)
    assert ledger.carry == pytest.approx(220 * 0.01 - 100 * 0.02)
    assert ledger.interest == pytest.approx(0.5 * 100 * 0.5)  # the short; cash is 100 - 200 + 100 = 0
    ledger = account(1, borrow=0.1)
    ledger.step([3.0], [Bar.still(10.0, years=0.5)], FREE)
    assert ledger.interest == pytest.approx(0.5 * 200 * 0.1)


def test_ruin_is_final_at_the_open_at_the_close_and_inside_a_gap():
    for at_open in (True, False):
        ledger = account()
        trade(ledger, [-1.0], 10.0)
        end = Bar.still(25.0) if at_open else bar((10.0, 25.0, 10.0, 25.0))
        reward = ledger.step([-1.0], [end, Bar.still(1.0)], FREE)
        assert (ledger.ended, ledger.equity) == (True, pytest.approx(-50.0))
        assert reward == pytest.approx(math.log(0.001))
        assert trade(ledger, [1.0], 10.0) == 0.0
        assert ledger.equity == pytest.approx(-50.0)


def test_an_order_on_its_way_is_due_some_bars_later_across_a_gap_too():
    ledger = account(latency=2, gross=1.0)
    ledger.step([1.0], [Bar.still(10.0)], FREE)
    ledger.step([-1.0], [Bar.still(10.0), Bar.still(20.0)], FREE)  # the first fills at 20, one more bar for the other
    assert ledger.units == [5.0]
    ledger.step([NAN], [Bar.still(40.0)], FREE)
    assert ledger.units == [-5.0]


def test_drawdown_stop_and_its_cooldown():
    ledger = account(drawdown_stop=0.19, cooldown=2)
    held = []
    for price in (10.0, 8.0, 8.0, 8.0, 8.0, 6.0):
        held.append(ledger.closed_for)
        trade(ledger, [1.0], price)
    # the fall to 8 shows at the third decision: flat for it and the next, in again at the fifth with a peak of 80
    assert [bool(x) for x in held] == [False, False, False, True, True, False]
    assert ledger.units == pytest.approx([10.0])
    trade(ledger, [1.0], 6.0)
    assert (ledger.units, ledger.notes.events) == ([0.0], {"drawdown_stop"})
    ledger = account(drawdown_stop=0.19)
    for price in (10.0, 8.0, 8.0, 100.0):
        trade(ledger, [1.0], price)
    assert ledger.equity == pytest.approx(80.0)


@pytest.mark.parametrize(("day", "fee"), [(1, 0.001), (30, 0.001), (31, 0.01)])
def test_a_fee_tier_counts_thirty_days_and_not_the_order_itself(day, fee):
    ledger = account(taker=0.01, maker=0.005, tiers=[(1000.0, 0.0, 0.0), (60.0, 0.001, 0.0005)])
    ledger.trades = [(1, 60.0)]
    trade(ledger, [0.5], 10.0, day=day)
    assert ledger.fees == pytest.approx(10 * ledger.units[0] * fee)


def test_rewards_by_hand():
    def second(term: str, first: float, then: float) -> float:
        rewards = Rewards({term: 1.0}, memory=2.0, aversion=3.0, start=100.0)
        assert rewards.of(100, 100 * (1 + first), 0, 0, 0.0) == 0.0 or term not in ("sharpe", "downside")
        return rewards.of(100, 100 * (1 + then), 0.1, 0.3, 0.25)

    # after a gain of 0.1: A = 0.05, B = 0.005, variance 0.0025
    assert second("sharpe", 0.1, 0.0) == pytest.approx((0.005 * -0.05 + 0.05 * 0.005 / 2) / 0.000125)
    assert second("downside", -0.1, 0.1) == pytest.approx(0.125 / math.sqrt(0.005))
    assert second("downside", -0.1, -0.1) == pytest.approx((0.005 * -0.075 + 0.05 * 0.01 / 2) / 0.005**1.5)
    assert second("log_growth", 0.0, 0.1) == pytest.approx(math.log(1.1))
    assert second("profit", 0.0, 0.1) == pytest.approx(0.1)
    assert second("mean_variance", 0.0, 0.1) == pytest.approx(0.1 - 1.5 * 0.01)
    assert second("drawdown", 0.0, 0.1) == pytest.approx(-0.2)
    assert second("turnover", 0.0, 0.1) == pytest.approx(-0.25)


def test_the_numbers_of_a_bar():
    costs = {"spread_bps": 20, "slippage_bps": 5, "impact": 0.5, "max_share": 0.1}
    raw = (10.0, 12.0, 9.0, 11.0, 100.0)
    known = numbers_of(9.5, raw, costs, volatility=0.02)
    assert (known["fill"], known["buy"], known["sell"]) == (10.0, pytest.approx(0.0015), pytest.approx(0.0015))
    assert known["capacity"] == pytest.approx(110.0)
    assert known["impact"] == pytest.approx(0.5 * 0.02 / math.sqrt(1100))
    assert numbers_of(9.5, raw, costs | {"fill": "same_close"})["fill"] == 9.5
    unlucky = numbers_of(9.5, raw, costs | {"fill": "worst"})  # bought at 12 and sold at 9, and the spread beside it
    assert (unlucky["buy"], unlucky["sell"]) == (pytest.approx(0.2015), pytest.approx(0.1015))
    absent = numbers_of(9.5, (NAN,) * 5, costs)
    assert (absent["fill"], absent["low"], absent["close"], absent["capacity"]) == (9.5, 9.5, 9.5, 0.0)
    assert numbers_of(None, (NAN,) * 5, costs)["close"] == 1.0
    assert numbers_of(9.5, (10.0, 10.0, 10.0, 10.0, 0.0), {"spread_bps": 0, "slippage_bps": 0})["capacity"] == 0.0
    assert quotes(10.07, 0.0015, 0.05) == pytest.approx((10.1 / 10.07 - 1, 1 - 10.05 / 10.07))
