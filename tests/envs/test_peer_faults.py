"""Faults seen in other trading environments, and complaints of their users: each has a test that it would fail.

What a test elsewhere in tests/ catches:

- interest forgotten on a flip: envs/test_ledger.py::test_interest_accrues_on_shorts_and_survives_a_flip
- the step of ruin pays nothing: envs/test_ledger.py::test_ruin_ends_the_episode_and_its_loss_is_paid
- bars never reached: envs/test_envs.py::test_evaluation_walks_the_whole_span_once_and_reaches_its_last_row
- observations that change later: envs/test_envs.py::test_observations_are_fresh_arrays
- fills at a price seen: envs/test_envs.py::test_window_ends_on_the_decision_row_and_the_order_fills_at_the_next_open
- windows padded with zeros: envs/test_envs.py::test_a_row_stands_for_its_window
- a batch drifts from the single env: envs/test_env_contracts.py::test_single_and_vector_agree_to_the_last_bit
- four resets with one seed, four starts: envs/test_envs.py::test_same_seed_same_episodes_and_another_seed_others
- an episode too short: envs/test_envs.py::test_an_episode_of_forty_lasts_forty_and_is_truncated
- sales of what is not held: envs/test_actions.py::test_selling_what_is_not_held_sends_nothing
- seeds without effect: envs/test_env_contracts.py::test_a_seed_decides_everything_and_another_one_something_else
- few actions: envs/test_env_contracts.py::test_both_checkers_pass_without_a_warning_but_three_pieces_of_advice
- rewards that are no number: envs/test_bad_data.py::test_bad_bars_never_make_a_bad_number
- a back-test without its position: agents/test_rollout.py::test_one_contestant_is_a_trading_env_to_the_last_bit
- a scaler fitted on all data: data/test_dataset.py::test_the_scaler_has_seen_training_rows_alone
- dates sorted as text: data/test_readers.py::test_rows_are_sorted_and_copies_left_out_but_two_truths_stay
- another result each time: agents/test_same_seed.py::test_the_same_seed_gives_the_same_table_to_the_byte
"""

from __future__ import annotations

import ast
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.arena.rollout import Contestant, compete
from agents.policy import WeightTable
from configs.errors import UserError
from data.market import CLOSE, OPEN, Market
from envs import layout as at
from envs.config import EnvConfig
from envs.execution import COSTS, CostConfig
from envs.exits import MarginConfig
from envs.risk import RiskConfig
from envs.trading_env import TradingEnv
from envs.vector_env import TradingVectorEnv
from tests.envs.markets import closing_at, market_of, no_carry, random_market

TESTS = Path(__file__).parents[1]
FREE = EnvConfig(costs=CostConfig.named("free"), risk=RiskConfig(band=0.0), ruin=1e-3,
                 margin=MarginConfig(maintenance=0.0))
SHORT, FLAT, LONG = range(3)


def whole(market: Market, config: EnvConfig, **others) -> TradingEnv:
    """An env that walks all of it once, begun."""
    env = TradingEnv(market, window=1, config=config, random_start=False, **others)
    env.reset(seed=0)
    return env


def play(env: TradingEnv, actions) -> list[tuple[float, bool, bool, dict]]:
    """(reward, terminated, truncated, info) of each step until the actions or the episode are over."""
    steps = []
    for action in actions:
        _, *step = env.step(action)
        steps.append(tuple(step))
        if step[1] or step[2]:
            break
    return steps


def test_each_test_named_above_exists():
    named = re.findall(r"(\w+/test_\w+\.py)::(test_\w+)", __doc__)
    assert len(named) == __doc__.count("\n- ")
    for file, name in named:
        functions = {node.name for node in ast.parse((TESTS / file).read_text()).body if hasattr(node, "name")}
        assert name in functions, f"{file} has no {name}"


