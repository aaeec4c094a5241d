"""The sizes that agents are tested with: every part real, nothing larger than a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents import ALGOS, LEVEL
from agents.algos.config import ActorCriticConfig, AllQConfig, DQNConfig, PPOConfig, TRPOConfig
from agents.config import AgentConfig
from data.dataset import DataConfig, Dataset
from data.labels import LabelConfig
from data.simulator.config import SimulatorConfig
from data.simulator.known import KnownConfig
from data.splits import SplitConfig
from encoders.checkpoint import Checkpoint
from encoders.config import EncoderConfig
from encoders.forecast import Forecast
from encoders.pretrain import pretrain
from encoders.training.config import PretrainConfig
from envs.config import EnvConfig

WINDOW = 8
# nearly all of tomorrow can be known, so that a second of training leaves weights that are not the untrained ones
DATA = DataConfig(groups=("returns", "calendar"), window=WINDOW, labels=LabelConfig(horizon=4),
                  split=SplitConfig(embargo=4), simulator=SimulatorConfig(bars=1_500, edge=0.9))
PAIR = replace(DATA, simulator=SimulatorConfig(bars=1_500, edge=0.9, assets=("BTC", "ETH")))
KNOWN = DataConfig(source="known", known=KnownConfig("ou_easy", bars=3_000), window=4, labels=LabelConfig(horizon=4))
ENV = EnvConfig(episode=60)
NET = EncoderConfig(width=8, layers=1, heads=2, ff=8, state=4, chunk=8)
PRETRAIN = PretrainConfig(epochs=3, rows_per_epoch=128, batch=32, lr=0.01, threads=1)
AGENT = AgentConfig(steps=320, accounts=8, lr=0.01, net=(8,), validations=2, stay_out=False,
                    ppo=PPOConfig(n_steps=8, batch=32, epochs=1),
                    dqn=DQNConfig(buffer=500, learning_starts=32, batch=16, gradient_steps=1),
                    actor_critic=ActorCriticConfig(buffer=500, learning_starts=32, batch=16, gradient_steps=1),
                    trpo=TRPOConfig(n_steps=8, batch=32), all_q=AllQConfig(batch=32))


def env_of(algo: str, env: EnvConfig = ENV) -> EnvConfig:
    """With the actions that the algorithm chooses."""
    return env if LEVEL in ALGOS[algo].chooses else replace(env, action="weights")


def tiny_encoder(dataset: Dataset, name: str, seed: int = 0) -> Checkpoint:
    found = pretrain(dataset.market, dataset.labels, dataset.split, dataset.scaler, WINDOW, replace(NET, name=name),
                     PRETRAIN, seed=seed, progress=False)
    assert found.scores["epoch"] > 0, "the untrained weights were the best: a test with them would show little"
    return found


def forecast_of(score: np.ndarray) -> Forecast:
    """The forecast whose P(up) - P(down) is `score` (T, N), between -1 and 1."""
    up, down = np.maximum(score, 0), np.maximum(-score, 0)
    direction = np.stack([down, 1 - up - down, up], axis=-1)  # (T, N, 3)
    quantiles = np.tile(np.array([-0.01, 0.0, 0.01]), (*score.shape, 1))
    return Forecast(direction, quantiles, np.full(score.shape, 0.01))
