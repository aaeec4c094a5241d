"""Randomness in named streams: each quantity of each asset draws from its own, so that asking for more bars, or for
more assets, changes nothing that was there before.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str, asset: str = "") -> np.random.Generator:
    """The random numbers of one quantity.

    >>> bool((stream(0, "x").random(3) == stream(0, "x").random(9)[:3]).all())
    True
    """
    return np.random.default_rng([seed, zlib.crc32(f"{name}/{asset}".encode())])


def ar1(rng: np.random.Generator, rows: int, half_life: float) -> np.ndarray:
    """(rows,) first-order autoregression with mean 0 and variance 1, started in its stationary law."""
    phi = 0.5 ** (1 / half_life)
    shocks = rng.standard_normal(rows)
    shocks[1:] *= np.sqrt(1 - phi**2)
    return recursion(shocks, phi)


def recursion(inputs: np.ndarray, phi: float) -> np.ndarray:
    """y[t] = phi y[t-1] + inputs[t], from y[-1] = 0.

    >>> recursion(np.array([1.0, 0.0, 2.0]), 0.5).tolist()
    [1.0, 0.5, 2.25]
    """
    from scipy.signal import lfilter  # a second to import, which a --help need not wait for

    return lfilter([1.0], [1.0, -phi], inputs)


def shared_and_own(common: np.ndarray, own: np.ndarray, correlation: float) -> np.ndarray:
    """Unit variance from two unit variances; any two assets then correlate by `correlation`."""
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
