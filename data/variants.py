"""Markets made from a market: its blocks in another order, a little noise, several in a row, one asset at a time.

All of them are for training rows alone: give them `market.slice(split.train)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from configs.errors import UserError
from data.market import CLOSE, HIGH, LOW, OPEN, VOLUME, Market

WEEK = np.timedelta64(7, "D")


def resampled(market: Market, seed: int, block: int = 168, join: bool = True) -> Market:
    """A market of as many bars, made of blocks of `market` in random order.

    The stationary bootstrap (Politis and Romano 1994): blocks begin anywhere inside a segment and last `block` bars in
    the mean, geometrically distributed; ours end early where the segment does, instead of going round. A bar is moved
    whole and with all its assets: open, high, low and close as shares of the close before, the value traded, carry,
    spread and features. Prices are rebuilt from these moves, so their level means nothing; no gap is left between bars.

    Inside a block every window is one that has been seen. A window across a joint shows the features of two times, one
    after the other, which never happened. That is the price of long episodes; with `join=False` segments end at the
    joints, so that no window crosses one, and an account that holds something waits there for a new window to fill.
    Calendar features move with their block: what they say is right beside the prices, not by the rebuilt clock.

    >>> resampled(Market.flat(50), seed=0, block=20).segments.tolist()
    [[0, 50]]
    >>> resampled(Market.flat(50), seed=0, block=20, join=False).segments.tolist()
    [[0, 8], [8, 9], [9, 20], [20, 50]]
    """
    if block < 1:
        raise UserError(f"blocks of a resampled market must be at least 1 bar long, found {block}")
    rng = np.random.default_rng(seed)
    picked, joints = blocks(market, rng, block)
    moves, base = moves_of(market.prices)
    moves = moves[picked]
    prices = rebuilt(moves, base)
    close = market.prices[picked][..., CLOSE]
    prices[..., VOLUME] = moves[..., VOLUME] * close / prices[..., CLOSE]  # the value traded stays what it was
    rows = len(market)
    bar = np.timedelta64(round(365 * 24 * 3600 * 1_000_000 / market.bars_per_year), "us")
    borders = np.array([0, rows]) if join else np.array([*joints, rows])
    return replace(
        market,
        time=market.time[0] + np.arange(rows) * bar,
        prices=prices,
        features=market.features[picked],
        carry=market.carry[picked],
        spread=None if market.spread is None else market.spread[picked],
        absent=None if market.absent is None else market.absent[picked],
        segments=np.stack([borders[:-1], borders[1:]], axis=1),
        begins=None,
    )


def blocks(market: Market, rng: np.random.Generator, mean: int) -> tuple[np.ndarray, list[int]]:
    """(T,) rows of `market` in the order of their blocks, and where these begin."""
    left = np.zeros(len(market), np.int64)  # rows from here to the end of the segment, this one included
    for start, stop in market.segments:
        left[start + 1 : stop] = np.arange(stop - start - 1, 0, -1)  # the first one's move may span a gap
    pool = np.flatnonzero(left)
    if not len(pool):
        raise UserError("nothing to resample: no segment of the market is longer than one bar")
    parts: list[np.ndarray] = []
    joints: list[int] = []
    taken = 0
    while taken < len(market):
        first = int(rng.choice(pool))
        length = min(int(rng.geometric(1 / mean)), int(left[first]), len(market) - taken)
        joints.append(taken)
        parts.append(np.arange(first, first + length))
        taken += length
    return np.concatenate(parts), joints


def perturbed(market: Market, seed: int, price_noise: float = 0.0, feature_noise: float = 0.0) -> Market:
    """`market` with a little noise on the return of each bar, and on each feature.

    `price_noise` is the deviation of what is added to log returns, as a share of the asset's usual (root mean square)
    log return: with 0.1 a bar ends elsewhere by a tenth of a usual move, and the moves add up. Open, high and low keep
    their distance to the close before, but high and low make room for the new close. `feature_noise` is the deviation
    of what is added to scaled features, in their own units; features know nothing of the price noise.

    >>> perturbed(Market.flat(3), seed=0, feature_noise=0.1).features.ravel()
    array([ 0.01257302, -0.01321049,  0.06404226], dtype=float32)
    """
    if not (0 <= price_noise < np.inf and 0 <= feature_noise < np.inf):
        raise UserError(f"noise must be at least 0 and finite, found {price_noise} on prices and {feature_noise} on "
                        "features")
    rng = np.random.default_rng(seed)
    prices, features = market.prices, market.features
    if feature_noise:
        features = features + rng.normal(0.0, feature_noise, features.shape).astype(np.float32)
        if market.absent is not None:
            features[market.absent] = market.features[market.absent]
    if price_noise:
        moves, base = moves_of(prices)
        there = np.isfinite(moves[..., CLOSE])
        squares = np.where(there, np.log(np.where(there, moves[..., CLOSE], 1.0)) ** 2, 0.0)
        usual = np.sqrt(squares.sum(axis=0) / np.maximum(there.sum(axis=0), 1))  # (N,)
        moves[..., CLOSE] *= np.exp(rng.standard_normal(there.shape) * usual * price_noise)
        moves[..., HIGH] = np.maximum(moves[..., HIGH], moves[..., CLOSE])
        moves[..., LOW] = np.minimum(moves[..., LOW], moves[..., CLOSE])
        prices = rebuilt(moves, base)
    return replace(market, prices=prices, features=features)


def moves_of(prices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, N, 5) open, high, low and close over the asset's close before, volume as it is; and (N,) where prices begin.

    An asset's first bar, which has no close before, is held against its open. Without a bar there is NaN.
    """
    close = prices[..., CLOSE]
    there = np.isfinite(close)
    last = np.maximum.accumulate(np.where(there, np.arange(len(close))[:, None], -1), axis=0)
    before = np.concatenate([np.full((1, close.shape[1]), -1), last[:-1]])  # row of the close before, -1 if none
    held = np.where(before >= 0, np.take_along_axis(close, np.maximum(before, 0), axis=0), prices[..., OPEN])
    moves = prices.copy()
    moves[..., :VOLUME] /= held[..., None]
    first = np.argmax(there, axis=0)
    base = prices[first, np.arange(close.shape[1]), OPEN]
    return moves, np.where(there.any(axis=0), base, 1.0)


