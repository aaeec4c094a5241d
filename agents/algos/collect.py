"""Rollouts that stay where the networks are, of many accounts at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from agents.policy import Observation
from configs.errors import UserError


@dataclass(frozen=True)
class Batch:
    """M decisions, N numbers chosen in each."""

    seen: Seen
    actions: Tensor  # (M, N)
    log_probs: Tensor  # (M,) as they were when the actions were taken
    advantages: Tensor  # (M,)
    returns: Tensor  # (M,)


def shown(name: str) -> Any:
    """What SB3's buffer calls so, as an array (T, B, ...): on a CPU the tensor's own memory, else a copy of it."""
    return property(lambda rollout: rollout.tensors[name].cpu().numpy())


class Rollout:
    """T steps of B accounts, in tensors that are made once.

    To callbacks it looks like SB3's `DictRolloutBuffer`, whose rewards may be changed at the end of a rollout and the
    advantages computed anew. Rewards and ends of episodes are the accounts' and cross over to the device once in a
    rollout, observations once in a step; what the policy says never leaves it.
    """

    actions, values, log_probs = shown("actions"), shown("values"), shown("log_probs")
    advantages, returns = shown("advantages"), shown("returns")

    def __init__(self, steps: int, accounts: int, observed: spaces.Dict, chosen: spaces.Space, device: torch.device,
                 gamma: float, gae_lambda: float) -> None:
        self.buffer_size, self.n_envs, self.action_dim = steps, accounts, get_action_dim(chosen)
        self.device, self.gamma, self.gae_lambda = device, gamma, gae_lambda

        def room(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros((steps, accounts, *shape), dtype=dtype, device=device)

        self.seen = {name: room(*(space.shape or ())) for name, space in observed.items()}
        kind = torch.float32 if isinstance(chosen, spaces.Box) else torch.int64
        self.tensors = {"actions": room(self.action_dim, dtype=kind),
                        **{name: room() for name in ("values", "log_probs", "advantages", "returns")}}
        self.rewards, self.episode_starts = np.zeros((2, steps, accounts), np.float32)

    @property
    def observations(self) -> Observation:
        return {name: value.cpu().numpy() for name, value in self.seen.items()}

    def on_device(self, observation: Observation) -> Seen:
        return {name: torch.from_numpy(value).to(self.device, torch.float32) for name, value in observation.items()}

    def see(self, step: int, observation: Observation) -> Seen:
        for name, value in observation.items():
            self.seen[name][step].copy_(torch.from_numpy(value))
        return {name: value[step] for name, value in self.seen.items()}

    def note(self, step: int, actions: Tensor, values: Tensor, log_probs: Tensor) -> None:
        self.tensors["actions"][step] = actions.view(self.n_envs, self.action_dim)
        self.tensors["values"][step], self.tensors["log_probs"][step] = values, log_probs

    def compute_returns_and_advantage(self, last_values: Tensor, dones: np.ndarray) -> None:
        """Generalised advantages (Schulman et al. 2016, equation 16), with SB3's returns: advantage plus value."""
        values, advantages = self.tensors["values"], self.tensors["advantages"]
        starts = np.concatenate([self.episode_starts[1:], dones[None].astype(np.float32)])
        going = torch.from_numpy(1 - starts).to(self.device)  # (T, B)
        following = torch.cat([values[1:], last_values.reshape(1, -1)])
        surprise = torch.from_numpy(self.rewards).to(self.device) + self.gamma * following * going - values
        kept = self.gamma * self.gae_lambda * going
        last = torch.zeros_like(values[0])
        for step in reversed(range(self.buffer_size)):
            last = advantages[step].copy_(surprise[step] + kept[step] * last)
        torch.add(advantages, values, out=self.tensors["returns"])

    def whole(self) -> Batch:
        return self._taken(lambda value: value.flatten(0, 1))

    def minibatches(self, size: int) -> Iterator[Batch]:
        """One pass in a random order: everything is shuffled once, and then only cut."""
        order = torch.randperm(self.buffer_size * self.n_envs, device=self.device)
        drawn = self._taken(lambda value: value.flatten(0, 1).index_select(0, order))
        for first in range(0, len(order), size):
            cut = slice(first, first + size)
            yield Batch({name: value[cut] for name, value in drawn.seen.items()}, drawn.actions[cut],
                        drawn.log_probs[cut], drawn.advantages[cut], drawn.returns[cut])

    def _taken(self, of: Callable[[Tensor], Tensor]) -> Batch:
        return Batch({name: of(value) for name, value in self.seen.items()},
                     *(of(self.tensors[name]) for name in ("actions", "log_probs", "advantages", "returns")))


