"""How agents are judged on the known markets: the fraction, its interval, and who is called stuck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import trim_mean

from agents.arena.known import Judged, as_markdown, captured, flags_of, judge, luck, oracle, walk
from agents.arena.statistics import iqm, iqm_interval, over_seeds
from agents.bundle import Bundle
from agents.config import AgentConfig
from agents.experiment import load_experiment
from agents.strategies.baselines import buy_and_hold
from agents.strategies.oracle import solve
from agents.train import train
from configs.errors import UserError
from data.bootstrap import interval
from data.dataset import DataConfig, load_dataset
from data.simulator.known import SIGMA, make_known
from tests.agents.small import AGENT, ENV

NOTE = {"market": "ou_real", "algo": "ppo", "encoder": "none", "oracle": 2e-4, "best_traded": 270.0, "realised": 0.0,
        "seconds": 60.0}


@pytest.mark.parametrize(("name", "within"), [("ou_easy", 2e-6), ("ar1_costly", 1e-6), ("regime_lead", 5e-6)])
def test_the_oracle_earns_what_its_equations_promise_once_luck_is_taken_out(name, within):
    config = load_experiment(flags_of(name, "ppo", "none", 0)).env
    best, found = solve(name), oracle(name, config, years=40)
    assert found.growth == pytest.approx(best.growth, abs=within)
    assert found.traded == pytest.approx(best.traded * 8760, rel=0.05)


def test_luck_is_nothing_on_average_and_most_of_what_years_differ_by():
    """Holding a fair game costs half the variance, whatever the year."""
    config = load_experiment(flags_of("random_walk", "ppo", "none", 0)).env
    found = []
    for seed in range(12):
        market = make_known("random_walk", 8761, seed).market
        found.append(walk(buy_and_hold(market), market, replace(config, action="weights"), 1,
                          luck("random_walk", 8761, seed), 1))
    earned, realised = (np.array([getattr(one, name) for one in found]) for name in ("growth", "realised"))
    cost = -(SIGMA**2) / 2 - 0.001 / 8760
    np.testing.assert_allclose(earned, cost, atol=3e-6)
    assert earned.std() < 0.1 * realised.std()
    assert realised.mean() == pytest.approx(cost, abs=4 * realised.std() / 12**0.5)


def test_a_trained_agent_is_judged_on_other_years_than_its_own():
    config = load_experiment((*flags_of("ou_easy", "all_q", "none", 0), "--data.known.bars", "20000",
                              "--agent.steps", "819200", "--agent.validations", "1"))
    data = load_dataset(config.data)
    bundle = train(data, config.env, config.agent, "all_q", 1, progress=False)
    found = judge(bundle, config.data, years=8)
    assert 0.8 < found.fraction < 1.1
    assert not found.stuck


def test_only_a_known_market_has_an_oracle(simulated):
    bundle: Bundle = train(simulated, ENV, AGENT, "ppo", 8, progress=False)
    with pytest.raises(UserError, match="only a known market"):
        judge(bundle, DataConfig())


def test_the_table_says_what_was_captured_and_who_was_stuck():
    cells = [{**NOTE, "seed": seed, "growth": growth, "traded": traded} for seed, (growth, traded) in enumerate(
        [(1.9e-4, 250.0), (1.8e-4, 240.0), (0.0, 0.0), (1.7e-4, 260.0), (2.0e-4, 270.0)])]
    [line] = captured(cells).to_dict("records")
    assert line["captured"] == pytest.approx(trim_mean([0.95, 0.9, 0.0, 0.85, 1.0], 0.25))
    assert line["captured_low"] < line["captured"] < line["captured_high"] <= 1.0
    assert (line["least"], line["stuck"], line["seeds"]) == (0.0, 0.2, 5)
    assert line["worst_bps_per_hour"] == 0.0
    assert "| ou_real | ppo | 5 | 0.900 [" in as_markdown(captured(cells))


def test_where_there_is_nothing_to_capture_the_loss_is_told():
    cells = [{**NOTE, "market": "random_walk", "oracle": 0.0, "seed": seed, "growth": -1e-6 * seed, "traded": 1.0}
             for seed in range(3)]
    assert np.isnan(Judged(-1e-6, 0.0, 1.0, 0.0, 0.0).fraction)
    said = as_markdown(captured(cells))
    assert "| random_walk | ppo | 3 | nothing to capture |  | -0.010 (-0.020) |" in said


def test_the_interquartile_mean_is_that_of_the_middle_half():
    scores = np.array([0.0, 1.0, 2.0, 3.0, 100.0, -50.0, 1.5, 1.5])
    assert iqm(scores) == pytest.approx(np.mean([1.0, 1.5, 1.5, 2.0]))
    low, high = iqm_interval(np.full(5, 0.7))
    assert (low, high) == pytest.approx((0.7, 0.7))


def test_the_interval_of_the_interquartile_mean_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [low <= 1.0 <= high for low, high in (
        iqm_interval(rng.normal(1.0, 0.1, 20), draws=500, seed=seed) for seed in range(400))]
    assert 0.88 <= np.mean(hits) <= 0.97  # percentiles of 20 runs are a little narrow


def test_luck_of_training_widens_what_the_luck_of_the_period_leaves():
    period = np.random.default_rng(1).normal(0, 1, (4_000, 1))
    alike = over_seeds(np.repeat(period, 5, axis=1))
    np.testing.assert_allclose(alike, period[:, 0])
    unlike = over_seeds(period + np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    narrow, wide = (high - low for low, high in (interval(draws, 0.95) for draws in (alike, unlike)))
    assert wide > 1.1 * narrow
    assert unlike.mean() == pytest.approx(period.mean(), abs=0.05)


def test_the_setting_is_that_of_the_published_growths():
    config = load_experiment(flags_of("regime_lead", "dqn", "none", 4))
    assert config.env.costs.per_unit == pytest.approx(0.001)
    assert (config.env.levels, config.data.window, config.seed, config.data.known.seed) == ((-1, 0, 1), 1, 4, 4)
    assert isinstance(config.agent, AgentConfig)