def rebuilt(moves: np.ndarray, base: np.ndarray) -> np.ndarray:
    """(T, N, 5) prices that begin at `base` and move by `moves`; a row without a bar leaves the level where it was."""
    steps = np.where(np.isfinite(moves[..., CLOSE]), moves[..., CLOSE], 1.0)
    level = np.cumprod(np.concatenate([base[None], steps]), axis=0)  # (T + 1, N)
    prices = moves.copy()
    prices[..., :VOLUME] *= level[:-1, :, None]
    return prices


def joined(markets: Sequence[Market]) -> tuple[Market, list[slice]]:
    """Several markets one after the other as one, and the rows of each, so that episodes can be kept inside one.

    They need the same columns, number of assets and bars per year. Where a market would begin before the one in front
    of it ends, its clock is put on by whole weeks: hours and weekdays stay true, years do not. Assets of different
    names that stand in one place are named together.

    >>> market, parts = joined([Market.flat(10, ("BTC",)), Market.flat(5, ("ETH",))])
    >>> market.assets, parts, str(market.time[10])[:13]
    (('BTC+ETH',), [slice(0, 10, None), slice(10, 15, None)], '2020-01-08T01')
    """
    if not markets:
        raise UserError("no markets to join: give at least one")
    first = markets[0]
    for other in markets[1:]:
        for name, a, b in (("columns", first.columns, other.columns), ("assets", len(first.assets), len(other.assets)),
                           ("bars_per_year", first.bars_per_year, other.bars_per_year)):
            if a != b:
                raise UserError(f"markets to be joined must agree in {name}, found {a} and {b}; build them with the "
                                "same settings")
    times: list[np.ndarray] = []
    for market in markets:
        time, last = market.time, times[-1][-1] if times else None
        if len(time) and last is not None and time[0] <= last:
            time = time + ((last - time[0]) // WEEK + 1) * WEEK
        times += [time] * bool(len(time))
    starts = np.cumsum([0, *(len(market) for market in markets)]).tolist()
    absences = [np.zeros(market.carry.shape, bool) if market.absent is None else market.absent for market in markets]
    spreads = [np.full(market.carry.shape, np.nan) if market.spread is None else market.spread for market in markets]
    begins = {start + part.start for market, start in zip(markets, starts) for part in market.parts} - {0}
    whole = Market(
        time=np.concatenate([first.time[:0], *times]),
        assets=tuple("+".join(dict.fromkeys(names)) for names in zip(*(market.assets for market in markets))),
        prices=np.concatenate([market.prices for market in markets]),
        features=np.concatenate([market.features for market in markets]),
        columns=first.columns,
        carry=np.concatenate([market.carry for market in markets]),
        segments=np.concatenate([market.segments + start for market, start in zip(markets, starts)]),
        bars_per_year=first.bars_per_year,
        spread=None if all(market.spread is None for market in markets) else np.concatenate(spreads),
        absent=None if all(market.absent is None for market in markets) else np.concatenate(absences),
        begins=np.array(sorted(begins), np.int64) if begins else None,
    )
    return whole, [slice(start, stop) for start, stop in pairwise(starts)]


def by_asset(market: Market) -> tuple[Market, list[slice]]:
    """The assets of `market` as markets of one asset each, joined; for a policy that is to trade any one of them.

    Rows on which an asset has no bar are left out of its part; that and features that are not ready end a segment.

    >>> market, parts = by_asset(Market.flat(10, ("BTC", "ETH")))
    >>> market.assets, market.features.shape, parts[1]
    (('BTC+ETH',), (20, 1, 1), slice(10, 20, None))
    """
    return joined([alone(market, n) for n in range(len(market.assets))])


def alone(market: Market, n: int) -> Market:
    """The bars of asset `n` as a market of their own."""
    there = np.flatnonzero(np.isfinite(market.prices[:, n, CLOSE]))
    owner = np.full(len(market), -1)  # which segment a row belongs to; -1: none
    for number, (start, stop) in enumerate(market.segments):
        owner[start:stop] = number
    if market.absent is not None:
        owner[market.absent[:, n]] = -1
    mine = owner[there]
    breaks = np.flatnonzero((np.diff(there) > 1) | (np.diff(mine) != 0)) + 1
    borders = np.array([0, *breaks, len(there)])
    runs = np.stack([borders[:-1], borders[1:]], axis=1)
    runs = runs[runs[:, 1] > runs[:, 0]]
    features = market.features[there, n : n + 1].copy()
    features[mine < 0] = np.nan
    begins = np.searchsorted(there, [] if market.begins is None else market.begins)
    begins = np.unique(begins[(begins > 0) & (begins < len(there))])
    return replace(
        market,
        time=market.time[there],
        assets=market.assets[n : n + 1],
        prices=market.prices[there, n : n + 1],
        features=features,
        carry=market.carry[there, n : n + 1],
        spread=None if market.spread is None else market.spread[there, n : n + 1],
        absent=None,
        segments=runs[mine[runs[:, 0]] >= 0],
        begins=begins if len(begins) else None,
    )
