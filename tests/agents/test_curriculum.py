"""What comes first comes first: costs rise to their full size, calm rows come before wild ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.algos.recipe import Task, make_model
from agents.config import AgentConfig, CurriculumConfig
from agents.curriculum import Curriculum
from agents.feature_table import make_table, publish
from agents.sb3_env import AccountsVecEnv
from agents.train import train
from configs.errors import UserError
from envs.config import EnvConfig
from envs.engine import Engine
from envs.episodes import trailing
from envs.execution import CostConfig
from envs.layout import FEES, PRICE, TRADED
from tests.agents.small import AGENT, ENV, WINDOW
from tests.envs.markets import random_market

SHORT = EnvConfig(episode=10, costs=CostConfig.flat_fee(10.0))
NET = replace(AGENT, steps=1_600, accounts=8)


def met(curriculum: CurriculumConfig, see, market=None, env: EnvConfig = SHORT) -> list:
    """What `see` says of the engine at the end of each of 25 rollouts of 8 steps."""
    market = random_market(600) if market is None else market
    accounts = AccountsVecEnv(market, env, 8, WINDOW, slice(0, len(market)))
    model = make_model("ppo", Task(NET, env, 8, market.assets), accounts,
                       publish(make_table(market, None, np.arange(WINDOW, 100))))
    found = []
    ended = Curriculum._on_rollout_end
    try:
        Curriculum._on_rollout_end = lambda self: found.append(see(accounts.engine))
        model.learn(NET.steps, callback=Curriculum(curriculum, NET.steps))
    finally:
        Curriculum._on_rollout_end = ended
    return found


def paid(engine: Engine) -> tuple[float, float]:
    return engine.money[:, FEES].sum(), engine.money[:, TRADED].sum()


@pytest.mark.parametrize("episode", [10, 500])
def test_orders_are_free_at_first_and_cost_all_that_they_cost_in_the_end(episode):
    """Whether or not a new episode has begun meanwhile: 500 bars are more than the whole training."""
    env = replace(SHORT, episode=episode)
    found = met(CurriculumConfig(costs=0.0, until=0.5), lambda engine: engine.rules[PRICE], env=env)
    assert found[0] == 0.0
    assert found == sorted(found)
    np.testing.assert_allclose(found[:13], np.arange(13) * 64 / 800)
    assert found[13:] == [1.0] * 12
    if episode == 500:
        fees, traded = np.diff(np.array(met(CurriculumConfig(costs=0.0, until=0.5), paid, env=env)).T, prepend=0)
        assert fees[0] == 0.0
        assert traded[0] > 0.0
        np.testing.assert_allclose(fees / traded, 0.001 * np.array(found), rtol=1e-6)


def test_without_a_curriculum_nothing_changes():
    assert set(met(CurriculumConfig(), lambda engine: engine.rules[PRICE])) == {1.0}


def test_calm_rows_come_first():
    market = random_market(2_000)
    calm = np.repeat([0.2, 1.0, 3.0], [700, 700, 600])[:, None, None]
    market = replace(market, prices=market.prices[:1] * (market.prices / market.prices[:1]) ** calm)
    market = replace(market, prices=np.where(np.arange(5) == 4, random_market(2_000).prices, market.prices))
    volatility = trailing(market, [slice(None)], SHORT.episodes.band_bars)[0]
    starts = met(CurriculumConfig(volatility=(0.3, 1.0)),
                 lambda engine: np.nanmax(volatility[engine.decisions[engine.starts, 0]]), market)
    first = met(CurriculumConfig(volatility=(0.3, 1.0)),
                lambda engine: volatility[engine.shown - 8].max(), market, replace(SHORT, episode=500))[0]
    assert first <= starts[0], "the very first episodes begin there too"
    assert starts[0] < 0.7 * starts[-1]
    assert starts[-1] == pytest.approx(np.nanmax(volatility[:-10]), rel=0.2)


def test_an_order_of_a_cheap_episode_costs_less():
    engine = Engine(random_market(60), SHORT, 1, WINDOW)
    paid = []
    for factor in (1.0, 0.5, 0.0):
        engine.charge(factor)
        engine.reset()
        engine.step(np.ones((1, 1)))
        paid.append(engine.money[0, FEES])
    assert paid[1] == pytest.approx(paid[0] / 2, rel=1e-3)
    assert paid[2] == 0.0
    with pytest.raises(UserError, match="from 0 on"):
        engine.charge(-1.0)


def test_a_whole_training_goes_through_it(simulated):
    agent = replace(AGENT, curriculum=CurriculumConfig((0.5, 1.0), costs=0.0))
    bundle = train(simulated, replace(ENV, episodes=replace(ENV.episodes, band_bars=24)), agent, "ppo", WINDOW,
                   progress=False)
    plain = train(simulated, ENV, AGENT, "ppo", WINDOW, progress=False)
    weights, others = bundle.weights, plain.weights
    assert any(not torch.equal(weights[name], others[name]) for name in weights)


def test_wrong_settings_are_refused():
    for wrong in ({"volatility": (0.0, 1.0)}, {"costs": 1.5}, {"until": 0.0}):
        with pytest.raises(UserError, match=r"agent\.curriculum"):
            AgentConfig(curriculum=CurriculumConfig(**wrong))
