"""What trading costs, and what each bar of a market means to an account: where it fills and how much worse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from configs.errors import UserError
from configs.registry import check_name, did_you_mean
from data.market import CLOSE, HIGH, LOW, OPEN, VOLUME, Market
from data.schema import EVERY_ASSET
from envs import layout as at
from envs.risk import filled_forward, trailing_volatility

SECONDS_PER_YEAR = 365 * 24 * 3600
UNLISTED = 1.0  # price of an asset before its first bar; nobody can hold it there
SPREAD_BARS = 168  # trailing bars that a spread is estimated on
WORST = 0.5  # impact of the largest order that a bar takes is never beyond this share of the price
SPREADS = ("fixed", "range", "data")
FILLS = ("next_open", "same_close", "worst")


@dataclass(frozen=True)
class CostConfig:
    """What trading costs. Basis points are hundredths of a percent of the value traded.

    >>> CostConfig.named("perp").fee_bps, CostConfig.named("free").per_unit
    (4.5, 0.0)
    """

    fee_bps: float = 5.0
    """taker fee, charged on the value at the price paid or received"""
    maker_bps: float = 2.0
    """fee of orders that rest until they are met: take profits"""
    tiers: tuple[tuple[float, float, float], ...] = ()
    """(value traded in thirty days, taker, maker) from which fees in bps apply, rising; none: fee_bps and maker_bps"""
    spread: str = "fixed"
    """fixed: spread_bps; range: estimated from highs, lows and closes, at least spread_bps; data: the market's own"""
    spread_bps: float = 2.0
    """full quoted spread; half of it is paid by each order"""
    slippage_bps: float = 1.0
    """how much worse than the quote an order fills, in proportion to the value traded"""
    impact: float = 0.0
    """times daily volatility times the square root of the share of the bar's volume (about 1 on most markets)"""
    max_share: float = 0.0
    """largest share of a bar's volume that an order takes, the rest is not filled; 0: no limit. Exits fill whole"""
    borrow_apr: float = 0.05
    """yearly interest on coins sold short and on negative cash"""
    borrow_of: dict[str, float] = field(default_factory=dict)
    """yearly interest on single assets sold short"""
    min_notional: float = 0.0
    """smallest order in quote currency, except those that close a position"""
    lot: dict[str, float] = field(default_factory=dict)
    """units that orders are multiples of, by asset or for all"""
    tick: dict[str, float] = field(default_factory=dict)
    """price steps that quotes lie on, by asset or for all"""

    def __post_init__(self) -> None:
        check_name("env.costs.spread", self.spread, SPREADS)
        for name in ("fee_bps", "maker_bps", "spread_bps", "slippage_bps", "borrow_apr"):
            value = getattr(self, name)
            if not 0 <= value < (1 if name == "borrow_apr" else 1000):
                raise UserError(f"env.costs.{name} must be at least 0 and sensible, found {value}")
        if not (0 <= self.impact < np.inf and 0 <= self.max_share <= 1 and 0 <= self.min_notional < np.inf):
            raise UserError("env.costs needs impact >= 0, max_share from 0 to 1 and min_notional >= 0, found "
                            f"{self.impact}, {self.max_share}, {self.min_notional}")
        if self.impact and not self.max_share:
            raise UserError("env.costs.impact needs env.costs.max_share, the share of a bar's volume up to which it "
                            "holds, such as 0.1")
        for name in ("borrow_of", "lot", "tick"):
            for asset, value in getattr(self, name).items():
                if not 0 <= value < np.inf:
                    raise UserError(f"env.costs.{name} of {asset} must be at least 0, found {value}")
        volumes = [tier[0] for tier in self.tiers]
        rising = not volumes or (volumes[0] == 0 and sorted(set(volumes)) == volumes)
        if not rising or not all(len(tier) == 3 and min(tier) >= 0 and max(tier[1:]) < 1000 for tier in self.tiers):
            raise UserError("env.costs.tiers must be (volume, taker bps, maker bps) with volumes that rise from 0, "
                            f"found {self.tiers}")

    @property
    def slip(self) -> float:
        """Share by which a fill is worse than the open, with the fixed spread."""
        return (self.spread_bps / 2 + self.slippage_bps) * 1e-4

    @property
    def per_unit(self) -> float:
        """What trading one unit of value costs, as the published laws of the known markets count it."""
        return self.fee_bps * 1e-4 + self.slip

    @classmethod
    def flat_fee(cls, bps: float, **others: Any) -> CostConfig:
        """All costs in one proportional fee, as in the known markets: no spread, no slippage, no interest."""
        settings = {"maker_bps": bps, "spread_bps": 0.0, "slippage_bps": 0.0, "borrow_apr": 0.0, **others}
        return cls(fee_bps=bps, **settings)

    @classmethod
    def named(cls, name: str) -> CostConfig:
        """A preset out of `COSTS`."""
        return COSTS[check_name("costs", name, COSTS)]

    def of_assets(self, name: str, assets: tuple[str, ...], default: float) -> np.ndarray:
        """(N,) numbers of the setting `name`, which is given by asset, for all, or not at all."""
        given: dict[str, float] = getattr(self, name)
        unknown = [asset for asset in given if asset not in (*assets, EVERY_ASSET)]
        if unknown:
            raise UserError(f"env.costs.{name} names {unknown[0]}, the market has {', '.join(assets)}"
                            f"{did_you_mean(unknown[0], assets)}")
        return np.array([given.get(asset, given.get(EVERY_ASSET, default)) for asset in assets])


