"""The best possible forecast of a simulated market: what its law says at each close, from what is visible there.

A learner's log loss or QLIKE has this as its floor, as far as the past tells; `Truth` has what not even that tells.

The mean and the volatility follow in closed form from the belief (filtering.py). For direction and quantiles,
`samples` futures of volatility and jumps are drawn at each row. Given one, the return of the horizon is normal, since z
and the shocks are, so the law is a mixture of normals (Rao-Blackwellised: Doucet, Godsill and Andrieu 2000, section
IV). Another seed, or twice the samples, moves the log loss of 6,000 rows by less than 1e-4.

At edge 0 a part of the log loss of down, flat and up can be learnt all the same: how likely flat is follows from the
volatility. docs/results/forecasts.md has what can be known on two markets, and how much of it models found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from configs.errors import UserError
from data.simulator.config import SimulatorConfig
from data.simulator.draws import stream
from data.simulator.filtering import (
    CLUSTER_DECAY,
    CLUSTERS,
    Belief,
    filtered,
    hours_of,
    regime_chain,
)
from data.simulator.regimes import CLUSTER_SPREAD, regime_levels, season
from data.sources.base import RawData

compiled = njit(cache=True, error_model="numpy")


@dataclass(frozen=True, eq=False)
class BestForecast:
    """Row t: the law of bars t+1 .. t+horizon given all that is visible at close t."""

    direction: np.ndarray  # (T, 3)  P(down, flat, up); NaN where the band is
    quantiles: np.ndarray  # (T, Q)  log return over the horizon, lowest level first
    volatility: np.ndarray  # (T,)    root of the mean of the mean square log return of a bar: least QLIKE
    mean: np.ndarray  # (T,)    log return over the horizon: the mean of `Truth.over(horizon)`


def best_forecast(raw: RawData, config: SimulatorConfig, *, horizon: int, band: np.ndarray,
                  volatility_bars: int | None = None, levels: Sequence[float] = (0.1, 0.5, 0.9), samples: int = 400,
                  seed: int = 0) -> BestForecast:
    """The best forecast of `raw`, which is `simulate(config)` or its beginning.

    A log return within +-band (T, N) counts as flat. The volatility is that of the next `volatility_bars`; None: of the
    horizon. `seed` is of the futures drawn.

    >>> from data.simulator.simulate import simulate
    >>> config = SimulatorConfig(bars=50, edge=0.3)
    >>> forecast = best_forecast(simulate(config), config, horizon=6, band=np.full((50, 1), 0.005))
    >>> forecast.direction.shape, forecast.quantiles.shape, bool((forecast.direction.sum(axis=1).round(9) == 1).all())
    ((50, 3), (50, 3), True)
    """
    looked = horizon if volatility_bars is None else volatility_bars
    if horizon < 1 or looked < 1 or samples < 1:
        raise UserError(f"horizon, volatility_bars and samples must be at least 1, found {horizon}, {looked} and "
                        f"{samples}")
    if not levels or not 0 < min(levels) <= max(levels) < 1 or list(levels) != sorted(levels):
        raise UserError(f"levels must rise between 0 and 1, found {tuple(levels)}; such as (0.1, 0.5, 0.9)")
    belief, hours = filtered(raw, config), hours_of(raw)
    if band.shape != (len(hours), 1):
        raise UserError(f"band must be (T, N) = {(len(hours), 1)}, one half-width of flat per row, found {band.shape}")
    mean, square = np.zeros(len(hours)), np.zeros(len(hours))
    far = max(horizon, looked)
    ahead = states_ahead(belief, config, far)
    for k in range(far):
        activity = season(hours + k + 1)
        first, second = _bar_moments(belief, config, k + 1, activity, ahead.mean[:, k], ahead.variance[:, k])
        mean += first if k < horizon else 0.0
        square += second / looked if k < looked else 0.0
    base = config.sigma * season(hours[:, None] + np.arange(1, horizon + 1))  # (T, horizon)
    direction, quantiles = _laws(
        belief.weight.reshape(len(hours), -1), *ahead, base, band[:, 0], regime_levels(), 1 - np.diag(regime_chain()),
        CLUSTERS, CLUSTER_DECAY, CLUSTER_SPREAD, config.edge, config.jump_rate, config.jump_size, np.array(levels),
        samples, stream(config.seed, f"best forecast {seed}"))
    return BestForecast(direction, quantiles, np.sqrt(square), mean)


class StatesAhead(NamedTuple):
    """z of bars t+1 .. t+K, given what is visible at close t; a Markov chain still."""

    mean: np.ndarray  # (T, K)
    variance: np.ndarray  # (T, K)
    slope: np.ndarray  # (T, K) of the next one on this one


def states_ahead(belief: Belief, config: SimulatorConfig, bars: int) -> StatesAhead:
    """What the belief says of the next `bars`: as far as the columns lead, and from there on by decay.

    >>> from data.simulator.simulate import simulate
    >>> config = SimulatorConfig(bars=50)
    >>> ahead = states_ahead(filtered(simulate(config), config), config, 500)
    >>> ahead.mean.shape, ahead.variance[-1, [0, 10, 23, 499]].round(2).tolist()
    ((50, 500), [0.05, 0.21, 0.63, 1.0])
    """
    phi = 0.5 ** (1 / config.half_life)
    shown = belief.mean.shape[1] - 1
    beyond = phi ** np.arange(1, max(bars - shown, 0) + 1)
    mean = np.concatenate([belief.mean[:, 1:], belief.mean[:, -1:] * beyond], axis=1)
    variance = np.concatenate([belief.variance[:, 1:], 1 - (1 - belief.variance[:, -1:]) * beyond**2], axis=1)
    slope = np.full_like(mean, phi)
    slope[:, : shown - 1] = belief.covariance[:, 1:] / belief.variance[:, 1:-1]
    return StatesAhead(mean[:, :bars], variance[:, :bars], slope[:, :bars])


def _bar_moments(belief: Belief, config: SimulatorConfig, ahead: int, activity: np.ndarray, z: np.ndarray,
                 z_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T,) mean and mean square of the log return of one bar, `ahead` of each row; `activity` is its season."""
    order = np.arange(1, 5)[:, None]
    kept = CLUSTER_DECAY**ahead
    cluster = np.exp(order * CLUSTER_SPREAD * kept * CLUSTERS - order * CLUSTER_SPREAD**2
                     + (order * CLUSTER_SPREAD) ** 2 * (1 - kept**2) / 2)  # (4, C)
    regime = np.linalg.matrix_power(regime_chain(), ahead) @ regime_levels()[:, None] ** np.arange(1, 5)  # (3, 4)
    table = regime.T[:, :, None] * cluster[:, None]  # (4, 3, C)
    scale = config.sigma * activity
    s1, s2, s3, s4 = (belief.weight.reshape(len(z), -1) @ table.reshape(4, -1).T * scale[:, None] ** order.T).T
    edge, jump = config.edge, config.jump_rate * config.jump_size**2
    first = edge * s1 * z - (1 + jump) * s2 / 2
    second = (s2 * (1 + edge**2 * (z**2 + z_variance) + jump) - s3 * edge * z * (1 + jump)
              + s4 * (1 / 4 + jump / 2 + jump * config.jump_size**2 / 4))
    return first, second


