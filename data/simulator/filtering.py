"""What each close tells of what drives the simulated market: its volatility, and the state behind its drift.

The volatility is filtered on a grid over (regime, cluster), exactly up to the grid's step. Given sigma, the move of a
bar and the reach of its high and low are independent, so that a bar weighs sigma as five squared normals would and not
as one; a jump shifts all three and is integrated over. The state z is filtered by Kalman's recursion over z of bars
t .. t+MAX_LEAD-1, which the leading columns show and the bar's own return shows a little.

The two meet in the return alone, which is `edge z + e - sigma/2` in units of sigma. Its update is exact; afterwards z
is summed up in one Gaussian for all sigmas, as if independent of them (assumed density filtering: Minka 2001, section
3.1): an approximation that fades with the edge, whose calibration the tests hold.

Nothing else of the market says more: volume follows from the size of the return and a tide of its own, mvrv and nvt
from prices and volume, and the remaining columns, the rates, the markets and the funding have random numbers of their
own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from configs.errors import UserError
from data.simulator.config import SimulatorConfig
from data.simulator.context import AMPLITUDE, LEADS, MAX_LEAD, MIDDLES, NOISE, SIGNS
from data.simulator.regimes import CLUSTER_HALF_LIFE, CLUSTER_SPREAD, REGIMES, regime_levels, season
from data.sources.base import RawData

REACH, STEP = 4.4, 0.2  # of the grid over clusters: finer than the 0.27 by which one moves in a bar
CLUSTERS = np.linspace(-REACH, REACH, round(2 * REACH / STEP) + 1)  # (C,)
CLUSTER_DECAY = 0.5 ** (1 / CLUSTER_HALF_LIFE)
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(20)  # for the size of a jump

compiled = njit(cache=True, error_model="numpy")


@dataclass(frozen=True, eq=False)
class Belief:
    """Row t: given all that is visible at close t."""

    weight: np.ndarray  # (T, 3, C) probability of each regime and cluster of bar t
    mean: np.ndarray  # (T, L) of z of bars t .. t+L-1, L = MAX_LEAD
    variance: np.ndarray  # (T, L)
    covariance: np.ndarray  # (T, L-1) of neighbours


def regime_chain() -> np.ndarray:
    """(3, 3) chance of going from a regime (row) to another from one bar to the next.

    >>> regime_chain().sum(axis=1).round(12).tolist()
    [1.0, 1.0, 1.0]
    """
    leave = -np.expm1([-1 / regime.spell for regime in REGIMES])  # spells are rounded up exponentials
    chain = np.repeat(leave[:, None] / (len(REGIMES) - 1), len(REGIMES), axis=1)
    np.fill_diagonal(chain, 1 - leave)
    return chain


def cluster_chain() -> np.ndarray:
    """(C, C) chance of going from a cluster of the grid (row) to another."""
    far = (CLUSTERS[None] - CLUSTER_DECAY * CLUSTERS[:, None]) ** 2 / (1 - CLUSTER_DECAY**2)
    chain = np.exp(-far / 2)
    return chain / chain.sum(axis=1, keepdims=True)


def first_weight() -> np.ndarray:
    """(3, C) before the first bar: the path of regimes hops away from the middle one before it starts."""
    regimes = np.array([0.5, 0.0, 0.5])
    clusters = np.exp(-(CLUSTERS**2) / 2)
    return regimes[:, None] * clusters / clusters.sum()


def hours_of(raw: RawData) -> np.ndarray:
    """(T,) hours since the epoch at which bars close, which is how `season` counts."""
    return raw.bars[raw.assets[0]]["time"].dt.tz_convert(None).to_numpy("datetime64[h]").astype(np.int64)


def filtered(raw: RawData, config: SimulatorConfig) -> Belief:
    """The belief at each close of `simulate(config)`, or of any bars and columns that follow the same law.

    >>> from data.simulator.simulate import simulate
    >>> config = SimulatorConfig(bars=50)
    >>> belief = filtered(simulate(config), config)
    >>> belief.weight.shape, belief.mean.shape, bool(belief.variance[-1, 1] < 0.3)
    ((50, 3, 45), (50, 12), True)
    """
    if len(raw.assets) != 1 or len(config.assets) != 1:
        raise UserError(f"the best forecast is worked out for one asset, found {', '.join(raw.assets)}; simulate one: "
                        "simulator.assets=('BTC',)")
    asset, = raw.assets
    bars, chain = raw.bars[asset], raw.context["onchain_hourly", asset]
    opened, high, low, close = (bars[name].to_numpy() for name in ("open", "high", "low", "close"))
    moves = np.log(np.stack([close, high, low], axis=1) / opened[:, None])  # (T, 3)
    # a bar whose high or low is its open to the bit began with a jump away from it
    held = np.stack([high == opened, low == opened], axis=1)
    columns = list(LEADS)
    shown = np.log(chain[columns].to_numpy() / [MIDDLES[name] for name in columns])  # (T, columns)
    shown /= AMPLITUDE * np.array([SIGNS[name] for name in columns])
    fast = regime_levels()[:, None] * np.exp(CLUSTER_SPREAD * CLUSTERS - CLUSTER_SPREAD**2)  # (3, C)
    phi = 0.5 ** (1 / config.half_life)
    apart = np.abs(np.subtract.outer(np.arange(MAX_LEAD), np.arange(MAX_LEAD)))
    return Belief(*_filter(
        moves, held, config.sigma * season(hours_of(raw)), shown,
        np.array([LEADS[name] - 1 for name in columns]),  # at close t the newest row is that of bar t-1
        np.array([NOISE[name] ** 2 for name in columns]),
        first_weight(), regime_chain(), cluster_chain(), fast, phi, phi**apart, config.edge,
        config.jump_rate if config.jump_size else 0.0, config.jump_size, NODES, NODE_WEIGHTS))


@compiled
def _filter(moves, held, base, shown, offsets, noises, weight, regimes, clusters, fast, phi, cov, edge, rate, jump_size,
            nodes, node_weights):
    rows, lags = len(moves), len(cov)
    weights = np.empty((rows, *weight.shape))
    means, variances, neighbours = np.empty((rows, lags)), np.empty((rows, lags)), np.empty((rows, lags - 1))
    mean, moved = np.zeros(lags), np.empty_like(weight)
    log_like, seen, seen2 = np.empty(fast.shape), np.empty(fast.shape), np.empty(fast.shape)
    for t in range(rows):
        if t:
            _carry_weight(weight, moved, regimes, clusters)
            _carry_state(mean, cov, phi)
            for n, at in enumerate(offsets):
                spread = cov[at, at] + noises[n]
                _learn(mean, cov, at, 1.0, spread, shown[t - 1, n] - mean[at], 0.0)
        spread = 1 + edge**2 * cov[0, 0]  # variance of the return given the past, in units of sigma^2
        top = -np.inf
        for g in range(fast.shape[0]):
            for c in range(fast.shape[1]):
                sigma = base[t] * fast[g, c]
                drift = edge * sigma * mean[0] - sigma**2 / 2
                log_like[g, c], seen[g, c], seen2[g, c] = bar_likelihood(
                    moves[t], held[t], sigma, drift, spread, rate, jump_size * sigma, nodes, node_weights)
                top = max(top, log_like[g, c])
        total = first = second = 0.0
        for g in range(fast.shape[0]):
            for c in range(fast.shape[1]):
                weight[g, c] *= math.exp(log_like[g, c] - top)
                total += weight[g, c]
                first += weight[g, c] * seen[g, c]
                second += weight[g, c] * seen2[g, c]
        _learn(mean, cov, 0, edge, spread, first / total, second / total - (first / total) ** 2)
        for g in range(fast.shape[0]):
            for c in range(fast.shape[1]):
                weight[g, c] /= total
                weights[t, g, c] = weight[g, c]
        for k in range(lags):
            means[t, k], variances[t, k] = mean[k], cov[k, k]
            if k:
                neighbours[t, k - 1] = cov[k, k - 1]
    return weights, means, variances, neighbours


@compiled
def _carry_weight(weight, moved, regimes, clusters):
    """One bar on: clusters move, then regimes. Loops, since compiled array products take 20 seconds to compile."""
    moved[:] = 0.0
    for g in range(weight.shape[0]):
        for c in range(weight.shape[1]):
            for to in range(weight.shape[1]):
                moved[g, to] += weight[g, c] * clusters[c, to]
    weight[:] = 0.0
    for g in range(weight.shape[0]):
        for to in range(weight.shape[0]):
            for c in range(weight.shape[1]):
                weight[to, c] += regimes[g, to] * moved[g, c]


@compiled
def _carry_state(mean, cov, phi):
    """One bar on: the first z leaves, and a new one follows the last."""
    last = len(mean) - 1
    for k in range(last):
        mean[k] = mean[k + 1]
        for j in range(last):
            cov[k, j] = cov[k + 1, j + 1]
    mean[last] *= phi
    for k in range(last):
        cov[last, k] = cov[k, last] = phi * cov[last - 1, k]
    cov[last, last] = phi**2 * cov[last - 1, last - 1] + 1 - phi**2


@compiled
def _learn(mean, cov, at, slope, spread, surprise, unsure):
    """Kalman's update by `slope z[at] + noise`, of variance `spread`; what it surprises by is known up to `unsure`."""
    gain = slope * cov[:, at] / spread
    mean += gain * surprise
    for k in range(len(mean)):
        for j in range(len(mean)):
            cov[k, j] += gain[k] * gain[j] * (unsure - spread)