COSTS: dict[str, CostConfig] = {
    # a large exchange's public fees for small accounts; tiers as they are published change with the exchange
    "spot_taker": CostConfig(fee_bps=10.0, maker_bps=10.0, spread_bps=1.0, slippage_bps=1.0, borrow_apr=0.10),
    "perp": CostConfig(fee_bps=4.5, maker_bps=1.8, spread_bps=1.0, slippage_bps=1.0, borrow_apr=0.0),
    "free": CostConfig(fee_bps=0.0, maker_bps=0.0, spread_bps=0.0, slippage_bps=0.0, borrow_apr=0.0),
}


def bar_table(market: Market, costs: CostConfig, fill: str, limits: np.ndarray) -> np.ndarray:
    """(T, N, 16) what each bar means to an account, in the order of `envs.layout`.

    An asset without a bar keeps its last close and cannot be traded; nor can one whose bar has no volume, if it
    ever had any. A fill at the same close stands one row later, on the bar whose step it belongs to.
    """
    prices = market.prices
    there = np.isfinite(prices).all(axis=2)  # (T, N)
    close = filled_forward(np.where(there, prices[:, :, CLOSE], np.nan))
    close = np.where(np.isnan(close), UNLISTED, close)
    table = np.zeros((*there.shape, at.COLUMNS))
    for column, source in ((at.OPEN, OPEN), (at.HIGH, HIGH), (at.LOW, LOW), (at.CLOSE, CLOSE)):
        table[:, :, column] = np.where(there, prices[:, :, source], close)
    volume = np.where(there, prices[:, :, VOLUME], 0.0)
    traded = there & ((volume > 0) | ~np.logical_or.accumulate(volume > 0, axis=0))
    value = volume * table[:, :, at.CLOSE]
    table[:, :, at.FILL] = table[:, :, at.OPEN]
    spread = quoted_spread(market, costs)
    volatility = np.zeros_like(close)
    if costs.impact:
        daily = trailing_volatility(market, SPREAD_BARS) * np.sqrt(market.bars_per_year / 365.0)
        volatility = np.where(np.isnan(daily), 0.0, daily)
    before = np.maximum(np.arange(len(market)) - 1, 0)
    spread, volatility = spread[before], volatility[before]  # as the decision row knows them
    if fill == "same_close":
        table[:, :, at.FILL] = table[before, :, at.CLOSE]
        traded, value = traded & traded[before], value[before]
    worse = spread / 2 + costs.slippage_bps * 1e-4
    tick = costs.of_assets("tick", market.assets, 0.0)
    above = below = np.zeros_like(close)
    if fill == "worst":
        above, below = table[:, :, at.HIGH] / table[:, :, at.OPEN] - 1, 1 - table[:, :, at.LOW] / table[:, :, at.OPEN]
    table[:, :, at.BUY] = on_tick(table[:, :, at.FILL], worse + above, tick, up=True)
    table[:, :, at.SELL] = on_tick(table[:, :, at.FILL], worse + below, tick, up=False)
    most = costs.max_share * value if costs.max_share else np.inf
    table[:, :, at.CAPACITY] = np.where(traded, most, 0.0)
    if costs.impact:
        with np.errstate(divide="ignore", invalid="ignore"):
            coefficient = costs.impact * volatility / np.sqrt(value)
            table[:, :, at.IMPACT] = np.where(traded, np.minimum(coefficient, WORST / np.sqrt(most)), 0.0)
    table[:, :, at.PAYS] = np.where(there, market.carry, 0.0)
    table[:, :, at.LIMIT] = limits
    table[:, :, at.BORROW] = costs.of_assets("borrow_of", market.assets, costs.borrow_apr)
    table[:, :, at.LOT] = costs.of_assets("lot", market.assets, 0.0)
    ready = there if market.absent is None else there & ~market.absent
    table[:, :, at.TRADEABLE] = ready & traded
    seconds = np.diff(market.time, prepend=market.time[:1]) / np.timedelta64(1, "s")
    table[:, :, at.YEARS] = (seconds / SECONDS_PER_YEAR)[:, None]
    table[:, :, at.DAY] = (market.time.astype("datetime64[D]").astype(np.int64))[:, None]
    return table


