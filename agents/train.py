"""Train one agent on the training rows of a dataset, choose its weights on the validation rows."""

from __future__ import annotations

from pathlib import Path

import torch

from agents import ALGOS
from agents.algos import common_arguments, policy_kwargs
from agents.bundle import WEIGHTS, Bundle, table_for
from agents.callbacks import Validation, Watch
from agents.config import AgentConfig
from agents.feature_table import publish
from agents.sb3_env import AccountsVecEnv
from agents.weights import Weights
from configs.registry import lookup
from data.dataset import Dataset
from encoders.checkpoint import Checkpoint
from envs.engine import EnvConfig
from envs.observations import account_names


def train(dataset: Dataset, env: EnvConfig, agent: AgentConfig, algo: str, window: int,
          checkpoint: Checkpoint | None = None, device: str = "cpu", folder: Path | None = None,
          cache: Path | None = None, seed: int = 0, progress: bool = True) -> Bundle:
    """The best policy on validation rows, as a bundle.

    With a `folder` the best weights so far are always on disk there, and TensorBoard's logs beside them, so that a
    stop half-way leaves what was learnt.
    """
    torch.set_num_threads(agent.threads)
    make = lookup("algo", algo, ALGOS)
    market, split = dataset.market, dataset.split
    train_rows = market.decision_rows(window, split.train)
    table = table_for(market, checkpoint, agent, device, cache, train_rows)
    accounts = AccountsVecEnv(market, env, agent.accounts, window, split.train, agent.reward_scale, seed=seed)
    kwargs = policy_kwargs(agent, publish(table), account_names(market.assets))
    model = make(accounts, agent, kwargs, common_arguments(device, seed, folder and folder / "tensorboard"))

    def bundle(weights: Weights) -> Bundle:
        spans = {name: [span.start, span.stop] for name, span in (("train", split.train), ("valid", split.valid))}
        return Bundle(algo, agent, env, window, dataset.scaler, table.scaler, spans, market.fingerprint, market.assets,
                      seed, weights, checkpoint)

    if folder:
        bundle({}).save(folder / "bundle")
    watch = Watch(Validation(market, env, window, split.valid), agent.steps, agent.validations,
                  folder and folder / "bundle" / WEIGHTS, progress)
    model.learn(agent.steps, callback=watch, log_interval=50, tb_log_name=algo)
    return bundle(watch.best_weights)
