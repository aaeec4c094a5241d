"""A warm start: the clone does what its teacher does, and the leash takes off what was worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.algos.recipe import Task, make_model
from agents.config import AgentConfig, WarmConfig
from agents.feature_table import make_table, publish
from agents.sb3_env import AccountsVecEnv
from agents.sight import Sight
from agents.strategies.oracle import solve
from agents.train import train
from agents.warm import Leash, action_of, clone, somewhere, teacher_of
from agents.watch.validation import Validation
from configs.errors import UserError
from data.dataset import DataConfig, load_dataset
from data.simulator.known import KnownConfig, make_known
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import CostConfig
from tests.agents.small import AGENT, ENV, WINDOW
from tests.envs.markets import random_market

TEN_BPS = EnvConfig(costs=CostConfig.flat_fee(10.0))
NET = AgentConfig(accounts=8, net=(32, 32))


@pytest.fixture(scope="module")
def reverting():
    return load_dataset(DataConfig(source="known", known=KnownConfig("ou_easy", bars=20_000), window=1))


def made(dataset, algo: str = "ppo", env: EnvConfig = TEN_BPS):
    market = dataset.market
    table = make_table(market, None, np.arange(5_000))
    accounts = AccountsVecEnv(market, env, NET.accounts, 1, dataset.split.train)
    return make_model(algo, Task(NET, env, NET.accounts, market.assets), accounts, publish(table))


@pytest.mark.parametrize("algo", ["ppo", "a2c", "trpo"])
def test_the_clone_does_what_the_oracle_does_with_any_position_in_hand(algo, reverting):
    states = make_known("ou_easy", 20_000).market
    teacher = solve("ou_easy").policy(states)
    model = made(reverting, algo)
    clone(model, teacher, WarmConfig("signal", updates=400, batch=512, lr=3e-3))
    engine = Engine(reverting.market, TEN_BPS, 2_000, 1, reverting.split.valid)
    seen = somewhere(engine, np.random.default_rng(1))
    assert set(np.unique(seen["account"][:, 0].round())) == {-1.0, 0.0, 1.0}
    said, _ = model.policy.predict(seen, deterministic=True)
    assert (said == action_of(teacher.predict(seen)[0], TEN_BPS)).mean() > 0.95


def test_continuous_weights_are_cloned_too(reverting):
    env = replace(TEN_BPS, action="weights")
    teacher = solve("ou_easy").policy(make_known("ou_easy", 20_000).market)
    model = made(reverting, "ppo", env)
    clone(model, teacher, WarmConfig("signal", updates=400, batch=512, lr=3e-3))
    seen = somewhere(Engine(reverting.market, env, 2_000, 1, reverting.split.valid), np.random.default_rng(1))
    said, _ = model.policy.predict(seen, deterministic=True)
    assert np.corrcoef(said[:, 0], teacher.predict(seen)[0][:, 0])[0, 1] > 0.9


def test_an_action_is_the_nearest_level_and_several_assets_share_the_account():
    assert action_of(np.array([[-0.7], [0.1], [0.6]]), TEN_BPS).tolist() == [0, 1, 2]
    assert action_of(np.array([[0.25, -0.25, 0.0, 0.1]]), TEN_BPS).tolist() == [[2, 0, 1, 1]]


def test_positions_in_hand_stay_within_the_gross_limit():
    seen = somewhere(Engine(random_market(60, 4), EnvConfig(), 500, 4), np.random.default_rng(0))
    gross = np.abs(seen["account"][:, :4]).sum(axis=1)
    assert gross.max() <= 1 + 1e-6
    assert gross.std() > 0.05


def test_the_leash_takes_the_divergence_off_the_rewards(reverting, monkeypatch):
    model = made(reverting)
    leash = Leash(model.policy, WarmConfig("signal", kl=0.5, fade=1.0), steps=100)
    with torch.no_grad():
        for weight in model.policy.action_net.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    model.learn(0)
    before = {}
    takes = Leash._on_rollout_end

    def watched(self) -> None:
        before.update(rewards=model.rollout_buffer.rewards.copy(), said=model.rollout_buffer.log_probs.copy())
        self.num_timesteps = 40  # of 100: three fifths of the weight are left
        takes(self)

    monkeypatch.setattr(Leash, "_on_rollout_end", watched)
    leash.init_callback(model)
    model.collect_rollouts(model.env, leash, model.rollout_buffer, model.n_steps)
    buffer = model.rollout_buffer
    seen = {name: torch.as_tensor(value.reshape(-1, value.shape[2])) for name, value in buffer.observations.items()}
    with torch.no_grad():
        said = leash.clone.evaluate_actions(seen, torch.as_tensor(buffer.actions.reshape(-1)))[1].numpy()
    divergence = before["said"] - said.reshape(before["said"].shape)
    assert abs(divergence).max() > 0.05
    np.testing.assert_allclose(buffer.rewards, before["rewards"] - 0.5 * 0.6 * divergence, atol=1e-5)


def test_a_policy_that_has_not_moved_is_held_by_nothing(reverting, monkeypatch):
    model = made(reverting)
    leash = Leash(model.policy, WarmConfig("signal", kl=10.0, fade=1.0), steps=10**6)
    found = []
    takes = Leash._on_rollout_end

    def watched(self) -> None:
        takes(self)
        found.append(self.logger.name_to_value["train/divergence"])  # which the end of the rollout clears

    monkeypatch.setattr(Leash, "_on_rollout_end", watched)
    model.learn(8 * 16, callback=leash)
    assert found == [pytest.approx(0.0, abs=1e-5)]


def test_teachers_come_from_the_training_rows(simulated, encoder_of):
    sight = Sight.of(encoder_of("lstm"))
    signal = teacher_of("signal", simulated, ENV, WINDOW, sight, "cpu", None)
    known = teacher_of("foresight", simulated, ENV, WINDOW, sight, "cpu", None)
    rows = simulated.market.decision_rows(WINDOW, simulated.split.train)
    seen = {"row": rows[:, None], "account": np.zeros((len(rows), 8), np.float32)}
    for teacher in (signal, known):
        assert len(np.unique(teacher.predict(seen)[0])) > 1
    later = slice(simulated.split.train.stop, None)
    assert (known.zone[later] == 0).all(), "foresight of later rows would be a leak"


def test_foresight_keeps_what_is_not_worth_an_order_and_so_does_its_clone():
    data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_real", bars=20_000), window=1))
    traded, apart = {}, {}
    for cost in (0.0, 10.0):
        env = replace(TEN_BPS, costs=CostConfig.flat_fee(cost))
        teacher = teacher_of("foresight", data, env, 1, Sight(), "cpu", None)
        seen = somewhere(Engine(data.market, TEN_BPS, 2_000, 1, data.split.train), np.random.default_rng(0))
        short, flat, long = (teacher.predict({**seen, "account": np.full_like(seen["account"], held)})[0]
                             for held in (-1, 0, 1))
        assert (short <= flat).all()
        assert (flat <= long).all()
        apart[cost] = float((action_of(short, env) != action_of(long, env)).mean())
        model = made(data)
        clone(model, teacher, WarmConfig("foresight", updates=300, batch=512, lr=3e-3))
        traded[cost] = Validation(data.market, TEN_BPS, 1, data.split.valid).run(model.policy).metrics.turnover
    assert apart[0.0] == 0
    assert apart[10.0] > 0.1
    assert traded[10.0] < 0.5 * traded[0.0]


def test_a_whole_training_begins_warm_and_comes_back(simulated, encoder_of, tmp_path):
    agent = replace(AGENT, warm=WarmConfig("signal", updates=20, batch=32))
    bundle = train(simulated, ENV, agent, "ppo", WINDOW, encoder_of("lstm"), progress=False, folder=tmp_path)
    assert bundle.agent.warm.teacher == "signal"
    cold = train(simulated, ENV, AGENT, "ppo", WINDOW, encoder_of("lstm"), progress=False)
    assert any(not torch.equal(value, cold.weights[name]) for name, value in bundle.weights.items())


def test_what_cannot_be_cloned_is_refused(simulated):
    agent = replace(AGENT, warm=WarmConfig("foresight"))
    for algo in ("dqn", "recurrent_ppo"):
        with pytest.raises(UserError, match="cannot begin as a clone"):
            train(simulated, ENV, agent, algo, WINDOW, progress=False)
    with pytest.raises(UserError, match="choose an encoder with --encoder"):
        train(simulated, ENV, replace(AGENT, warm=WarmConfig("signal")), "ppo", WINDOW, progress=False)
    with pytest.raises(UserError, match="does not choose them"):
        train(simulated, replace(ENV, action="steps"), agent, "ppo", WINDOW, progress=False)
