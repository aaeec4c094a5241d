"""The engine against numbers worked out by hand; tests/envs/test_ledger_rules.py holds it against a plain ledger."""

from __future__ import annotations

import numpy as np
import pytest

from configs.errors import UserError
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import CostConfig
from envs.exits import MarginConfig
from envs.layout import CARRY, CASH, EQUITY, FEES, INTEREST, SLIPPAGE, TAKER, UNITS
from envs.risk import RiskConfig
from tests.envs.markets import market_of, random_market

NO_MARGIN = MarginConfig(maintenance=0.0)  # what happens at the close alone


def test_a_weight_of_one_leaves_cash_at_zero_and_never_below():
    engine = Engine(random_market(50), EnvConfig(), accounts=1, window=1)
    engine.reset([0])
    engine.step(np.array([[1.0]]))
    assert engine.money[0, CASH] == pytest.approx(-engine.money[0, CARRY], abs=1e-9)


def test_costs_by_hand():
    """100 at 10 bps fee and a 20 bps spread: buy 1 asset with everything, price stands still."""
    market = market_of(np.full((3, 1), 10.0), np.full((3, 1), 10.0))
    config = EnvConfig(costs=CostConfig(fee_bps=10, spread_bps=20, slippage_bps=0, borrow_apr=0), capital=100.0)
    engine = Engine(market, config, accounts=1, window=1)
    engine.reset([0])
    engine.step(np.array([[1.0]]))
    after = 100 / (1.001 * 1.001)  # cash 100 buys E worth at the open for E * 1.001 (slip) * 1.001 (fee)
    assert engine.money[0, EQUITY] == pytest.approx(after, rel=1e-14)
    assert engine.money[0, FEES] == pytest.approx(after * 1.001 * 0.001, rel=1e-14)
    assert engine.money[0, SLIPPAGE] == pytest.approx(after * 0.001, rel=1e-14)


def test_long_pays_and_short_receives_carry():
    market = market_of(np.full((3, 1), 10.0), np.full((3, 1), 10.0), carry=np.full((3, 1), 0.01))
    config = EnvConfig(costs=CostConfig.flat_fee(0.0), capital=100.0)
    for weight, equity in ((1.0, 99.0), (-1.0, 101.0), (0.0, 100.0)):
        engine = Engine(market, config, accounts=1, window=1)
        engine.reset([0])
        engine.step(np.array([[weight]]))
        assert engine.money[0, EQUITY] == pytest.approx(equity, rel=1e-14)


def test_interest_accrues_on_shorts_and_survives_a_flip():
    flat = np.full((4, 1), 10.0)
    config = EnvConfig(costs=CostConfig.flat_fee(0.0, borrow_apr=0.5), risk=RiskConfig(band=0.0), capital=100.0)
    engine = Engine(market_of(flat, flat), config, accounts=1, window=1)
    engine.reset([0])
    paid = []
    for weight in (-1.0, -1.0, 1.0):
        engine.step(np.array([[weight]]))
        paid.append(engine.money[0, INTEREST])
    assert paid[0] == pytest.approx(100 * 0.5 / 8760)
    assert paid[1] == pytest.approx(paid[0] + (100 - paid[0]) * 0.5 / 8760)
    assert paid[2] == paid[1]  # a long without leverage borrows nothing, and what was paid stays paid


def test_ruin_ends_the_episode_and_its_loss_is_paid():
    opens = np.array([[10.0], [10.0], [10.0], [10.0]])
    closes = np.array([[10.0], [10.0], [25.0], [10.0]])
    config = EnvConfig(costs=CostConfig.flat_fee(0.0), margin=NO_MARGIN, capital=100.0)
    engine = Engine(market_of(opens, closes), config, 1, window=1)
    engine.reset([0])
    engine.step(np.array([[-1.0]]))
    assert not engine.terminated[0]
    engine.step(np.array([[-1.0]]))
    assert engine.terminated[0]
    assert not engine.truncated[0]
    assert engine.money[0, EQUITY] == pytest.approx(-50.0)
    assert engine.reward[0] == pytest.approx(np.log(0.001))


def test_ruin_at_the_open_is_final_even_if_the_close_recovers():
    """Short at 10; the next open is 25, the close 10 again: whoever had nothing left at the open was sold out there."""
    opens = np.array([[10.0], [10.0], [25.0], [10.0]])
    engine = Engine(market_of(opens, np.full((4, 1), 10.0)), EnvConfig(costs=CostConfig.flat_fee(0.0), capital=100.0),
                    1, window=1)
    engine.reset([0])
    engine.step(np.array([[-1.0]]))
    engine.step(np.array([[-1.0]]))
    assert engine.terminated[0]
    assert engine.money[0, EQUITY] == pytest.approx(-50.0)
    assert engine.holdings[0, 0, UNITS] == 0


def test_when_an_order_costs_more_than_is_left_everything_is_closed():
    """Short 10 coins at 10; at 19.4 six are left, and turning round would cost nineteen."""
    opens = np.array([[10.0], [10.0], [19.4], [19.4]])
    config = EnvConfig(costs=CostConfig.flat_fee(0.0), capital=100.0)
    engine = Engine(market_of(opens, opens), config, accounts=1, window=1)
    engine.reset([0])
    engine.step(np.array([[-1.0]]))
    engine.rules[TAKER] = 0.1
    engine.step(np.array([[1.0]]))
    assert engine.holdings[0, 0, UNITS] == 0
    assert engine.money[0, EQUITY] == pytest.approx(6 - 19.4)
    assert engine.terminated[0]


def test_a_step_past_the_span_is_refused():
    engine = Engine(random_market(3), EnvConfig(), accounts=1, window=1)
    engine.reset([0])
    engine.step(np.zeros((1, 1)))
    engine.step(np.zeros((1, 1)))
    with pytest.raises(IndexError, match="span is over"):
        engine.step(np.zeros((1, 1)))


def test_across_a_gap_the_order_fills_at_the_first_open_and_the_position_is_held():
    rows, window = 12, 3
    closes = 10.0 + np.arange(rows)[:, None]
    opens = closes - 0.5
    time = np.datetime64("2020-01-01T01:00", "us") + np.arange(rows) * np.timedelta64(3_600_000_000, "us")
    time[6:] += np.timedelta64(10 * 3_600_000_000, "us")
    market = market_of(opens, closes, segments=np.array([[0, 6], [6, rows]]), time=time)
    engine = Engine(market, EnvConfig(costs=CostConfig.flat_fee(0.0, borrow_apr=0.5), capital=100.0), 1, window)
    assert engine.decisions[:, 0].tolist() == [2, 3, 4, 5, 8, 9, 10, 11]
    engine.reset([0], starts=np.array([3]))  # row 5, the last before the gap
    engine.step(np.array([[-1.0]]))
    assert engine.rows[0] == 8
    units = -100 / opens[6, 0]
    # eleven hours to the first bar, then one each, on what the short is worth at each open
    interest = 0.5 / 8760 * -units * (11 * opens[6, 0] + opens[7, 0] + opens[8, 0])
    assert engine.money[0, EQUITY] == pytest.approx(100 + units * (closes[8, 0] - opens[6, 0]) - interest)


@pytest.mark.parametrize("bad", [{"fee_bps": -1.0}, {"spread_bps": 5000.0}, {"impact": 1.0}])
def test_senseless_costs_are_refused(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        CostConfig(**bad)
