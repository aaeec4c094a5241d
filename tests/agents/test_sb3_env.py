"""The SB3 adapter says what the vector env says, in SB3's words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from agents.sb3_env import AccountsVecEnv
from configs.errors import UserError
from envs.config import EnvConfig
from envs.layout import EQUITY
from envs.vector_env import TradingVectorEnv
from tests.envs.markets import market_of, random_market

ACCOUNTS, WINDOW, SCALE = 5, 8, 50.0
SPAN = slice(20, 150)


def same(first, second) -> None:
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("observation", ["row", "window"])
@pytest.mark.parametrize(("action", "assets"), [("levels", 1), ("levels", 2), ("weights", 2)])
def test_it_equals_the_vector_env(action, assets, observation):
    market, config = random_market(200, assets), EnvConfig(action=action, episode=17)
    ours = AccountsVecEnv(market, config, ACCOUNTS, WINDOW, SPAN, SCALE, observation)
    plain = TradingVectorEnv(ACCOUNTS, market, WINDOW, SPAN, config, observation)
    assert ours.observation_space == plain.single_observation_space
    assert ours.action_space == plain.single_action_space
    seeds = list(ours.seed(40))
    seen, (expected, _) = ours.reset(), plain.reset(seed=seeds)
    same(seen, expected)
    plain.action_space.seed(1)
    ended = 0
    for _ in range(60):
        actions = plain.action_space.sample()
        seen, reward, done, infos = ours.step(actions)
        expected, growth, terminated, truncated, final = plain.step(actions)
        same(seen, expected)
        np.testing.assert_array_equal(reward, (growth * SCALE).astype(np.float32))
        np.testing.assert_array_equal(done, terminated | truncated)
        for b in range(ACCOUNTS):
            if not done[b]:
                assert infos[b] == {}
                continue
            ended += 1
            same(infos[b]["terminal_observation"], final["final_obs"][b])
            assert infos[b]["TimeLimit.truncated"] == truncated[b] == (not terminated[b])
            assert infos[b]["final_money"][EQUITY] == final["final_info"]["equity"][b]
    assert ended >= 3 * ACCOUNTS


def test_two_seeds_share_no_accounts():
    """With seed + b as an account's seed, the accounts of seed 1 would be those of seed 0, moved by one."""
    market, config = random_market(3000, 1), EnvConfig(episode=17)
    starts = [AccountsVecEnv(market, config, 200, WINDOW, slice(0, 3000), seed=seed).engine.rows for seed in (0, 1)]
    assert (starts[0][1:] == starts[1][:-1]).mean() < 0.1


def test_the_seed_of_the_constructor_and_of_seed_mean_the_same():
    market, config = random_market(200), EnvConfig(episode=10)
    made = AccountsVecEnv(market, config, ACCOUNTS, WINDOW, SPAN, seed=3)
    told = AccountsVecEnv(market, config, ACCOUNTS, WINDOW, SPAN, seed=99)
    told.seed(3)
    np.testing.assert_array_equal(told.reset()["row"][:, 0], made.engine.rows)
    assert (told.reset()["row"] != made.engine.rows[:, None]).any(), "without a seed the streams go on"


def test_observations_are_never_overwritten_by_the_next_step():
    env = AccountsVecEnv(random_market(200), EnvConfig(episode=10), ACCOUNTS, WINDOW, SPAN)
    first = env.reset()
    kept = {name: value.copy() for name, value in first.items()}
    env.step(np.full(ACCOUNTS, 2))
    same(first, kept)


def test_ruin_is_terminal_and_no_time_limit():
    closes = np.where(np.arange(60) < 30, 100.0, 250.0)[:, None]
    market = market_of(np.vstack([closes[:1], closes[:-1]]), closes)
    env = AccountsVecEnv(market, EnvConfig(episode=59), 1, 4, slice(0, 60), SCALE)
    env.reset()
    total = 0.0
    for _ in range(60):
        seen, reward, done, infos = env.step(np.array([0]))
        total += float(reward[0])
        if done[0]:
            break
    assert done[0]
    assert infos[0]["TimeLimit.truncated"] is False
    assert infos[0]["final_money"][EQUITY] <= 0.05 * 10_000
    assert infos[0]["terminal_observation"]["row"][0] == 30
    assert infos[0]["episode"]["r"] == pytest.approx(total, rel=1e-5)
    assert seen["account"][0, 0] == 0.0, "the next episode begins in cash"


def test_an_episode_reports_its_return_and_length():
    env = AccountsVecEnv(random_market(200), EnvConfig(episode=12), ACCOUNTS, WINDOW, SPAN, SCALE)
    env.reset()
    total = np.zeros(ACCOUNTS)
    for step in range(12):
        _, reward, done, infos = env.step(np.full(ACCOUNTS, 2 * (step % 2)))
        total += reward
        assert done.all() == (step == 11)
    for b in range(ACCOUNTS):
        assert infos[b]["TimeLimit.truncated"] is True
        assert infos[b]["episode"]["l"] == 12
        assert infos[b]["episode"]["r"] == pytest.approx(total[b], rel=1e-4)


def test_it_works_under_vec_monitor_and_learns_a_step():
    env = VecMonitor(AccountsVecEnv(random_market(200), EnvConfig(episode=10), ACCOUNTS, WINDOW, SPAN, SCALE))
    model = PPO("MultiInputPolicy", env, n_steps=12, batch_size=30, n_epochs=1, device="cpu", seed=0)
    model.learn(120)
    episodes = [info for info in model.ep_info_buffer]
    assert episodes
    assert {info["l"] for info in episodes} == {10}


def test_sb3_may_ask_for_what_accounts_share_but_not_for_what_they_lack():
    env = AccountsVecEnv(random_market(200), EnvConfig(), ACCOUNTS, WINDOW, SPAN)
    assert env.get_attr("render_mode") == [None] * ACCOUNTS
    assert env.get_attr("reward_scale", [0, 1]) == [100.0, 100.0]
    assert env.env_is_wrapped(VecMonitor) == [False] * ACCOUNTS
    env.set_attr("reward_scale", 1.0)
    assert env.reward_scale == 1.0
    with pytest.raises(UserError, match="no method 'fly'"):
        env.env_method("fly")


def test_an_action_that_makes_no_sense_trades_nothing():
    env = AccountsVecEnv(random_market(200), EnvConfig(), ACCOUNTS, WINDOW, SPAN)
    with pytest.raises(UserError, match="whole number from 0 to 2"):
        env.step(np.full(ACCOUNTS, 3))
    weights = AccountsVecEnv(random_market(200), replace(EnvConfig(), action="weights"), 1, WINDOW, SPAN)
    with pytest.raises(UserError, match="target weights must lie in"):
        weights.step(np.array([[np.nan]]))


def test_maskable_ppo_trades_only_what_the_masks_leave():
    """Long-only steps: an account that holds nothing cannot sell, and MaskablePPO never tries."""
    config = EnvConfig(action="steps", low=0.0, episode=20)
    env = AccountsVecEnv(random_market(200), config, ACCOUNTS, WINDOW, SPAN, observation="window")
    model = MaskablePPO("MultiInputPolicy", env, n_steps=8, batch_size=16, n_epochs=1, device="cpu", seed=0)
    model.learn(ACCOUNTS * 16)
    observation = env.reset()
    for _ in range(30):
        masks = env.action_masks()
        action, _ = model.predict(observation, action_masks=masks)
        assert masks[np.arange(ACCOUNTS), action].all()
        observation = env.step(action)[0]
