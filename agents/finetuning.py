"""An encoder that learns on with the policy: what it starts from, how fast it moves, and from when on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor, nn
from torch.optim import Optimizer

from agents.feature_table import FeatureTable
from encoders.layers import drop_nothing


class Settled(nn.Module):
    """A part that keeps the weights it was made with.

    SB3's actor-critic policies `apply` fresh orthogonal weights to every linear layer of their extractor, which of a
    pretrained encoder would leave next to nothing.
    """

    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        return self


class EncoderLookup(Settled):
    """Row numbers (B,) to (B, N * D) through an encoder that learns on: windows are gathered and encoded each time.

    While it is `frozen` its first embeddings are looked up: they are the same, cost nothing, and carry no gradient.
    """

    table: Tensor
    center: Tensor
    scale: Tensor

    def __init__(self, table: FeatureTable) -> None:
        super().__init__()
        assert table.model is not None
        assert table.windows is not None
        # a copy, for DQN's target network needs weights of its own; and without dropout, for noise between rollout and
        # update would make PPO's ratios wrong from the start
        self.encoder = copy.deepcopy(table.model.encoder)
        drop_nothing(self.encoder)
        self.windows = table.windows
        self.frozen = False
        self.assets, self.own = table.assets, self.encoder.dim
        shape = (1 if len(table.scaler.center) < table.dim else table.assets, table.each)
        for name in ("center", "scale"):
            numbers = getattr(table.scaler, name).reshape(shape)[:, : self.own]  # (N or 1, D of the encoder)
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(numbers)).float(), persistent=False)
        self.clip = table.scaler.clip
        self.register_buffer("table", torch.from_numpy(table.values), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        if self.frozen:
            return self.table[rows]
        embedding = self.encoder.encode(self.windows(rows))  # (B, N, D of the encoder)
        scaled = ((embedding - self.center) / self.scale).clamp(-self.clip, self.clip)
        if self.assets * self.own == self.table.shape[1]:
            return scaled.flatten(1)
        beside = self.table[rows].unflatten(1, (self.assets, -1))[..., self.own :]
        return torch.cat([scaled, beside], dim=2).flatten(1)


def lookups(policy: nn.Module) -> list[EncoderLookup]:
    """Of every network in `policy`: actors, critics and targets may have an encoder each."""
    return [part for part in policy.modules() if isinstance(part, EncoderLookup)]


def freeze(policy: nn.Module, frozen: bool = True) -> None:
    """Encoders that have not moved yet neither move nor compute, or do so again."""
    for lookup in lookups(policy):
        lookup.frozen = frozen


def own_rate(policy: nn.Module, share: float) -> None:
    """From now on every optimiser of `policy` moves encoders at `share` of the rate at which it moves the rest.

    SB3 sets all groups of an optimiser to the schedule's one value; just before each step the encoder's is set anew, so
    whatever SB3 does with the first group, schedules included, the second one follows.
    """
    mine = {id(weight) for lookup in lookups(policy) for weight in lookup.encoder.parameters()}
    for optimiser in optimisers(policy):
        [group] = optimiser.param_groups
        encoder = [weight for weight in group["params"] if id(weight) in mine]
        if encoder:
            group["params"] = [weight for weight in group["params"] if id(weight) not in mine]
            optimiser.add_param_group({"params": encoder, "lr": group["lr"] * share})

            def follow(optimiser: Optimizer, args: Any, kwargs: Any) -> None:
                rest, encoder = optimiser.param_groups
                encoder["lr"] = rest["lr"] * share

            optimiser.register_step_pre_hook(follow)


def decay(policy: nn.Module, strength: float) -> None:
    """From now on every optimiser of `policy`, an Adam, shrinks weights as AdamW does, but for those of encoders: what
    pretraining has found is not to be forgotten."""
    for optimiser in optimisers(policy):
        optimiser.param_groups[0].update(weight_decay=strength, decoupled_weight_decay=True)


def optimisers(policy: nn.Module) -> list[Optimizer]:
    """The policy's own, or one of its actor and one of its critic."""
    found = (getattr(part, "optimizer", None) for part in policy.modules())
    return [one for one in found if isinstance(one, Optimizer)]


class Unfreeze(BaseCallback):
    """Encoders stand still for the first `share` of `steps`, so that the policy's first wild gradients do not reach
    them."""

    def __init__(self, share: float, steps: int) -> None:
        super().__init__()
        self.until = share * steps

    def _on_rollout_start(self) -> None:
        # not in the middle of a rollout: what acts in it is what learns from it. By the model's own count, for a
        # training that goes on begins with the count of the one that was stopped
        freeze(self.model.policy, self.model.num_timesteps < self.until)

    def _on_step(self) -> bool:
        return True
