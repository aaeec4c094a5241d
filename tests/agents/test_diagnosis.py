"""A diagnosis of agents whose illnesses are known: what they look at, when they trade, what that costs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from agents.algos.config import AllQConfig
from agents.arena.rollout import Contestant, compete
from agents.bundle import Bundle
from agents.config import AgentConfig
from agents.diagnosis.ablation import ALL, ablation, blocks, shuffled, shuffled_rows
from agents.diagnosis.band import band, edge, trading
from agents.diagnosis.best import AGENT, ORACLE, accounts, best, oracle_of
from agents.diagnosis.config import DiagnosisConfig
from agents.diagnosis.diagnosis import diagnose
from agents.diagnosis.pictures import pictures
from agents.diagnosis.record import in_order
from agents.diagnosis.regimes import EVERY, THIRDS, UNKNOWN, regimes
from agents.diagnosis.report import markdown, write_diagnosis
from agents.diagnosis.sensitivity import LATE_ORDER, LATE_VIEW, PLAIN, TOLD, Told, by_the_unit, sensitivity
from agents.diagnosis.subject import Subject, check_fits, enough_past
from agents.diagnosis.walk import Ground, Walk, in_parts, walk
from agents.feature_table import PUBLISHED
from agents.strategies.oracle import solve
from agents.train import train
from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from data.dataset import load_dataset
from data.market import Market
from data.scaling import Scaler
from data.simulator.known import KnownConfig, make_known
from envs.config import EnvConfig
from envs.episodes import EpisodeConfig, trailing
from envs.execution import CostConfig
from envs.metrics import returns_of
from envs.rewards import RewardConfig
from tests.agents import small
from tests.agents.small import ENV, KNOWN, WINDOW, tiny_encoder
from tests.envs.markets import random_market

BPS = 1e-4
FEE = EnvConfig(costs=CostConfig.flat_fee(10.0))
QUICK, BOOTSTRAP = DiagnosisConfig(draws=2, costs=(0.0, 5.0, 10.0, 50.0)), BootstrapConfig(draws=200)


class Numbered:
    """Names the level nearest to the weight that another policy wants."""

    def __init__(self, policy, levels=ENV.levels) -> None:
        self.policy, self.levels = policy, np.array(levels)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        weights, state = self.policy.predict(observation, state, episode_start, deterministic)
        return np.abs(weights - self.levels).argmin(axis=1), state


class Levels:
    """A level for each row, whatever is held."""

    def __init__(self, numbers) -> None:
        self.numbers = np.asarray(numbers)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.numbers[observation["row"][:, 0]], state


def subject_of(market: Market, policy_of, env=FEE, rows=slice(None), law="", account=("weight",), config=QUICK,
               groups=None) -> Subject:
    groups = groups or {name: np.array([place]) for place, name in enumerate(market.columns)}
    return Subject("by hand", Ground(market, rows, 1, env.judged), policy_of, account, groups, config, BOOTSTRAP, law,
                   market if law else None)


@pytest.fixture(scope="module")
def oracle():
    return solve("ou_easy", 10 * BPS)


@pytest.fixture(scope="module")
def perfect(oracle) -> Subject:
    """The oracle of ou_easy as an agent of its own market."""
    return subject_of(make_known("ou_easy", 6_000, seed=3).market, lambda market: Numbered(oracle.policy(market)),
                      law="ou_easy", rows=slice(1_000, None))


@pytest.fixture(scope="module")
def noisy():
    """10,000 bars of ou_easy with a column of noise beside the state."""
    data = replace(KNOWN, known=KnownConfig("ou_easy", bars=10_000))
    found = load_dataset(data)
    noise = np.random.default_rng(1).standard_normal((10_000, 1, 1)).astype(np.float32)
    scaler = Scaler(("x", "noise"), np.append(found.scaler.center, 0.0), np.append(found.scaler.scale, 1.0), 8.0)
    market = replace(found.market, features=np.concatenate([found.market.features, noise], axis=2),
                     columns=("x", "noise"))
    return data, replace(found, market=market, scaler=scaler)


@pytest.fixture(scope="module")
def learnt(noisy) -> Bundle:
    """An all_q agent that was shown both columns."""
    agent = AgentConfig(steps=400_000, lr=3e-3, gamma=0.97, net=(32,), validations=2, all_q=AllQConfig(batch=512))
    return train(noisy[1], FEE, agent, "all_q", KNOWN.window, progress=False)


@pytest.fixture(scope="module")
def subject(noisy, learnt) -> Subject:
    data, dataset = noisy
    return Subject.of(learnt, dataset, data, DiagnosisConfig(draws=4, costs=(0.0, 5.0, 10.0, 50.0)), BOOTSTRAP)


@pytest.fixture(scope="module")
def whole(subject):
    return diagnose(subject)


def test_accounts_that_are_asked_together_are_the_arenas_to_the_last_bit(perfect):
    ground = perfect.ground
    dear = ground.under(replace(ground.env, costs=CostConfig.flat_fee(50.0)))
    late = ground.under(replace(ground.env, latency=1))
    together = [Walk(by_the_unit(ground), (0.0, 10.0, 50.0)), Walk(late), Walk(dear)]
    walk(perfect.policy, together)
    contestant = Contestant(perfect.policy, ground.env.actions(1))
    for rules, found in ((ground, together[0].growth[:, 1]), (late, together[1].growth[:, 0]),
                         (dear, together[2].growth[:, 0]), (dear, together[0].growth[:, 2])):
        [track] = compete({"alone": contestant}, rules.market, rules.env, 1, rules.rows)
        assert found.sum() == pytest.approx(np.log(track.equity[-1] / track.equity[0]), rel=1e-12)
        np.testing.assert_allclose(found, np.log1p(returns_of(track.equity)), atol=1e-14)


def test_one_that_ends_before_the_others_is_left_alone(perfect):
    ground = perfect.ground
    short = ground.under(replace(ground.env, observation_delay=1))
    short = replace(short, rows=slice(1_000, 1_200))
    alone, beside, other = Walk(short), Walk(short), Walk(ground)
    walk(perfect.policy, [alone])
    walk(perfect.policy, [beside, other])
    assert alone.steps == 199 < other.steps
    np.testing.assert_array_equal(alone.growth, beside.growth)


def test_parts_hold_every_decision_once(perfect):
    growth = in_parts(perfect.policy, perfect.ground)
    assert len(growth) == 4_999 // 32 * 32
    first = Walk(perfect.ground, starts=np.array([0]), steps=4_999 // 32)
    walk(perfect.policy, [first])
    np.testing.assert_array_equal(growth[: first.steps], first.growth[:, 0])


def test_growth_is_what_is_judged_whatever_was_rewarded():
    env = EnvConfig(reward=RewardConfig(log_growth=0.0, sharpe=1.0), episodes=EpisodeConfig(cost_scale=(0.5, 3.0)))
    market = make_known("trend", 300).market
    walks = [Walk(Ground(market, slice(None), 1, one.judged)) for one in (env, EnvConfig())]
    for one in walks:
        walk(Levels(np.full(300, 2)), [one])
    np.testing.assert_array_equal(walks[0].growth, walks[1].growth)
    assert walks[0].growth.sum() > 0.1


def test_a_state_is_missed_and_noise_is_not(subject, whole):
    assert subject.groups.keys() == {"x", "noise"}
    found = {one.name: one for one in whole.ablation.groups}
    assert found.keys() == {"x", "noise", ALL, "weight"}
    growth = whole.sensitivity.growth.value
    assert growth > 4 * BPS, "the agent has learnt nothing: there is nothing to miss"
    for name in ("x", ALL):
        assert found[name].growth.value < -0.9 * growth
        assert found[name].growth.clear
    assert not found["noise"].growth.clear
    assert abs(found["noise"].growth.value) < 0.1 * growth
    assert found["x"].changed > 0.2 > 0.05 > found["noise"].changed
    assert found["x"].moved > 10 * found["noise"].moved
    assert found["weight"].growth.value < 0, "who does not know what it holds trades too much or too little"
    assert [one.growth.value for one in whole.ablation.groups] == sorted(one.growth.value for one in found.values())


def test_what_a_policy_does_not_look_at_changes_nothing(perfect):
    market = perfect.ground.market
    noise = np.random.default_rng(0).standard_normal(market.features.shape).astype(np.float32)
    beside = replace(market, features=np.concatenate([market.features, noise], axis=2), columns=("x", "noise"))
    blind = Levels(np.arange(len(market)) // 7 % 3)
    for policy_of, unseen in ((perfect.policy_of, ["noise"]), (lambda market: blind, ["x", "noise", "weight", ALL])):
        subject = subject_of(beside, policy_of, rows=perfect.ground.rows)
        record = accounts(subject, None)[1]
        found = {one.name: one for one in ablation(subject, record).groups}
        for name in unseen:
            one = found[name]
            assert (one.growth.value, one.growth.clear, one.changed, one.moved) == (0.0, False, 0.0, 0.0)
        assert (found["x"].changed > 0.2) == ("x" not in unseen)


def test_a_block_shuffle_keeps_neighbours_together_and_brings_all_from_afar():
    for seed in range(20):
        moved = blocks(2_000, 40.0, np.random.default_rng(seed))
        assert sorted(moved) == list(range(2_000))
        assert np.mean(np.diff(moved) == 1) > 0.95
        assert np.mean(np.abs(moved - np.arange(2_000)) > 2_000 / 16) > 0.95
    hours = moved % 24
    assert np.mean(hours == np.arange(2_000) % 24) < 0.2, "the hour of the day is another one"


def test_only_the_columns_asked_for_are_shuffled_and_each_keeps_its_law():
    market = random_market(400, assets=2)
    rows, columns = np.arange(100, 350), np.array([0, 2])
    found = shuffled(market, rows, columns, 12.0, np.random.default_rng(0))
    outside = np.setdiff1d(np.arange(400), rows)
    np.testing.assert_array_equal(found.features[outside], market.features[outside])
    np.testing.assert_array_equal(found.features[..., 1], market.features[..., 1])
    assert np.mean(found.features[rows][..., columns] == market.features[rows][..., columns]) < 0.05
    np.testing.assert_array_equal(np.sort(found.features[rows], axis=0), np.sort(market.features[rows], axis=0))
    order = [int(np.flatnonzero(market.features[:, 0, 0] == value)[0]) for value in found.features[rows, 0, 0]]
    np.testing.assert_array_equal(found.features[rows][..., columns], market.features[order][..., columns])
    assert found.prices is market.prices


def test_an_asset_that_is_absent_stays_so_and_lends_nothing():
    market = random_market(400, assets=2)
    absent = np.zeros((400, 2), bool)
    absent[:250, 1] = True
    prices, features = market.prices.copy(), market.features.copy()
    prices[absent], features[absent] = np.nan, 0.0
    market = replace(market, prices=prices, features=features, absent=absent)
    found = shuffled(market, np.arange(100, 400), np.arange(3), 12.0, np.random.default_rng(0))
    assert not found.features[absent].any()
    assert (found.features[~absent] != 0).all()
    there = np.arange(250, 400)
    np.testing.assert_array_equal(np.sort(found.features[there, 1], axis=0), np.sort(market.features[there, 1], axis=0))


def test_what_no_decision_sees_is_not_shuffled(perfect):
    delayed = replace(perfect, ground=replace(perfect.ground, window=5, rows=slice(1_000, 2_000),
                                              env=replace(FEE, observation_delay=2)))
    rows = shuffled_rows(delayed)
    assert (rows[0], rows[-1], len(rows)) == (994, 1_999, 1_006)


def test_tables_of_shuffled_markets_do_not_pile_up(subject):
    before = set(PUBLISHED)
    ground = subject.ground
    policy = subject.policy_of(shuffled(ground.market, shuffled_rows(subject), np.array([0]), 48.0,
                                        np.random.default_rng(0)))
    assert set(PUBLISHED) == before
    assert len(policy.predict({"row": np.array([[2_000]]), "account": np.zeros((1, 8), np.float32)})[0]) == 1


def test_the_oracle_is_its_own_equal(perfect, oracle):
    known = oracle_of(perfect)
    tracks, record = accounts(perfect, known)
    np.testing.assert_array_equal(tracks[AGENT].equity, tracks[ORACLE].equity)
    found = best(perfect, tracks, record, known)
    assert (found.captured.value, found.captured.low, found.captured.high) == (1.0, 1.0, 1.0)
    assert (found.agrees, found.together) == (1.0, 1.0)
    assert (found.behind.value, found.behind.clear) == (0.0, False)
    assert found.promised == oracle.growth
    assert found.growth.value == pytest.approx(oracle.growth, abs=found.growth.high - found.growth.low)
    assert 0 < found.of_bound < 0.5
    np.testing.assert_allclose(found.growth.value / found.bound, found.of_bound)


def test_its_band_is_the_one_that_was_solved_for(perfect, oracle):
    known = oracle_of(perfect)
    record = accounts(perfect, known)[1]
    found = band(perfect, record, known)
    state = perfect.ground.market.features[record.rows, 0, 0]
    choice = oracle.choice[np.abs(oracle.grid - state[:, None]).argmin(axis=1)]  # (K, A)
    assert found.levels == oracle.positions
    assert found.keeps_all == pytest.approx((choice == np.arange(3)).all(axis=1).mean(), abs=1e-3)
    assert found.keeps_ends == pytest.approx((choice[:, [0, 2]] == [0, 2]).all(axis=1).mean(), abs=1e-3)
    assert found.same == pytest.approx((choice == choice[:, :1]).all(axis=1).mean(), abs=1e-3)
    for held in range(3):
        for wanted in range(3):
            assert found.chosen[held, wanted] == pytest.approx((choice[:, held] == wanted).mean(), abs=1e-3)
    assert found.state == "x"
    step = oracle.grid[1] - oracle.grid[0]
    for held, border in enumerate(found.borders):
        assert (border.up, border.down) == (border.oracle_up, border.oracle_down)
        for one, flags in ((border.up, oracle.choice[:, held] > held), (border.down, oracle.choice[:, held] < held)):
            if one is None:
                assert not flags.any()
                continue
            assert one.errors == 0
            solved = oracle.grid[flags]
            border_solved = solved.min() - step / 2 if one.above else solved.max() + step / 2
            assert one.state == pytest.approx(border_solved, abs=0.02)
    assert [border.up is None for border in found.borders] == [False, False, True]
    assert [border.down is None for border in found.borders] == [True, False, False]


def test_without_costs_there_is_no_band(oracle):
    free = replace(FEE, costs=CostConfig.named("free"))
    solved = solve("ou_easy", 0.0)
    subject = subject_of(make_known("ou_easy", 3_000).market, lambda market: Numbered(solved.policy(market)), free,
                         law="ou_easy")
    found = band(subject, accounts(subject, None)[1], None)
    assert (found.keeps_all, found.borders, found.seen) == (0.0, (), None)
    assert found.same > 0.99


def test_borders_are_found_among_rows_that_break_the_rule():
    rng = np.random.default_rng(0)
    state = rng.normal(size=2_000)
    flags = (state < -0.4) ^ (rng.random(2_000) < 0.02)
    found = edge(state, flags)
    assert not found.above
    assert found.state == pytest.approx(-0.4, abs=0.02)
    assert found.errors == pytest.approx(0.02, abs=0.01)
    assert edge(state, np.ones(2_000, bool)) is None
    assert edge(np.zeros(4), np.array([True, False, False, True])).errors > 0


def test_trades_are_counted_as_they_were_made():
    numbers = np.repeat([1, 2, 2, 0, 1, 1, 2, 1, 1, 1], 10)  # flat, long for 20, short for 10, flat, long for 10, flat
    market = make_known("random_walk", 100).market
    subject = subject_of(market, lambda market: Levels(numbers))
    tracks, record = accounts(subject, None)
    found = trading(record, tracks[AGENT])
    assert (found.positions, found.holding) == (3, pytest.approx(40 / 3))
    assert found.moves == 5 / 99
    assert found.size == pytest.approx((1 + 2 + 1 + 1 + 1) / 5, rel=0.05)
    assert found.turnover == pytest.approx(6 / 99, rel=0.05)
    still = trading(record, replace(tracks[AGENT], weights=np.zeros((99, 1))))
    assert (still.positions, still.holding) == (0, None)


def test_who_is_asked_from_every_level_answers_for_what_it_holds(subject):
    """Asked from the level that it holds it says what it did; from others what it would do there."""
    record = accounts(subject, None)[1]
    held = record.positions(record.held)[:, 0]
    asked = {level: record.from_level(subject.policy, level) for level in ENV.levels}
    for level, wanted in asked.items():
        assert (held == level).sum() >= 10
        np.testing.assert_array_equal(wanted[held == level], record.wanted[held == level, 0])
    assert all((asked[-1.0] <= asked[level]).all() for level in ENV.levels), "a band: who is long asks for no less"


def test_what_several_assets_ask_for_is_what_they_may_hold_together():
    market = random_market(120, assets=2)
    always = np.tile([2, 0], (120, 1))  # the highest level of one and the lowest of the other: half the account each
    subject = replace(subject_of(market, lambda market: Levels(always)), account=())
    tracks, record = accounts(subject, None)
    np.testing.assert_array_equal(record.wanted, np.tile([0.5, -0.5], (119, 1)))
    found = trading(record, tracks[AGENT])
    assert (found.positions, found.holding, found.moves) == (2, 119.0, 1 / 119)
    assert band(subject, record, None) is None


def test_the_cost_at_which_growth_is_gone_follows_from_turnover():
    """Up by 5 bps an hour: long for an hour, flat for an hour, earns 5 bps for two orders; so 2.5 bps are too dear."""
    market = make_known("trend", 3_000).market
    hours = np.diff(np.log(market.prices[:, 0, 3])) / BPS
    gone = hours[1::2].sum() / (2 * len(hours[1::2]))
    assert gone == pytest.approx(2.5, abs=0.1)
    config = DiagnosisConfig(costs=(0.0, 1.0, 2.0, 3.0, 10.0))
    every_other = sensitivity(subject_of(market, lambda market: Levels(1 + np.arange(3_000) % 2), config=config))
    every_fourth = sensitivity(subject_of(market, lambda market: Levels(1 + np.arange(3_000) // 2 % 2), config=config))
    found = {curve.name: curve for curve in every_other.curves}
    assert found.keys() == {PLAIN, LATE_ORDER, LATE_VIEW}
    assert found[PLAIN].break_even.bps == pytest.approx(gone, abs=0.005)
    assert found[PLAIN].break_even.low < gone < found[PLAIN].break_even.high
    assert every_fourth.curves[0].break_even.bps == pytest.approx(5.0, abs=0.1)
    np.testing.assert_allclose(found[PLAIN].turnover, 1.0, rtol=0.01)
    growth = [one.value / BPS for one in found[PLAIN].growth]
    np.testing.assert_allclose(growth, gone - np.array(config.costs), atol=0.01)
    holder = sensitivity(subject_of(market, lambda market: Levels(np.full(3_000, 2)), config=config)).curves[0]
    assert (holder.break_even.beyond, holder.break_even.bps) == (True, 10.0)
    loser = sensitivity(subject_of(market, lambda market: Levels(np.zeros(3_000, int)), config=config)).curves[0]
    assert (loser.break_even.beyond, loser.break_even.bps, loser.break_even.high) == (False, 0.0, 0.0)


def test_a_bar_late_hurts_where_the_state_reverts(perfect):
    found = sensitivity(perfect)
    assert found.own == pytest.approx(10.0)
    assert [delay.name for delay in found.delays] == [LATE_ORDER, LATE_VIEW]
    for delay in found.delays:
        assert delay.change.value < -0.1 * BPS
        assert delay.growth.value < found.growth.value
    for curve in found.curves:
        growth = [one.value for one in curve.growth]
        assert growth == sorted(growth, reverse=True)
        assert curve.turnover[0] == pytest.approx(curve.turnover[-1], rel=0.1)
    at_ten = found.curves[0].growth[QUICK.costs.index(10.0)]
    assert at_ten.value == pytest.approx(found.growth.value, rel=1e-9), "its own costs are 10 bps"


def test_all_q_is_told_the_cost_as_a_bundle_with_that_cost_would_be(subject, learnt, whole):
    market, costs = subject.ground.market, np.array([0.0, 5.0, 20.0, 50.0])
    rows = np.arange(1_000, 2_000).repeat(len(costs))
    account = np.zeros((len(rows), 8), np.float32)
    account[:, 0] = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], len(rows))
    seen = {"row": rows[:, None].astype(np.int32), "account": account}
    found = Told(subject.policy, np.tile(costs * BPS, 1_000)).predict(seen)[0].reshape(-1, len(costs))
    for place, cost in enumerate(costs):
        told = replace(learnt, env=replace(learnt.env, costs=CostConfig.flat_fee(float(cost)))).policy(market)
        at = slice(place, None, len(costs))
        expected = told.predict({name: value[at] for name, value in seen.items()}, deterministic=True)[0]
        np.testing.assert_array_equal(found[:, place], expected)
    assert len({tuple(found[:, place]) for place in range(len(costs))}) == len(costs)
    curves = {curve.name: curve for curve in whole.sensitivity.curves}
    assert list(curves) == [PLAIN, TOLD, LATE_ORDER, LATE_VIEW]
    assert curves[TOLD].growth[2] == curves[PLAIN].growth[2], "10 bps are what it was taught with"
    assert curves[TOLD].turnover[-1] < 0.5 * curves[PLAIN].turnover[-1] < curves[TOLD].turnover[0]


def test_kinds_of_market_add_up_to_all_of_it():
    market = random_market(3_000, scale=0.01, seed=1)
    trend = trailing(market, [slice(None)], EpisodeConfig().regime_bars)[1]
    follows = Levels(1 + (np.nan_to_num(trend) > 0.5).astype(int) - (np.nan_to_num(trend) < -0.5))
    subject = subject_of(market, lambda market: follows)
    track = accounts(subject, None)[0][AGENT]
    found = {one.name: one for one in regimes(subject, track, np.arange(3_000))}
    trends = [found[name] for name in ("bull", "bear", "sideways") if name in found]
    assert len(trends) == 3
    unknown = found[UNKNOWN].share
    assert unknown == pytest.approx(720 / 2_999, abs=1e-3)
    assert sum(one.share for one in trends) + unknown == pytest.approx(1.0, abs=1e-9)
    assert found["bull"].weight == pytest.approx(1.0, abs=0.05)
    assert found["bear"].weight == pytest.approx(-1.0, abs=0.05)
    assert found["bear"].exposure == pytest.approx(1.0, abs=0.05)
    assert found["sideways"].exposure == pytest.approx(0.0, abs=0.05)
    there = [one for one in found.values() if one.name in ("bull", "bear", "sideways")]
    known = np.isfinite(trend[:-1])
    growth = np.log1p(returns_of(track.equity))
    assert sum(one.share * one.growth.value for one in there) == pytest.approx(growth[known].sum() / 2_999)
    assert found[EVERY].growth.value == pytest.approx(growth.mean())
    thirds = [found[name].share for name in THIRDS]
    assert thirds == pytest.approx([(1 - 168 / 2_999) / 3] * 3, abs=1e-3)
    moves = np.diff(np.log(market.prices[:, 0, 3]))
    assert found["bull"].market == pytest.approx(moves[trend[:-1] > 0.5].mean())


def test_of_a_few_rows_nothing_is_said(perfect):
    market = make_known("ou_easy", 1_500).market
    subject = subject_of(market, perfect.policy_of)
    track = accounts(subject, None)[0][AGENT]
    wild = np.zeros(1_499, bool)
    wild[-50:] = True
    shaken = replace(subject, ground=replace(subject.ground, market=replace(
        market, prices=market.prices * np.exp(np.append(0.0, np.cumsum(0.08 * wild)))[:, None, None])))
    found = {one.name: one for one in regimes(shaken, track, np.arange(1_500))}
    assert 0 < found["bull"].share < 96 / 1_499
    assert found["bull"].growth is None
    assert found["sideways"].growth is not None


def test_where_nothing_can_be_known_nothing_is_captured():
    market = make_known("random_walk", 3_000).market
    flat = subject_of(market, lambda market: Levels(np.ones(3_000, int)), law="random_walk")
    known = oracle_of(flat)
    tracks, record = accounts(flat, known)
    found = best(flat, tracks, record, known)
    assert (found.captured, found.agrees, found.of_bound) == (None, 1.0, 0.0)
    assert band(flat, record, known).borders == (), "the law has no state"


def test_a_known_market_that_is_seen_as_candles_has_its_oracle_all_the_same():
    data = replace(KNOWN, known=KnownConfig("regime_lead", bars=3_000, candles=True), groups=("returns",))
    dataset = load_dataset(data)
    assert "belief" not in dataset.market.columns
    agent = replace(small.AGENT, steps=64, validations=1)
    subject = Subject.of(train(dataset, ENV, agent, "ppo", 4, progress=False), dataset, data, QUICK, BOOTSTRAP)
    assert subject.groups.keys() == {"returns", "z"}
    prices = subject.ground.market.prices
    np.testing.assert_allclose(subject.states.prices[..., [0, 3]], prices[..., [0, 3]])
    known = oracle_of(subject)
    found = band(subject, accounts(subject, known)[1], known)
    assert found.state == "log odds of belief"
    assert found.borders[1].oracle_up.above


def test_it_says_and_writes_everything(whole, tmp_path):
    text = write_diagnosis(whole, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "diagnosis.json", "ablation.png", "band.png",
                                                          "regimes.png", "costs.png", "equity.png"}
    assert (tmp_path / "report.md").read_text() == text
    for picture in ("ablation", "band", "regimes", "costs", "equity"):
        assert f"]({picture}.png)" in text
        assert (tmp_path / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    for said in ("test rows were cut off", "validation rows of ou_easy", "beyond chance, to: x", "| -1      | ", TOLD,
                 "of the oracle's growth captured", "account: weight", "Perfect foresight"):
        assert said in text
    assert "nan" not in text
    stored = json.loads((tmp_path / "diagnosis.json").read_text())
    assert stored["best"]["captured"]["value"] == whole.best.captured.value > 0.8
    assert whole.best.captured.value == pytest.approx(whole.sensitivity.growth.value / whole.best.growth.value)
    assert whole.best.behind.value == pytest.approx(whole.sensitivity.growth.value - whole.best.growth.value)
    assert whole.best.captured.low < whole.best.captured.value < whole.best.captured.high
    assert stored["ablation"]["groups"][0]["growth"]["value"] == whole.ablation.groups[0].growth.value
    assert np.shape(stored["band"]["chosen"]) == (3, 3)
    assert "seen" not in stored["band"]


def test_an_agent_that_stays_out_is_not_said_to_trade(noisy, learnt, whole):
    data, dataset = noisy
    out = Subject.of(replace(learnt, stays_out=True), dataset, data, QUICK, BOOTSTRAP)
    assert out.stays_out
    assert "stays in cash" in markdown(replace(whole, about=replace(whole.about, stays_out=True)))
    assert "stays in cash" not in markdown(whole)


def test_the_same_diagnosis_comes_out_again(perfect):
    subject = subject_of(make_known("ou_easy", 1_000).market, perfect.policy_of)
    found = diagnose(subject).plain()
    assert diagnose(subject).plain() == found
    other = diagnose(replace(subject, config=replace(QUICK, seed=1))).plain()
    assert [name for name in found if found[name] != other[name]] == ["ablation"], "only the shuffles take the seed"


def test_nothing_after_the_validation_rows_is_looked_at(noisy, learnt, subject, whole):
    data, dataset = noisy
    test = dataset.split.test
    assert subject.ground.market.time[-1] < dataset.market.time[test.start]
    assert subject.ground.market.time[subject.ground.rows][0] == dataset.market.time[dataset.split.valid.start]
    features, prices = dataset.market.features.copy(), dataset.market.prices.copy()
    features[dataset.split.valid.stop :], prices[dataset.split.valid.stop :] = 0.0, 1.0
    other = replace(dataset, market=replace(dataset.market, features=features, prices=prices))
    told = replace(learnt, market=other.market.fingerprint)
    again = Subject.of(told, other, data, replace(subject.config, draws=1), BOOTSTRAP)
    assert sensitivity(again) == whole.sensitivity


def test_a_shorter_past_must_leave_decisions_as_they_are(noisy, learnt):
    dataset = noisy[1]
    ground = Ground(dataset.market, dataset.split.valid, learnt.window, learnt.env.judged)
    first = enough_past(learnt, ground, "cpu", None)
    assert 0 < first < dataset.split.valid.start - 720
    remembers = SimpleNamespace(policy=lambda market, device, cache: Levels(
        np.arange(len(market)) // 500 % 3))  # counts the bars since the market began
    assert enough_past(remembers, ground, "cpu", None) == 0
    assert enough_past(learnt, replace(ground, rows=slice(700, 2_000)), "cpu", None) == 0, "there is no more"


@pytest.mark.parametrize(("algo", "encoder"), [("recurrent_ppo", "none"), ("ppo", "lstm"), ("dqn", "transformer")])
def test_any_agent_of_levels(algo, encoder, simulated, encoder_of):
    checkpoint = None if encoder == "none" else encoder_of(encoder)
    agent = replace(small.AGENT, account=("weight", "held"))
    bundle = train(simulated, ENV, agent, algo, WINDOW, checkpoint, progress=False)
    subject = Subject.of(bundle, simulated, replace(KNOWN, source="simulated"), replace(QUICK, draws=1), BOOTSTRAP)
    record = accounts(subject, None)[1]
    np.testing.assert_array_equal(record.answers(subject.policy), record.wanted, "asked again, it says the same")
    found = diagnose(subject)
    assert {one.name for one in found.ablation.groups} == {"returns", "calendar", ALL, "weight", "held"}
    assert found.band.state == ""
    np.testing.assert_allclose(found.band.chosen.sum(axis=1), 1.0)
    assert (found.best.law, found.best.captured) == ("", None)
    assert found.best.of_bound < 1
    assert "perfect foresight" in markdown(found)
    assert list(pictures(found)) == ["ablation", "band", "regimes", "costs", "equity"]


def test_a_recurrent_agent_answers_in_order(simulated):
    bundle = train(simulated, ENV, replace(small.AGENT, steps=64), "recurrent_ppo", WINDOW, progress=False)
    policy = bundle.policy(simulated.market)
    rows = simulated.market.decision_rows(WINDOW, simulated.split.valid)[:100]
    seen = {"row": rows[:, None].astype(np.int32), "account": np.zeros((len(rows), 8), np.float32)}
    state, expected = None, []
    for k in range(len(rows)):
        action, state = policy.predict({name: value[k : k + 1] for name, value in seen.items()}, state,
                                       np.array([k == 0]), deterministic=True)
        expected.append(action)
    np.testing.assert_array_equal(in_order(policy, seen), np.concatenate(expected))


@pytest.fixture(scope="module")
def pair_encoder(pair):
    return tiny_encoder(pair, "lstm")


@pytest.mark.parametrize("action", ["levels", "weights", "steps"])
def test_several_assets_and_other_actions(action, pair, pair_encoder):
    bundle = train(pair, replace(ENV, action=action), small.AGENT, "ppo", WINDOW, pair_encoder, progress=False)
    subject = Subject.of(bundle, pair, replace(KNOWN, source="simulated"), replace(QUICK, draws=1), BOOTSTRAP)
    found = diagnose(subject)
    assert found.band is None
    columns = {one.name: one.columns for one in found.ablation.groups}
    assert columns["weight"] == 2
    assert columns[ALL] == len(pair.market.columns)
    assert found.trading.size is None or 0 < found.trading.size <= 2
    text = markdown(found)
    assert "BTC, ETH" in text
    assert "no-trade band" not in text
    assert list(pictures(found)) == ["ablation", "regimes", "costs", "equity"]


@pytest.mark.parametrize(("settings", "said"), [
    ({"draws": 0}, "draws >= 1"), ({"seed": -1}, "seed >= 0"), ({"block": -4}, "block >= 0"),
    ({"costs": (1.0, 2.0)}, "rise from 0"), ({"costs": (0.0, 5.0, 5.0)}, "rise from 0"), ({"costs": (0.0,)}, "two"),
    ({"costs": ()}, "found none"), ({"costs": (0.0, 600.0)}, "below 500"), ({"costs": (0.0, np.nan)}, "rise from 0"),
])
def test_settings_that_make_no_sense(settings, said):
    with pytest.raises(UserError, match=said):
        DiagnosisConfig(**settings)


def test_other_data_than_it_was_trained_on(noisy, learnt, simulated):
    data, dataset = noisy
    of = partial(Subject.of, learnt, data=data, config=QUICK, bootstrap=BOOTSTRAP)
    with pytest.raises(UserError, match="trained on other columns"):
        of(dataset=simulated)
    changed = replace(dataset, market=replace(dataset.market, carry=dataset.market.carry + 1e-6))
    with pytest.raises(UserError, match=r"config\.yaml now gives .*train again"):
        of(dataset=changed)
    moved = replace(dataset, split=replace(dataset.split, valid=slice(6_100, 8_000)))
    with pytest.raises(UserError, match=r"was chosen on rows \[.*now says \[6100, 8000\]"):
        of(dataset=moved)
    short = replace(dataset, split=replace(dataset.split, valid=slice(6_100, 6_150)))
    with pytest.raises(UserError, match="50 decisions on the validation rows are too few"):
        check_fits(replace(learnt, trained={**learnt.trained, "valid": [6_100, 6_150]}), short)
