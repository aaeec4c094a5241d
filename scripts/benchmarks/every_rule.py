"""Everything that an account can be subject to, switched on at once: what the engine's step costs at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envs.config import EnvConfig


def every_rule() -> EnvConfig:
    """Kelly and confidence are left out: they need a forecast, and like all sizing cost nothing once a table is made.

    Levels are such that accounts which act at random go on trading.
    """
    from data.schema import EVERY_ASSET
    from envs.config import EnvConfig
    from envs.episodes import EpisodeConfig
    from envs.execution import CostConfig
    from envs.exits import MarginConfig
    from envs.rewards import REWARDS, RewardConfig
    from envs.risk import RiskConfig

    return EnvConfig(
        costs=CostConfig(tiers=((0.0, 5.0, 2.0), (1e5, 4.0, 1.0), (1e6, 3.0, 0.0)), spread="range", impact=1.0,
                         max_share=0.05, min_notional=10.0, lot={EVERY_ASSET: 1e-5}, tick={EVERY_ASSET: 0.01}),
        risk=RiskConfig(fixed=0.95, volatility_target=1.0, risk_per_trade=0.05, max_weight=0.9, net=0.85, turnover=1.5,
                        stop_loss=0.05, take_profit=0.05, trailing_stop=0.05, drawdown_stop=0.3, cooldown=8),
        margin=MarginConfig(maintenance=0.05),
        reward=RewardConfig(**dict.fromkeys(REWARDS, 0.1)),
        episodes=EpisodeConfig(cost_scale=(0.5, 2.0)),
        latency=1, observation_delay=1,
    )
