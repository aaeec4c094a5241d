"""Train one agent on the training rows of a dataset, choose its weights on the validation rows."""

from __future__ import annotations

from pathlib import Path

import torch

from agents import check_actions
from agents.algos.recipe import Task, make_model
from agents.bundle import Bundle, spans_of, table_for
from agents.callbacks import Validation, Watch
from agents.config import AgentConfig
from agents.feature_table import publish
from agents.sb3_env import AccountsVecEnv
from agents.weights import Weights
from configs.errors import UserError
from data.dataset import Dataset
from encoders.checkpoint import Checkpoint
from envs.config import EnvConfig


def train(dataset: Dataset, env: EnvConfig, agent: AgentConfig, algo: str, window: int,
          checkpoint: Checkpoint | None = None, device: str = "cpu", folder: Path | None = None,
          cache: Path | None = None, seed: int = 0, progress: bool = True) -> Bundle:
    """The best policy on validation rows, as a bundle.

    With a `folder` the best weights so far are always on disk there, and TensorBoard's logs beside them, so that a
    stop half-way leaves what was learnt.
    """
    torch.set_num_threads(agent.threads)
    market, split = dataset.market, dataset.split
    check_actions(algo, env.action, len(market.assets))
    train_rows = market.decision_rows(window, split.train)
    table = table_for(market, checkpoint, agent, device, cache, train_rows)
    accounts = AccountsVecEnv(market, env, agent.accounts, window, split.train, agent.reward_scale, seed=seed)
    model = make_model(algo, Task(agent, env, accounts.num_envs, market.assets), accounts, publish(table), device, seed)
    model.tensorboard_log = str(folder / "tensorboard") if folder else None

    def bundle(weights: Weights) -> Bundle:
        return Bundle(algo, agent, env, window, dataset.scaler, table.scaler, spans_of(split), market.fingerprint,
                      market.assets, seed, weights, checkpoint)

    def keep(weights: Weights) -> None:
        if folder:
            bundle(weights).save(folder / "bundle")

    watch = Watch(Validation(market, env, window, split.valid), agent.steps, agent.validations, keep, progress)
    try:
        model.learn(agent.steps, callback=watch, log_interval=50, tb_log_name=algo)
    except ValueError as error:
        if "nan" not in str(error):
            raise
        raise UserError(f"the policy's outputs are not numbers after {model.num_timesteps} steps: lower agent.lr "
                        f"({agent.lr}); the best weights so far, of step {watch.best_step}, are kept") from None
    return bundle(watch.best_weights)