class Collecting(OnPolicyAlgorithm):
    """Put before an on-policy algorithm of SB3; its `train` finds a `Rollout`.

    The buffer is no setting of the model: a file of it, loaded as SB3's own algorithm, has SB3's own buffer.
    """

    rollout_buffer: Rollout  # type: ignore[assignment]

    def _setup_model(self) -> None:
        super()._setup_model()
        observed, name = self.observation_space, type(self).__name__
        if not isinstance(observed, spaces.Dict) or any(
                not isinstance(part, spaces.Box) or is_image_space(part) for part in observed.values()):
            raise UserError(f"{name} reads dictionaries of numbers, found {observed}: take the algorithm of "
                            "stable_baselines3 itself")
        if self.use_sde or head_of(self.policy) is None:
            raise UserError(f"{name} chooses weights without state-dependent noise, or levels, as many of each asset, "
                            f"found {self.action_space}{' with use_sde' if self.use_sde else ''}: take the algorithm "
                            "of stable_baselines3 itself")
        self.rollout_buffer = Rollout(self.n_steps, self.n_envs, observed, self.action_space, self.device, self.gamma,
                                      self.gae_lambda)

    def swift(self) -> Swift:
        head = head_of(self.policy)
        assert head is not None
        return Swift(self.policy, head)

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Rollout,  # type: ignore[override]
                         n_rollout_steps: int) -> bool:
        """As SB3's, with the same moments and names for callbacks."""
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        swift, cut_off = self.swift(), []
        new_obs: Any = self._last_obs
        for n_steps in range(n_rollout_steps):
            actions, values, log_probs = swift.act(rollout_buffer.see(n_steps, new_obs))
            rollout_buffer.note(n_steps, actions, values, log_probs)
            clipped_actions = actions.cpu().numpy()
            if isinstance(self.action_space, spaces.Box):
                clipped_actions = np.clip(clipped_actions, self.action_space.low, self.action_space.high)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            over = np.flatnonzero(dones).tolist()
            self._update_info_buffer([infos[b] for b in over], dones[over])  # the others have nothing to tell
            cut_off += [(n_steps, b, infos[b]["terminal_observation"]) for b in over
                        if infos[b].get("TimeLimit.truncated", False)]
            rollout_buffer.rewards[n_steps], rollout_buffer.episode_starts[n_steps] = rewards, self._last_episode_starts
            self._last_obs, self._last_episode_starts = new_obs, dones
        self._go_on_where_cut_off(swift, rollout_buffer, cut_off)
        values = swift.value(rollout_buffer.on_device(new_obs))
        rollout_buffer.compute_returns_and_advantage(last_values=values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _go_on_where_cut_off(self, swift: Swift, rollout: Rollout, ends: list[tuple[int, int, Observation]]) -> None:
        """An episode that time alone has ended, at (step, account, last observation), is worth what would follow."""
        for first in range(0, len(ends), rollout.n_envs):  # no more at once than in a step: each may mean a window
            part = ends[first : first + rollout.n_envs]
            last = {name: np.stack([seen[name] for *_, seen in part]) for name in rollout.seen}
            steps, accounts = [step for step, *_ in part], [b for _, b, _ in part]
            rollout.rewards[steps, accounts] += self.gamma * swift.value(rollout.on_device(last)).cpu().numpy()
