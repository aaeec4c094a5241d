"""How agents are judged on the known markets: the fraction, its interval, and who is called stuck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import trim_mean

from agents import cells, experiment
from agents.arena.known import (
    Cell,
    Judged,
    Outcome,
    captured,
    judge,
    luck,
    on_market,
    oracle,
    readable,
    train_and_judge,
    walk,
)
from agents.arena.statistics.runs import iqm, iqm_interval
from agents.bundle import Bundle
from agents.cells import digest_of
from agents.config import AgentConfig
from agents.policy import WeightTable
from agents.strategies.baselines import buy_and_hold
from agents.strategies.oracle import positions_of, solve
from agents.train import train
from agents.watch.validation import Validation
from configs.errors import UserError
from data.dataset import DataConfig, load_dataset
from data.simulator.known import SIGMA, make_known
from envs.config import EnvConfig
from envs.execution import CostConfig
from envs.risk import RiskConfig
from tests.agents.small import AGENT, ENV, KNOWN

NOTE = {"market": "ou_real", "algo": "ppo", "encoder": "none", "oracle": 2e-4, "best_traded": 270.0, "realised": 0.0,
        "seconds": 60.0}


@pytest.mark.parametrize(("name", "within"), [("ou_easy", 1.5e-5), ("ar1_costly", 2e-6), ("regime_lead", 6e-6)])
def test_the_oracle_earns_what_its_equations_promise_once_luck_is_taken_out(name, within):
    config = on_market(name, "ppo", "none", 0).env
    best = solve(name)
    # within three standard errors of 40 years: in some of them there is more to be had than in others
    assert oracle(name, config, years=40).growth == pytest.approx(best.growth, abs=within)
    turns = replace(config, risk=RiskConfig(band=0.5))  # a short whose weight has drifted is not brought back
    assert oracle(name, turns, years=40).traded == pytest.approx(best.traded * 8760, rel=0.02)


def test_luck_is_nothing_on_average_and_most_of_what_years_differ_by():
    """Holding a fair game costs half the variance, whatever the year."""
    config = on_market("random_walk", "ppo", "none", 0).env
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


FREE = EnvConfig(action="weights", costs=CostConfig.named("free"))


@pytest.mark.parametrize("late", [{}, {"observation_delay": 3}, {"latency": 3}])
def test_luck_is_taken_out_of_the_bar_that_it_fell_on(late):
    years = 20
    market = make_known("random_walk", years * 8760 + 1, 1).market
    lucky = luck("random_walk", len(market.time), 1)
    held = walk(buy_and_hold(market), market, replace(FREE, **late), 1, lucky, years)
    assert held.growth == pytest.approx(-(SIGMA**2) / 2, abs=3e-7)
    weights = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], (len(market.time), 1))
    busy = walk(WeightTable(weights), market, replace(FREE, **late), 1, lucky, years)
    assert busy.growth == pytest.approx(-(SIGMA**2) / 3, abs=3e-7)  # two bars in three are in the market


@pytest.mark.parametrize("env", [
    EnvConfig(action="weights", low=0.0), EnvConfig(levels=(0.0, 2.0), gross=2.0), EnvConfig(action="steps", low=-0.5)])
def test_the_oracle_holds_what_the_agent_may_hold(env):
    env = replace(env, costs=CostConfig.flat_fee(10.0))
    promised = solve("ou_easy", 0.001, positions_of(env)).growth
    assert oracle("ou_easy", env, years=8).growth == pytest.approx(promised, rel=0.03)


def test_agent_and_oracle_are_judged_on_the_same_bars_however_late_the_view_is(monkeypatch):
    data = load_dataset(KNOWN)
    env = EnvConfig(episode=60, observation_delay=3)
    bundle = train(data, env, AGENT, "all_q", KNOWN.window, progress=False)
    looks = []
    run = Validation.run
    monkeypatch.setattr(Validation, "run", lambda self, policy: looks.append(run(self, policy)) or looks[-1])
    judge(bundle, KNOWN, years=1)
    agent, best = looks
    assert agent.rows[0] == KNOWN.window + 2
    np.testing.assert_array_equal(agent.rows, best.rows)


def test_a_trained_agent_is_judged_on_other_years_than_its_own():
    config = on_market("ou_easy", "all_q", "none", 0, ("--data.known.bars", "20000", "--agent.steps", "819200",
                                                       "--agent.validations", "1"))
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
    runs = [Outcome(**NOTE, seed=seed, growth=growth, traded=traded) for seed, (growth, traded) in enumerate(
        [(1.9e-4, 250.0), (1.8e-4, 240.0), (0.0, 0.0), (1.7e-4, 260.0), (2.0e-4, 270.0)])]
    [line] = captured(runs).to_dict("records")
    assert line["captured"] == pytest.approx(trim_mean([0.95, 0.9, 0.0, 0.85, 1.0], 0.25))
    assert line["captured_low"] < line["captured"] < line["captured_high"] <= 1.0
    assert (line["least"], line["stuck"], line["seeds"]) == (0.0, 0.2, 5)
    assert line["worst_bps_per_hour"] == 0.0
    [shown] = readable(captured(runs)).to_dict("records")
    assert (shown["agent"], shown["seeds"], shown["of the oracle [interval]"][:7]) == ("ppo", 5, "0.900 [")


def test_where_there_is_nothing_to_capture_the_loss_is_told():
    runs = [Outcome(**{**NOTE, "market": "random_walk", "oracle": 0.0}, seed=seed, growth=-1e-6 * seed, traded=1.0)
            for seed in range(3)]
    assert np.isnan(Judged(-1e-6, 0.0, 1.0, 0.0, 0.0).fraction)
    shown = readable(captured(runs)).loc["random_walk"]
    assert (shown["of the oracle [interval]"], shown["least"]) == ("nothing to capture", "")
    assert shown["bps/h (worst)"] == "-0.010 (-0.020)"


def test_the_interquartile_mean_is_that_of_the_middle_half():
    scores = np.array([0.0, 1.0, 2.0, 3.0, 100.0, -50.0, 1.5, 1.5])
    assert iqm(scores) == pytest.approx(np.mean([1.0, 1.5, 1.5, 2.0]))
    low, high = iqm_interval(np.full(5, 0.7))
    assert (low, high) == pytest.approx((0.7, 0.7))


@pytest.mark.parametrize(("runs", "share"), [(5, 0.89), (20, 0.93)])
def test_the_interval_of_the_interquartile_mean_covers_a_little_less_than_it_says(runs, share):
    rng = np.random.default_rng(0)
    hits = [low <= 1.0 <= high for low, high in (
        iqm_interval(rng.normal(1.0, 0.1, runs), draws=500, seed=seed) for seed in range(1_000))]
    assert np.mean(hits) == pytest.approx(share, abs=0.03)


def test_a_preset_that_was_changed_makes_another_cell(monkeypatch):
    """Else whoever tunes one would be shown the numbers of before."""
    flags = ("ou_real", "ppo", "none", 0)
    before = digest_of(train_and_judge, Cell(on_market(*flags), 64))
    assert digest_of(train_and_judge, Cell(on_market(*flags), 64)) == before
    read = experiment.preset
    monkeypatch.setattr(experiment, "preset",
                        lambda group, name: {**read(group, name), **({"steps": 7} if group == "agent" else {})})
    assert on_market(*flags).agent.steps == 7
    assert digest_of(train_and_judge, Cell(on_market(*flags), 64)) != before


def test_code_that_was_changed_makes_other_cells(monkeypatch):
    cell = Cell(on_market("ou_real", "ppo", "none", 0), 64)
    before = digest_of(train_and_judge, cell)
    monkeypatch.setattr(cells, "code_digest", lambda: "other")
    assert digest_of(train_and_judge, cell) != before


def test_a_config_file_that_was_changed_makes_another_cell(tmp_path):
    path, found = tmp_path / "mine.yaml", set()
    for gamma in (0.9, 0.5):
        path.write_text(f"agent: {{gamma: {gamma}}}")
        config = on_market("ou_real", "ppo", "none", 0, ("--config", str(path)))
        assert config.agent.gamma == gamma
        found.add(digest_of(train_and_judge, Cell(config, 64)))
    assert len(found) == 2


@pytest.mark.parametrize(("flag", "hint"), [
    ("--algo", "did you mean --algos?"), ("--encoder=lstm", "--encoders"), ("--seed", "--seeds"),
    ("--market", "--markets"), ("--data.known.market", "--markets"), ("--data.known.seed=3", "--seeds"),
])
def test_a_flag_that_belies_the_name_of_a_run_is_refused(flag, hint):
    with pytest.raises(UserError, match=hint):
        on_market("ou_real", "ppo", "none", 0, (flag, "7"))


def test_a_market_without_an_oracle_is_refused_before_anything_is_learnt():
    with pytest.raises(UserError, match="only a known market"):
        on_market("ou_real", "ppo", "none", 0, ("--data.source", "simulated"))


def test_the_device_that_is_asked_for_is_taken(monkeypatch):
    assert on_market("ou_real", "ppo", "none", 0, ("--device", "cpu")).device == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert on_market("ou_real", "ppo", "none", 0).device == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="sees no GPU"):
        on_market("ou_real", "ppo", "none", 0, ("--device", "cuda"))


def test_the_setting_is_that_of_the_published_growths():
    config = on_market("regime_lead", "dqn", "none", 4)
    assert config.env.costs.per_unit == pytest.approx(0.001)
    assert (config.env.levels, config.data.window, config.seed, config.data.known.seed) == ((-1, 0, 1), 1, 4, 4)
    assert isinstance(config.agent, AgentConfig)
