"""What every registered env keeps, whatever it is set to: both checkers, seeds, pickles, states, single against vector.

`KINDS` holds settings in which every two choices meet: env, observation, actions, reward, costs and rules.
"""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics, RecordVideo, TimeLimit
from gymnasium.wrappers import vector as vector_wrappers
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from stable_baselines3.common.vec_env import DummyVecEnv

from configs.errors import UserError
from envs.config import EnvConfig
from envs.episodes import EpisodeConfig
from envs.execution import COSTS, CostConfig
from envs.exits import MarginConfig
from envs.rewards import REWARDS, RewardConfig
from envs.risk import Outlook, RiskConfig
from tests.envs.markets import random_market, troubled, with_gap

WINDOW, EPISODE, ROWS = 8, 25, 150
MARKETS = {"CoinArena/Trading-v0": with_gap(troubled(random_market(ROWS), "silent"), 70, 75),
           "CoinArena/Portfolio-v0": with_gap(troubled(random_market(ROWS, 3), "missing", "listed_late"), 70, 75)}
ACTIONS = {"levels": {"action": "levels"}, "steps": {"action": "steps"},
           "long weights": {"action": "weights", "low": 0.0}, "weights": {"action": "weights"}}
ROUGH = CostConfig(tiers=((0.0, 9.0, 4.0), (30_000.0, 6.0, 2.0)), spread="range", impact=0.5, max_share=0.2,
                   borrow_of={"A0": 0.3}, min_notional=20.0, lot={"all": 0.1}, tick={"A0": 0.05})
RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "gross": 1.5, "margin": MarginConfig(maintenance=0.2),
        "risk": RiskConfig(fixed=0.9, volatility_target=3.0, kelly=0.5, risk_per_trade=0.2, confidence=True,
                           max_weight=0.8, net=0.7, turnover=1.2, stop_loss=0.03, take_profit=0.05, trailing_stop=0.04,
                           drawdown_stop=0.1, cooldown=4)},
    "late": {"latency": 2, "observation_delay": 1},
    "costs drawn": {"episodes": EpisodeConfig(cost_scale=(0.5, 3.0))},
    "in turn": {"episodes": EpisodeConfig(order="sequential")},
    "a band": {"episodes": EpisodeConfig(band=(0.2, 0.8), band_bars=10)},
}
Kind = tuple[str, ...]  # env, observation, actions, reward, costs, rules


def every_two(*choices: list[str]) -> list[Kind]:
    """Combinations in which every two choices meet; few, though not the fewest."""
    wanted = {pair for a, b in itertools.combinations(range(len(choices)), 2)
              for pair in itertools.product([(a, one) for one in choices[a]], [(b, one) for one in choices[b]])}
    taken = []
    for least in (15, 12, 9, 6, 3, 1):  # greedily: first those that bring many new pairs together
        for combination in itertools.product(*choices):
            new = wanted & set(itertools.combinations(enumerate(combination), 2))
            if len(new) >= least:
                taken.append(combination)
                wanted -= new
    return taken


KINDS = every_two(list(MARKETS), ["window", "row"], list(ACTIONS), list(REWARDS), [*COSTS, "rough"], list(RULES))
each_kind = pytest.mark.parametrize("kind", KINDS, ids="-".join)


def arguments(kind: Kind, **others: Any) -> dict[str, Any]:
    name, observation, actions, reward, costs, rules = kind
    market = MARKETS[name]
    settings = {**ACTIONS[actions], **RULES[rules]}
    config = EnvConfig(costs=COSTS.get(costs, ROUGH), episode=EPISODE, **settings,
                       reward=RewardConfig(**{"log_growth": 0.0, reward: 1.0}, memory=10.0))
    rng, shape = np.random.default_rng(0), market.carry.shape
    outlook = Outlook(rng.normal(0, 0.02, shape), np.full(shape, 0.1), rng.uniform(0.3, 1.0, shape))
    return {"market": market, "window": WINDOW, "observation": observation, "config": config, "outlook": outlook,
            **others}


def single(kind: Kind, **others: Any) -> gym.Env:
    return gym.make(f"envs:{kind[0]}", **arguments(kind, **others)).unwrapped


def batch(kind: Kind, count: int = 3, **others: Any) -> VectorEnv:
    return gym.make_vec(f"envs:{kind[0]}", num_envs=count, **arguments(kind, **others))


def onward(env: gym.Env | VectorEnv, steps: int, seed: int = 0) -> list[Any]:
    """All that `steps` random actions give, episodes that end on the way included."""
    actions, found = copy.deepcopy(env.action_space), []
    actions.seed(seed)
    for _ in range(steps):
        found.append(env.step(actions.sample()))
        if isinstance(env, gym.Env) and (found[-1][2] or found[-1][3]):
            found.append(env.reset())
    return found


