"""Sizes, caps and halts, each by numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import UserError
from data.market import CLOSE
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import CostConfig
from envs.layout import EQUITY, HALT, happened
from envs.risk import Outlook, RiskConfig, trailing_volatility, weight_limits
from tests.envs.markets import market_of, random_market

FREE = CostConfig.named("free")


def walked(closes, wishes, risk, **settings) -> tuple[list[list[float]], list[tuple[str, ...]], Engine]:
    """Weights held and events after each wish, in a market that opens where it closed, without costs."""
    closes = np.asarray(closes, float).reshape(len(closes), -1)
    opens = np.vstack([closes[:1], closes[:-1]])
    engine = Engine(market_of(opens, closes), EnvConfig(costs=FREE, risk=risk, **settings), 1, window=1)
    engine.reset([0])
    weights, events = [], []
    for wish in wishes:
        engine.step(np.array(wish, float).reshape(1, -1))
        weights.append(engine.weights()[0].round(9).tolist())
        events.append(happened(int(engine.events[0])))
    return weights, events, engine


def test_the_least_of_the_sizes_asked_for_counts():
    market = random_market(400, scale=0.01)
    volatility = trailing_volatility(market, 168)[300, 0]
    by_target = weight_limits(market, RiskConfig(volatility_target=0.5))[300, 0]
    assert by_target == pytest.approx(0.5 / np.sqrt(8760) / volatility)
    by_stop = weight_limits(market, RiskConfig(risk_per_trade=0.02, stop_loss=0.05))[300, 0]
    assert by_stop == pytest.approx(0.4)
    by_days = weight_limits(market, RiskConfig(risk_per_trade=0.02))[300, 0]
    assert by_days == pytest.approx(0.02 / (2 * np.sqrt(24) * volatility))
    every = RiskConfig(volatility_target=0.5, risk_per_trade=0.02, fixed=0.3)
    assert weight_limits(market, every)[300, 0] == min(by_target, by_days, 0.3)


def test_kelly_and_confidence_come_from_a_forecast():
    market = random_market(10)
    outlook = Outlook(mean=np.full((10, 1), 0.001), volatility=np.full((10, 1), 0.05), confidence=np.full((10, 1), 0.6))
    assert weight_limits(market, RiskConfig(kelly=0.5), outlook)[3, 0] == pytest.approx(0.5 * 0.001 / 0.05**2)
    sure = replace(outlook, mean=np.full((10, 1), -0.01))
    assert weight_limits(market, RiskConfig(kelly=0.5), sure)[3, 0] == 0.25  # never above a quarter of the account
    assert weight_limits(market, RiskConfig(confidence=True), outlook)[3, 0] == 0.6
    with pytest.raises(UserError, match="Outlook"):
        weight_limits(market, RiskConfig(kelly=0.5))


def test_nothing_is_risked_on_what_has_no_volatility_yet():
    limits = weight_limits(random_market(10), RiskConfig(volatility_target=0.5))
    assert limits[:2, 0].tolist() == [0.0, 0.0]
    assert limits[2, 0] > 0


def test_limits_know_nothing_of_later_bars():
    market = random_market(300)
    later = market.prices.copy()
    later[200:, :, :4] *= 3
    changed = replace(market, prices=later)
    risk = RiskConfig(volatility_target=0.5, risk_per_trade=0.02)
    np.testing.assert_array_equal(weight_limits(market, risk)[:200], weight_limits(changed, risk)[:200])
    assert (weight_limits(market, risk)[201:] != weight_limits(changed, risk)[201:]).any()


def test_volatility_across_a_gap_counts_the_bars_it_spans():
    closes = 100 * np.exp(np.array([0.0, 0.01, 0.02, 0.06]))[:, None]
    time = np.datetime64("2020-01-01T01", "us") + np.array([0, 1, 2, 6]) * np.timedelta64(1, "h")
    market = market_of(closes, closes, time=time, segments=np.array([[0, 3], [3, 4]]))
    # returns of 1 % over one bar, 1 % over one, 4 % over four
    expected = np.sqrt((0.01**2 + 0.01**2 + 0.04**2 / 4) / 3)
    assert trailing_volatility(market, 10)[3, 0] == pytest.approx(expected)


def test_a_wish_is_cut_to_its_size_and_says_so():
    weights, events, _ = walked([10, 10, 10], [1.0, 0.4], RiskConfig(fixed=0.5))
    assert weights == [[0.5], [0.4]]
    assert events == [("sized",), ()]


def test_gross_net_and_turnover_are_each_cut_by_one_factor():
    still = [[10.0, 10.0]] * 3
    assert walked(still, [[1.0, -1.0]], RiskConfig())[0] == [[0.5, -0.5]]
    weights, events, _ = walked(still, [[0.6, -0.2]], RiskConfig(net=0.1))
    assert weights == [[0.3, -0.2]]  # longs shrink until the sum is a tenth
    assert events == [("net_cap",)]
    weights, events, _ = walked(still, [[0.6, -0.2], [0.0, 0.0]], RiskConfig(turnover=0.4))
    assert weights == [[0.3, -0.1], [0.0, 0.0]]
    assert events == [("turnover_cap",), ()]


def test_what_is_left_alone_counts_against_the_gross_cap():
    weights, events, _ = walked([[10.0, 10.0]] * 3, [[0.7, 0.0], [np.nan, 0.8]], RiskConfig())
    assert weights[1] == [0.7, 0.3]
    assert events[1] == ("gross_cap",)


def test_the_band_sends_nothing_small_but_always_closes():
    weights, events, _ = walked([10] * 5, [0.5, 0.515, 0.53, 0.0], RiskConfig(band=0.02))
    assert weights == [[0.5], [0.5], [0.53], [0.0]]
    assert events[1] == ("band",)


def test_drawdown_stop_closes_holds_and_begins_anew():
    # long at 10: at 8 a fifth is lost, so the third wish and the one after it are not heard
    closes = [10, 10, 8, 8, 8, 8, 8]
    weights, events, engine = walked(closes, [1.0] * 6, RiskConfig(drawdown_stop=0.15, cooldown=2))
    assert [w[0] for w in weights] == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    assert ["drawdown_stop" in e for e in events] == [False, False, True, True, False, False]
    for_good, _, engine = walked(closes, [1.0] * 6, RiskConfig(drawdown_stop=0.15))
    assert [w[0] for w in for_good] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert engine.money[0, HALT] == -1
    assert engine.money[0, EQUITY] == pytest.approx(8000)


def test_no_cap_holds_up_what_only_closes():
    """Half of the account a step on the way in, and all of it at once when the drawdown stop fires."""
    closes = [[close] * 4 for close in (10.0, 10.0, 10.0, 4.0, 4.0, 4.0)]
    weights, events, _ = walked(closes, [[0.25] * 4] * 4, RiskConfig(turnover=0.5, drawdown_stop=0.3))
    assert [sum(w) for w in weights] == pytest.approx([0.5, 1.0, 1.0, 0.0], abs=1e-6)
    assert "turnover_cap" in events[0]
    assert events[3] == ("drawdown_stop",)


@pytest.mark.parametrize("bad", [dict(band=1.0), dict(stop_loss=-0.1), dict(net=np.nan), dict(drawdown_stop=2.0),
                                 dict(volatility_bars=1)])
def test_senseless_risk_is_refused(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        RiskConfig(**bad)


def test_the_close_of_an_absent_bar_is_the_last_one():
    market = random_market(50)
    prices = market.prices.copy()
    prices[20:25] = np.nan
    absent = np.zeros((50, 1), bool)
    absent[20:25] = True
    features = market.features.copy()
    features[20:25] = 0
    halted = replace(market, prices=prices, absent=absent, features=features)
    engine = Engine(halted, EnvConfig(costs=FREE), 1, window=1)
    engine.reset([0], starts=np.array([10]))
    seen = []
    for _ in range(20):
        engine.step(np.array([[1.0]]))
        seen.append((int(engine.rows[0]), engine.money[0, EQUITY]))
    during = [equity for row, equity in seen if 19 <= row < 25]
    carry = np.abs(np.diff(np.log(during)))
    assert carry.max() == 0  # nothing moves and nothing is paid while there is no bar
    last, first = market.prices[19, 0, CLOSE], market.prices[25, 0, CLOSE]
    after = next(equity for row, equity in seen if row == 25)
    assert after / during[-1] == pytest.approx(first / last * (1 - market.carry[25, 0] * 1.0), rel=1e-3)
