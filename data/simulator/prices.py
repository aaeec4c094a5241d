"""Returns, and bars around them.

The log return of bar s is `edge * sigma_s * z_s - sigma_s^2 / 2 + sigma_s * e_s + jump`. The jump, N(-j^2/2, j^2), pays
for itself as the `-sigma^2/2` does, so that at edge 0 `E[close_s | past] = close_{s-1}` exactly: a fair game.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.simulator.config import SimulatorConfig
from data.simulator.draws import ar1, shared_and_own, stream
from data.simulator.regimes import season


@dataclass(frozen=True, eq=False)
class Paths:
    log_returns: np.ndarray  # (T, N)
    jumps: np.ndarray  # (T, N) the part of the log return that happens at once, at the bar's start
    sigma: np.ndarray  # (T, N)
    mean: np.ndarray  # (T, N) mean log return of the bar, given z and sigma


def hidden_state(config: SimulatorConfig, rows: int) -> np.ndarray:
    """(rows, N) the latent z, unit variance; one part is common, the other each asset's own."""
    common = ar1(stream(config.seed, "state"), rows, config.half_life)
    own = [ar1(stream(config.seed, "state", a), rows, config.half_life) for a in config.assets]
    return shared_and_own(common[:, None], np.stack(own, axis=1), config.correlation)


def returns(config: SimulatorConfig, sigma: np.ndarray, z: np.ndarray) -> Paths:
    rows = len(sigma)
    common = stream(config.seed, "shock").standard_normal(rows)
    own = np.stack([stream(config.seed, "shock", a).standard_normal(rows) for a in config.assets], axis=1)
    shock = shared_and_own(common[:, None], own, config.correlation)
    size = config.jump_size * sigma
    struck = np.stack([stream(config.seed, "jump", a).random(rows) for a in config.assets], axis=1) < config.jump_rate
    far = np.stack([stream(config.seed, "jump size", a).standard_normal(rows) for a in config.assets], axis=1)
    jumps = np.where(struck, size * far - size**2 / 2, 0.0)
    drift = config.edge * sigma * z - sigma**2 / 2
    return Paths(
        log_returns=drift + sigma * shock + jumps,
        jumps=jumps,
        sigma=sigma,
        mean=drift - config.jump_rate * size**2 / 2,
    )


def start_price(asset_number: int) -> float:
    return 10_000.0 / 10.0**asset_number


def bars(config: SimulatorConfig, paths: Paths, hours: np.ndarray) -> np.ndarray:
    """(T, N, 5) open high low close volume; each bar opens where the last one closed."""
    rows, assets = paths.log_returns.shape
    start = np.log([start_price(n) for n in range(assets)])
    log_close = start + np.cumsum(paths.log_returns, axis=0)
    log_open = np.concatenate([start[None], log_close[:-1]])
    # Extremes of the Brownian bridge from just after the jump to the close; each has its exact law, drawn apart.
    begin = log_open + paths.jumps
    move = log_close - begin
    reach = [
        np.stack([-2 * np.log1p(-stream(config.seed, side, a).random(rows)) for a in config.assets], axis=1)
        for side in ("high", "low")
    ]
    top = begin + (move + np.sqrt(move**2 + paths.sigma**2 * reach[0])) / 2
    bottom = begin + (move - np.sqrt(move**2 + paths.sigma**2 * reach[1])) / 2
    opened, closed = np.exp(log_open), np.exp(log_close)
    high = np.maximum(np.exp(top), np.maximum(opened, closed))
    low = np.minimum(np.exp(bottom), np.minimum(opened, closed))
    return np.stack([opened, high, low, closed, volume(config, paths, hours)], axis=-1)


def volume(config: SimulatorConfig, paths: Paths, hours: np.ndarray) -> np.ndarray:
    """(T, N) rises with the size of the return, with the hour and with a slow tide of its own."""
    rows = len(hours)
    tide = np.stack([ar1(stream(config.seed, "volume", a), rows, 60.0) for a in config.assets], axis=1)
    move = np.log1p(np.abs(paths.log_returns) / config.sigma)
    units = 1e7 / np.array([start_price(n) for n in range(len(config.assets))])
    return units * season(hours)[:, None] ** 2 * np.exp(0.7 * move + 0.4 * tide - 0.5)


def funding(config: SimulatorConfig, rows: int) -> np.ndarray:
    """(T, N) what a long pays a short over the bar; mean 0 and not shown in any column, so nobody earns it by plan."""
    paid = [ar1(stream(config.seed, "carry", a), rows, 8.0) for a in config.assets]
    return config.carry * np.stack(paid, axis=1)
