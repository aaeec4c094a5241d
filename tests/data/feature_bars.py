"""Bars for tests of features: of the simulator, and real ones where they lie beside the project."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from data.features.chaos import CHAOS
from data.features.fractal import FRACTAL
from data.features.moments import MOMENTS
from data.features.oscillators import OSCILLATORS
from data.features.ranges import RANGES
from data.features.returns import RETURNS
from data.features.spectral import SPECTRAL
from data.features.stops import STOPS
from data.features.technical import TECHNICAL
from data.features.trend import TREND
from data.features.volumes import VOLUMES
from data.simulator import SimulatorConfig
from data.simulator.simulate import simulate
from tests.data.real import real

BAR_FEATURES = [*RETURNS, *MOMENTS, *RANGES, *TECHNICAL, *TREND, *STOPS, *OSCILLATORS, *VOLUMES, *SPECTRAL, *FRACTAL,
                *CHAOS]
HAVE_KNOWN_ANSWERS = ("spectral", "fractal")  # groups with tests of their own
BY_COLUMN = {column: f for f in BAR_FEATURES for column in f.columns if f.group not in HAVE_KNOWN_ANSWERS}


def simulated(bars, seed):
    """The simulator's bars open where the last one closed; here some open elsewhere, so that there are gaps."""
    frame = simulate(SimulatorConfig(bars=bars, seed=seed)).bars["BTC"].reset_index(drop=True)
    jump = np.exp(np.random.default_rng(seed).normal(0, 1e-3, bars))
    return frame.assign(open=(frame["open"] * jump).clip(frame["low"], frame["high"]))


def crash():
    """Real hours through March 2020."""
    bars = pd.read_parquet(real("hourly/spot_binance_BTCUSDT.parquet"))
    return bars.iloc[21_000:24_000].reset_index(drop=True)


def bars_of(frame):
    """The columns as arrays under their initials, log returns, and two middles."""
    o, h, l, c, v = (frame[name].to_numpy(float, copy=True) for name in ("open", "high", "low", "close", "volume"))  # noqa: E741
    return SimpleNamespace(o=o, h=h, l=l, c=c, v=v, r=np.diff(np.log(c)), mid=(h + l) / 2, typical=(h + l + c) / 3)