def quoted_spread(market: Market, costs: CostConfig) -> np.ndarray:
    """(T, N) full spread as a share of the price, as far as row t shows it."""
    fixed = np.full(market.prices.shape[:2], costs.spread_bps * 1e-4)
    if costs.spread == "fixed":
        return fixed
    if costs.spread == "data":
        if market.spread is None:
            raise UserError("env.costs.spread 'data' needs a market with spreads; take 'fixed' or 'range'")
        return np.where(np.isfinite(market.spread), market.spread, fixed)
    return np.maximum(np.concatenate([range_spread(market.prices[part]) for part in market.parts]), fixed)


def range_spread(prices: np.ndarray) -> np.ndarray:
    """(T, N) spread estimated from closes and mid-ranges (Abdi, Ranaldo 2017, equation 8), over the trailing bars.

    With c the log close and m the mean of log high and log low: spread^2 = 4 mean((c[t] - m[t]) (c[t] - m[t+1])), at
    least 0. Zero before a bar has `SPREAD_BARS` behind it.
    """
    with np.errstate(invalid="ignore"):
        logs = np.log(prices[:, :, :VOLUME])
    middle = (logs[:, :, HIGH] + logs[:, :, LOW]) / 2
    close = logs[:, :, CLOSE]
    products = np.zeros_like(close)
    products[1:] = (close[:-1] - middle[:-1]) * (close[:-1] - middle[1:])  # known when bar t has closed
    products = np.where(np.isfinite(products), products, 0.0)
    sums = np.cumsum(np.vstack([np.zeros((1, close.shape[1])), products]), axis=0)
    estimate = np.zeros_like(close)
    if len(prices) > SPREAD_BARS:
        estimate[SPREAD_BARS:] = (sums[SPREAD_BARS + 1 :] - sums[1:-SPREAD_BARS]) / SPREAD_BARS
    return np.sqrt(4 * np.maximum(estimate, 0.0))


def on_tick(price: np.ndarray, worse: np.ndarray, tick: np.ndarray, up: bool) -> np.ndarray:
    """Share by which the quote is worse than `price`, the quote lying on a tick: up for a buyer, down for a seller."""
    if not tick.any():
        return worse
    quote = price * (1 + worse) if up else price * (1 - worse)
    step = np.where(tick > 0, tick, 1.0)
    # a quote that is on a tick but for a rounding stays there
    rounded = np.ceil(quote / step - 1e-9) * step if up else np.floor(quote / step + 1e-9) * step
    quote = np.where(tick > 0, rounded, quote)
    return np.maximum(quote / price - 1, 0.0) if up else np.clip(1 - quote / price, 0.0, 1.0 - 1e-9)
