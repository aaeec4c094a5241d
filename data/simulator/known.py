"""Markets whose best policy is known, so that an agent can be told how far from it it is.

Row t shows the state at close t; the bar after it opens at close t and moves by r[t+1]. Fees are charged per unit
traded. The published growths come from policy iteration over (state, position), long-run, in log growth per bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from configs.errors import UserError
from configs.registry import check_name
from data.market import Market, hourly_times
from data.schema import OHLCV
from data.simulator.draws import recursion
from data.sources.base import RawData, Truth

FEE = 0.001  # per unit traded: 10 bps
SIGMA = 0.006  # per hour
POSITIONS = (-1.0, 0.0, 1.0)
BPS = 1e-4
START_PRICE = 100.0
INFERRED = ("belief",)  # states that are worked out from the others and the prices


class Path(NamedTuple):
    log_returns: np.ndarray  # (T,) of bar t; the first is 0
    state: dict[str, np.ndarray]  # what is seen at close t, by name
    mean: np.ndarray  # (T,) mean log return of bar t+1, given all that is seen or hidden at close t


class Law(NamedTuple):
    draw: Callable[[int, np.random.Generator], Path]
    growth: float | None  # best log growth per bar with positions -1, 0, 1; None: worked out on the path drawn
    long_flat: float | None  # with positions 0, 1


@dataclass(frozen=True)
class KnownConfig:
    market: str = "ou_real"
    """which known market"""
    bars: int = 30_000
    """hourly bars"""
    seed: int = 0
    """the same seed gives the same path"""
    candles: bool = False
    """bars with highs, lows and volume, seen through the usual features beside what the market itself shows; what could
    be worked out from that (the belief of regime_lead) is left to be found"""

    def __post_init__(self) -> None:
        check_name("market", self.market, KNOWN)
        if self.bars < 2 or self.seed < 0:
            raise UserError(f"known.bars must be at least 2 and seed at least 0, found {self.bars}, {self.seed}")


@dataclass(frozen=True, eq=False)
class KnownMarket:
    market: Market  # features are the state as it is, unscaled
    oracle_growth: float  # best log growth per bar with `positions`
    long_flat_growth: float  # the same with 0 and 1 only
    positions: tuple[float, ...] = POSITIONS
    fee: float = FEE


def trend(rows: int, rng: np.random.Generator) -> Path:
    """Up by 5 bps an hour with hardly any noise: hold."""
    r = 5 * BPS + 2 * BPS * rng.standard_normal(rows)
    return Path(r, {"last_return": r / (5 * BPS)}, np.full(rows, 5 * BPS))


def sine(rows: int, rng: np.random.Generator) -> Path:
    """Log price swings by 5 % around its mean every 48 hours, from a random phase: the clock says it all."""
    phase = 2 * np.pi * (np.arange(rows + 1) / 48 + rng.random())
    path = 0.05 * np.sin(phase)
    r = np.diff(path, prepend=path[0])
    return Path(r[:-1], {"sin_phase": np.sin(phase[:-1]), "cos_phase": np.cos(phase[:-1])}, r[1:])


def random_walk(rows: int, rng: np.random.Generator) -> Path:
    """r ~ N(-v/2, v): a fair game, and the last return is no help."""
    r = SIGMA * rng.standard_normal(rows) - SIGMA**2 / 2
    return Path(r, {"last_return": r / SIGMA}, np.full(rows, -(SIGMA**2) / 2))


def reverting(half_life: float, spread: float, walk: float) -> Callable[[int, np.random.Generator], Path]:
    """x' = phi x + spread e; the price is x and a random walk of `walk` on top; x is seen in its own deviations."""
    phi = 0.5 ** (1 / half_life)
    sd = spread / math.sqrt(1 - phi**2)

    def draw(rows: int, rng: np.random.Generator) -> Path:
        shocks = spread * rng.standard_normal(rows)
        shocks[0] = sd * rng.standard_normal()  # starts in its stationary law
        x = recursion(shocks, phi)
        r = np.diff(x, prepend=x[0]) + walk * rng.standard_normal(rows)
        return Path(r, {"x": x / sd}, (phi - 1) * x)

    return draw


def ar1_costly(rows: int, rng: np.random.Generator) -> Path:
    """r' = 0.08 r + e: a hit rate of 52.6 % that hardly pays its fees."""
    shocks = SIGMA * rng.standard_normal(rows)
    r = recursion(shocks, 0.08)
    return Path(r, {"last_return": r / SIGMA}, 0.08 * r)


def regime_lead(rows: int, rng: np.random.Generator) -> Path:
    """A hidden bull or bear drifts the next bar by +-3 bps; an indicator shows which, under much noise."""
    stay, drift, shown = 1 - 1 / 120, 3 * BPS, 0.25
    bull = np.where(np.cumsum(rng.random(rows) > stay) % 2 == rng.integers(2), 1.0, -1.0)
    noise = rng.standard_normal(rows)
    r = SIGMA * rng.standard_normal(rows)
    r[1:] += drift * bull[:-1]
    z = shown * bull + noise
    belief = np.empty(rows)
    odds = 0.0  # log odds of bull at close t, by Bayes: the last bar, then the switch, then the indicator
    for t in range(rows):
        if t:
            odds += 2 * drift * r[t] / SIGMA**2
            bull_now = 1 / (1 + math.exp(-odds))
            bull_now = stay * bull_now + (1 - stay) * (1 - bull_now)
            odds = math.log(bull_now / (1 - bull_now))
        odds += 2 * shown * z[t]
        belief[t] = math.tanh(odds / 2)  # 2b - 1
    return Path(r, {"belief": belief, "z": z}, drift * bull)


