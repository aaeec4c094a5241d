"""Every position from every bar: the arithmetic, what it finds, and how it is saved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.algos.all_q import AllQ, LevelsNetwork, log_kept
from agents.algos.config import AllQConfig
from agents.algos.recipe import Task, make_model
from agents.bundle import Bundle
from agents.config import AgentConfig
from agents.feature_table import make_table, publish
from agents.sb3_env import AccountsVecEnv
from agents.strategies.oracle import kept_by_moves
from agents.train import train
from agents.watch.validation import Validation
from configs.errors import UserError
from data.dataset import DataConfig, load_dataset
from data.market import Market
from data.simulator.known import KnownConfig
from envs.config import EnvConfig
from envs.episodes import EpisodeConfig
from envs.execution import CostConfig
from envs.rewards import RewardConfig
from envs.risk import RiskConfig
from tests.agents.small import AGENT

TEN_BPS = EnvConfig(costs=CostConfig.flat_fee(10.0))
QUICK = AgentConfig(steps=1_000 * 512, accounts=1, lr=2e-3, lr_end=0.0, gamma=0.99, activation="relu", net=(32, 32),
                    validations=2, all_q=AllQConfig(batch=512, tau=0.03))


@pytest.fixture(scope="module")
def reverting():
    return load_dataset(DataConfig(source="known", known=KnownConfig("ou_easy", bars=30_000), window=1))


def test_orders_cost_what_the_oracle_counts():
    levels = (-2.0, -0.5, 0.0, 1.0)
    held = torch.tensor(levels)
    kept = log_kept(held, held, torch.full((4,), 0.01)).exp()
    np.testing.assert_allclose(kept, kept_by_moves(np.array(levels), 0.01), rtol=1e-6)


def made(market: Market, env: EnvConfig, agent: AgentConfig = AGENT) -> AllQ:
    table = make_table(market, None, np.arange(20))
    accounts = AccountsVecEnv(market, env, 1, 1, slice(0, len(market)), agent.reward_scale)
    model = make_model("all_q", Task(agent, env, 1, market.assets), accounts, publish(table))
    assert isinstance(model, AllQ)
    return model


def test_a_table_of_values_is_learnt_to_what_dynamic_programming_says():
    """A market that repeats itself every four bars, each with a feature of its own: values can be worked out."""
    moves = np.array([0.02, -0.01, -0.02, 0.0101])
    returns = np.tile(moves, 100)  # of the bar after each row
    close = 100 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    rows = len(close)
    prices = np.ones((rows, 1, 5))
    prices[:, 0, 3] = close
    prices[:, 0, 0] = np.concatenate([close[:1], close[:-1]])
    prices[:, 0, 1], prices[:, 0, 2] = prices[:, 0, [0, 3]].max(axis=1), prices[:, 0, [0, 3]].min(axis=1)
    phase = np.eye(4, dtype=np.float32)[np.arange(rows) % 4]
    market = replace(Market.flat(rows), prices=prices, features=phase[:, None], columns=("a", "b", "c", "d"))
    env = replace(TEN_BPS, levels=(0.0, 1.0), costs=CostConfig.flat_fee(50.0))
    agent = replace(AGENT, gamma=0.9, lr=0.01, lr_end=0.0, net=(16,), steps=1_500 * 64,
                    all_q=AllQConfig(batch=64, tau=0.05))
    model = made(market, env, agent)
    model.learn(agent.steps)

    moving = np.log(kept_by_moves(np.array([0.0, 1.0]), 0.005))
    worth = np.zeros((4, 2))  # of each level, at each phase
    for _ in range(500):
        later = (moving + np.roll(worth, -1, axis=0)[:, None]).max(axis=2)  # (phase, held), a weight of 1 stays 1
        worth = np.array([[0.0, move] for move in moves]) + 0.9 * later
    net = model.q_net
    with torch.no_grad():
        found = net.worth(torch.arange(4), torch.full((4,), net.cost)).numpy() / agent.reward_scale
    # values count against their mean
    np.testing.assert_allclose(found - found.mean(), worth - worth.mean(), atol=4e-4)
    chosen = (moving + found[:, None]).argmax(axis=2)
    np.testing.assert_array_equal(chosen, (moving + worth[:, None]).argmax(axis=2))


def test_holding_earns_nothing_where_nothing_happens_whatever_growth_weighs():
    once, fivefold = (made(Market.flat(60), replace(TEN_BPS, reward=RewardConfig(log_growth=weight)))
                      for weight in (1.0, 5.0))
    taught = once.lessons().told.numpy()
    np.testing.assert_allclose(taught[:, :, 0], 0.0, atol=1e-6)
    assert taught[0, 1, 2:] == pytest.approx(AGENT.reward_scale * -np.log([1.001, 1.0, 1.001]), abs=1e-5)
    again = fivefold.lessons().told.numpy()
    np.testing.assert_allclose(again[:, :, 0], 0.0, atol=5e-6)
    np.testing.assert_allclose(again[:, :, 2:], 5 * taught[:, :, 2:], rtol=1e-6)
    # a policy counts its moves as it was taught to
    fivefold.q_net.q_net.load_state_dict(once.q_net.q_net.state_dict())
    flat = {"row": torch.zeros(1, 1), "account": torch.zeros(1, 8)}
    with torch.no_grad():
        tolls = [model.q_net(flat) - model.q_net.worth(torch.zeros(1).long(), torch.tensor([0.001]))
                 for model in (once, fivefold)]
    np.testing.assert_allclose(tolls[0][0], taught[0, 1, 2:], atol=1e-5)
    np.testing.assert_allclose(tolls[1], 5 * tolls[0], atol=1e-5)


def test_it_saves_loads_and_predicts_as_dqn_does(tmp_path):
    market = Market.flat(200)
    model = made(market, TEN_BPS)
    model.learn(64)
    model.save(tmp_path / "model")
    again = AllQ.load(tmp_path / "model", device="cpu")
    seen = {"row": np.arange(9, dtype=np.int32)[:, None],
            "account": np.random.default_rng(0).uniform(-1, 1, (9, 8)).astype(np.float32)}
    first, second = (one.predict(seen, deterministic=True)[0] for one in (model, again))
    np.testing.assert_array_equal(first, second)
    tensors = {name: torch.from_numpy(value) for name, value in seen.items()}
    with torch.no_grad():
        assert torch.equal(model.policy.q_net(tensors), again.policy.q_net(tensors))


def growth(bundle: Bundle, dataset, env: EnvConfig = TEN_BPS) -> tuple[float, float]:
    """Log growth per bar and value traded per year on the validation rows."""
    look = Validation(dataset.market, env, 1, dataset.split.valid).run(replace(bundle, env=env).policy(dataset.market))
    return float(look.growths.mean()), look.metrics.turnover


def test_one_network_serves_several_fees_and_trades_less_where_they_are_higher(reverting):
    env = replace(TEN_BPS, episodes=EpisodeConfig(cost_scale=(0.0, 3.0)))
    bundle = train(reverting, env, replace(QUICK, all_q=replace(QUICK.all_q, fees=7)), "all_q", 1, progress=False)
    told = [growth(bundle, reverting, replace(env, costs=CostConfig.flat_fee(fee))) for fee in (1.0, 5.0, 10.0, 25.0)]
    traded = [turnover for _, turnover in told]
    assert traded == sorted(traded, reverse=True)
    assert traded[0] > 1.5 * traded[-1] > 0
    grown = [found for found, _ in told]
    assert grown == sorted(grown, reverse=True)
    blind = train(reverting, TEN_BPS, QUICK, "all_q", 1, progress=False)
    # a seventh of the updates for each fee
    assert grown[2] > 0.75 * growth(blind, reverting)[0]


def test_it_learns_what_the_row_shows_and_never_the_row_itself(reverting):
    bundle = train(reverting, TEN_BPS, QUICK, "all_q", 1, progress=False)
    later = replace(reverting.market, features=np.roll(reverting.market.features, 24, axis=0))
    assert growth(bundle, replace(reverting, market=later))[0] < 0.3 * growth(bundle, reverting)[0]


def test_with_a_late_view_it_learns_what_the_late_row_tells():
    """The phase of the sine, half a day late, still says it all."""
    sine = load_dataset(DataConfig(source="known", known=KnownConfig("sine", bars=10_000), window=1))
    late = replace(TEN_BPS, observation_delay=12)
    bundle = train(sine, late, replace(QUICK, steps=400 * 512), "all_q", 1, progress=False)
    assert growth(bundle, sine, late)[0] > 35e-4


@pytest.mark.parametrize("change", [{"risk": RiskConfig(stop_loss=0.05)}, {"reward": RewardConfig(turnover=0.01)}])
def test_what_one_bar_cannot_tell_is_refused(change, simulated):
    env = replace(TEN_BPS, **change)
    with pytest.raises(UserError, match="one bar cannot teach all positions"):
        train(simulated, env, AGENT, "all_q", 8, progress=False)


def test_free_trading_is_learnt_with_several_fees_asked_for(simulated):
    free = EnvConfig(costs=CostConfig.named("free"), episodes=EpisodeConfig(cost_scale=(0.5, 2.0)))
    bundle = train(simulated, free, replace(AGENT, all_q=AllQConfig(batch=32, fees=3)), "all_q", 8, progress=False)
    policy = bundle.policy(simulated.market)
    assert isinstance(policy.q_net, LevelsNetwork)
