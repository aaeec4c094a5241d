"""What the actions mean, and what is left to choose."""

from __future__ import annotations

import numpy as np
import pytest

from configs.errors import UserError
from envs.config import EnvConfig
from envs.execution import CostConfig
from envs.risk import RiskConfig
from envs.trading_env import TradingEnv
from tests.envs.markets import market_of

STEPS = EnvConfig(action="steps", step=0.4, low=0.0, costs=CostConfig.named("free"), risk=RiskConfig(band=0.0))
HOLD, BUY, SELL = range(3)


def still(assets: int = 1, rows: int = 30):
    return market_of(np.full((rows, assets), 10.0), np.full((rows, assets), 10.0))


def test_steps_buy_sell_and_hold():
    env = TradingEnv(still(), window=1, config=STEPS)
    env.reset(seed=0)
    weights = [env.step(action)[0]["account"][0].round(6) for action in (BUY, BUY, BUY, BUY, HOLD, SELL)]
    assert weights == pytest.approx([0.4, 0.8, 1.0, 1.0, 1.0, 0.6])


def test_selling_what_is_not_held_sends_nothing():
    env = TradingEnv(still(), window=1, config=STEPS)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(SELL)
    assert (reward, info["turnover"]) == (0.0, 0.0)


def test_masks_leave_what_makes_sense():
    env = TradingEnv(still(), window=1, config=STEPS)
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True, True, False]
    for _ in range(3):
        env.step(BUY)
    assert env.action_masks().tolist() == [True, False, True]


def test_an_asset_without_a_bar_leaves_only_what_is_held():
    from dataclasses import replace

    market = still(2)
    prices, features = market.prices.copy(), market.features.copy()
    prices[5:, 1], features[5:, 1] = np.nan, 0
    absent = np.zeros((30, 2), bool)
    absent[5:, 1] = True
    env = TradingEnv(replace(market, prices=prices, features=features, absent=absent), window=1, random_start=False,
                     config=EnvConfig(levels=(0.0, 0.5), costs=CostConfig.named("free")))
    env.reset(seed=0)
    for _ in range(6):
        observation = env.step(np.array([0, 1]))[0]
    assert env.action_masks().tolist() == [True, True, False, True]
    assert observation["account"][6:8].tolist() == [1.0, 0.0]  # tradeable
    observation, *_, info = env.step(np.array([0, 0]))
    assert info["events"] == ("untradeable",)
    assert observation["account"][1] == pytest.approx(0.5)


def test_long_only_weights_leave_the_rest_in_cash():
    env = TradingEnv(still(3), window=1, config=EnvConfig(action="weights", low=0.0, costs=CostConfig.named("free")))
    env.reset(seed=0)
    account = env.step(np.array([0.2, 0.3, 0.1]))[0]["account"]
    assert account[:3] == pytest.approx([0.2, 0.3, 0.1])
    account = env.step(np.array([1.0, 1.0, 0.5]))[0]["account"]
    assert account[:3] == pytest.approx([0.4, 0.4, 0.2])


@pytest.mark.parametrize(("config", "action", "says"), [
    (STEPS, 3, "hold, buy, sell"), (STEPS, np.nan, "whole number"), (EnvConfig(), [0, 1], "for each asset"),
    (EnvConfig(action="weights"), [0.1, 0.2], "1 target weights"), (EnvConfig(action="weights"), [np.inf], "found"),
])
def test_what_makes_no_sense_is_refused_in_a_line(config, action, says):
    env = TradingEnv(still(), window=1, config=config)
    env.reset(seed=0)
    with pytest.raises(UserError, match=says):
        env.step(action)


def test_continuous_weights_have_nothing_to_mask():
    env = TradingEnv(still(), window=1, config=EnvConfig(action="weights"))
    env.reset(seed=0)
    with pytest.raises(UserError, match="levels"):
        env.action_masks()
