"""Trading environments. Importing this registers `CoinArena/Trading-v0` and `CoinArena/Portfolio-v0`;
`gym.make("envs:CoinArena/Trading-v0")` works anywhere, worker processes included, and without arguments trades the
simulated market.
"""

from gymnasium.envs.registration import register

register(
    id="CoinArena/Trading-v0",
    entry_point="envs.trading_env:TradingEnv",
    vector_entry_point="envs.vector_env:TradingVectorEnv",
)
register(
    id="CoinArena/Portfolio-v0",
    entry_point="envs.portfolio_env:PortfolioEnv",
    vector_entry_point="envs.portfolio_env:PortfolioVectorEnv",
)