KNOWN: dict[str, Law] = {
    "trend": Law(trend, None, None),
    "sine": Law(sine, None, None),
    "random_walk": Law(random_walk, 0.0, 0.0),
    "ou_easy": Law(reverting(12.0, 0.006, 0.0), 6.849 * BPS, 3.515 * BPS),
    "ou_real": Law(reverting(24.0, 0.0025, 0.00545), 1.746 * BPS, 0.958 * BPS),
    "ar1_costly": Law(ar1_costly, 0.059 * BPS, 0.056 * BPS),
    "regime_lead": Law(regime_lead, 1.668 * BPS, 0.923 * BPS),
}


def best_growth(log_returns: np.ndarray, fee: float, positions: tuple[float, ...] = POSITIONS) -> float:
    """Log growth per bar of perfect foresight on a path: no policy can beat it there. Starts flat.

    Dynamic programming over (bar, position): `log(1 - fee |a - k|)` to move from k to a, `log(1 + a (e^r - 1))` held.

    >>> round(best_growth(np.log([1.10, 0.90]), fee=0.0), 4)  # long, then short: both earn a tenth
    0.0953
    """
    held = np.array(positions)
    moving = np.log1p(-fee * np.abs(held[None, :] - held[:, None]))  # (from, to)
    wealth = np.where(held == 0, 0.0, np.log1p(-fee * np.abs(held)))  # (P,) best log wealth that ends in a position
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.log(np.maximum(1 + held * np.expm1(log_returns)[:, None], 0.0))  # (T, P); a ruined short is -inf
    for gain in gains:
        wealth = (wealth[:, None] + moving).max(axis=0) + gain
    return float(wealth.max() / len(log_returns))


def draw_known(name: str, rows: int, seed: int) -> tuple[Path, Truth]:
    law = KNOWN[check_name("market", name, KNOWN)]
    path = law.draw(rows, np.random.default_rng(seed))
    path.log_returns[0] = 0.0  # nothing is held over the first bar
    after = path.log_returns[1:]
    growth = law.growth if law.growth is not None else best_growth(after, FEE)
    long_flat = law.long_flat if law.long_flat is not None else best_growth(after, FEE, (0.0, 1.0))
    return path, Truth(path.mean[:, None], growth, long_flat)


def known_prices(log_returns: np.ndarray) -> np.ndarray:
    """(T, 5) bars that open at the last close and go straight to their own; volume is one unit."""
    close = START_PRICE * np.exp(np.cumsum(log_returns))
    opened = np.concatenate([[START_PRICE], close[:-1]])
    return np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(len(close))], axis=1)


def candles(path: Path, rng: np.random.Generator) -> np.ndarray:
    """(T, 5) the same opens and closes, with the extremes of a Brownian bridge between them, and a volume that rises
    with the size of the move. Each extreme has its exact law, drawn apart."""
    prices = known_prices(path.log_returns)
    noise = path.log_returns[1:] - path.mean[:-1]
    sigma = float(noise.std())
    opened, closed = np.log(prices[:, 0]), np.log(prices[:, 3])
    move = closed - opened
    for column, side in ((1, 1.0), (2, -1.0)):
        reach = np.sqrt(move**2 - 2 * sigma**2 * np.log1p(-rng.random(len(move))))
        prices[:, column] = np.exp(opened + (move + side * reach) / 2)
    prices[:, 1] = np.maximum(prices[:, 1], prices[:, [0, 3]].max(axis=1))  # against rounding
    prices[:, 2] = np.minimum(prices[:, 2], prices[:, [0, 3]].min(axis=1))
    size = np.abs(move) / sigma if sigma > 0 else np.zeros(len(move))
    prices[:, 4] = 100 * (1 + size) * np.exp(0.3 * rng.standard_normal(len(move)))
    return prices


def known_raw(config: KnownConfig) -> RawData:
    """The known market as raw data: its state is a context table of kind "state", known at each close."""
    path, truth = draw_known(config.market, config.bars, config.seed)
    time = pd.DatetimeIndex(hourly_times(config.bars), tz="UTC")
    state, prices = path.state, known_prices(path.log_returns)
    if config.candles:
        state = {name: values for name, values in state.items() if name not in INFERRED}
        prices = candles(path, np.random.default_rng([config.seed, 1]))
    return RawData(
        bars={config.market: pd.DataFrame({"time": time, **dict(zip(OHLCV, prices.T))})},
        context={("state", config.market): pd.DataFrame({"known_at": time, **state})},
        carry={config.market: np.zeros(config.bars)},
        bars_per_year=8760.0,
        truth=truth,
    )


def make_known(name: str, rows: int, seed: int = 0) -> KnownMarket:
    """A known market with its state as features, and the growth that its best policy reaches.

    >>> known = make_known("ou_real", 100)
    >>> known.market.columns, round(known.oracle_growth * 1e4, 3)
    (('x',), 1.746)
    """
    path, truth = draw_known(name, rows, seed)
    assert truth.growth is not None
    assert truth.long_flat_growth is not None
    market = Market(
        time=hourly_times(rows),
        assets=(name,),
        prices=known_prices(path.log_returns)[:, None],
        features=np.stack(list(path.state.values()), axis=-1)[:, None].astype(np.float32),  # (T, 1, F)
        columns=tuple(path.state),
        carry=np.zeros((rows, 1)),
        segments=np.array([[0, rows]]),
        bars_per_year=8760.0,
    )
    return KnownMarket(market, truth.growth, truth.long_flat_growth)