@compiled
def bar_likelihood(move, held, sigma, drift, spread, rate, size, nodes, node_weights):
    """Log likelihood of a bar (close, high, low against its open) given its sigma, with and without a jump; and mean
    and mean square of what its return surprises by, in sigmas.

    Given the move m of a bridge, P(its top passes u) = exp(-2 u (u - m) / sigma^2), and its bottom likewise.
    """
    m, u, d = move
    v = sigma**2
    calm = -np.inf
    plain = (m - drift) / sigma
    if not (held[0] or held[1]) or rate == 0:
        calm = (math.log(4 * (2 * u - m) * (m - 2 * d) * (1 - rate)) - 5 * math.log(sigma)
                - plain**2 / spread / 2 - 2 * (u * (u - m) + d * (d - m)) / v)
    if rate == 0:
        return calm, plain, plain**2
    # What a jump x does to the exponent is quadratic: where it is highest, and how wide.
    narrow = 1 / (v * spread) + 1 / size**2
    pull_up, pull_down = 0.0 if held[0] else 2 * (u - m) / v, 0.0 if held[1] else 2 * (d - m) / v
    best = ((m - drift) / (v * spread) + pull_up + pull_down - 0.5) / narrow
    wide = 6 / math.sqrt(narrow)
    start, stop = max(d, min(best, u) - wide), min(u, max(best, d) + wide)
    peak = _jumped(min(max(best, d), u), m, u, d, drift, v * spread, size, pull_up, pull_down)
    total = first = second = 0.0
    for n in range(len(nodes)):
        x = (start + stop) / 2 + (stop - start) / 2 * nodes[n]
        part = node_weights[n] * math.exp(_jumped(x, m, u, d, drift, v * spread, size, pull_up, pull_down) - peak)
        # a side that the jump left behind shows nothing but that the bridge did not come back to the open
        part *= -math.expm1(-2 * x * m / v) if held[0] else 2 * (2 * u - m - x)
        part *= -math.expm1(-2 * x * m / v) if held[1] else 2 * (m - 2 * d + x)
        surprise = (m - x - drift) / sigma
        total += part
        first += part * surprise
        second += part * surprise**2
    if not total > 0:
        return calm, plain, plain**2
    sides = (not held[0]) + (not held[1])
    struck = (peak + math.log(total * (stop - start) / 2 * rate / size) - 0.5 * math.log(2 * math.pi)
              - (1 + 2 * sides) * math.log(sigma))
    top = max(calm, struck)
    log_like = top + math.log(math.exp(calm - top) + math.exp(struck - top))
    share = math.exp(struck - log_like)
    return (log_like, (1 - share) * plain + share * first / total,
            (1 - share) * plain**2 + share * second / total)


@compiled
def _jumped(x, m, u, d, drift, variance, size, pull_up, pull_down):
    """The exponent of a bar that began with a jump x."""
    return (-(m - x - drift) ** 2 / variance / 2 - (u - x) * pull_up - (d - x) * pull_down
            - (x + size**2 / 2) ** 2 / size**2 / 2)
