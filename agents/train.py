"""Train one agent on the training rows of a dataset, choose its weights on the validation rows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from agents import check_actions, check_clone, resume
from agents.algos.recipe import Task, make_model
from agents.bundle import Bundle, spans_of
from agents.callbacks import Say, Watch
from agents.config import AgentConfig
from agents.curriculum import Curriculum
from agents.feature_table import publish
from agents.finetuning import Unfreeze
from agents.sb3_env import AccountsVecEnv
from agents.sight import Sight, table_for
from agents.warm import Leash, clone, teacher_of
from agents.watch.cockpit import card_of
from agents.watch.validation import Validation
from agents.weights import Weights
from configs.errors import UserError
from data.dataset import Dataset
from encoders.checkpoint import Checkpoint
from envs.config import EnvConfig


def train(dataset: Dataset, env: EnvConfig, agent: AgentConfig, algo: str, window: int,
          seen: Sight | Checkpoint | None = None, device: str = "cpu", folder: Path | None = None,
          cache: Path | None = None, seed: int = 0, progress: bool = True, say: Say = tqdm.write) -> Bundle:
    """The best policy on validation rows, as a bundle; without a sight it sees the features of the last bar.

    With a `folder` the best weights so far are always on disk there, TensorBoard's logs beside them, and all that the
    training goes on from: after a kill the same call ends with the weights that it would have had, and of a training
    that came to its end there it is handed back. What a person should know of it is said by `say`, whether or not
    `progress` is shown. Whether an agent that stays out deserves a second look is not asked here but in `agents.seeds`.
    """
    torch.set_num_threads(agent.threads)
    market, split = dataset.market, dataset.split
    check_actions(algo, env.action, len(market.assets))
    train_rows = market.decision_rows(window, split.train)
    sight = Sight.of(seen)
    table = table_for(market, sight, agent, device, cache, train_rows)
    digest = resume.digest_of(  # of all that changes a weight
        algo=algo, agent=replace(agent, save_every=0.0, second_look=True), env=env, window=window, seed=seed,
        table=table.key, market=market.fingerprint,
        spans={**spans_of(split), "test": [split.test.start, split.test.stop]})
    if folder and (ended := ended_in(folder, digest)):
        return replace(ended, agent=agent)
    accounts = AccountsVecEnv(market, env, agent.accounts, window, split.train, agent.reward_scale, seed=seed)
    model = make_model(algo, Task(agent, env, accounts.num_envs, market.assets), accounts, publish(table), device, seed)

    may_stay_out = agent.stay_out and env.actions(len(market.assets)).out is not None

    def bundle(weights: Weights) -> Bundle:
        return Bundle(algo, agent, env, window, dataset.scaler, table.scaler, spans_of(split), market.fingerprint,
                      market.assets, seed, weights, replace(sight, said=None), watch.best,
                      stays_out=may_stay_out and not watch.best.clear)

    def keep(weights: Weights) -> None:
        if folder:
            bundle(weights).save(folder / "bundle")

    card = card_of(algo, sight.name, window, seed, agent, env, folder)
    watch = Watch(Validation(market, env, window, split.valid), agent, keep, progress, card, say)
    callbacks: list[BaseCallback] = [Unfreeze(agent.extractor.unfreeze, agent.steps),
                                     Curriculum(agent.curriculum, agent.steps), watch]
    if agent.warm.teacher:
        check_clone(algo)
        assert isinstance(model, OnPolicyAlgorithm)
        clone(model, teacher_of(agent.warm.teacher, dataset, env, window, sight, device, cache), agent.warm)
        callbacks.append(Leash(model.policy, agent.warm, agent.steps))
    state = folder / "training" / resume.FILE if folder else None
    resumed = False
    heeding: AbstractContextManager[None] = nullcontext()
    if folder and state:
        (state.parent / resume.ENDED).unlink(missing_ok=True)  # or it would vouch for the bundle of this one
        keeper = resume.Keeper(state, digest, agent.save_every, watch)
        callbacks.append(keeper)
        heeding = keeper.heeding(say)
        resumed = resume.load(state, digest, model, watch)
        if state.exists() and not resumed:
            say(f"a training of other settings was stopped in {folder}: this one begins anew, in its place")
        if resumed:
            say(f"goes on from step {model.num_timesteps:,}, where an earlier start of this training was stopped")
        model.set_logger(logger_of(folder / "tensorboard" / algo, model.num_timesteps))
    try:
        with heeding:
            model.learn(agent.steps - model.num_timesteps, callback=callbacks, log_interval=max(50, agent.accounts),
                        reset_num_timesteps=not resumed)
    except ValueError as error:
        if "nan" not in str(error):
            raise
        raise UserError(f"the policy's outputs are not numbers after {model.num_timesteps} steps: lower agent.lr "
                        f"({agent.lr}); the best weights so far, of step {watch.best_step}, are kept") from None
    best = bundle(watch.best_weights)
    if folder and state:
        best.save(folder / "bundle")
        resume.note_end(state.parent, digest)
    return best


def ended_in(folder: Path, digest: str) -> Bundle | None:
    """The bundle of this very training, if it came to its end in `folder`; without what was found out since."""
    if not resume.has_ended(folder / "training", digest):
        return None
    try:
        found = Bundle.load(folder / "bundle")
    except UserError:
        return None
    return replace(found, halves=None, stays_out=found.stays_out or found.halves is not None)


def logger_of(folder: Path, step: int) -> Logger:
    """TensorBoard alone; points beyond `step`, of a start that went further before it was stopped, are not shown."""
    output = TensorBoardOutputFormat(str(folder))
    if step:
        output.writer.close()
        output.writer = SummaryWriter(str(folder), purge_step=step)
    return Logger(str(folder), [output])
