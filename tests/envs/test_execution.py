"""What a bar means to an account: spreads, impact, capacity, ticks, lots, and what is known when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import UserError
from data.market import OPEN, VOLUME, Market
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import COSTS, SPREAD_BARS, CostConfig, bar_table, quoted_spread, range_spread
from envs.exits import MarginConfig
from envs.risk import trailing_volatility
from tests.envs.markets import closing_at, random_market

LIMITS = np.array([[np.inf]])


def table(market: Market, costs: CostConfig, fill: str = "next_open") -> np.ndarray:
    return bar_table(market, costs, fill, LIMITS)


def with_volume(market: Market, volume) -> Market:
    prices = market.prices.copy()
    prices[:, :, VOLUME] = volume
    return replace(market, prices=prices)


def test_half_the_spread_and_the_slippage_make_a_fill_worse():
    bars = table(random_market(10), CostConfig(spread_bps=8, slippage_bps=3))
    assert bars[:, 0, at.BUY] == pytest.approx(7e-4)
    assert bars[:, 0, at.SELL] == pytest.approx(7e-4)
    assert np.isinf(bars[:, 0, at.CAPACITY]).all()


def test_quotes_lie_on_ticks_and_never_in_the_traders_favour():
    market = random_market(50)
    bars = table(market, CostConfig(spread_bps=2, slippage_bps=0, tick={"all": 0.5}))
    opened = market.prices[:, 0, OPEN]
    ask, bid = opened * (1 + bars[:, 0, at.BUY]), opened * (1 - bars[:, 0, at.SELL])
    for quote in (ask, bid):
        assert (quote / 0.5) == pytest.approx(np.round(quote / 0.5), abs=1e-9)
    assert (ask >= opened * (1 + 1e-4) - 1e-9).all()
    assert (bid <= opened * (1 - 1e-4) + 1e-9).all()
    assert (ask - opened < 0.5 + opened * 1e-4).all()


def test_impact_is_the_square_root_of_the_share_of_the_bars_volume():
    market = with_volume(random_market(400), 50.0)
    costs = CostConfig(impact=0.8, max_share=0.2)
    bars = table(market, costs)
    row, value = 300, 50.0 * market.prices[300, 0, 3]
    daily = trailing_volatility(market, SPREAD_BARS)[row - 1, 0] * np.sqrt(24)
    assert bars[row, 0, at.CAPACITY] == pytest.approx(0.2 * value)
    order = 0.1 * value
    assert bars[row, 0, at.IMPACT] * np.sqrt(order) == pytest.approx(0.8 * daily * np.sqrt(0.1))


def test_an_order_beyond_its_share_is_filled_in_part():
    market = with_volume(random_market(20), 1.0)
    config = EnvConfig(costs=CostConfig.flat_fee(0.0, max_share=0.1), capital=1000.0)
    engine = Engine(market, config, 1, window=1)
    engine.reset([0])
    engine.step(np.array([[1.0]]))
    value = 0.1 * market.prices[1, 0, 3]
    assert at.happened(int(engine.events[0])) == ("partial_fill",)
    assert engine.holdings[0, 0, at.UNITS] * market.prices[1, 0, OPEN] == pytest.approx(value)


@pytest.mark.parametrize("capacity", [9_000.0, 12_400.0, 30_000.0, np.inf])
def test_an_order_whose_impact_eats_equity_is_for_what_is_left(capacity):
    """All that fits costs so much that the wish, a share of what is left, is then already exceeded."""
    engine = Engine(Market.flat(10), EnvConfig(costs=CostConfig.named("free"), action="weights", gross=3.0,
                                               margin=MarginConfig(maintenance=0.0)), 1, 1)
    engine.reset([0])
    engine.step(np.array([[1.18]]))
    engine.bars[:, 0, at.IMPACT], engine.bars[:, 0, at.CAPACITY] = 0.0045, capacity
    engine.step(np.array([[3.0]]))
    assert engine.fills[0, 0, at.ORDER_UNITS] > 0
    assert engine.weights()[0, 0] == pytest.approx(3.0, rel=1e-12)


def test_cutting_a_position_that_nothing_can_pay_for_closes_the_account():
    """A tick of 1.0 on a price of 0.1: buying back any part of a short costs ten times its value."""
    engine = Engine(closing_at(0.1, 0.1, 0.1, 0.1), EnvConfig(costs=CostConfig(tick={"all": 1.0})), 1, 1)
    engine.reset([0])
    engine.step(np.array([[-0.5]]))
    assert engine.holdings[0, 0, at.UNITS] < 0
    engine.step(np.array([[-0.2]]))
    assert bool(engine.terminated[0])
    assert engine.holdings[0, 0, at.UNITS] == 0


def test_lots_and_smallest_orders():
    market = random_market(20, scale=0.0001)
    config = EnvConfig(costs=CostConfig.flat_fee(0.0, lot={"A0": 3.0}, min_notional=250.0), capital=1000.0)
    engine = Engine(market, config, 1, window=1)
    engine.reset([0])
    engine.step(np.array([[1.0]]))
    assert engine.holdings[0, 0, at.UNITS] == 9.0  # of about ten
    engine.step(np.array([[0.8]]))
    assert at.happened(int(engine.events[0])) == ("band",)
    engine.step(np.array([[0.0]]))
    assert engine.holdings[0, 0, at.UNITS] == 0.0


def test_fees_fall_with_what_was_traded_in_thirty_days():
    market = random_market(24 * 40, scale=0.0001)
    tiers = ((0.0, 10.0, 10.0), (15_000.0, 5.0, 5.0))
    config = EnvConfig(costs=CostConfig.flat_fee(0.0, tiers=tiers), capital=10_000.0, levels=(0.0, 1.0))
    engine = Engine(market, config, 1, window=1)
    engine.reset([0])
    rates = []
    for wish in (1.0, 0.0, 1.0, *[1.0] * (24 * 31), 0.0):
        fees, traded = engine.money[0, [at.FEES, at.TRADED]]
        engine.step(np.array([[wish]]))
        if engine.money[0, at.TRADED] > traded:
            rates.append((engine.money[0, at.FEES] - fees) / (engine.money[0, at.TRADED] - traded))
    # the first two orders are dear, the third finds 20,000 traded; a month later that is forgotten
    assert rates == pytest.approx([10e-4, 10e-4, 5e-4, 10e-4])


def test_the_estimated_spread_finds_the_one_that_was_put_in():
    """Trades bounce between bid and ask around a walk without a drift: closes lie half a spread off the middle."""
    rng = np.random.default_rng(0)
    rows, ticks, spread = 4000, 60, 0.01
    path = np.cumsum(rng.normal(0, 0.0003, rows * ticks)).reshape(rows, ticks)
    trades = np.exp(path + spread / 2 * rng.choice([-1, 1], (rows, ticks)))
    bars = np.stack([trades[:, 0], trades.max(axis=1), trades.min(axis=1), trades[:, -1], np.ones(rows)], axis=1)
    estimate = range_spread(bars[:, None])[SPREAD_BARS:, 0]
    assert np.median(estimate) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("costs", [CostConfig(spread="range"), CostConfig(impact=1.0, max_share=0.1)])
@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_what_a_fill_costs_is_known_when_it_is_decided(costs, fill):
    """Spread and volatility are those of the decision row; only the bar's own prices and volume are new."""
    market = with_volume(random_market(400), 50.0)
    later = market.prices.copy()
    later[300:, :, 1:4] *= 1.5  # all but the opens
    changed = replace(market, prices=later)
    first, second = table(market, costs, fill), table(changed, costs, fill)
    np.testing.assert_array_equal(first[:300], second[:300])
    np.testing.assert_array_equal(first[300, 0, [at.BUY, at.SELL]], second[300, 0, [at.BUY, at.SELL]])


