"""What an algorithm is made of: one function of each says it, for training and for acting again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from agents import ALGOS
from agents.config import AgentConfig
from agents.extractors import AssetExtractor, RowExtractor
from agents.finetuning import decay, own_rate
from agents.portfolios import alike
from agents.sb3_env import AccountsVecEnv
from configs.registry import check_name, resolve
from envs.config import EnvConfig
from envs.observations import account_names

PER_ROWS = 100_000  # training rows that agent.weight_decay is said for
FEWEST_ROWS = 20_000  # that fewer count as: with still more decay all_q learnt nothing of ou_easy from 4,000 bars
ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


@dataclass(frozen=True)
class Task:
    """What an agent is asked to be."""

    agent: AgentConfig
    env: EnvConfig
    accounts: int  # that it learns from side by side
    assets: tuple[str, ...]  # that it trades

    @property
    def seen(self) -> tuple[int, ...]:
        """Places of the account's numbers that the policy sees, for every asset."""
        return tuple(i for i, name in enumerate(account_names(self.assets)) if name.split(":")[0] in self.agent.account)


@dataclass(frozen=True)
class Recipe:
    model: type[BaseAlgorithm]
    policy: type[BasePolicy]
    settings: dict[str, Any]  # of the model, over those that all share
    network: dict[str, Any] = field(default_factory=dict)  # of the policy, likewise
    sees_account: bool = True  # False: the policy reads what it holds by itself


def recipe_of(algo: str, task: Task) -> Recipe:
    found: Recipe = resolve(ALGOS[check_name("algo", algo, ALGOS)].recipe)(task)
    if task.agent.extractor.shared:
        return replace(found, policy=alike(found.policy, algo, task.assets))
    return found


def network_of(recipe: Recipe, task: Task, table: str) -> dict[str, Any]:
    """What SB3 builds the policy from; the table stands in it by its key alone."""
    wanted, activation = task.agent.extractor, ACTIVATIONS[task.agent.activation]
    seen = {"table": table, "account": task.seen if recipe.sees_account else (),
            "gated": wanted.width if wanted.join == "gated" else 0}
    if wanted.shared:
        seen |= {"width": wanted.width, "activation": activation}
    return {
        "net_arch": list(task.agent.net),
        "activation_fn": activation,
        "features_extractor_class": AssetExtractor if wanted.shared else RowExtractor,
        "features_extractor_kwargs": seen,
        **recipe.network,
    }


def make_policy(algo: str, task: Task, table: str, observed: spaces.Dict, chosen: spaces.Space) -> BasePolicy:
    """An untrained policy, for a bundle to fill."""
    recipe = recipe_of(algo, task)
    build: Callable[..., BasePolicy] = recipe.policy
    return build(observed, chosen, task.agent.schedule, **network_of(recipe, task, table))


def make_model(algo: str, task: Task, accounts: AccountsVecEnv, table: str, device: str = "cpu", seed: int = 0
               ) -> BaseAlgorithm:
    recipe = recipe_of(algo, task)
    build: Callable[..., BaseAlgorithm] = recipe.model
    model = build(recipe.policy, accounts, learning_rate=task.agent.schedule, gamma=task.agent.gamma, device=device,
                  seed=seed, policy_kwargs=network_of(recipe, task, table), **recipe.settings)
    if task.agent.extractor.finetune:
        own_rate(model.policy, task.agent.extractor.encoder_lr)
    if task.agent.weight_decay:
        decay(model.policy, task.agent.weight_decay * PER_ROWS / max(len(accounts.engine.decisions), FEWEST_ROWS))
    return model
