"""`CoinArena/Portfolio-v0`: several assets held at once by target weights."""

from __future__ import annotations

from typing import ClassVar

from envs.config import EnvConfig
from envs.trading_env import TradingEnv
from envs.vector_env import TradingVectorEnv


class PortfolioEnv(TradingEnv):
    """Trade several assets from one account: `TradingEnv` with target weights, and by default four simulated assets.

    Action space: `Box(0, 1, (N,))`, the share of equity that each asset should hold; what is left is cash. Weights that
    add up to more than `config.gross` shrink alike. `config.low` below 0 allows shorts within the same gross limit,
    `config.action` "levels" or "steps" makes the choices discrete (`MultiDiscrete`).

    Observation space: `Dict(market, account)` with `market` of shape (W, N, F).

    Assets that are listed late or have no bar for some hours (`Market.absent`) show zeros, and `tradeable:A` in the
    account is 0. They keep their place: a position in one stays in the account at its last price, orders for it are not
    sent, and `events` says "untradeable".

    Everything else, when an order fills and at what price among it, is as in `TradingEnv`.

    Versions: v0, the first.

    >>> import gymnasium as gym
    >>> import numpy as np
    >>> env = gym.make("envs:CoinArena/Portfolio-v0", window=8)
    >>> observation, info = env.reset(seed=0)
    >>> observation["market"].shape[:2], env.step(np.full(4, 0.25, np.float32))[4]["turnover"] > 0.99
    ((8, 4), True)
    """

    assets: ClassVar[tuple[str, ...]] = ("BTC", "ETH", "SOL", "ADA")
    config: ClassVar[EnvConfig] = EnvConfig(action="weights", low=0.0)


class PortfolioVectorEnv(TradingVectorEnv):
    """Many accounts of `PortfolioEnv` in one compiled loop.

    >>> import gymnasium as gym
    >>> envs = gym.make_vec("envs:CoinArena/Portfolio-v0", num_envs=3, window=8, observation="row")
    >>> envs.reset(seed=0)[0]["account"].shape
    (3, 20)
    """

    single: ClassVar[type[TradingEnv]] = PortfolioEnv
