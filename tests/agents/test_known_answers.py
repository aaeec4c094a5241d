"""Markets whose answer is known beforehand: agents come close to the best possible, and nobody wins where nobody can.

Everything is seeded; margins are wide enough for another processor's rounding.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agents.algos import AgentConfig, DQNConfig, PPOConfig
from agents.arena.report import ENSEMBLE
from agents.arena.rollout import Contestant, compete
from agents.arena.tournament import head_to_head
from agents.experiment import encode, load_experiment
from agents.train import train
from data.dataset import DataConfig, load_dataset
from data.simulator.known import KnownConfig, best_growth
from envs.engine import EnvConfig
from envs.execution import CostConfig

TEN_BPS = EnvConfig(costs=CostConfig.flat_fee(10.0))  # the fee that the published growths were worked out for
PPO = AgentConfig(steps=400_000, accounts=128, ppo=PPOConfig(n_steps=32, batch=1024))
DQN = AgentConfig(steps=150_000, accounts=64, activation="relu", dqn=DQNConfig(gradient_steps=2, batch=512))


def learnt_growth(market: str, algo: str, agent: AgentConfig, bars: int = 40_000) -> tuple[float, float, int]:
    """Log growth per bar over the test rows, the best possible there, and the number of trades."""
    dataset = load_dataset(DataConfig(source="known", known=KnownConfig(market, bars=bars), window=1))
    bundle = train(dataset, TEN_BPS, agent, algo, window=1, progress=False)
    contestant = Contestant(bundle.policy(dataset.market), TEN_BPS.actions(1), "rl")
    track = compete({"agent": contestant}, dataset.market, TEN_BPS, 1, dataset.split.test)[0]
    growth = float(np.log(track.equity[-1] / track.equity[0]) / (len(track.equity) - 1))
    assert dataset.truth is not None
    best = dataset.truth.growth
    if market in ("trend", "sine"):  # no law but a path: the best possible on exactly the rows of the test
        close = np.log(dataset.market.prices[dataset.split.test, 0, 3])
        best = best_growth(np.diff(close), 0.001)
    return growth, best, track.metrics.trades


@pytest.mark.parametrize("market", ["trend", "sine"])
def test_ppo_ends_within_a_tenth_of_the_best_possible(market):
    growth, best, _ = learnt_growth(market, "ppo", PPO)
    assert 0.9 * best <= growth <= best + 1e-6


@pytest.mark.parametrize(("algo", "agent"), [("ppo", PPO), ("dqn", DQN)], ids=["ppo", "dqn"])
def test_nine_tenths_of_the_oracle_on_ou_easy(algo, agent):
    growth, best, trades = learnt_growth("ou_easy", algo, agent)
    assert growth >= 0.9 * best
    assert trades > 100


def test_nobody_grows_on_a_random_walk():
    growth, _, trades = learnt_growth("random_walk", "ppo", PPO)
    assert growth <= 0.2e-4
    assert trades <= 400  # of 8,000 bars: it has learnt that trading costs


def contest(tmp_path, edge: float) -> pd.DataFrame:
    """The main job at a size for tests: two encoders, a PPO agent, the whole field over the test rows."""
    config = load_experiment([
        "--runs", str(tmp_path), "--progress", "False", "--encoder", "lstm", "--ensemble", "lstm", "attention_lstm",
        "--data.simulator.bars", "14000", "--data.simulator.edge", str(edge), "--data.window", "24",
        "--data.labels.horizon", "12", "--pretrain.epochs", "5", "--agent.steps", "200000", "--agent.accounts", "256",
        "--bootstrap.draws", "500",
    ])
    dataset = load_dataset(config.data)
    seen = {name: encode(config, dataset, name, "cpu") for name in config.encoders}
    bundle = train(dataset, config.env, config.agent, "ppo", config.data.window, seen["lstm"][0], cache=config.cache,
                   progress=False)
    report, _ = head_to_head([bundle], {name: seen[name][1].forecast for name in config.ensemble}, dataset, config.env,
                             config.data.window, config.bootstrap, tmp_path / "table", cache=config.cache)
    return report.table


def test_in_a_fair_game_no_interval_lies_above_zero(tmp_path):
    table = contest(tmp_path, edge=0.0)
    assert (table["sharpe_low"] <= 0).all(), table[["sharpe_low", "sharpe_high"]]
    assert (table["total_return_low"] <= 0).all()


def test_with_an_edge_the_signal_and_the_agent_both_beat_buy_and_hold(tmp_path):
    table = contest(tmp_path, edge=0.25)
    held = table.loc["buy and hold", "total_return"]
    assert table.loc[ENSEMBLE, "total_return"] > held
    assert table.loc["ppo + lstm", "total_return"] > held
    assert table.loc[ENSEMBLE, "sharpe_low"] > 0
    assert table.loc["ppo + lstm", "sharpe_low"] > 0