@compiled
def _laws(weight, z, z_variance, slope, base, band, levels, leave, clusters, decay, cluster_spread, edge,
          rate, jump_size, at, samples, rng):
    rows, horizon = base.shape
    step = math.sqrt(1 - decay**2)
    direction, quantiles = np.empty((rows, 3)), np.empty((rows, len(at)))
    means, spreads = np.empty(samples), np.empty(samples)
    for t in range(rows):
        cell, reached, start = 0, weight[t, 0], rng.random()
        for i in range(samples):
            while (i + start) / samples > reached and cell < weight.shape[1] - 1:
                cell += 1
                reached += weight[t, cell]
            regime, cluster = cell // len(clusters), clusters[cell % len(clusters)]
            mean = variance = shared = joint = 0.0  # joint: variance of the sum of sigma z; shared: with the last z
            for k in range(horizon):
                if rng.random() < leave[regime]:
                    regime = (regime + (1 if rng.random() < 0.5 else 2)) % len(levels)
                cluster = decay * cluster + step * rng.standard_normal()
                sigma = base[t, k] * levels[regime] * math.exp(cluster_spread * cluster - cluster_spread**2)
                mean += edge * sigma * z[t, k] - sigma**2 / 2
                variance += sigma**2
                shared = shared * slope[t, k - 1] if k else 0.0
                joint += sigma * (2 * shared + sigma * z_variance[t, k])
                shared += sigma * z_variance[t, k]
                if rng.random() < rate:
                    size = (jump_size * sigma) ** 2
                    mean -= size / 2
                    variance += size
            means[i], spreads[i] = mean, math.sqrt(variance + edge**2 * joint)
        under, over = _below(-band[t], means, spreads)[0], _below(band[t], means, spreads)[0]
        direction[t, 0], direction[t, 1], direction[t, 2] = under, over - under, 1 - over
        for q in range(len(at)):
            quantiles[t, q] = _quantile(at[q], means, spreads)
    return direction, quantiles


@compiled
def _below(x, means, spreads):
    """Probability and density at x of an even mixture of normals."""
    below = density = 0.0
    for i in range(len(means)):
        u = (x - means[i]) / spreads[i]
        below += math.erfc(-u / math.sqrt(2.0))
        density += math.exp(-u * u / 2) / spreads[i]
    return below / 2 / len(means), density / math.sqrt(2 * math.pi) / len(means)


@compiled
def _quantile(level, means, spreads):
    """By Newton's steps, or halving where one leaves the bracket."""
    middle, wide = means.mean(), math.sqrt((spreads**2).mean() + means.var())
    low, high = middle - 20 * wide, middle + 20 * wide  # Chebyshev: outside lies 1/400 at the most
    x = middle
    for _ in range(60):
        below, density = _below(x, means, spreads)
        if below < level:
            low = x
        else:
            high = x
        nearer = x - (below - level) / density if density > 0 else low
        if not low < nearer < high:
            nearer = (low + high) / 2
        if abs(nearer - x) < 1e-7 * wide:
            return nearer
        x = nearer
    return x
