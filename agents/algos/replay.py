"""A memory of transitions that holds rows, not windows, and of the account only what the policy sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import DictReplayBufferSamples


class RowReplay(DictReplayBuffer):
    """Transitions of B accounts side by side, `Dict(row, account)` before and after each.

    What follows a step is what the next step begins with, and is kept once: a transition of one asset takes 15 bytes
    where SB3's own buffer takes 90, and one with windows thousands. Only where an episode ends are there two states
    between two steps; the last one of the old episode is then kept aside.

    Args:
        seen: numbers of the account that are kept; the others come back as zeros.
        n_step: rewards of so many steps are added up, discounted by `gamma`; fewer where the episode ends before, or
            where no more has happened yet.
    """

    ARRAYS = ("row", "account", "action", "reward", "done", "ruined")

    def __init__(self, buffer_size: int, observation_space: spaces.Dict, action_space: spaces.Space,
                 device: torch.device | str = "auto", n_envs: int = 1, optimize_memory_usage: bool = False,
                 seen: tuple[int, ...] = (), n_step: int = 1, gamma: float = 1.0) -> None:
        # not those of SB3's replay buffers, which would allocate all that this one leaves out
        super(ReplayBuffer, self).__init__(buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.seen, self.n_step, self.gamma = list(seen), n_step, gamma
        self.numbers = spaces.flatdim(observation_space["account"])
        self._rng = action_space.np_random  # which the algorithm seeds
        slots = (self.buffer_size + 1, n_envs)  # one more: what follows the newest step
        self.row = np.zeros(slots, np.int32)
        self.account = np.zeros((*slots, len(seen)), np.float32)
        discrete = isinstance(action_space, spaces.Discrete)
        self.action = np.zeros((*slots, self.action_dim), np.uint8 if discrete else np.float32)
        self.reward = np.zeros(slots, np.float32)
        self.done, self.ruined = np.zeros(slots, bool), np.zeros(slots, bool)
        self.ends: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}  # of a slot: accounts (ascending), states

    def add(self, obs: dict[str, np.ndarray], next_obs: dict[str, np.ndarray], action: np.ndarray,  # type: ignore[override]
            reward: np.ndarray, done: np.ndarray, infos: list[dict[str, Any]]) -> None:
        at, after = self.pos, (self.pos + 1) % len(self.row)
        if at or self.full:
            # an episode ended, or a training began anew from elsewhere
            over = np.flatnonzero(self.done[at - 1] | (self.row[at] != obs["row"][:, 0]))
            if len(over):
                self.done[at - 1, over] = True
                self.ends[(at - 1) % len(self.row)] = over, self.row[at, over], self.account[at, over]
        self.ends.pop(after, None)  # the oldest step makes room
        for slot, seen in ((at, obs), (after, next_obs)):
            self.row[slot], self.account[slot] = seen["row"][:, 0], seen["account"][:, self.seen]
        self.action[at] = action.reshape(self.n_envs, -1)
        self.reward[at], self.done[at] = reward, done
        self.ruined[at] = done
        for b in np.flatnonzero(done):
            self.ruined[at, b] = not infos[b].get("TimeLimit.truncated", False)
        self.pos = after
        self.full = self.full or after == 0

    def get_state(self) -> dict[str, np.ndarray]:
        places = [(slot, b) for slot, (over, *_) in self.ends.items() for b in over]
        rows, accounts = ([end[part] for end in self.ends.values()] for part in (1, 2))
        return {**{name: getattr(self, name) for name in self.ARRAYS}, "place": np.array([self.pos, self.full]),
                "end_places": np.array(places, np.int64).reshape(-1, 2),
                "end_rows": np.concatenate([np.zeros(0, np.int32), *rows]),
                "end_accounts": np.concatenate([np.zeros((0, len(self.seen)), np.float32), *accounts])}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        for name in self.ARRAYS:
            getattr(self, name)[:] = state[name]
        self.pos, self.full = int(state["place"][0]), bool(state["place"][1])
        slots, accounts = state["end_places"].T
        self.ends = {int(slot): (accounts[slots == slot], state["end_rows"][slots == slot],
                                 state["end_accounts"][slots == slot]) for slot in dict.fromkeys(slots)}

    def sample(self, batch_size: int, env: Any = None) -> DictReplayBufferSamples:  # type: ignore[override]
        held = self.buffer_size if self.full else self.pos
        oldest = self.pos + 1 if self.full else 0
        slots = (oldest + self._rng.integers(0, held, batch_size)) % len(self.row)
        return self._get_samples(slots)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> DictReplayBufferSamples:  # type: ignore[override]
        accounts = self._rng.integers(0, self.n_envs, len(batch_inds))
        last, reward, discount = batch_inds, self.reward[batch_inds, accounts], np.float32(self.gamma)
        discounts = np.full(len(batch_inds), discount)
        newest = (self.pos - 1) % len(self.row)
        going = ~self.done[batch_inds, accounts] & (last != newest)
        for _ in range(self.n_step - 1):
            last = np.where(going, (last + 1) % len(self.row), last)
            reward = reward + np.where(going, discounts * self.reward[last, accounts], 0.0)
            discounts = np.where(going, discounts * discount, discounts)
            going &= ~self.done[last, accounts] & (last != newest)
        return DictReplayBufferSamples(
            observations=self._observed(self.row[batch_inds, accounts], self.account[batch_inds, accounts]),
            actions=self.to_torch(self._acted(self.action[batch_inds, accounts])),
            next_observations=self._observed(*self._after(last, accounts)),
            dones=self.to_torch(self.ruined[last, accounts].astype(np.float32)[:, None]),
            rewards=self.to_torch(reward.astype(np.float32)[:, None]),
            discounts=self.to_torch(discounts.astype(np.float32)[:, None]),
        )

    def _after(self, slots: np.ndarray, accounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        following = (slots + 1) % len(self.row)
        row, account = self.row[following, accounts], self.account[following, accounts]
        for place in np.flatnonzero(self.done[slots, accounts]):
            if (end := self.ends.get(int(slots[place]))) is not None:  # else the newest: its end is still in the ring
                over, rows, numbers = end
                at = int(np.searchsorted(over, accounts[place]))
                row[place], account[place] = rows[at], numbers[at]
        return row, account

    def _acted(self, action: np.ndarray) -> np.ndarray:
        return action.astype(np.int64) if action.dtype == np.uint8 else action

    def _observed(self, row: np.ndarray, account: np.ndarray) -> dict[str, torch.Tensor]:
        whole = np.zeros((len(row), self.numbers), np.float32)
        whole[:, self.seen] = account
        return {"row": self.to_torch(row[:, None]), "account": self.to_torch(whole)}


class Remembering(OffPolicyAlgorithm):
    """How a `RowReplay` is filled: for all accounts at once, and each explores by a chance of its own.

    SB3 explores with all environments or with none, which with many makes the memory one of long stretches of either.
    """

    def _sample_action(self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
                       ) -> tuple[np.ndarray, np.ndarray]:
        space = self.action_space
        rng, early = space.np_random, self.num_timesteps < learning_starts
        if isinstance(space, spaces.Discrete):
            action = rng.integers(0, space.n, n_envs)
            if not early:
                greedy, _ = self.policy.predict(self._last_obs, deterministic=True)  # type: ignore[arg-type]
                action = np.where(rng.random(n_envs) < self.exploration_rate, action, greedy)  # type: ignore[attr-defined]
            return action, action
        assert isinstance(space, spaces.Box)
        if early:
            scaled = rng.uniform(-1, 1, (n_envs, *space.shape)).astype(np.float32)
        else:
            scaled = self.policy.scale_action(self.policy.predict(self._last_obs, deterministic=False)[0])  # type: ignore[arg-type]
        if action_noise is not None:
            scaled = np.clip(scaled + action_noise(), -1, 1)
        return self.policy.unscale_action(scaled), scaled

    def _store_transition(self, replay_buffer: ReplayBuffer, buffer_action: np.ndarray, new_obs: Any,
                          reward: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        after = new_obs
        ended = np.flatnonzero(dones)
        if len(ended):
            after = {name: value.copy() for name, value in new_obs.items()}
            for b in ended:
                for name, value in infos[b]["terminal_observation"].items():
                    after[name][b] = value
        replay_buffer.add(self._last_obs, after, buffer_action, reward, dones, infos)  # type: ignore[arg-type]
        self._last_obs = new_obs
