"""The engine against vectorbt, a back-tester that shares no line with it: equity after every bar, units, fees.

vectorbt takes a target as a share of the equity *before* costs, the engine as one of the equity that is left after
them. At 1 and 0 both mean the same: all cash is spent, costs included, or everything is sold. For a short, `of_equity`
works out by hand which share vectorbt has to be given. For other weights, and for several assets, it is given the units
that the engine traded, and what is compared is where the money went.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.market import CLOSE, OPEN, Market
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import CostConfig
from envs.exits import MarginConfig
from envs.risk import RiskConfig
from tests.data.real import real
from tests.envs.markets import market_of, random_market

vectorbt = pytest.importorskip("vectorbt", reason="vectorbt is absent: pip install -c constraints.txt -e '.[dev]'")

LEAVE = np.nan  # no order, for both
COSTS = {
    "free": CostConfig.named("free"),
    "fee": CostConfig.flat_fee(10.0),
    "fee, spread and slippage": CostConfig(fee_bps=10.0, spread_bps=6.0, slippage_bps=4.0, borrow_apr=0.0),
    "a hundredth": CostConfig(fee_bps=100.0, spread_bps=50.0, slippage_bps=25.0, borrow_apr=0.0),
}


def market_named(name: str) -> Market:
    """`random 3`: a random walk of seed 3; `btc`: hourly bars of 2023 and 2024 without a gap. Neither pays funding."""
    if name == "btc":
        bars = pd.read_parquet(real("hourly/spot_binance_BTCUSDT.parquet")).loc["2023-07":"2024-06"]
        return market_of(bars[["open"]].to_numpy(), bars[["close"]].to_numpy())
    market = random_market(rows=400, seed=int(name.split()[1]))
    return replace(market, carry=np.zeros_like(market.carry))


def ours(market: Market, targets: np.ndarray, costs: CostConfig) -> tuple[np.ndarray, np.ndarray, float]:
    """Equity (T - 1,) after every bar, units traded (T - 1, N) on it, and all fees; no rule on but the costs."""
    config = EnvConfig(costs=costs, risk=RiskConfig(band=0.0), margin=MarginConfig(maintenance=0.0), ruin=1e-6)
    engine = Engine(market, config, accounts=1, window=1)
    engine.reset([0])
    equity, units = np.zeros(len(targets)), np.zeros(targets.shape)
    for k, target in enumerate(targets):
        engine.step(target[None])
        equity[k] = engine.money[0, at.EQUITY]
        units[k] = engine.fills[0, :, at.ORDER_UNITS]
    return equity, units, float(engine.money[0, at.FEES])


def theirs(market: Market, size: np.ndarray, kind: str, costs: CostConfig) -> tuple[np.ndarray, np.ndarray, float]:
    """The same out of vectorbt: what is decided on a row fills at the next row's open, sales before purchases."""
    opens, closes = (pd.DataFrame(market.prices[1:, :, column]) for column in (OPEN, CLOSE))
    portfolio = vectorbt.Portfolio.from_orders(
        closes, size=pd.DataFrame(size), size_type=kind, price=opens, fees=costs.fee_bps * 1e-4, slippage=costs.slip,
        init_cash=EnvConfig().capital, cash_sharing=True, group_by=True, call_seq="auto")
    return (portfolio.value().to_numpy(), portfolio.asset_flow().to_numpy(),
            float(portfolio.orders.records["fees"].sum()))


def switching(steps: int, seed: int) -> np.ndarray:
    """Long, flat or short: (T - 1,) the new side wherever it changes, LEAVE elsewhere."""
    rng = np.random.default_rng(seed)
    sides = rng.integers(-1, 2, steps // 10 + 1).repeat(10)[:steps].astype(float)
    changed = np.diff(sides, prepend=0.0) != 0
    return np.where(changed, sides, LEAVE)


def of_equity(orders: np.ndarray, costs: CostConfig) -> np.ndarray:
    """What vectorbt calls a weight of -1.

    Selling a value q costs c q. Out of cash B, E = B - c E is left and sold short, so E = B / (1 + c). Out of a long
    position worth B, B + E are sold, so E = B (1 - c) / (1 + c).
    """
    cost = 1 - (1 - costs.slip) * (1 - costs.fee_bps * 1e-4)
    shares, held = orders.copy(), 0.0
    for k in np.flatnonzero(~np.isnan(orders)):
        if orders[k] < 0:
            shares[k] = -(1 - cost * held) / (1 + cost)
        held = orders[k]
    return shares


def same(mine: tuple[np.ndarray, np.ndarray, float], other: tuple[np.ndarray, np.ndarray, float]) -> None:
    np.testing.assert_allclose(mine[0], other[0], rtol=1e-9)
    np.testing.assert_allclose(mine[1], other[1], rtol=1e-9, atol=1e-9)
    assert mine[2] == pytest.approx(other[2], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("costs", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("name", ["random 1", "random 2", "btc"])
def test_buy_and_hold(name, costs):
    market = market_named(name)
    orders = np.full((len(market) - 1, 1), LEAVE)
    orders[0] = 1.0
    same(ours(market, orders, costs), theirs(market, orders, "targetpercent", costs))


@pytest.mark.parametrize("costs", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("name", ["random 3", "random 4", "random 5", "btc"])
def test_long_flat_and_short(name, costs):
    market = market_named(name)
    orders = switching(len(market) - 1, seed=7)
    turns = {(a, b) for a, b in zip(orders[~np.isnan(orders)], orders[~np.isnan(orders)][1:])}
    assert len(turns) == 6, "each of the three sides has to follow each other one"
    same(ours(market, orders[:, None], costs),
         theirs(market, of_equity(orders, costs)[:, None], "targetpercent", costs))


@pytest.mark.parametrize("costs", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_three_assets_rebalanced_long_and_short(seed, costs):
    market = random_market(rows=300, assets=3, seed=seed)
    market = replace(market, carry=np.zeros_like(market.carry))
    rng = np.random.default_rng(seed)
    targets = rng.uniform(-0.33, 0.33, (len(market) - 1, 3))
    targets[rng.random(targets.shape) < 0.5] = LEAVE
    mine = ours(market, targets, costs)
    assert (mine[1] < 0).any()
    assert (mine[1] > 0).any()
    same(mine, theirs(market, mine[1], "amount", costs))