@pytest.mark.parametrize("action", [SHORT, LONG])
def test_a_reset_shows_nothing_of_the_episode_before(action):
    """Not after twenty steps in the market, nor in a vector env where the next episode begins within the step."""
    market, config = random_market(300), EnvConfig(episode=20)
    env, fresh = (TradingEnv(market, window=8, config=config) for _ in range(2))
    env.reset(seed=1)
    play(env, [action] * 20)
    second, first = env.reset(seed=2)[0], fresh.reset(seed=2)[0]
    for name in first:
        np.testing.assert_array_equal(second[name], first[name])
    envs = TradingVectorEnv(2, market, window=8, config=config)
    envs.reset(seed=1)
    for _ in range(20):
        shown, *_ = envs.step(np.array([action, action]))
    names = ["weight", "unrealised", "held", "tradeable", "drawdown", "log_equity", "turnover", "remaining"]
    assert [dict(zip(names, account.tolist())) for account in shown["account"]] == [
        dict.fromkeys(names, 0.0) | {"remaining": 1.0, "tradeable": 1.0}] * 2


def test_the_reward_includes_the_fees():
    """On a market that stands still, what is paid is all there is; and the dearer, the less."""
    totals = []
    for bps in (0.0, 10.0, 100.0):
        env = whole(closing_at(*[10.0] * 12), EnvConfig(costs=CostConfig.flat_fee(bps)))
        steps = play(env, [LONG, FLAT, SHORT, FLAT] * 2)
        fees = steps[-1][3]["fees"]
        assert sum(step[0] for step in steps) == pytest.approx(np.log1p(-fees / 10_000), abs=1e-12)
        totals.append(fees)
    assert totals[0] == 0 < totals[1] < totals[2]


def test_buy_and_hold_earns_the_markets_own_reward():
    market = no_carry(random_market(300))
    steps = play(whole(market, FREE), [LONG] * 300)
    assert len(steps) == 299
    grown = np.log(market.prices[-1, 0, CLOSE] / market.prices[1, 0, OPEN])
    assert sum(step[0] for step in steps) == pytest.approx(grown, rel=1e-10)
    assert abs(grown) > 0.01


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("costs", list(COSTS))
def test_no_high_reward_for_an_account_that_lost(seed, costs):
    """The sum of the rewards says by how much the account has grown, whatever was done, ruin included."""
    env = whole(random_market(120, seed=seed, scale=0.05), EnvConfig(costs=COSTS[costs], ruin=0.01))
    steps = play(env, np.random.default_rng(seed).integers(0, 3, 120))
    equity = max(steps[-1][3]["equity"] / 10_000, 1e-3)
    assert sum(step[0] for step in steps) == pytest.approx(np.log(equity), rel=1e-9)


@pytest.mark.parametrize(("action", "close", "equity"), [(SHORT, 11.0, 9_000.0), (SHORT, 9.0, 11_000.0),
                                                         (LONG, 11.0, 11_000.0), (LONG, 9.0, 9_000.0)])
def test_a_short_loses_when_the_price_rises_and_earns_when_it_falls(action, close, equity):
    [step] = play(whole(closing_at(10.0, 10.0, close, close), FREE, rows=slice(1, 3)), [action] * 3)
    assert step[3]["equity"] == pytest.approx(equity)
    assert np.sign(step[0]) == np.sign(equity - 10_000)


def test_the_final_reward_is_paid_once():
    """A single env refuses a step after the end; in a vector env the next reward is of the next episode alone."""
    market, config = no_carry(random_market(200)), replace(FREE, episode=10)
    env = TradingEnv(market, window=1, config=config)
    env.reset(seed=0)
    play(env, [LONG] * 10)
    with pytest.raises(UserError, match="call reset"):
        env.step(LONG)
    envs = TradingVectorEnv(1, market, window=1, config=config)
    envs.reset(seed=0)
    for _ in range(5):
        total = 0.0
        for _ in range(10):
            _, reward, _, done, infos = envs.step(np.array([LONG]))
            total += float(reward[0])
        assert done[0]
        assert total == pytest.approx(np.log(infos["final_info"]["equity"][0] / 10_000))
    assert envs.step(np.array([FLAT]))[1][0] == 0.0


@pytest.mark.parametrize("costs", [*COSTS.values(), CostConfig(fee_bps=100.0, spread_bps=50.0, slippage_bps=20.0)])
def test_cash_is_never_negative_by_the_fee(costs):
    """Everything into one asset, or into three, there and back: the order pays its own costs."""
    for assets in (1, 3):
        env = whole(no_carry(random_market(80, assets)), EnvConfig(action="weights", low=0.0, costs=costs))
        rng = np.random.default_rng(0)
        for _ in range(79):
            wish = rng.dirichlet(np.ones(assets)) if rng.random() < 0.8 else np.zeros(assets)
            env.step(wish)
            assert env.engine.money[0, at.CASH] >= -1e-8


