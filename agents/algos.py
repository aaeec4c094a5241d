"""Stable-Baselines3's algorithms on row numbers, tuned for many accounts and large minibatches.

On two cores SB3's defaults (8 environments, minibatches of 64) spend most of their time between the arithmetic. All
presets keep the number of *updates* in sight: it is shown beside the steps, for a run with a dozen updates has learnt
nothing however many steps it took.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.config import AgentConfig
from agents.extractors import RowExtractor
from agents.sb3_env import AccountsVecEnv
from configs.errors import UserError
from configs.registry import check_name

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


def policy_kwargs(config: AgentConfig, table: str, names: tuple[str, ...]) -> dict[str, Any]:
    """What SB3 builds the policy from; the table stands in it by its key alone."""
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
