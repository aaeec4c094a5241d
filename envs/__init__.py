"""Trading environments. Importing this registers `CoinArena/Trading-v0`; `gym.make("envs:CoinArena/Trading-v0")` works
anywhere, worker processes included, and without arguments trades the simulated market.
"""

from gymnasium.envs.registration import register

register(
    id="CoinArena/Trading-v0",
    entry_point="envs.trading_env:TradingEnv",
    vector_entry_point="envs.vector_env:TradingVectorEnv",
)