def test_spreads_out_of_the_data():
    market = random_market(5)
    quoted = np.array([1e-3, 2e-3, np.nan, 4e-3, 5e-3])[:, None]
    bars = table(replace(market, spread=quoted), CostConfig(spread="data", spread_bps=6, slippage_bps=0))
    # the bar after a decision fills at the spread that the decision row shows; an unknown one is the fixed one
    assert bars[1:, 0, at.BUY] == pytest.approx([5e-4, 1e-3, 3e-4, 2e-3])
    with pytest.raises(UserError, match="'fixed' or 'range'"):
        quoted_spread(market, CostConfig(spread="data"))


def test_the_same_close_is_available_and_fills_there():
    market = random_market(10, scale=0.05)
    engine = Engine(market, EnvConfig(costs=CostConfig.flat_fee(0.0), fill="same_close"), 1, window=1)
    engine.reset([0])
    engine.step(np.array([[1.0]]))
    gain = market.prices[1, 0, 3] / market.prices[0, 0, 3]
    units = 10_000 / market.prices[0, 0, 3]
    paid = market.carry[1, 0] * units * market.prices[1, 0, 3]
    assert engine.money[0, at.EQUITY] == pytest.approx(10_000 * gain - paid)


def test_the_worst_fill_buys_at_the_high_and_sells_at_the_low():
    market = random_market(10, scale=0.05)
    engine = Engine(market, EnvConfig(costs=CostConfig.flat_fee(0.0), fill="worst"), 1, window=1)
    engine.reset([0])
    engine.step(np.array([[1.0]]))
    assert engine.fills[0, 0, at.ORDER_PRICE] == pytest.approx(market.prices[1, 0, 1])
    engine.step(np.array([[0.0]]))
    assert engine.fills[0, 0, at.ORDER_PRICE] == pytest.approx(market.prices[2, 0, 2])


