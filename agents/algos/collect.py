"""Rollouts that stay where the networks are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_action_dim, is_image_space
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.algos.swift import Seen, Swift, head_of
from configs.errors import UserError


@dataclass(frozen=True)
class Batch:
    """M decisions."""

    seen: Seen
    actions: Tensor  # (M, A)
    log_probs: Tensor  # (M,) when they were taken
    advantages: Tensor  # (M,)
    returns: Tensor  # (M,)


def shown(name: str) -> Any:
    """What SB3's buffer calls so, as an array: on a CPU the tensor's own memory, else a copy."""
    return property(lambda self: self.tensors[name].cpu().numpy())


class Rollout:
    """T steps of B accounts, in tensors that are made once.

    For callbacks it is SB3's `DictRolloutBuffer`: arrays (T, B, ...) of the same names, of which rewards may be changed
    before the advantages are computed anew. Rewards and ends come from the accounts and cross over to the device once a
    rollout, observations once a step; what the policy says never leaves it.
    """

    actions, values, log_probs = shown("actions"), shown("values"), shown("log_probs")
    advantages, returns = shown("advantages"), shown("returns")

    def __init__(self, steps: int, accounts: int, observed: spaces.Dict, chosen: spaces.Space,
                 device: torch.device, gamma: float, gae_lambda: float) -> None:
        self.buffer_size, self.n_envs, self.action_dim = steps, accounts, get_action_dim(chosen)
        self.device, self.gamma, self.gae_lambda = device, gamma, gae_lambda

        def room(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros((steps, accounts, *shape), dtype=dtype, device=device)

        continuous = isinstance(chosen, spaces.Box)
        # float32 as SB3 shows them to a policy
        self.seen = {name: room(*(space.shape or ())) for name, space in observed.items()}
        self.tensors = {"actions": room(self.action_dim, dtype=torch.float32 if continuous else torch.int64)}
        self.tensors |= {name: room() for name in ("values", "log_probs", "advantages", "returns")}
        self.rewards, self.episode_starts = np.zeros((2, steps, accounts), np.float32)

    @property
    def observations(self) -> dict[str, np.ndarray]:
        return {name: value.cpu().numpy() for name, value in self.seen.items()}

    def on_device(self, observation: dict[str, np.ndarray]) -> Seen:
        return {name: torch.from_numpy(value).to(self.device, torch.float32) for name, value in observation.items()}

    def see(self, step: int, observation: dict[str, np.ndarray]) -> Seen:
        for name, value in observation.items():
            self.seen[name][step].copy_(torch.from_numpy(value))
        return {name: value[step] for name, value in self.seen.items()}

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray) -> None:
        """Generalised advantages (Schulman et al. 2016, equation 16), as SB3 has them."""
        values, advantages = self.tensors["values"], self.tensors["advantages"]
        ends = np.concatenate([self.episode_starts[1:], dones[None].astype(np.float32)])
        going = torch.from_numpy(1 - ends).to(self.device)  # (T, B)
        rewards = torch.from_numpy(self.rewards).to(self.device)
        after = torch.cat([values[1:], last_values.reshape(1, -1)])
        surprise = rewards + self.gamma * after * going - values
        kept = self.gamma * self.gae_lambda * going
        last = torch.zeros_like(values[0])
        for step in reversed(range(self.buffer_size)):
            last = torch.addcmul(surprise[step], kept[step], last, out=advantages[step])
        torch.add(advantages, values, out=self.tensors["returns"])

    def whole(self) -> Batch:
        return self._batch(lambda value: value.flatten(0, 1))

    def minibatches(self, size: int) -> Iterator[Batch]:
        """One pass over all decisions in a random order, shuffled as a whole and then cut."""
        order = torch.randperm(self.buffer_size * self.n_envs, device=self.device)
        drawn = self._batch(lambda value: value.flatten(0, 1).index_select(0, order))
        for first in range(0, len(order), size):
            part = slice(first, first + size)
            yield Batch({name: value[part] for name, value in drawn.seen.items()}, drawn.actions[part],
                        drawn.log_probs[part], drawn.advantages[part], drawn.returns[part])

    def _batch(self, of: Any) -> Batch:
        names = ("actions", "log_probs", "advantages", "returns")
        return Batch({name: of(value) for name, value in self.seen.items()}, *(of(self.tensors[name]) for name in names))


class Collecting(OnPolicyAlgorithm):
    """Put before an on-policy algorithm of SB3 that steps many accounts; it hands `train` a `Rollout`."""

    rollout_buffer: Rollout  # type: ignore[assignment]

    def _setup_model(self) -> None:
        super()._setup_model()
        kinds = self.observation_space.spaces if isinstance(self.observation_space, spaces.Dict) else {}
        if not kinds or any(not isinstance(kind, spaces.Box) or is_image_space(kind) for kind in kinds.values()):
            raise UserError(f"{type(self).__name__} reads dictionaries of numbers, found {self.observation_space}: "
                            "take the algorithm of stable_baselines3 itself")
        head = head_of(self.policy)
        if self.use_sde or head is None:
            raise UserError(f"{type(self).__name__} chooses levels, equally many of each asset, or weights, without "
                            f"state-dependent noise, found {self.action_space}: take the algorithm of "
                            "stable_baselines3 itself")
        self.rollout_buffer = Rollout(self.n_steps, self.n_envs, self.observation_space, self.action_space, self.device,
                                      self.gamma, self.gae_lambda)

    def swift(self) -> Swift:
        head = head_of(self.policy)
        assert head is not None
        return Swift(self.policy, head)

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Rollout,  # type: ignore[override]
                         n_rollout_steps: int) -> bool:
        """As SB3's, with the same moments for callbacks."""
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        swift, ended = self.swift(), []
        assert isinstance(self._last_obs, dict)
        for n_steps in range(n_rollout_steps):
            seen = rollout_buffer.see(n_steps, self._last_obs)
            actions, values, log_probs = swift.act(seen)
            chosen = actions.cpu().numpy()
            if isinstance(self.action_space, spaces.Box):
                chosen = np.clip(chosen, self.action_space.low, self.action_space.high)
            new_obs, rewards, dones, infos = env.step(chosen)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            over = np.flatnonzero(dones).tolist()
            self._update_info_buffer([infos[b] for b in over], dones[over])
            ended += [(n_steps, b, infos[b]["terminal_observation"]) for b in over
                      if infos[b].get("TimeLimit.truncated", False)]
            for name, value in (("values", values), ("log_probs", log_probs)):
                rollout_buffer.tensors[name][n_steps] = value
            rollout_buffer.tensors["actions"][n_steps] = actions.view(env.num_envs, -1)
            rollout_buffer.rewards[n_steps], rollout_buffer.episode_starts[n_steps] = rewards, self._last_episode_starts
            self._last_obs, self._last_episode_starts = new_obs, dones
        self._add_what_truncation_cut_off(swift, rollout_buffer.rewards, ended)
        values = swift.value(rollout_buffer.on_device(self._last_obs))
        rollout_buffer.compute_returns_and_advantage(last_values=values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _add_what_truncation_cut_off(self, swift: Swift, rewards: np.ndarray,
                                     ended: list[tuple[int, int, dict[str, np.ndarray]]]) -> None:
        """The value of the last state of each episode that time alone ended (step, account, observation)."""
        for first in range(0, len(ended), self.n_envs):  # no more at once than in a step: each may be a window
            part = ended[first : first + self.n_envs]
            last = {name: np.stack([seen[name] for *_, seen in part]) for name in self.rollout_buffer.seen}
            steps, accounts = zip(*((step, b) for step, b, _ in part))
            rewards[steps, accounts] += self.gamma * swift.value(self.rollout_buffer.on_device(last)).cpu().numpy()
