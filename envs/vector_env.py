"""Many accounts on one market as a native `gymnasium.vector.VectorEnv`: one compiled loop, no object per account."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from data.market import Market
from envs.engine import EnvConfig
from envs.trading_env import MONEY_IN_INFO, observation_space, observe, trading_engine


class TradingVectorEnv(VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """`num_envs` accounts of `TradingEnv`, equal to it to the last bit: account `b` is a single env seeded `seed + b`.

    Autoreset mode: `SAME_STEP`. The step that ends an episode returns the first observation of the next one, and
    `infos["final_obs"]`, `infos["final_info"]` hold what the episode ended on, as in gymnasium's own vector envs.

    >>> import gymnasium as gym
    >>> envs = gym.make_vec("envs:CoinArena/Trading-v0", num_envs=3, market=Market.flat(100), window=8)
    >>> observations, infos = envs.reset(seed=0)
    >>> observations["market"].shape
    (3, 8, 1)
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012  gymnasium's own form

    def __init__(self, num_envs: int = 1, market: Market | None = None, window: int = 48, rows: slice | None = None,
                 config: EnvConfig | None = None, observation: str = "window", random_start: bool = True,
                 render_mode: str | None = None) -> None:
        self.engine = trading_engine(market, window, rows, config, num_envs, random_start, autoreset=True)
        self.num_envs, self.observation, self.render_mode = num_envs, observation, render_mode
        self.single_observation_space = observation_space(self.engine, observation)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._actions = self.engine.config.actions(len(self.engine.market.assets))
        self.single_action_space = self._actions.space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._target = np.zeros((num_envs, len(self.engine.market.assets)))
        self._seeded = False

    def reset(self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
              ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed if isinstance(seed, int) else None)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        self._seeded = True
        seeds = [seed + b for b in range(self.num_envs)] if isinstance(seed, int) else seed
        starts = None if not options or "start" not in options else np.broadcast_to(options["start"], self.num_envs)
        self.engine.reset(seeds, starts)
        return observe(self.engine, self.observation, self.engine.rows, self.engine.observed), {}

    def step(self, actions: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray,
                                                 dict[str, Any]]:
        engine = self.engine
        self._actions.write(actions, self._target)
        engine.step(self._target)
        done = engine.terminated | engine.truncated
        infos = self._final_infos(done) if done.any() else {}
        return (observe(engine, self.observation, engine.rows, engine.observed), engine.reward.copy(),
                engine.terminated.copy(), engine.truncated.copy(), infos)

    def _final_infos(self, done: np.ndarray) -> dict[str, Any]:
        engine = self.engine
        ended = np.flatnonzero(done)
        batch = observe(engine, self.observation, engine.final_rows[ended], engine.final_observed[ended])
        final = np.full(self.num_envs, None, dtype=object)
        for place, b in enumerate(ended):
            final[b] = {name: values[place] for name, values in batch.items()}
        info: dict[str, Any] = {}
        for name, column in MONEY_IN_INFO.items():
            info[name] = np.where(done, engine.final_money[:, column], 0.0)
            info[f"_{name}"] = done.copy()
        return {"final_obs": final, "_final_obs": done.copy(), "final_info": info, "_final_info": done.copy()}
