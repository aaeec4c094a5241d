"""Many accounts on one market as a native `gymnasium.vector.VectorEnv`: one compiled loop, no object per account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from configs.errors import UserError
from data.market import Market
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.observations import observation_space, observe
from envs.risk import Outlook
from envs.trading_env import MONEY_IN_INFO, TradingEnv, bundled, check_made, made


def seeds_of(seed: int | Sequence[int], accounts: int) -> list[int]:
    """One for each account: `seed + b`, or those that are named.

    >>> seeds_of(7, accounts=3)
    [7, 8, 9]
    """
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + b for b in range(accounts)]
    if len(seed) != accounts or not all(isinstance(one, (int, np.integer)) for one in seed):
        raise UserError(f"seeds must be one whole number, or one for each of {accounts} accounts, found {list(seed)}")
    return [int(one) for one in seed]


class TradingVectorEnv(VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """`num_envs` accounts of `TradingEnv`, equal to it to the last bit: account `b` is a single env seeded `seed + b`.

    Autoreset mode: `SAME_STEP`. The step that ends an episode returns the first observation of the next one, and
    `infos["final_obs"]`, `infos["final_info"]` hold what the episode ended on, as in gymnasium's own vector envs.
    `threads` shares the accounts out, which pays from about a thousand accounts per thread, where cores are idle.

    >>> import gymnasium as gym
    >>> envs = gym.make_vec("envs:CoinArena/Trading-v0", num_envs=3, market=Market.flat(100), window=8)
    >>> observations, infos = envs.reset(seed=0)
    >>> observations["market"].shape
    (3, 8, 1)
    """

    single: ClassVar[type[TradingEnv]] = TradingEnv
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012  gymnasium's own form

    def __init__(self, num_envs: int = 1, market: Market | None = None, window: int = 48,
                 rows: slice | Sequence[slice] | None = None, config: EnvConfig | None = None,
                 observation: str = "window", random_start: bool = True, render_mode: str | None = None,
                 outlook: Outlook | None = None, threads: int = 1) -> None:
        market, rows = bundled(market, rows, self.single.assets)
        config = self.single.config if config is None else config
        self.engine = Engine(market, config, num_envs, window, rows, random_start, autoreset=True, outlook=outlook,
                             threads=threads)
        self.num_envs, self.observation, self.render_mode = num_envs, observation, render_mode
        self.single_observation_space = observation_space(self.engine, observation)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._actions = self.engine.config.actions(len(market.assets))
        self.single_action_space = self._actions.space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeded = False

    def reset(self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
              ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=int(seed) if isinstance(seed, (int, np.integer)) else None)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        seeds = None if seed is None else seeds_of(seed, self.num_envs)
        self._seeded = True
        starts = None if not options or "start" not in options else np.asarray(options["start"])
        if starts is not None and starts.ndim == 0:
            starts = np.repeat(starts, self.num_envs)
        self.engine.reset(seeds, starts)
        return observe(self.engine, self.observation, self.engine.shown, self.engine.observed), {}

    def step(self, actions: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray,
                                                 dict[str, Any]]:
        engine = self.engine
        self._actions.write(actions, engine.target, engine.weights)
        engine.advance()
        terminated, truncated = engine.terminated, engine.truncated
        done = terminated | truncated
        infos = self._final_infos(done) if done.any() else {}
        return (observe(engine, self.observation, engine.shown, engine.observed), engine.reward.copy(), terminated,
                truncated, infos)

    def _final_infos(self, done: np.ndarray) -> dict[str, Any]:
        engine = self.engine
        ended = np.flatnonzero(done)
        batch = observe(engine, self.observation, engine.final_shown[ended], engine.final_observed[ended])
        final = np.full(self.num_envs, None, dtype=object)
        for place, b in enumerate(ended):
            final[b] = {name: values[place] for name, values in batch.items()}
        info: dict[str, Any] = {}
        for name, column in MONEY_IN_INFO.items():
            info[name] = np.zeros(self.num_envs)
            info[name][ended] = engine.final[ended, column]
            info[f"_{name}"] = done
        info["events"] = np.full(self.num_envs, None, dtype=object)
        for b in ended:
            info["events"][b] = at.happened(int(engine.final[b, at.HAPPENED]))
        info["_events"] = done
        return {"final_obs": final, "_final_obs": done, "final_info": info, "_final_info": done}

    def action_masks(self) -> np.ndarray:
        """(num_envs, choices) bool: which actions make sense now."""
        return self._actions.masks(self.engine.weights(), self.engine.tradeable())

    def get_state(self) -> dict[str, np.ndarray]:
        """All accounts as they stand; `set_state` goes on from here to the last bit."""
        return {**self.engine.get_state(), "made": made(self.engine), "seeded": np.array(self._seeded)}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        check_made(self.engine, state)
        self.engine.set_state(state)
        self._seeded = bool(state["seeded"])
