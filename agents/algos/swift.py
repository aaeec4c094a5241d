"""What an actor-critic policy of SB3 says, by shorter ways to the same numbers.

SB3 asks torch's distributions, which check every number they are given and take softmax and its logarithm twice. Of
levels nothing is needed but the logarithm of their probabilities, of weights the formula of the normal density. And on
a CPU torch's tanh takes three times as long as its sigmoid, from which it follows: tanh(x) = 2 sigmoid(2 x) - 1, to
1e-7. Everything else is the policy's own layers, so a policy that is saved, loaded or looked at is plain SB3's.
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


class Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (x * 2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return torch.ops.aten.tanh_backward(grad, ctx.saved_tensors[0])


class Head(Protocol):
    """The last layer of an actor."""

    def draw(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (M, ...) at random, and the logarithm of how probable each was (M,)."""

    def judge(self, latent: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithm of how probable `actions` (M, A) are (M,), and the entropy (M,)."""


class Levels:
    """Of one asset or of N, all with the same number of levels: (M, H) to logarithms of probabilities (K, M, N)."""

    def __init__(self, policy: ActorCriticPolicy, assets: int, levels: int, flat: bool) -> None:
        self.net, self.assets, self.levels, self.flat = policy.action_net, assets, levels, flat

    def logs(self, latent: Tensor) -> Tensor:
        logits = self.net(latent).unflatten(1, (self.assets, self.levels))
        # levels first: a sum over a handful of neighbours is what torch is slowest at
        return torch.log_softmax(logits.permute(2, 0, 1).contiguous(), dim=0)

    def draw(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        logs = self.logs(latent)
        # the first of K exponential clocks to ring: how torch draws one of K too, from the same random numbers
        clocks = logs.new_empty(len(latent), self.assets, self.levels).exponential_()
        actions = (logs.exp() / clocks.permute(2, 0, 1)).max(dim=0).indices  # (M, N), twice as fast as argmax
        said = logs.gather(0, actions[None])[0].sum(dim=1)
        return (actions[:, 0] if self.flat else actions), said

    def judge(self, latent: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        logs = self.logs(latent)
        return logs.gather(0, actions[None])[0].sum(dim=1), -(logs.exp() * logs).sum(dim=(0, 2))


class Weights:
    """A normal deviate around what the layer says, independent for each asset."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self.net, self.deviation = policy.action_net, policy.log_std

    def draw(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.net(latent)
        actions = mean + self.deviation.exp() * torch.randn_like(mean)
        return actions, self.density(mean, actions)

    def judge(self, latent: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.net(latent)
        entropy = (0.5 + HALF_LOG_TAU + self.deviation).expand_as(mean).sum(dim=1)
        return self.density(mean, actions), entropy

    def density(self, mean: Tensor, actions: Tensor) -> Tensor:
        off = (actions - mean) * (-self.deviation).exp()
        return -(0.5 * off.square() + self.deviation + HALF_LOG_TAU).sum(dim=1)


def head_of(policy: ActorCriticPolicy) -> Head | None:
    chosen = policy.action_dist
    if isinstance(chosen, CategoricalDistribution):
        return Levels(policy, 1, chosen.action_dim, flat=True)
    if isinstance(chosen, MultiCategoricalDistribution) and len(set(chosen.action_dims)) == 1:
        return Levels(policy, len(chosen.action_dims), int(chosen.action_dims[0]), flat=False)
    return Weights(policy) if type(chosen) is DiagGaussianDistribution else None


class Swift:
    """A policy while nobody else moves its parts: for one rollout, or one update."""

    def __init__(self, policy: ActorCriticPolicy, head: Head) -> None:
        self.policy, self.head = policy, head
        on_cpu = policy.device.type == "cpu"
        self.tanhs = [part for part in policy.modules() if type(part) is nn.Tanh] if on_cpu else []

    @contextmanager
    def quick(self) -> Iterator[None]:
        """The activations' own way while layers are computed; afterwards they are as SB3 made them."""
        for part in self.tanhs:
            part.forward = Tanh.apply  # type: ignore[method-assign]
        try:
            yield
        finally:
            for part in self.tanhs:
                del part.forward

    def latents(self, seen: Seen) -> tuple[Tensor, Tensor]:
        policy = self.policy
        with self.quick():
            features = policy.pi_features_extractor(seen)
            own = features if policy.share_features_extractor else policy.vf_features_extractor(seen)
            return policy.mlp_extractor.forward_actor(features), policy.mlp_extractor.forward_critic(own)

    @torch.no_grad()
    def act(self, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        """Actions at random, values (M,) and the logarithms of how probable the actions were (M,)."""
        actor, critic = self.latents(seen)
        actions, said = self.head.draw(actor)
        return actions, self.policy.value_net(critic)[:, 0], said

    @torch.no_grad()
    def value(self, seen: Seen) -> Tensor:
        return self.policy.value_net(self.latents(seen)[1])[:, 0]

    def judge(self, seen: Seen, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values, logarithms of how probable `actions` (M, A) are, entropies; (M,) each."""
        actor, critic = self.latents(seen)
        return self.policy.value_net(critic)[:, 0], *self.head.judge(actor, actions)