def test_an_order_with_latency_fills_bars_later_at_that_bars_open():
    market = random_market(10, scale=0.05)
    engine = Engine(market, EnvConfig(costs=CostConfig.flat_fee(0.0), latency=2), 1, window=1)
    engine.reset([0])
    for wish in (1.0, 0.0, 0.0):
        engine.step(np.array([[wish]]))
    assert engine.fills[0, 0, at.ORDER_PRICE] == market.prices[3, 0, OPEN]
    engine.step(np.array([[0.0]]))
    assert engine.holdings[0, 0, at.UNITS] == 0
    assert engine.fills[0, 0, at.ORDER_PRICE] == market.prices[4, 0, OPEN]


def test_a_delayed_observation_lags_and_the_account_does_not():
    from envs.trading_env import TradingEnv

    market = random_market(60)
    env = TradingEnv(market, window=8, config=EnvConfig(observation_delay=3), random_start=False)
    observation, _ = env.reset(seed=0)
    assert int(env.engine.rows[0]) == 10
    np.testing.assert_array_equal(observation["market"], market.features[0:8, 0])
    after = env.step(2)[0]
    np.testing.assert_array_equal(after["market"], market.features[1:9, 0])
    assert after["account"][0] == pytest.approx(1.0, abs=1e-3)


def test_costs_of_an_episode_are_drawn_from_their_range():
    from envs.episodes import EpisodeConfig

    config = EnvConfig(costs=CostConfig.flat_fee(10.0), episodes=EpisodeConfig(cost_scale=(0.5, 2.0)))
    engine = Engine(random_market(500), config, 1000, window=1, random_start=True)
    engine.reset(list(range(1000)))
    scale = engine.money[:, at.COST_SCALE]
    assert 0.5 <= scale.min() < 0.55
    assert 1.95 < scale.max() <= 2.0
    engine.step(np.ones((1000, 1)))
    assert engine.money[:, at.FEES] / engine.money[:, at.TRADED] == pytest.approx(scale * 1e-3)


def test_named_costs_are_what_they_say_and_an_unknown_name_is_not():
    assert COSTS["free"].per_unit == 0
    with pytest.raises(UserError, match="did you mean"):
        CostConfig.named("prep")


@pytest.mark.parametrize(("bad", "match"), [
    (dict(tiers=((100.0, 1.0, 1.0),)), "tiers"), (dict(impact=1.0), "max_share"), (dict(max_share=2.0), "max_share"),
    (dict(spread="ranges"), "range"), (dict(lot={"BTC": -1.0}), "lot"),
])
def test_senseless_costs_are_refused(bad, match):
    with pytest.raises(UserError, match=match):
        CostConfig(**bad)


def test_a_lot_of_an_asset_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="BTC"):
        Engine(random_market(10), EnvConfig(costs=CostConfig(lot={"BTC": 1.0})), 1, window=1)
