"""The engine as a Stable-Baselines3 `VecEnv`: rows instead of windows, scaled rewards, no object per account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from configs.errors import UserError
from data.market import Market
from envs.config import EnvConfig
from envs.engine import Engine
from envs.layout import AGE, EQUITY, MONEY, START
from envs.observations import observation_space, observe


class AccountsVecEnv(VecEnv):
    """`accounts` training accounts that start on random rows of a span.

    Rewards are log growth times `reward_scale`: growth of an hour is about 1e-3, and with that unscaled PPO reached a
    fifth less of what can be reached (all else equal).
    """

    def __init__(self, market: Market, config: EnvConfig, accounts: int, window: int, rows: slice,
                 reward_scale: float = 100.0, observation: str = "row", seed: int = 0) -> None:
        self.engine = Engine(market, config, accounts, window, rows, random_start=True, autoreset=True)
        self.observation, self.reward_scale = observation, reward_scale
        self.render_mode = None
        self._actions = config.actions(len(market.assets))
        self._none: dict[str, Any] = {}
        super().__init__(accounts, observation_space(self.engine, observation), self._actions.space)
        self._streams: list[int] | None
        self.engine.reset(self.seed(seed))
        self._streams = None

    def seed(self, seed: int | None = None) -> list[int]:
        """Streams of its own for every seed: with seed + b, two seeds would share all accounts but one."""
        drawn = np.random.SeedSequence(seed).generate_state(self.num_envs, np.uint64)
        self._streams = [int(number) for number in drawn]
        return self._streams

    def reset(self) -> dict[str, np.ndarray]:
        self.engine.reset(self._streams)
        self._streams = None
        return observe(self.engine, self.observation, self.engine.shown, self.engine.observed)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions.write(actions, self.engine.target, self.engine.weights)

    def step_wait(self):
        engine = self.engine
        engine.advance()
        reward = (engine.reward * self.reward_scale).astype(np.float32)
        if not np.isfinite(reward).all():
            b = int(np.argmin(np.isfinite(reward)))
            raise UserError(f"reward is not a number on row {engine.rows[b]} ({engine.market.time[engine.rows[b]]})")
        done = engine.terminated | engine.truncated
        infos = [self._none] * self.num_envs
        for b in np.flatnonzero(done).tolist():
            infos[b] = self._end_of_episode(b, int(engine.final[b, AGE]))
        return observe(engine, self.observation, engine.shown, engine.observed), reward, done, infos

    def _end_of_episode(self, b: int, length: int) -> dict[str, Any]:
        engine = self.engine
        final = observe(engine, self.observation, engine.final_shown[b : b + 1], engine.final_observed[b : b + 1])
        growth = float(np.log(max(engine.final[b, EQUITY] / engine.final[b, START], 1e-3)))
        return {
            "terminal_observation": {name: value[0] for name, value in final.items()},
            "TimeLimit.truncated": bool(engine.truncated[b]),
            "episode": {"r": growth * self.reward_scale, "l": length, "t": 0.0},
            "final_money": engine.final[b, :MONEY].copy(),
        }

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(self._indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def action_masks(self) -> np.ndarray:
        """(accounts, choices) bool: which actions make sense now, for MaskablePPO."""
        return self._actions.masks(self.engine.weights(), self.engine.tradeable())

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        if method_name == "action_masks":
            return list(self.action_masks()[self._indices(indices)])
        raise UserError(f"accounts share one engine and have no method {method_name!r} of their own")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(self._indices(indices))

    def _indices(self, indices: Any) -> Sequence[int]:
        return list(self._get_indices(indices))
