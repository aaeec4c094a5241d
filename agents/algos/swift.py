"""What an actor-critic policy of SB3 says, by shorter ways to the same numbers.

SB3 asks torch's distributions, which check every number that they are given and normalise the same logits several times
over. Of levels nothing is needed but the logarithms of their probabilities, of weights the formula of the normal
density. And on a CPU torch's tanh is slower than its sigmoid, which gives the same to 1e-7 for two passes more:
tanh(x) = 2 sigmoid(2 x) - 1. All else is done by the policy's own layers, and the policy itself stays SB3's: whoever
else asks it, saves it or loads it meets nothing of this. What all of it saves: `benchmark.py --parts agents`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)
Seen = dict[str, Tensor]


class QuickTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (x * 2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten.tanh_backward(grad, *ctx.saved_tensors)
        return found


class Head(Protocol):
    """The last layer of an actor and what it means; M states, N assets."""

    def draw(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (M,) or (M, N) at random, and the logarithm of how probable they were (M,)."""
        ...

    def judge(self, latent: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithm of how probable `actions` (M, N) are (M,), and the entropy (M,)."""
        ...


class Levels:
    """One of K levels for each asset."""

    def __init__(self, policy: ActorCriticPolicy, assets: int, levels: int, alone: bool) -> None:
        self.net, self.assets, self.levels, self.alone = policy.action_net, assets, levels, alone

    def logs(self, latent: Tensor) -> Tensor:
        logits = self.net(latent).unflatten(1, (self.assets, self.levels))
        # levels come first: sums over a few neighbours in memory are what torch is slowest at
        return torch.log_softmax(logits.permute(2, 0, 1).contiguous(), dim=0)  # (K, M, N)

    def draw(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        logs = self.logs(latent)
        # the first of K exponential clocks to ring, which is how torch draws too, from the same random numbers
        clocks = logs.new_empty(len(latent), self.assets, self.levels).exponential_()
        actions = (logs.exp() / clocks.permute(2, 0, 1)).max(dim=0).indices  # (M, N); argmax is slower
        said = logs.gather(0, actions[None])[0].sum(dim=1)
        return actions[:, 0] if self.alone else actions, said

    def judge(self, latent: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        logs = self.logs(latent)
        return logs.gather(0, actions[None])[0].sum(dim=1), -(logs.exp() * logs).sum(dim=(0, 2))


class Weights:
    """A normal deviate for each asset, around what the layer says."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self.net, self.log_std = policy.action_net, policy.log_std

    def draw(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.net(latent)  # (M, N)
        actions = mean + self.log_std.exp() * torch.randn_like(mean)
        return actions, self.density(mean, actions)

    def judge(self, latent: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.net(latent)
        entropy = (0.5 + HALF_LOG_TAU + self.log_std).expand_as(mean).sum(dim=1)
        return self.density(mean, actions), entropy

    def density(self, mean: Tensor, actions: Tensor) -> Tensor:
        off = (actions - mean) * (-self.log_std).exp()
        return -(0.5 * off.square() + self.log_std + HALF_LOG_TAU).sum(dim=1)


def head_of(policy: ActorCriticPolicy) -> Head | None:
    """None for actions that are chosen in yet another way."""
    chosen = policy.action_dist
    if isinstance(chosen, CategoricalDistribution):
        return Levels(policy, 1, int(chosen.action_dim), alone=True)
    if isinstance(chosen, MultiCategoricalDistribution) and len(set(chosen.action_dims)) == 1:
        return Levels(policy, len(chosen.action_dims), int(chosen.action_dims[0]), alone=False)
    return Weights(policy) if type(chosen) is DiagGaussianDistribution else None


class Swift:
    """A policy for the length of a rollout or of an update, in which nobody exchanges its parts.

    Observations are float32, as SB3 shows them to a policy.
    """

    def __init__(self, policy: ActorCriticPolicy, head: Head) -> None:
        self.policy, self.head = policy, head
        on_cpu = policy.device.type == "cpu"
        self.tanhs = [part for part in policy.modules() if type(part) is nn.Tanh] if on_cpu else []

    @contextmanager
    def quick(self) -> Iterator[None]:
        for part in self.tanhs:
            part.forward = QuickTanh.apply  # type: ignore[method-assign]
        try:
            yield
        finally:
            for part in self.tanhs:
                del part.forward

    def latents(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """(M, H) of the actor and of the critic; of a portfolio's actor (M, N, H)."""
        policy, layers = self.policy, self.policy.mlp_extractor
        with self.quick():
            features = policy.pi_features_extractor(seen)
            own = features if policy.share_features_extractor else policy.vf_features_extractor(seen)
            return layers.forward_actor(features), layers.forward_critic(own)

    @torch.no_grad()
    def act(self, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        """Actions at random, values (M,), and the logarithms of how probable the actions were (M,)."""
        actor, critic = self.latents(seen)
        actions, said = self.head.draw(actor)
        return actions, self.policy.value_net(critic)[:, 0], said

    @torch.no_grad()
    def value(self, seen: Seen) -> Tensor:
        with self.quick():
            worth: Tensor = self.policy.predict_values(seen)
        return worth[:, 0]

    def judge(self, seen: Seen, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values, the logarithms of how probable `actions` (M, N) are, and entropies; (M,) each."""
        actor, critic = self.latents(seen)
        return self.policy.value_net(critic)[:, 0], *self.head.judge(actor, actions)
