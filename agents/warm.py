"""A warm start: learn first to do what a teacher does, then to do better, held to it by a leash that lets go.

The teacher is asked on random training rows with random positions in hand, where an agent may come to be, and not only
on the way that it would have gone itself: from each position it says whether to keep it, which teaches when an order is
worth its costs. What it says becomes the policy's by maximum likelihood. From there on each reward is less by `kl`
times log(policy / clone) of the action taken, whose mean is the divergence between the two, and `kl` falls to nothing
over the first share of the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from agents import check_teacher
from agents.config import WarmConfig
from agents.finetuning import freeze
from agents.policy import Policy
from agents.sb3_env import AccountsVecEnv
from agents.sight import Sight
from agents.strategies.foresight import foresight
from agents.strategies.signal import tuned
from data.dataset import Dataset
from encoders.embed import embed
from envs.config import EnvConfig
from envs.engine import Engine
from envs.observations import observe

Observed = dict[str, np.ndarray]


def teacher_of(name: str, dataset: Dataset, env: EnvConfig, window: int, sight: Sight, device: str,
               cache: Path | None) -> Policy:
    """Who is learnt from, on the training rows.

    `signal` trades the forecast of the ensemble, or of the chosen encoder, with the thresholds that the arena's signal
    has. That forecast was taught on these very rows and looks surer on them than it will be later. `foresight` knows
    every bar beforehand: what it does cannot be learnt, only how often it was right to do so in such a state. Where a
    state says little of the next bars, that is most often to keep what is held, and such a clone hardly trades.
    """
    check_teacher(name, env.action, sight.ensemble is not None or sight.checkpoint is not None)
    market, split = dataset.market, dataset.split
    if name == "foresight":
        return foresight(market, env, window, split.train).policy
    if sight.ensemble is not None:
        return tuned(sight.forecast(market, device, cache), market, env, window, split.valid)
    assert sight.checkpoint is not None
    return tuned(embed(sight.checkpoint, market, device, cache).forecast, market, env, window, split.valid)


def clone(model: OnPolicyAlgorithm, teacher: Policy, config: WarmConfig) -> None:
    """Teach the policy what the teacher does; the optimiser of the training that follows is left as it is, and so is an
    encoder that is to learn on, whose time and rate are the training's.
    """
    policy = model.policy
    assert isinstance(policy, ActorCriticPolicy)
    assert isinstance(model.env, AccountsVecEnv)
    training = model.env.engine
    engine = Engine(training.market, training.config, config.batch, training.window, training.spans)
    rng = np.random.default_rng(model.seed)
    optimiser = torch.optim.Adam(policy.parameters(), lr=config.lr)
    policy.set_training_mode(False)  # no dropout: the policy that acts is the one that is taught
    freeze(policy)
    for _ in range(config.updates):
        seen = somewhere(engine, rng)
        action = torch.as_tensor(action_of(teacher.predict(seen)[0], training.config), device=policy.device)
        tensors, _ = policy.obs_to_tensor(seen)
        _, said, entropy = policy.evaluate_actions(tensors, action)
        loss = -said.mean() - (config.entropy * entropy.mean() if entropy is not None else 0.0)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimiser.step()
    freeze(policy, False)


def somewhere(engine: Engine, rng: np.random.Generator) -> Observed:
    """What accounts see on random decisions with random weights in hand that the environment allows."""
    config, assets = engine.config, len(engine.market.assets)
    starts = rng.choice(np.flatnonzero(np.arange(len(engine.decisions)) < engine.decisions[:, 1]), engine.accounts)
    if config.action == "levels":
        held = np.array(config.levels)[rng.integers(0, len(config.levels), (engine.accounts, assets))]
    else:
        held = rng.uniform(config.low, config.high, (engine.accounts, assets))
    gross = np.abs(held).sum(axis=1, keepdims=True)
    engine.place(starts, held * np.minimum(1.0, config.gross / np.maximum(gross, 1e-9)))
    return observe(engine, "row", engine.shown, engine.observed)


def action_of(weights: np.ndarray, env: EnvConfig) -> np.ndarray:
    """The action that comes nearest to a teacher's target weights (B, N).

    Levels of several assets share the account out among themselves, so an equal share of it counts as a whole level.
    """
    if env.action == "levels":
        nearest = np.abs(weights.shape[1] * weights[:, :, None] - np.array(env.levels)).argmin(axis=2)
        return nearest[:, 0] if nearest.shape[1] == 1 else nearest
    return np.clip(weights, env.low, env.high).astype(np.float32)


class Leash(BaseCallback):
    """Takes the divergence from the clone off each rollout's rewards before anything is learnt from them."""

    def __init__(self, policy: ActorCriticPolicy, config: WarmConfig, steps: int) -> None:
        super().__init__()
        self.clone = type(policy)(**policy._get_constructor_parameters())  # a deep copy would fail on what it last said
        self.clone.load_state_dict(policy.state_dict())
        self.clone.to(policy.device).set_training_mode(False)
        freeze(self.clone)  # cloning moves no encoder
        self.kl, self.until = config.kl, config.fade * steps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        left = 1 - self.num_timesteps / self.until if self.until else 0.0
        if left <= 0 or not self.kl:
            return
        buffer: Any = self.model.rollout_buffer  # type: ignore[attr-defined]
        seen = {name: torch.as_tensor(value.reshape(-1, *value.shape[2:]), device=self.clone.device)
                for name, value in buffer.observations.items()}
        actions = torch.as_tensor(buffer.actions.reshape(-1, *buffer.actions.shape[2:]), device=self.clone.device)
        if buffer.action_dim == 1 and not hasattr(self.clone, "log_std"):
            actions = actions.flatten()  # one level of one asset
        with torch.no_grad():
            said = self.clone.evaluate_actions(seen, actions)[1].cpu().numpy().reshape(buffer.log_probs.shape)
        divergence = buffer.log_probs - said
        buffer.rewards -= self.kl * left * divergence
        buffer.compute_returns_and_advantage(last_values=self.locals["values"], dones=self.locals["dones"])
        self.logger.record("train/divergence", float(divergence.mean()))
