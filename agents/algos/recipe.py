"""What an algorithm is made of: one function of each says it, for training and for acting again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from agents import ALGOS
from agents.config import AgentConfig
from agents.extractors import RowExtractor
from agents.sb3_env import AccountsVecEnv
from configs.registry import check_name, resolve
from envs.config import EnvConfig
from envs.observations import account_names

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
    return found


def network_of(recipe: Recipe, task: Task, table: str) -> dict[str, Any]:
    """What SB3 builds the policy from; the table stands in it by its key alone."""
    return {
        "net_arch": list(task.agent.net),
        "activation_fn": ACTIVATIONS[task.agent.activation],
        "features_extractor_class": RowExtractor,
        "features_extractor_kwargs": {"table": table, "account": task.seen if recipe.sees_account else ()},
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
    return build(recipe.policy, accounts, learning_rate=task.agent.schedule, gamma=task.agent.gamma, device=device,
                 seed=seed, policy_kwargs=network_of(recipe, task, table), **recipe.settings)
