"""What an episode is: where it starts and ends, what is shown, when an order fills, what is refused."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from configs.errors import UserError
from data.market import Market
from envs.config import EnvConfig
from envs.engine import Engine
from envs.episodes import EpisodeConfig
from envs.execution import CostConfig
from envs.observations import account_names
from envs.trading_env import TradingEnv
from envs.vector_env import TradingVectorEnv
from tests.envs.markets import market_of, random_market


def test_an_episode_of_forty_lasts_forty_and_is_truncated():
    env = TradingEnv(random_market(120), window=8, config=EnvConfig(episode=40))
    env.reset(seed=0)
    for age in range(1, 41):
        _, _, terminated, truncated, _ = env.step(1)
        assert (terminated, truncated) == (False, age == 40)
    with pytest.raises(UserError, match="reset"):
        env.step(1)


def test_evaluation_walks_the_whole_span_once_and_reaches_its_last_row():
    env = TradingEnv(random_market(120), window=8, rows=slice(20, 100), random_start=False, observation="row")
    rows = [int(env.reset(seed=0)[0]["row"][0])]
    done = False
    while not done:
        observation, _, _, done, _ = env.step(1)
        rows.append(int(observation["row"][0]))
    assert rows == list(range(20, 100))


def test_same_seed_same_episodes_and_another_seed_others():
    env = TradingEnv(random_market(500), window=8, config=EnvConfig(episode=10), observation="row")

    def starts(seed):
        return [int(env.reset(seed=seed)[0]["row"][0])] + [int(env.reset()[0]["row"][0]) for _ in range(5)]

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)
    assert len(set(starts(1))) > 3


def test_starts_are_spread_evenly_over_the_span():
    envs = TradingVectorEnv(20_000, random_market(110), window=1, config=EnvConfig(episode=10), observation="row")
    rows = envs.reset(seed=0)[0]["row"][:, 0]
    counts = np.bincount(rows, minlength=100)
    assert rows.max() == 99  # an episode of ten still fits
    assert abs(counts[:100] - 200).max() < 5 * np.sqrt(200)


def test_window_ends_on_the_decision_row_and_the_order_fills_at_the_next_open():
    market = random_market(60, scale=0.05)
    env = TradingEnv(market, window=8, config=EnvConfig(costs=CostConfig.flat_fee(0.0)), random_start=False)
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation["market"], market.features[0:8, 0])
    _, reward, *_ = env.step(2)
    _, _, _, close = market.prices[8, 0, :4]
    opened = market.prices[8, 0, 0]
    expected = np.log(close / opened * (1 - market.carry[8, 0]))
    assert reward == pytest.approx(expected, rel=1e-12)


def test_a_row_stands_for_its_window():
    """Moving rows and table together changes nothing; the row only indexes."""
    kind = dict(window=8, config=EnvConfig(episode=30))
    market = random_market(120)
    by_window, by_row = (TradingEnv(market, observation=o, **kind) for o in ("window", "row"))
    seen, row = by_window.reset(seed=3)[0], by_row.reset(seed=3)[0]
    for _ in range(30):
        table = market.window_at(int(row["row"][0]), 8)[:, 0]
        np.testing.assert_array_equal(seen["market"], table)
        np.testing.assert_array_equal(seen["account"], row["account"])
        seen, row = by_window.step(2)[0], by_row.step(2)[0]


def test_observations_are_fresh_arrays():
    env = TradingEnv(random_market(60), window=8)
    first, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in first.items()}
    env.step(2)
    for key in first:
        np.testing.assert_array_equal(first[key], kept[key])


def test_account_numbers_mean_what_they_say():
    closes = np.array([10.0, 10.0, 12.0, 9.0, 9.0])[:, None]
    env = TradingEnv(market_of(closes, closes), window=1, random_start=False,
                     config=EnvConfig(costs=CostConfig.flat_fee(0.0)))
    env.reset(seed=0)
    names = account_names(("A0",))
    states = [dict(zip(names, env.step(action)[0]["account"].tolist())) for action in (2, 0)]
    # bought at 10, still 10
    assert states[0]["weight:A0"] == 1
    assert states[0]["unrealised:A0"] == 0
    assert states[0]["turnover"] == 1
    assert states[0]["remaining"] == pytest.approx(0.75)
    assert states[0]["held:A0"] == pytest.approx(1 / 25)
    # at the open of 12 the gain is taken, and the account goes short for as much
    assert states[1]["log_equity"] == pytest.approx(np.log(1.2))
    assert states[1]["weight:A0"] == pytest.approx(-1)
    assert states[1]["drawdown"] == 0
    assert states[1]["turnover"] == pytest.approx(2)


@pytest.mark.parametrize(("action", "config"), [
    (3, EnvConfig()), (-1, EnvConfig()), (0.5, EnvConfig()), (np.nan, EnvConfig()),
    (np.array([np.nan]), EnvConfig(action="weights")), (np.array([1.5]), EnvConfig(action="weights")),
])
def test_a_senseless_action_is_refused_and_trades_nothing(action, config):
    env = TradingEnv(random_market(60), window=8, config=config)
    env.reset(seed=0)
    before = env.engine.money.copy()
    with pytest.raises(UserError, match="found"):
        env.step(action)
    np.testing.assert_array_equal(env.engine.money, before)


def test_without_arguments_it_trades_the_simulated_market():
    env = gym.make("envs:CoinArena/Trading-v0")
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert observation["market"].shape[0] == 48


def test_it_can_be_made_in_a_worker_process():
    envs = gym.make_vec("envs:CoinArena/Trading-v0", num_envs=2, vectorization_mode="async", market=random_market(60),
                        window=8)
    try:
        observation, _ = envs.reset(seed=0)
        assert observation["market"].shape == (2, 8, 3)
    finally:
        envs.close()


def test_too_few_rows_for_a_window_says_so():
    with pytest.raises(UserError, match="window of 48"):
        TradingEnv(random_market(30), window=48)


def test_unscaled_features_are_refused():
    market = market_of(np.full((20, 1), 9.0), np.full((20, 1), 9.0), features=np.full((20, 1, 1), 5e4, np.float32))
    with pytest.raises(UserError, match="scale"):
        TradingEnv(market, window=2)


@pytest.mark.parametrize("bad", [dict(action="level"), dict(ruin=2.0), dict(levels=(1.0,)), dict(episode=0)])
def test_a_senseless_config_is_refused(bad):
    with pytest.raises(UserError):
        TradingEnv(random_market(60), window=8, config=EnvConfig(**bad))


def test_levels_of_several_assets_share_the_gross_limit():
    env = TradingEnv(random_market(60, 2), window=8, config=EnvConfig(costs=CostConfig.flat_fee(0.0)))
    env.reset(seed=0)
    account = env.step(np.array([2, 0]))[0]["account"]
    assert np.abs(account[:2]).sum() == pytest.approx(1.0, abs=0.1)


def test_leverage_has_to_be_asked_for():
    with pytest.raises(UserError, match=r"env\.gross"):
        EnvConfig(levels=(0.0, 2.0))
    assert EnvConfig(levels=(0.0, 2.0), gross=2.0).reach == (0.0, 2.0)


@pytest.mark.parametrize("start", [[1, 2], "x", 2.7, np.nan, -1, 10_000])
def test_a_start_that_is_no_decision_is_refused_in_a_line(start):
    market = Market.flat(40)
    for env in (TradingEnv(market, 4), TradingVectorEnv(3, market, 4)):
        with pytest.raises(UserError, match=r"^(start must be|an episode can start)[^\n]*$"):
            env.reset(seed=0, options={"start": start})


def test_an_engine_refuses_numbers_of_starts_and_seeds_that_are_not_its_accounts():
    engine = Engine(Market.flat(60), EnvConfig(), 4, 4)
    with pytest.raises(UserError, match="for each of 4 accounts"):
        engine.reset(starts=np.array([3]))
    with pytest.raises(UserError, match="for each of 4 accounts"):
        engine.reset([3])


@pytest.mark.parametrize("rows", [[], [slice(20, 40), slice(0, 20)], [slice(0, 30), slice(20, 40)]])
def test_spans_that_do_not_follow_one_another_are_refused(rows):
    with pytest.raises(UserError, match="rows must be"):
        Engine(Market.flat(40), EnvConfig(), 1, 4, rows)


@pytest.mark.parametrize("wrong", [
    dict(capital=np.inf), dict(gross=np.nan), dict(levels=()), dict(levels=(0.0, np.nan)), dict(low=np.nan),
    dict(latency=1.5), dict(episode=2.5), dict(costs="perp"), dict(episodes=EpisodeConfig(cost_scale=(0.0, 3000.0)))])
def test_settings_that_are_no_settings_are_refused(wrong):
    with pytest.raises(UserError, match=r"^[^\n]*(env\.|env needs)[^\n]*$"):
        EnvConfig(**wrong)


@pytest.mark.parametrize("wrong", [dict(window=0), dict(window=-1), dict(threads=0), dict(threads=1.5),
                                   dict(num_envs=0), dict(market="nope"), dict(config={})])
def test_what_no_environment_can_be_made_of_is_refused(wrong):
    with pytest.raises(UserError, match=r"^[^\n]* must be [^\n]*$"):
        TradingVectorEnv(**(dict(num_envs=2, market=Market.flat(40), window=4) | wrong))


@pytest.mark.parametrize("change", [dict(rows=[slice(0, 100), slice(280, 300)]), dict(config=EnvConfig(capital=77.0))])
def test_a_state_of_other_spans_or_settings_is_refused(change):
    env = TradingEnv(Market.flat(300), 4)
    env.reset(seed=0)
    with pytest.raises(UserError, match="belongs to another env"):
        TradingEnv(Market.flat(300), 4, **change).set_state(env.get_state())
