"""What trading costs."""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import UserError


@dataclass(frozen=True)
class CostConfig:
    """What trading costs. Basis points are hundredths of a percent of the value traded."""

    fee_bps: float = 5.0
    """taker fee, charged on the value at the price paid or received"""
    spread_bps: float = 2.0
    """full quoted spread; half of it is paid by each order"""
    slippage_bps: float = 1.0
    """how much worse than the quote an order fills, in proportion to the value traded"""
    borrow_apr: float = 0.05
    """yearly interest on coins sold short and on negative cash"""
    min_trade: float = 0.02
    """orders smaller than this share of equity are not sent, except those that close a position"""

    def __post_init__(self) -> None:
        for name in ("fee_bps", "spread_bps", "slippage_bps", "borrow_apr", "min_trade"):
            value = getattr(self, name)
            if not 0 <= value < (1 if name in ("borrow_apr", "min_trade") else 1000):
                raise UserError(f"env.costs.{name} must be at least 0 and sensible, found {value}")

    @property
    def slip(self) -> float:
        """Share by which a fill is worse than the open."""
        return (self.spread_bps / 2 + self.slippage_bps) * 1e-4

    @property
    def per_unit(self) -> float:
        """What trading one unit of value costs, as the published laws of the known markets count it."""
        return self.fee_bps * 1e-4 + self.slip

    @classmethod
    def flat_fee(cls, bps: float, **others: float) -> CostConfig:
        """All costs in one proportional fee, as in the known markets: no spread, no slippage, no interest."""
        settings = {"spread_bps": 0.0, "slippage_bps": 0.0, "borrow_apr": 0.0, **others}
        return cls(fee_bps=bps, **settings)
