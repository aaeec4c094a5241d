"""Policies that treat all assets of a portfolio alike: one network for each of them, whatever their order.

To permute the assets permutes the actions and leaves values as they are (deep sets, Zaheer et al. 2017). What one
asset's network learns it knows of all of them, and its size does not grow with their number. An asset is judged beside
the others, for the features of each hold the mean over all (`agents.extractors.AssetExtractor`).

A graph encoder knows its assets by their places: with one as the eyes, order counts after all.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.ppo_mask.policies import MaskableMultiInputActorCriticPolicy
from sb3_contrib.tqc.policies import MultiInputPolicy as TruncatedPolicy
from stable_baselines3.common.policies import BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.sac.policies import MultiInputPolicy as SoftPolicy
from stable_baselines3.td3.policies import MultiInputPolicy as TwinPolicy
from torch import Tensor, nn

from agents import check_shared


def layers(numbers: int, net: list[int], activation: type[nn.Module]) -> tuple[nn.Sequential, int]:
    """SB3's layers without the last one, and how many numbers come out of them."""
    return nn.Sequential(*create_mlp(numbers, -1, net, activation)), net[-1] if net else numbers


def head(numbers: int, outputs: int) -> nn.Sequential:
    """(B, N, H) -> (B, N * outputs), asset by asset, as SB3 wants logits and means."""
    return nn.Sequential(nn.Linear(numbers, outputs), nn.Flatten())


def assets_of(chosen: spaces.Space) -> int:
    """One number is chosen for each."""
    return spaces.flatdim(chosen) if isinstance(chosen, spaces.Box) else len(chosen.nvec)  # type: ignore[attr-defined]


class AssetLayers(nn.Module):
    """Stands where SB3's `MlpExtractor` does: an actor's layers and a critic's, each over one asset at a time."""

    def __init__(self, assets: int, numbers: int, net: list[int], activation: type[nn.Module]) -> None:
        super().__init__()
        self.assets = assets
        self.policy_net, self.latent_dim_pi = layers(numbers, net, activation)
        self.value_net, self.latent_dim_vf = layers(numbers, net, activation)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """(B, N * D) -> (B, N, H)."""
        return self.policy_net(features.unflatten(1, (self.assets, -1)))

    def forward_critic(self, features: Tensor) -> Tensor:
        """(B, N * D) -> (B, H), the mean over assets."""
        return self.value_net(features.unflatten(1, (self.assets, -1))).mean(dim=1)


class AssetByAsset(BasePolicy):
    """Put before an actor-critic policy of SB3: one head says each asset's logits, or the mean of its weight.

    The deviation of weights while learning is one number for all assets.
    """

    mlp_extractor: Any
    action_net: Any
    net_arch: Any
    activation_fn: type[nn.Module]
    features_dim: int
    log_std_init: float

    def _build_mlp_extractor(self) -> None:
        assets = assets_of(self.action_space)
        self.mlp_extractor = AssetLayers(assets, self.features_dim // assets, self.net_arch, self.activation_fn
                                         ).to(self.device)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]
        continuous = isinstance(self.action_space, spaces.Box)
        outputs = 1 if continuous else int(self.action_space.nvec[0])  # type: ignore[attr-defined]
        self.action_net = head(self.mlp_extractor.latent_dim_pi, outputs)
        self.action_net.apply(partial(self.init_weights, gain=0.01))  # as small as SB3 has it
        if continuous:
            self.log_std = nn.Parameter(torch.full((1,), self.log_std_init))
        # a new one, as SB3's recurrent policy makes too: the first holds weights that are no longer there
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1),  # type: ignore[call-arg]
                                              **self.optimizer_kwargs)


class AssetActorCritic(AssetByAsset, MultiInputActorCriticPolicy):
    """Of ppo, a2c and trpo."""


class MaskableAssetActorCritic(AssetByAsset, MaskableMultiInputActorCriticPolicy):
    """Of maskable_ppo."""


class PooledValue(nn.Module):
    """(B, N * D + N) features and actions to (B, outputs): each asset with its own action, their mean, two layers."""

    def __init__(self, assets: int, numbers: int, outputs: int, net: list[int], activation: type[nn.Module]) -> None:
        super().__init__()
        self.assets = assets
        self.each, last = layers(numbers + 1, net, activation)
        # two, for what one position is worth hangs on the others: all of them share the account
        self.together = nn.Sequential(*create_mlp(last, outputs, [last], activation))

    def forward(self, x: Tensor) -> Tensor:
        features, action = x[:, : -self.assets].unflatten(1, (self.assets, -1)), x[:, -self.assets :, None]
        return self.together(self.each(torch.cat([features, action], dim=2)).mean(dim=1))


class AssetOffPolicy(BasePolicy):
    """Put before the policies of SAC, TD3 and TQC: layers of their actors and critics are exchanged as they are made,
    before targets copy them and optimisers are given them."""

    net_args: dict[str, Any]

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        actor = super().make_actor(features_extractor)  # type: ignore[misc]
        assets, net, activation = assets_of(self.action_space), actor.net_arch, actor.activation_fn
        numbers = actor.features_dim // assets
        apart = nn.Unflatten(1, (assets, numbers))
        each, last = layers(numbers, net, activation)
        if hasattr(actor, "latent_pi"):  # SAC's and TQC's say a deviation beside the mean
            actor.latent_pi = nn.Sequential(apart, each)
            actor.mu, actor.log_std = head(last, 1), head(last, 1)
        else:
            actor.mu = nn.Sequential(apart, each, *head(last, 1), nn.Tanh())
        return actor.to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        critic = super().make_critic(features_extractor)  # type: ignore[misc]
        assets, args = assets_of(self.action_space), self.net_args
        numbers = critic.features_extractor.features_dim // assets
        for i, net in enumerate(critic.q_networks):
            critic.q_networks[i] = PooledValue(assets, numbers, net[-1].out_features, args["net_arch"],
                                               args["activation_fn"])
            critic.add_module(f"qf{i}", critic.q_networks[i])
        return critic.to(self.device)


class AssetSoftPolicy(AssetOffPolicy, SoftPolicy):
    """Of sac."""


class AssetTwinPolicy(AssetOffPolicy, TwinPolicy):
    """Of td3."""


class AssetTruncatedPolicy(AssetOffPolicy, TruncatedPolicy):
    """Of tqc."""


ALIKE: dict[type[BasePolicy], type[BasePolicy]] = {
    MultiInputActorCriticPolicy: AssetActorCritic,
    MaskableMultiInputActorCriticPolicy: MaskableAssetActorCritic,
    SoftPolicy: AssetSoftPolicy,
    TwinPolicy: AssetTwinPolicy,
    TruncatedPolicy: AssetTruncatedPolicy,
}


def alike(policy: type[BasePolicy], algo: str, assets: tuple[str, ...]) -> type[BasePolicy]:
    """The policy that treats all assets alike where `policy` reads their columns in a row."""
    check_shared(algo, assets)
    return ALIKE[policy]
