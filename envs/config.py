"""`EnvConfig`: everything that can be set about an environment, each part beside what it sets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from configs.errors import UserError
from configs.registry import check_name
from envs import layout as at
from envs.actions import ACTIONS, Actions
from envs.episodes import EpisodeConfig
from envs.execution import FILLS, CostConfig
from envs.exits import MarginConfig
from envs.rewards import RewardConfig
from envs.risk import RiskConfig


@dataclass(frozen=True)
class EnvConfig:
    """Everything about an account.

    >>> EnvConfig(costs=CostConfig.named("perp"), levels=(-2.0, 0.0, 2.0), gross=2.0).reach
    (-2.0, 2.0)
    """

    costs: CostConfig = field(default_factory=CostConfig)
    risk: RiskConfig = field(default_factory=RiskConfig)
    margin: MarginConfig = field(default_factory=MarginConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    episodes: EpisodeConfig = field(default_factory=EpisodeConfig)
    action: str = "levels"
    """levels: choose one of a few target weights; steps: hold, buy or sell a step; weights: name the target weights"""
    levels: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """target weights to choose from; leave the negative ones out for a long-only account (action levels)"""
    step: float = 0.25
    """change of weight that buying or selling makes (action steps)"""
    low: float = -1.0
    """smallest target weight (actions steps and weights)"""
    high: float = 1.0
    """largest target weight (actions steps and weights)"""
    gross: float = 1.0
    """largest sum of absolute target weights, beyond 1 is leverage; a wish for more is shrunk, all weights alike"""
    capital: float = 10_000.0
    """cash an account starts with"""
    ruin: float = 0.05
    """the account ends at or below this share of its capital"""
    episode: int = 500
    """steps of a training episode; evaluation walks the whole span once"""
    fill: str = "next_open"
    """next_open: an order fills at the open of the bar after the decision; same_close: at the very close it was decided
    on, which nobody can have (optimistic; reports say so); worst: a purchase at the high of the next bar and a sale at
    its low, as if every fill were the unluckiest (an exit inside a bar is that much worse as well)"""
    latency: int = 0
    """bars that an order is on its way before it fills"""
    observation_delay: int = 0
    """bars by which the market that is shown lags behind; the account is always the present one"""

    def __post_init__(self) -> None:
        check_name("env.action", self.action, ACTIONS)
        check_name("env.fill", self.fill, FILLS)
        if not isinstance(self.costs, CostConfig):
            raise UserError(f"env.costs is a CostConfig, such as CostConfig.named('perp'), found {self.costs!r}")
        if not (0 < self.capital < np.inf and 0 < self.ruin < 1 and self.episode >= 1 and self.episode % 1 == 0):
            raise UserError("env needs a finite capital > 0, 0 < ruin < 1 and a whole episode >= 1, found "
                            f"{self.capital}, {self.ruin}, {self.episode}")
        if not 0 < self.gross < np.inf:
            raise UserError(f"env.gross must be a finite number above 0, found {self.gross}")
        if self.latency < 0 or self.observation_delay < 0 or self.latency % 1 or self.observation_delay % 1:
            raise UserError("env.latency and env.observation_delay are whole bars, at least 0, found "
                            f"{self.latency} and {self.observation_delay}")
        weights = [*(self.levels if self.action == "levels" else ()), self.low, self.high]
        if not np.isfinite(weights).all() or (self.action == "levels" and len(self.levels) < 2):
            raise UserError("env.levels needs at least two weights; they, env.low and env.high must be finite, "
                            f"found {self.levels}, {self.low} and {self.high}")
        heaviest = max(map(abs, self.reach))
        if heaviest > self.gross:
            raise UserError(f"a weight of {heaviest:g} is more than env.gross {self.gross:g} allows; raise env.gross "
                            "to trade with leverage, or lower the weight")
        dearest = self.costs.per_unit * max(self.episodes.cost_scale[1], 1.0)
        if self.gross * dearest > 0.5:
            raise UserError(f"gross weights of {self.gross:g} at {dearest * 1e4:g} bps cost half the account per "
                            "trade; lower env.gross, env.costs or env.episodes.cost_scale")
        if self.gross * self.margin.maintenance >= 1:
            raise UserError(f"gross weights of {self.gross:g} at a maintenance margin of {self.margin.maintenance:g} "
                            "would be closed out at once; lower env.gross or env.margin.maintenance")

    @property
    def reach(self) -> tuple[float, float]:
        """Smallest and largest weight of an asset that an action can ask for."""
        return (min(self.levels), max(self.levels)) if self.action == "levels" else (self.low, self.high)

    @property
    def judged(self) -> EnvConfig:
        """The same without what is for training alone: growth is what counts, and costs are what they are."""
        return replace(self, reward=RewardConfig(), episodes=EpisodeConfig())

    def charging(self, bps: float) -> EnvConfig:
        """All that an order costs in one fee; interest, lots and smallest orders stay as they are.

        >>> EnvConfig(costs=CostConfig.named("perp")).charging(10.0).costs.per_unit
        0.001
        """
        costs = self.costs
        return replace(self, costs=CostConfig.flat_fee(
            bps, borrow_apr=costs.borrow_apr, borrow_of=costs.borrow_of, lot=costs.lot, max_share=costs.max_share,
            min_notional=costs.min_notional))

    def actions(self, assets: int) -> Actions:
        return ACTIONS[self.action](self, assets)

    def rules(self, longest: int, autoreset: bool) -> np.ndarray:
        """Every number that the compiled rules need, in the order of `envs.layout`."""
        risk, costs, episodes = self.risk, self.costs, self.episodes
        rules = np.zeros(at.RULES + at.PER_TIER * len(costs.tiers))
        rules[at.RULES :] = (np.array(costs.tiers).reshape(-1, at.PER_TIER) * (1.0, 1e-4, 1e-4)).ravel()
        rules[[at.LONGEST, at.AUTORESET, at.PRICE]] = longest, autoreset, 1.0
        rules[[at.TAKER, at.MAKER]] = costs.fee_bps * 1e-4, costs.maker_bps * 1e-4
        rules[[at.CASH_APR, at.MIN_NOTIONAL]] = costs.borrow_apr, costs.min_notional
        rules[[at.RUIN, at.CAPITAL, at.LATENCY]] = self.ruin, self.capital, self.latency
        rules[at.GROSS] = self.gross
        rules[[at.NET, at.TURNOVER_LIMIT, at.MAX_WEIGHT]] = [cap or np.inf for cap in
                                                             (risk.net, risk.turnover, risk.max_weight)]
        rules[[at.NO_TRADE, at.STOP_LOSS, at.TAKE_PROFIT]] = risk.band, risk.stop_loss, risk.take_profit
        rules[[at.TRAILING, at.DRAWDOWN, at.COOLDOWN]] = risk.trailing_stop, risk.drawdown_stop, risk.cooldown
        rules[[at.MAINTENANCE, at.LIQUIDATION_FEE]] = (self.margin.maintenance,
                                                       self.margin.liquidation_fee_bps * 1e-4)
        rules[[at.SCALE_LOW, at.SCALE_HIGH]] = episodes.cost_scale
        rules[at.SEQUENTIAL] = episodes.order == "sequential"
        rules[at.OF_GROWTH : at.OF_TURNOVER + 1] = self.reward.weights
        rules[[at.RATE, at.AVERSION]] = 1 / self.reward.memory, self.reward.aversion
        return rules
