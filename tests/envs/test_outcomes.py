"""What every position would have earned: held to accounts that really walked there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import UserError
from envs.config import EnvConfig
from envs.engine import Engine
from envs.episodes import EpisodeConfig
from envs.execution import CostConfig
from envs.outcomes import outcomes
from envs.rewards import RewardConfig
from envs.risk import RiskConfig
from tests.envs.markets import random_market

WINDOW = 4
CONFIG = EnvConfig(costs=CostConfig(fee_bps=10.0, spread_bps=4.0, slippage_bps=2.0, borrow_apr=0.5))
LONG, FLAT, SHORT = 2, 1, 0  # places of the levels -1, 0, 1


def walked(market, config, first: float, second: float, start: int) -> tuple[float, float]:
    """Reward of the second of two steps from cash, and the weight after it."""
    engine = Engine(market, config, 1, WINDOW)
    engine.reset(starts=np.array([start]))
    engine.step(np.array([[first]]))
    engine.step(np.array([[second]]))
    return float(engine.reward[0]), float(engine.weights()[0, 0])


@pytest.mark.parametrize("level", [SHORT, FLAT, LONG])
def test_from_cash_and_from_all_in_it_is_what_an_account_that_walks_there_earns(level):
    """A step leads exactly to weight 0, and without carry to weight 1, from where every level is then tried."""
    market = random_market(60)
    market = replace(market, carry=np.zeros_like(market.carry))
    found = outcomes(market, CONFIG, WINDOW, slice(None))
    for held, first in ((FLAT, 0.0), (LONG, 1.0)):
        for k in range(1, len(found.rows)):
            reward, weight = walked(market, CONFIG, first, CONFIG.levels[level], k - 1)
            assert found.reward[k, 0, held, level] == pytest.approx(reward, abs=2e-7)
            assert found.after[k, 0, held, level] == pytest.approx(weight, rel=1e-6, abs=1e-7)


def test_rows_are_the_decisions_and_none_is_taken_across_the_end_of_a_span():
    market = random_market(60)
    found = outcomes(market, CONFIG, WINDOW, slice(10, 30))
    assert found.rows.tolist() == list(range(10, 29))
    assert found.following.tolist() == list(range(11, 30))


def test_rows_are_what_is_shown_where_the_view_is_late():
    market, late = random_market(60), replace(CONFIG, observation_delay=3)
    found, prompt = (outcomes(market, config, WINDOW, slice(10, 30)) for config in (late, CONFIG))
    assert found.rows.tolist() == list(range(7, 26))
    assert found.following.tolist() == list(range(8, 27))
    np.testing.assert_array_equal(found.reward, prompt.reward)
    engine = Engine(market, late, 1, WINDOW, slice(10, 30))
    engine.reset()
    assert engine.shown[0] == found.rows[0]
    engine.step(np.zeros((1, 1)))
    assert engine.shown[0] == found.following[0]


def test_it_does_not_matter_how_many_accounts_are_placed_at_once(monkeypatch):
    market = random_market(60)
    whole = outcomes(market, CONFIG, WINDOW, slice(None), (0.5, 2.0))
    monkeypatch.setattr("envs.outcomes.AT_ONCE", 18 * 7)
    pieces = outcomes(market, CONFIG, WINDOW, slice(None), (0.5, 2.0))
    np.testing.assert_array_equal(whole.reward, pieces.reward)
    np.testing.assert_array_equal(whole.after, pieces.after)


def test_dearer_orders_cost_more_and_holding_costs_the_same():
    found = outcomes(random_market(60), CONFIG, WINDOW, slice(None), (0.0, 1.0, 2.0))
    order = found.reward[:, :, FLAT, LONG]
    assert (order[:, 0] > order[:, 1]).all()
    assert (order[:, 1] > order[:, 2]).all()
    np.testing.assert_allclose(found.reward[:, 0, LONG, LONG], found.reward[:, 2, LONG, LONG], atol=1e-7, rtol=1e-4)


def test_ruin_is_told():
    found = outcomes(random_market(60), replace(CONFIG, levels=(0.0, 1.0), ruin=0.9995), WINDOW, slice(None))
    assert found.ended[:, 0, 0, 1].any()
    assert not found.ended[:, 0, 0, 0].any()


@pytest.mark.parametrize(("change", "reason"), [
    ({"latency": 1}, "env.latency"),
    ({"action": "weights"}, "env.action"),
    ({"risk": RiskConfig(stop_loss=0.1)}, "stops"),
    ({"risk": RiskConfig(max_weight=0.5)}, "sizing"),
    ({"reward": RewardConfig(log_growth=0.0, sharpe=1.0)}, "env.reward.sharpe"),
    ({"reward": RewardConfig(turnover=0.01)}, "env.reward.turnover"),
    ({"reward": RewardConfig(mean_variance=1.0, drawdown=1.0)}, "env.reward.drawdown and env.reward.mean_variance"),
    ({"costs": CostConfig(tiers=((0.0, 10.0, 5.0),))}, "fee tiers"),
])
def test_what_one_bar_cannot_tell_is_refused(change, reason):
    with pytest.raises(UserError, match=reason):
        outcomes(random_market(60), replace(CONFIG, **change), WINDOW, slice(None))


def test_a_placed_account_shows_what_it_holds():
    engine = Engine(random_market(60, 2), replace(CONFIG, episodes=EpisodeConfig()), 3, WINDOW)
    held = np.array([[0.5, -0.5], [0.0, 1.0], [0.0, 0.0]])
    engine.place(np.array([0, 5, 9]), held)
    np.testing.assert_allclose(engine.weights(), held, atol=1e-12)
    np.testing.assert_allclose(engine.observed[:, :2], held, atol=1e-7)
    assert engine.rows.tolist() == [3, 8, 12]
    engine.step(np.full((3, 2), np.nan))
    assert np.isfinite(engine.reward).all()
    with pytest.raises(UserError, match="shape"):
        engine.place(np.array([0, 5, 9]), held[:, :1])
