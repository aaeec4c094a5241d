"""Algorithms that learn from what they have just done."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
from sb3_contrib.ppo_mask.policies import MaskableMultiInputActorCriticPolicy
from sb3_contrib.ppo_recurrent.policies import RecurrentMultiInputActorCriticPolicy
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.algos.lean import LeanA2C, LeanPPO
from agents.algos.recipe import Recipe, Task
from agents.extractors import RowExtractor
from agents.feature_table import PUBLISHED

# SB3's Adam, all weights in one loop
FUSED = {"optimizer_kwargs": {"eps": 1e-5, "fused": True}}


def clipped(task: Task) -> dict[str, Any]:
    """Settings of every PPO."""
    own = task.agent.ppo
    return {"n_steps": own.n_steps, "batch_size": min(own.batch, own.n_steps * task.accounts), "n_epochs": own.epochs,
            "gae_lambda": own.gae_lambda, "clip_range": own.clip_range, "ent_coef": own.ent_coef}


def ppo(task: Task) -> Recipe:
    return Recipe(LeanPPO, MultiInputActorCriticPolicy, {**clipped(task), "compile": task.agent.ppo.compile}, FUSED)


def maskable_ppo(task: Task) -> Recipe:
    return Recipe(MaskablePPO, MaskableMultiInputActorCriticPolicy, clipped(task))


class PaddedExtractor(RowExtractor):
    """RecurrentPPO fills its sequences up with zeros, which it leaves out of the loss, but on row 0 no window fits, and
    what is not a number there would reach the gradients all the same. Such rows look up the first that has values.
    """

    def __init__(self, observation_space: spaces.Dict, table: str, **kwargs: Any) -> None:
        super().__init__(observation_space, table, **kwargs)
        self.first = int(np.isfinite(PUBLISHED[table].values).all(axis=1).argmax())

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        return super().forward({**observations, "row": observations["row"].clamp(min=self.first)})


def recurrent_ppo(task: Task) -> Recipe:
    return Recipe(RecurrentPPO, RecurrentMultiInputActorCriticPolicy, clipped(task),
                  {"lstm_hidden_size": task.agent.lstm.width, "n_lstm_layers": task.agent.lstm.layers,
                   "features_extractor_class": PaddedExtractor})


def a2c(task: Task) -> Recipe:
    own = task.agent.a2c
    # Adam instead of SB3's RMSprop: with a thousand accounts a gradient is a large-batch one
    return Recipe(LeanA2C, MultiInputActorCriticPolicy, {
        "n_steps": own.n_steps, "gae_lambda": own.gae_lambda, "ent_coef": own.ent_coef, "use_rms_prop": False,
        "normalize_advantage": True}, FUSED)


class PlainTRPO(TRPO):
    """TRPO differentiates gradients once more, which fused attention and cuDNN's recurrent layers cannot: an encoder
    that is fine-tuned is computed the plain way."""

    def train(self) -> None:
        with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
            super().train()


def trpo(task: Task) -> Recipe:
    own = task.agent.trpo
    return Recipe(PlainTRPO, MultiInputActorCriticPolicy, {
        "n_steps": own.n_steps, "batch_size": min(own.batch, own.n_steps * task.accounts), "target_kl": own.target_kl,
        "n_critic_updates": own.critic_updates, "gae_lambda": own.gae_lambda,
        # what the policy reads only the trust region may move, so a value that is to teach an encoder needs its own
    }, {"share_features_extractor": not task.agent.extractor.finetune})
