"""Stable-Baselines3's algorithms on row numbers, tuned for many accounts and large minibatches.

On two cores SB3's defaults (8 environments, minibatches of 64) spend most of their time between the arithmetic. All
presets keep the number of *updates* in sight: it is shown beside the steps, for a run with a dozen updates has learnt
nothing however many steps it took.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.extractors import RowExtractor
from agents.sb3_env import AccountsVecEnv
from configs.errors import UserError
from configs.registry import check_name

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


@dataclass(frozen=True)
class PPOConfig:
    n_steps: int = 16
    """steps of each account in a rollout"""
    batch: int = 4096
    """rows of a minibatch"""
    epochs: int = 4
    """passes over a rollout"""
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.0


@dataclass(frozen=True)
class A2CConfig:
    n_steps: int = 8
    """steps of each account between two updates"""
    gae_lambda: float = 0.95
    ent_coef: float = 0.001


@dataclass(frozen=True)
class DQNConfig:
    buffer: int = 200_000
    """transitions kept; a row number each, never a window"""
    learning_starts: int = 10_000
    batch: int = 1024
    """transitions of a minibatch"""
    gradient_steps: int = 4
    """updates after each step of all accounts"""
    exploration_fraction: float = 0.3
    """share of training in which random actions fade out"""
    exploration_final: float = 0.02
    target_update: int = 1
    """steps of all accounts between two updates of the target network"""
    tau: float = 0.01
    """share of the new weights taken over into the target network"""


@dataclass(frozen=True)
class AgentConfig:
    steps: int = 1_000_000
    """steps of all accounts together"""
    accounts: int = 1024
    """accounts that trade side by side"""
    lr: float = 1e-3
    lr_end: float = 0.1
    """share of the learning rate that is left at the end; it falls in a line"""
    gamma: float = 0.97
    """discount of a bar; costs of an order are earned back within a few dozen bars or not at all"""
    net: tuple[int, ...] = (64, 64)
    """widths of the policy's layers, and of the value's"""
    activation: str = "tanh"
    """tanh or relu"""
    reward_scale: float = 100.0
    """log growth is multiplied by this for learning"""
    account: tuple[str, ...] = ("weight",)
    """numbers of the account that the policy sees. Under log growth and proportional costs the best action depends on
    the position alone; equity and time left would take other values in a long evaluation than in training episodes"""
    finetune: bool = False
    """train the encoder on, end to end, instead of looking its frozen embeddings up"""
    validations: int = 10
    """how often the policy is tried on validation rows; the best one is kept"""
    threads: int = 1
    """torch threads; small networks get slower with more when cores are shared"""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    a2c: A2CConfig = field(default_factory=A2CConfig)
    dqn: DQNConfig = field(default_factory=DQNConfig)

    def __post_init__(self) -> None:
        check_name("agent.activation", self.activation, ACTIVATIONS)
        if min(self.steps, self.accounts, self.validations, self.threads, *self.net) < 1:
            raise UserError("agent.steps, accounts, validations, threads and net must be at least 1, found "
                            f"{self.steps}, {self.accounts}, {self.validations}, {self.threads}, {self.net}")
        if not (self.lr > 0 and 0 <= self.gamma <= 1 and self.reward_scale > 0):
            raise UserError("agent needs lr > 0, 0 <= gamma <= 1 and reward_scale > 0, found "
                            f"{self.lr}, {self.gamma}, {self.reward_scale}")

    def schedule(self, remaining: float) -> float:
        """Learning rate when `remaining` (1 to 0) of the training is left."""
        return self.lr * (self.lr_end + (1 - self.lr_end) * remaining)


def policy_kwargs(config: AgentConfig, table: str, names: tuple[str, ...]) -> dict[str, Any]:
    """What SB3 builds the policy from; the table stands in it by its key alone."""
    kinds = {name.split(":")[0] for name in names}
    for wanted in config.account:
        check_name("agent.account number", wanted, sorted(kinds))
    seen = tuple(i for i, name in enumerate(names) if name.split(":")[0] in config.account)
    return {
        "net_arch": list(config.net),
        "activation_fn": ACTIVATIONS[config.activation],
        "features_extractor_class": RowExtractor,
        "features_extractor_kwargs": {"table": table, "account": seen},
    }


def ppo(env: AccountsVecEnv, config: AgentConfig, kwargs: dict[str, Any], common: dict[str, Any]) -> BaseAlgorithm:
    own = config.ppo
    return PPO("MultiInputPolicy", env, learning_rate=config.schedule, gamma=config.gamma, n_steps=own.n_steps,
               batch_size=min(own.batch, own.n_steps * env.num_envs), n_epochs=own.epochs, gae_lambda=own.gae_lambda,
               clip_range=own.clip_range, ent_coef=own.ent_coef, policy_kwargs=kwargs, **common)


def a2c(env: AccountsVecEnv, config: AgentConfig, kwargs: dict[str, Any], common: dict[str, Any]) -> BaseAlgorithm:
    own = config.a2c
    # Adam instead of SB3's RMSprop: with a thousand accounts a gradient is a large-batch one
    return A2C("MultiInputPolicy", env, learning_rate=config.schedule, gamma=config.gamma, n_steps=own.n_steps,
               gae_lambda=own.gae_lambda, ent_coef=own.ent_coef, use_rms_prop=False, normalize_advantage=True,
               policy_kwargs=kwargs, **common)


def dqn(env: AccountsVecEnv, config: AgentConfig, kwargs: dict[str, Any], common: dict[str, Any]) -> BaseAlgorithm:
    own = config.dqn
    if not isinstance(env.action_space, spaces.Discrete):
        raise UserError("dqn chooses one of a few levels for one asset: set env.action=levels and trade one asset, or "
                        "take ppo or a2c")
    return DQN("MultiInputPolicy", env, learning_rate=config.schedule, gamma=config.gamma,
               buffer_size=max(own.buffer, env.num_envs), learning_starts=own.learning_starts, batch_size=own.batch,
               train_freq=(1, "step"), gradient_steps=own.gradient_steps, tau=own.tau,
               target_update_interval=own.target_update * env.num_envs,
               exploration_fraction=own.exploration_fraction,
               exploration_final_eps=own.exploration_final, policy_kwargs=kwargs, **common)


def common_arguments(device: str, seed: int, log_dir: Path | None) -> dict[str, Any]:
    return {"device": device, "seed": seed, "tensorboard_log": str(log_dir) if log_dir else None}


def pick_device(name: str) -> str:
    """`auto` is the GPU when torch sees one."""
    check_name("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' was asked for but torch sees no GPU: use --device auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
