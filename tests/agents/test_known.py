"""How agents are judged on the known markets: the fraction, its interval, and who is called stuck."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import trim_mean

from agents.arena.known import Judged, as_markdown, captured, flags_of, judge, walk
from agents.arena.statistics import iqm, iqm_interval, over_seeds
from agents.bundle import Bundle
from agents.config import AgentConfig
from agents.experiment import load_experiment
from agents.strategies.oracle import solve
from agents.train import train
from configs.errors import UserError
from data.bootstrap import interval
from data.dataset import DataConfig, load_dataset
from data.simulator.known import make_known
from envs.config import EnvConfig
from tests.agents.small import AGENT, ENV

NOTE = {"market": "ou_real", "algo": "ppo", "encoder": "none", "oracle": 2e-4, "best_traded": 270.0, "seconds": 60.0}


def test_the_oracle_walks_to_the_growth_that_its_equations_promise():
    market = make_known("ou_easy", 40 * 8760, seed=3).market
    best = solve("ou_easy")
    config = load_experiment(flags_of("ou_easy", "ppo", "none", 0)).env
    free = EnvConfig(costs=config.costs, action="weights")
    growth, traded = walk(best.policy(market), market, free, 1, years=40)
    assert growth == pytest.approx(best.growth, rel=0.05)
    assert traded == pytest.approx(best.traded * 8760, rel=0.05)


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
    assert np.isnan(Judged(-1e-6, 0.0, 1.0, 0.0).fraction)
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
