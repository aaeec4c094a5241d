"""Algorithms that learn from a memory of what they have done."""

from __future__ import annotations

from typing import Any

import numpy as np
from sb3_contrib import QRDQN, TQC
from sb3_contrib.qrdqn.policies import MultiInputPolicy as QuantilePolicy
from sb3_contrib.tqc.policies import MultiInputPolicy as TruncatedPolicy
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.sac.policies import MultiInputPolicy as SoftPolicy
from stable_baselines3.td3.policies import MultiInputPolicy as TwinPolicy

from agents.algos.config import ReplayConfig
from agents.algos.dqn import DoubleDQN, DuelingPolicy
from agents.algos.recipe import Recipe, Task
from agents.algos.replay import Remembering, RowReplay


class RowQRDQN(Remembering, QRDQN):
    """QR-DQN on rows."""


class RowSAC(Remembering, SAC):
    """SAC on rows."""


class RowTD3(Remembering, TD3):
    """TD3 on rows."""


class RowTQC(Remembering, TQC):
    """TQC on rows."""


def remembering(task: Task, own: ReplayConfig) -> dict[str, Any]:
    """Settings of every algorithm with a memory."""
    return {
        "buffer_size": max(own.buffer, task.accounts), "learning_starts": own.learning_starts, "batch_size": own.batch,
        "train_freq": (1, "step"), "gradient_steps": own.gradient_steps, "tau": own.tau,
        "replay_buffer_class": RowReplay,
        "replay_buffer_kwargs": {"seen": task.seen, "n_step": own.n_step, "gamma": task.agent.gamma},
    }


def exploring(task: Task) -> dict[str, Any]:
    own = task.agent.dqn
    return {**remembering(task, own), "target_update_interval": task.accounts,
            "exploration_fraction": own.exploration_fraction, "exploration_final_eps": own.exploration_final}


def dqn(task: Task) -> Recipe:
    own = task.agent.dqn
    return Recipe(DoubleDQN, DuelingPolicy, {**exploring(task), "double": own.double}, {"dueling": own.dueling})


def qrdqn(task: Task) -> Recipe:
    return Recipe(RowQRDQN, QuantilePolicy, exploring(task), {"n_quantiles": task.agent.dqn.quantiles})


def sac(task: Task) -> Recipe:
    own = task.agent.actor_critic
    return Recipe(RowSAC, SoftPolicy, {**remembering(task, own), "ent_coef": own.entropy or "auto"})


def td3(task: Task) -> Recipe:
    own = task.agent.actor_critic
    each = np.ones(len(task.assets))
    return Recipe(RowTD3, TwinPolicy, {**remembering(task, own),
                                       "action_noise": NormalActionNoise(0 * each, own.noise * each)})


def tqc(task: Task) -> Recipe:
    own = task.agent.actor_critic
    return Recipe(RowTQC, TruncatedPolicy, {
        **remembering(task, own), "ent_coef": own.entropy or "auto", "top_quantiles_to_drop_per_net": own.drop,
    }, {"n_quantiles": own.quantiles})