def assert_same(one: Any, other: Any) -> None:
    """To the last bit, through dicts, lists and arrays of objects."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), [other[name] for name in one]
    if isinstance(one, (list, tuple)) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(other)
        for mine, its in zip(one, other):
            assert_same(mine, its)
    else:
        np.testing.assert_array_equal(one, other, strict=isinstance(one, np.ndarray))


def test_every_two_choices_meet():
    reached = {pair for kind in KINDS for pair in itertools.combinations(kind, 2)}
    assert {("row", rules) for rules in RULES} | set(itertools.product(REWARDS, RULES)) <= reached
    assert len(KINDS) < 100


@each_kind
def test_both_checkers_pass_without_a_warning_but_three_pieces_of_advice(kind):
    env = single(kind, render_mode="ansi")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # SB3 knows pictures and flat vectors; a window is neither. Weights of a long-only account go from 0 to 1, since
        # that is what they mean, and not from -1 to 1.
        for advice in ("Your observation market has an unc", "It seems that your observation", "Treating image space",
                       "The minimal resolution for an image", "We recommend you to use a symmetric"):
            warnings.filterwarnings("ignore", advice)
        check_env(env)
        check_env_sb3(env)


@each_kind
def test_single_and_vector_agree_to_the_last_bit(kind):
    """Account b of the vector env against gymnasium's own SyncVectorEnv of single envs, episodes ending on the way."""
    native = batch(kind)
    plain = SyncVectorEnv([lambda: single(kind)] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    assert native.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert native.single_observation_space == plain.single_observation_space
    native.action_space.seed(1)
    first, second = native.reset(seed=5)[0], plain.reset(seed=5)[0]
    ended = 0
    for _ in range(2 * EPISODE):
        assert_same(first, second)
        action = native.action_space.sample()
        first, *ours, infos = native.step(action)
        second, *theirs, plain_infos = plain.step(action)
        assert_same(ours, theirs)
        assert ("final_obs" in infos) == ("final_obs" in plain_infos)
        if "final_obs" in infos:
            ended += int(infos["_final_obs"].sum())
            assert_same(infos, {name: plain_infos[name] for name in infos})
    assert ended >= 6
    assert native.observation_space.contains(first)


@each_kind
def test_a_seed_decides_everything_and_another_one_something_else(kind):
    for made in (single(kind), batch(kind)):
        first, second = ((made.reset(seed=3), onward(made, 60)) for _ in range(2))
        assert_same(first, second)
        starts = {seed: [made.reset(seed=seed), *[made.reset() for _ in range(5)]] for seed in (3, 4)}
        with pytest.raises(AssertionError):
            assert_same(starts[3], starts[4])


@each_kind
def test_a_pickle_and_a_state_go_on_to_the_last_bit(kind):
    for make in (single, batch):
        env = make(kind)
        env.reset(seed=3)
        onward(env, EPISODE + 7, seed=1)
        twin, copied, state = pickle.loads(pickle.dumps(env)), copy.deepcopy(env), env.get_state()
        after = onward(env, 2 * EPISODE)
        assert_same(onward(twin, 2 * EPISODE), after)
        assert_same(onward(copied, 2 * EPISODE), after)
        env.set_state(state)
        assert_same(onward(env, 2 * EPISODE), after)
        another = make(kind)
        another.set_state(pickle.loads(pickle.dumps(state)))
        assert_same(onward(another, 2 * EPISODE), after)


@pytest.mark.parametrize("make", [single, batch])
@pytest.mark.parametrize("change", [
    {"market": random_market(ROWS, seed=7)}, {"market": random_market(ROWS, 2)}, {"rows": slice(10, 140)},
    {"window": 9},
])
def test_a_state_of_another_market_or_span_is_refused_in_a_line(make, change):
    env, other = make(KINDS[0]), make(KINDS[0], **change)
    other.reset(seed=0)
    before = env.get_state()
    with pytest.raises(UserError, match=r"^this state .*belongs to another[^\n]*$"):
        env.set_state(other.get_state())
    assert_same(env.get_state(), before)


@pytest.mark.parametrize("kind", KINDS[:: len(KINDS) // 6], ids="-".join)
def test_two_threads_change_no_bit(kind):
    one, two = (batch(kind, 2048, threads=threads) for threads in (1, 2))
    assert two.engine.threads == 2
    for env in (one, two):
        env.reset(seed=3)
    assert_same(onward(one, EPISODE + 5), onward(two, EPISODE + 5))
    assert_same(one.get_state(), two.get_state())
    assert_same(onward(pickle.loads(pickle.dumps(two)), 3), onward(one, 3))


@pytest.mark.parametrize(("seed", "says"), [([1, 2], "3 accounts"), ([1, 2, 3, 4], "3 accounts"), ([1, 2, 0.5], "0.5")])
def test_seeds_that_do_not_fit_the_accounts_are_refused(seed, says):
    with pytest.raises(UserError, match=says):
        batch(KINDS[0]).reset(seed=seed)


def test_a_numpy_integer_is_a_seed_and_a_list_names_each_account():
    env = batch(KINDS[0])
    assert_same(env.reset(seed=np.int64(4)), env.reset(seed=4))
    assert_same(env.reset(seed=[4, 5, 6]), env.reset(seed=4))
    assert_same(env.reset(seed=np.array([4, 5, 6])), env.reset(seed=4))


@pytest.mark.parametrize("kind", KINDS[:4], ids="-".join)
def test_wrappers_that_people_use(kind):
    """A time limit truncates, statistics add up, a flat observation is a vector of the env's own numbers."""
    env = RecordEpisodeStatistics(TimeLimit(FlattenObservation(single(kind)), 10))
    flat, _ = env.reset(seed=0)
    assert flat.shape == env.observation_space.shape
    assert flat in env.observation_space
    total = 0.0
    for step in range(10):
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        total += reward
        assert (terminated, truncated) == (False, step == 9)
    assert info["episode"]["l"] == 10
    assert info["episode"]["r"] == pytest.approx(total)


def test_statistics_of_a_vector_env():
    env = vector_wrappers.RecordEpisodeStatistics(batch(KINDS[0]))
    env.reset(seed=0)
    rewards = np.zeros(3)
    for _ in range(EPISODE):
        _, reward, _, truncated, infos = env.step(np.array([0, 1, 2]))
        rewards += reward
    assert truncated.all()
    assert infos["episode"]["l"].tolist() == [EPISODE] * 3
    assert infos["episode"]["r"] == pytest.approx(rewards)


def test_a_video_is_recorded(tmp_path):
    pytest.importorskip("moviepy", reason="moviepy, which gymnasium makes videos with, is absent: pip install moviepy")
    env = RecordVideo(single(KINDS[0], render_mode="rgb_array"), str(tmp_path), episode_trigger=lambda episode: True)
    env.reset(seed=0)
    for _ in range(EPISODE):
        env.step(1)
    env.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"]


def test_pictures_are_collected_by_the_wrapper_that_needs_nothing():
    env = gym.wrappers.RenderCollection(single(KINDS[0], render_mode="rgb_array"), pop_frames=False)
    env.reset(seed=0)
    for _ in range(3):
        env.step(2)
    frames = env.render()
    assert len(frames) == 4
    assert {frame.shape for frame in frames} == {frames[0].shape}


@pytest.mark.parametrize("actions", ["levels", "steps"])
@pytest.mark.parametrize("name", list(MARKETS))
def test_maskable_ppo_learns_and_never_takes_what_is_masked(name, actions):
    kind = (name, "window", actions, "log_growth", "perp", "plain")
    envs = DummyVecEnv([lambda: single(kind)])
    model = MaskablePPO("MultiInputPolicy", envs, n_steps=100, batch_size=50, n_epochs=1, seed=0, device="cpu")
    model.learn(200)
    assert model.num_timesteps == 200
    seen, masked = envs.reset(), 0
    for _ in range(100):
        masks = get_action_masks(envs)
        chosen, _ = model.predict(seen, action_masks=masks)
        per_asset = masks.reshape(np.atleast_1d(chosen[0]).size, -1)
        assert per_asset[np.arange(len(per_asset)), np.atleast_1d(chosen[0])].all()
        masked += int((~masks).sum())
        seen, *_ = envs.step(chosen)
    assert masked > 0


@pytest.mark.parametrize("kind", KINDS[:: len(KINDS) // 4], ids="-".join)
def test_ppo_learns_a_few_steps(kind):
    envs = DummyVecEnv([lambda: single(kind)] * 2)
    model = PPO("MultiInputPolicy", envs, n_steps=20, batch_size=20, n_epochs=1, seed=0, device="cpu")
    before = copy.deepcopy(model.policy.state_dict())
    model.learn(40)
    after = model.policy.state_dict()
    assert all(weights.isfinite().all() for weights in after.values())
    assert any((after[name] != before[name]).any() for name in after)
