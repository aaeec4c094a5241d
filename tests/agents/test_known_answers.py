"""Markets whose answer is known beforehand: agents come close to the best possible, and nobody wins where nobody can.

Everything is seeded; margins are wide enough for another processor's rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from agents.algos.config import DQNConfig, PPOConfig
from agents.arena.report import ENSEMBLE
from agents.arena.rollout import Contestant, compete
from agents.arena.tournament import head_to_head
from agents.bundle import Bundle
from agents.config import AgentConfig
from agents.experiment import load_experiment
from agents.supervised import encode, ensemble_of
from agents.train import train
from agents.watch.validation import Validation
from data.dataset import DataConfig, Dataset, load_dataset
from data.market import CLOSE
from data.simulator.known import KnownConfig, best_growth, make_known
from envs.config import EnvConfig
from envs.execution import CostConfig

TEN_BPS = EnvConfig(costs=CostConfig.flat_fee(10.0))  # the fee that the published growths were worked out for
PPO = AgentConfig(steps=400_000, accounts=128, ppo=PPOConfig(n_steps=32, batch=1024))
DQN = AgentConfig(steps=200_000, accounts=64, activation="relu", dqn=DQNConfig(gradient_steps=2, batch=512))


def learnt(market: str, algo: str, agent: AgentConfig) -> tuple[Dataset, Bundle]:
    dataset = load_dataset(DataConfig(source="known", known=KnownConfig(market, bars=100_000), window=1))
    return dataset, train(dataset, TEN_BPS, agent, algo, window=1, progress=False)


def growth_on_fresh_years(bundle: Bundle, market: str) -> tuple[float, float]:
    """Log growth per bar on 23 years that nobody has seen, and the published best."""
    known = make_known(market, 200_000, seed=99)
    seen = replace(known.market, features=bundle.scaler.transform(known.market.features))
    equity = Validation(seen, TEN_BPS, 1, slice(None), parts=100).run(bundle.policy(seen)).equity
    return float(np.log(equity[-1]) / (len(equity) - 1)), known.oracle_growth


@pytest.mark.parametrize("market", ["trend", "sine"])
def test_ppo_ends_within_a_tenth_of_the_best_possible(market):
    dataset, bundle = learnt(market, "ppo", PPO)
    rows = slice(dataset.split.test.start, dataset.split.test.start + 2_000)
    contestant = Contestant(bundle.policy(dataset.market), TEN_BPS.actions(1), "rl")
    track = compete({"agent": contestant}, dataset.market, TEN_BPS, 1, rows)[0]
    best = best_growth(np.diff(np.log(dataset.market.prices[rows, 0, CLOSE])), fee=0.001) * (len(track.equity) - 1)
    # the oracle pays 1 - fee where the engine's buyer pays 1 / (1 + fee): the engine is ahead by fee squared per order
    slack = 1e-6 * (1 + track.metrics.trades)
    assert 0.9 * best <= np.log(track.equity[-1] / track.equity[0]) <= best + slack


@pytest.mark.parametrize(("algo", "agent"), [("ppo", PPO), ("dqn", DQN)], ids=["ppo", "dqn"])
def test_nine_tenths_of_the_oracle_on_ou_easy(algo, agent):
    growth, best = growth_on_fresh_years(learnt("ou_easy", algo, agent)[1], "ou_easy")
    assert growth >= 0.9 * best


def test_nobody_grows_on_a_random_walk():
    growth, _ = growth_on_fresh_years(learnt("random_walk", "ppo", PPO)[1], "random_walk")
    assert growth <= 0.1e-4  # a tenth of a basis point a bar


def contest(tmp_path, edge: float) -> pd.DataFrame:
    """The main job at a size for tests: two encoders, a PPO agent, the whole field over the test rows."""
    config = load_experiment([
        "--runs", str(tmp_path), "--progress", "False", "--encoder", "lstm", "--ensemble.members", "lstm",
        "attention_lstm",
        "--data.simulator.bars", "14000", "--data.simulator.edge", str(edge), "--data.window", "24",
        "--data.labels.horizon", "12", "--pretrain.epochs", "5", "--agent.steps", "200000", "--agent.accounts", "256",
        "--bootstrap.draws", "500",
    ])
    dataset = load_dataset(config.data)
    checkpoint, _ = encode(config, dataset, "lstm", "cpu")
    ensemble, forecasts = ensemble_of(config, dataset, "cpu")
    bundle = train(dataset, config.env, config.agent, "ppo", config.data.window, checkpoint, cache=config.cache,
                   progress=False)
    report, _ = head_to_head([bundle], forecasts, ensemble, dataset, config.env, config.data.window, config.bootstrap,
                             tmp_path / "table", cache=config.cache)
    return report.table


def test_in_a_fair_game_no_interval_lies_above_zero(tmp_path):
    table = contest(tmp_path, edge=0.0)
    assert (table["trades"] > 0).sum() >= 4, "somebody has to have tried"
    assert (table["sharpe_low"] <= 0).all(), table[["sharpe_low", "sharpe_high"]]
    assert (table["total_return_low"] <= 0).all()


def test_with_an_edge_the_signal_and_the_agent_both_beat_buy_and_hold(tmp_path):
    table = contest(tmp_path, edge=0.25)
    held = table.loc["buy and hold", "total_return"]
    assert table.loc[ENSEMBLE, "total_return"] > held
    assert table.loc["ppo + lstm", "total_return"] > held
    assert table.loc[ENSEMBLE, "sharpe_low"] > 0
    assert table.loc["ppo + lstm", "sharpe_low"] > 0
