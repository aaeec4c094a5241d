"""The engine against a plain ledger, and money against itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.account import CARRY, CASH, EQUITY, FEE, FEES, INTEREST, SLIPPAGE, UNITS
from envs.engine import Engine, EnvConfig
from envs.execution import CostConfig
from tests.envs.ledger import Ledger
from tests.envs.markets import market_of, random_market

HOUR_IN_YEARS = 1 / 8760


@st.composite
def cases(draw: st.DrawFn):
    """Random opens, closes, carry, costs and target weights for 1 to 3 assets."""
    assets, steps = draw(st.integers(1, 3)), draw(st.integers(1, 15))
    seed = draw(st.integers(0, 2**32 - 1))
    scale = draw(st.sampled_from([0.001, 0.02, 0.3]))
    rng = np.random.default_rng(seed)
    closes = 50 * np.exp(np.cumsum(rng.normal(0, scale, (steps + 1, assets)), axis=0))
    opens = closes * np.exp(rng.normal(0, scale, closes.shape))
    carry = rng.normal(0, draw(st.sampled_from([0.0, 1e-4, 1e-2])), closes.shape)
    costs = CostConfig(
        fee_bps=draw(st.sampled_from([0.0, 5.0, 10.0, 100.0])),
        spread_bps=draw(st.sampled_from([0.0, 2.0, 50.0])),
        slippage_bps=draw(st.sampled_from([0.0, 1.0])),
        borrow_apr=draw(st.sampled_from([0.0, 0.05, 0.5])),
        min_trade=draw(st.sampled_from([0.0, 0.02, 0.2])),
    )
    levels = draw(st.sampled_from(["discrete", "continuous"]))
    if levels == "discrete":
        weights = rng.integers(-1, 2, (steps, assets)).astype(float)
    else:
        weights = rng.uniform(-1.5, 1.5, (steps, assets)).round(3)
    return opens, closes, carry, costs, weights


def both(opens, closes, carry, costs, weights):
    """Walk engine and ledger side by side; yields them after each step, with the engine's reward and the ledger's."""
    config = EnvConfig(costs=costs, capital=1000.0)
    engine = Engine(market_of(opens, closes, carry), config, accounts=1, window=1)
    engine.reset([0])
    ledger = Ledger(1000.0, opens.shape[1], costs.fee_bps * 1e-4, (costs.spread_bps / 2 + costs.slippage_bps) * 1e-4,
                    costs.borrow_apr, costs.min_trade, config.ruin)
    for k, target in enumerate(weights):
        engine.step(target[None])
        reward = ledger.step(target.tolist(), opens[k + 1].tolist(), closes[k + 1].tolist(), closes[k].tolist(),
                             carry[k + 1].tolist(), HOUR_IN_YEARS)
        yield engine, ledger, float(engine.reward[0]), reward
        if ledger.ruined:
            return


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_engine_agrees_with_the_plain_ledger(case):
    for engine, ledger, reward, expected in both(*case):
        money = engine.money[0]
        assert money[EQUITY] == pytest.approx(ledger.equity, rel=1e-9, abs=1e-7)
        assert money[CASH] == pytest.approx(ledger.cash, rel=1e-9, abs=1e-6)
        assert reward == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert engine.holdings[0, :, UNITS] == pytest.approx(ledger.units, rel=1e-9, abs=1e-9)
        for column, total in ((FEES, ledger.fees), (SLIPPAGE, ledger.slippage), (CARRY, ledger.carry),
                              (INTEREST, ledger.interest)):
            assert money[column] == pytest.approx(total, rel=1e-9, abs=1e-9)
        assert bool(engine.terminated[0]) == ledger.ruined


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_money_is_conserved(case):
    """Equity change = price moves - fees - slippage - carry - interest, with the engine's own totals."""
    opens, closes = case[0], case[1]
    gains, units = 0.0, np.zeros(opens.shape[1])
    for k, (engine, _, _, _) in enumerate(both(*case)):
        gains += float(units @ (opens[k + 1] - closes[k]))
        units = engine.holdings[0, :, UNITS].copy()
        gains += float(units @ (closes[k + 1] - opens[k + 1]))
        money = engine.money[0]
        paid = money[FEES] + money[SLIPPAGE] + money[CARRY] + money[INTEREST]
        assert money[EQUITY] - 1000.0 == pytest.approx(gains - paid, rel=1e-9, abs=1e-7)


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
    config = EnvConfig(costs=CostConfig.flat_fee(0.0, borrow_apr=0.5, min_trade=0.0), capital=100.0)
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
    engine = Engine(market_of(opens, closes), EnvConfig(costs=CostConfig.flat_fee(0.0), capital=100.0), 1, window=1)
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
    engine.rules[FEE] = 0.1
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
    assert engine.decision_rows.tolist() == [2, 3, 4, 5, 8, 9, 10, 11]
    engine.reset([0], starts=np.array([3]))  # row 5, the last before the gap
    engine.step(np.array([[-1.0]]))
    assert engine.rows[0] == 8
    units = -100 / opens[6, 0]
    interest = 0.5 * 13 / 8760 * 100  # ten dark hours and three bars
    assert engine.money[0, EQUITY] == pytest.approx(100 + units * (closes[8, 0] - opens[6, 0]) - interest)


@pytest.mark.parametrize("bad", [{"fee_bps": -1.0}, {"spread_bps": 5000.0}, {"min_trade": 1.0}])
def test_senseless_costs_are_refused(bad):
    from configs.errors import UserError

    with pytest.raises(UserError, match=next(iter(bad))):
        CostConfig(**bad)