def test_no_value_of_a_feature_blocks_trading():
    """What the policy is shown is not what the account goes by: ones, zeros or noise, the money is the same."""
    market, actions = random_market(100), np.random.default_rng(0).integers(0, 3, 100)
    ends = [play(whole(replace(market, features=features), EnvConfig()), actions)[-1][3]
            for features in (market.features, np.ones_like(market.features), np.zeros_like(market.features))]
    assert ends[0] == ends[1] == ends[2]
    assert ends[0]["fees"] > 0


@pytest.mark.parametrize("action", ["steps", "weights"])
def test_nothing_depends_on_the_number_of_digits_of_the_price(action):
    market, rng = random_market(100, 2), np.random.default_rng(0)
    actions = rng.integers(0, 3, (100, 2)) if action == "steps" else rng.uniform(-1, 1, (100, 2))

    def walk(factor: float) -> np.ndarray:
        """(steps, 3) reward and both weights, with all prices so many times as high."""
        prices = market.prices * np.array([factor] * 4 + [1.0])
        env = whole(replace(market, prices=prices), EnvConfig(action=action, risk=RiskConfig(stop_loss=0.1)))
        return np.array([[play(env, [one])[0][0], *env.engine.weights()[0]] for one in actions[:99]])

    np.testing.assert_array_equal(walk(1024.0), walk(1.0))  # a power of two changes no digit
    np.testing.assert_allclose(walk(1000.0), walk(1.0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(walk(1e-6), walk(1.0), rtol=1e-9, atol=1e-12)


def test_slippage_always_costs():
    """Every buyer pays more than the open and every seller gets less, in each of hundreds of fills."""
    market, fills = random_market(300, 2), 0
    env = whole(market, EnvConfig(action="weights", costs=CostConfig(fee_bps=0.0, spread_bps=0.0, slippage_bps=3.0)))
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(299):
        env.step(rng.uniform(-1, 1, 2))
        units, price = env.engine.fills[0, :, at.ORDER_UNITS], env.engine.fills[0, :, at.ORDER_PRICE]
        worse = units * (price - market.prices[env.engine.rows[0], :, OPEN])
        assert (worse[units != 0] > 0).all()
        fills, total = fills + int((units != 0).sum()), total + worse.sum()
        assert env.engine.money[0, at.SLIPPAGE] == pytest.approx(total)
    assert fills > 400


def test_a_liquidation_is_shown_on_the_bar_it_happens():
    config = replace(FREE, levels=(-2.0, 0.0, 2.0), gross=2.0, margin=MarginConfig(maintenance=0.1))
    env = whole(closing_at(10.0, 10.0, 10.0, 14.5, 14.5, 14.5), config)
    events, held = [], []
    for _ in range(4):
        observation, _, _, _, info = env.step(SHORT if not any(events) else FLAT)
        events.append(info["events"])
        held.append(float(observation["account"][0]))
    assert events == [(), (), ("liquidation",), ()]
    assert held == [pytest.approx(-2.0), pytest.approx(-2.0), 0.0, 0.0]


def test_money_is_float64():
    """A million moves by a hundredth of a cent: float32 has no number for it."""
    env = whole(closing_at(1.0, 1.0, 1.0, 1.0 + 1e-10), replace(FREE, capital=1e6))
    *_, last = play(env, [LONG] * 3)
    assert {array.dtype for array in (env.engine.money, env.engine.holdings, env.engine.reward)} == {np.dtype(float)}
    assert isinstance(last[0], float)
    assert last[3]["equity"] - 1e6 == pytest.approx(1e-4, rel=1e-5)
    assert last[0] == pytest.approx(1e-10, rel=1e-5)


def test_the_end_of_the_data_is_truncated_and_not_terminated():
    for market in (random_market(30), replace(random_market(30), segments=np.array([[0, 10], [12, 30]]))):
        ends = [step[1:3] for step in play(whole(market, FREE), [FLAT] * 40)]
        assert ends == [(False, False)] * (len(ends) - 1) + [(False, True)]
    ruined = play(whole(closing_at(10.0, 10.0, 30.0, 30.0), FREE), [SHORT] * 3)
    assert [step[1:3] for step in ruined] == [(False, False), (True, False)]


def test_two_envs_share_nothing():
    market, config = random_market(200, 2), EnvConfig(action="weights")
    wishes = np.random.default_rng(0).uniform(-1, 1, (2, 100, 2))
    alone = [play(whole(market, config), wishes[k])[-1] for k in range(2)]
    envs = [whole(market, config) for _ in range(2)]
    together = [[play(env, [wishes[k][step]]) for k, env in enumerate(envs)] for step in range(100)][-1]
    assert [steps[-1] for steps in together] == alone
    own = [[array for array in vars(env.engine).values() if isinstance(array, np.ndarray) and array.flags.writeable]
           for env in envs]
    assert len(own[0]) > 5
    assert not any(np.shares_memory(one, other) for one in own[0] for other in own[1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_not_a_number_is_refused_and_not_turned_into_zero(value):
    features = np.zeros((50, 1, 2), np.float32)
    features[30, 0, 1] = value
    with pytest.raises(UserError, match="'f1' is not a number at row 30"):
        TradingEnv(closing_at(*[10.0] * 50, features=features), window=4)


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_env_and_arena_mean_the_same_bar(shift):
    """The price doubles within bars 10, 20 and 30 alone: only who decides just before each has eightfold money."""
    opens, closes = np.full((40, 1), 10.0), np.full((40, 1), 10.0)
    for k, row in enumerate((10, 20, 30)):
        opens[row], closes[row] = 10.0 * 2**k, 20.0 * 2**k
        opens[row + 1 :] = closes[row + 1 :] = closes[row]
    market = market_of(opens, closes)
    weights = np.zeros((40, 1))
    weights[np.array([9, 19, 29]) + shift] = 1.0
    config = replace(FREE, action="weights")
    [track] = compete({"it": Contestant(WeightTable(weights))}, market, config, 1, slice(0, 40))
    steps = play(whole(market, config), weights)
    assert track.equity[1:].tolist() == [step[3]["equity"] for step in steps]
    assert track.equity[-1] == pytest.approx(80_000.0 if shift == 0 else 10_000.0)


def test_importing_sets_no_warning_filter():
    """Libraries set some of their own; ours set none, and nobody turns warnings into errors."""
    names = [f"envs.{file.stem}" for file in (TESTS.parent / "envs").glob("*.py") if file.stem != "__init__"]
    code = f"""
import importlib, sys, warnings
asked = []
for name in ("filterwarnings", "simplefilter"):
    def noted(*args, original=getattr(warnings, name), **others):
        asked.append(sys._getframe(1).f_globals["__name__"].split(".")[0])
        return original(*args, **others)
    setattr(warnings, name, noted)
for name in {names!r}:
    importlib.import_module(name)
assert "numpy" in asked and not {{"envs", "data", "configs"}} & set(asked), asked
assert all(action != "error" for action, *_ in warnings.filters), warnings.filters
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_step_returns_the_next_observation():
    market = random_market(60)
    env = TradingEnv(market, window=4, config=FREE, random_start=False)
    env.reset(seed=0)
    for row in range(4, 30):
        observation, *_, info = env.step(LONG)
        np.testing.assert_array_equal(observation["market"][-1], market.features[row, 0])
        assert observation["account"][5] == pytest.approx(np.log(info["equity"] / 10_000), rel=1e-6)


@pytest.mark.parametrize("make", [TradingEnv, lambda *args, **others: TradingVectorEnv(3, *args, **others)])
def test_nothing_grows_from_step_to_step(make):
    """A history that is kept in Python objects makes every step slower than the one before."""
    env = make(random_market(2000), window=4, config=EnvConfig(episode=1500))
    env.reset(seed=0)
    sizes = []
    for steps in (10, 1000):
        for _ in range(steps):
            env.step(env.action_space.sample())
        sizes.append(len(pickle.dumps(env)))
    assert sizes[1] == pytest.approx(sizes[0], abs=64)  # numbers of the action space's own generator vary in length
