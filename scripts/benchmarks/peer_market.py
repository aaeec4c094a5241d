"""The one market that ours and the peers' environments walk; it goes to the peers as a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.timing import BARS, FEATURES

if TYPE_CHECKING:  # a peer's Python has none of ours
    from data.market import Market

Walk = Callable[[int], int]  # takes so many steps of every account and says how many that was
FEE, BORROW_PER_BAR = 5e-4, 0.05 / 8760  # of our default costs, what the peers know
COLUMNS = ["open", "high", "low", "close", "volume"]
SHARED = Path(os.environ.get("COINARENA_SHARED_DATA", str(Path(__file__).parents[2] / "../shared/data"))).resolve()
REAL = "hourly/spot_binance_BTCUSDT.parquet"


def hourly_bars(rows: int) -> tuple[pd.DataFrame, str]:
    """The last `rows` bars of real BTC on the times of their closes, or simulated ones, and which of them it is."""
    path = SHARED / REAL
    if path.exists():
        bars = pd.read_parquet(path)[COLUMNS].tail(rows)
        bars.index = bars.index + pd.Timedelta("1h")  # the file names when a bar opened
        return bars, f"real hourly BTC, {bars.index[0]:%Y-%m-%d} to {bars.index[-1]:%Y-%m-%d}"
    from data.simulator.config import SimulatorConfig
    from data.simulator.simulate import simulate

    bars = simulate(SimulatorConfig(bars=rows, assets=("BTC",))).bars["BTC"].set_index("time")[COLUMNS]
    return bars, f"the simulated market, as no real data lie at {path}"


def make_market(folder: Path) -> tuple[Market, Path, str]:
    """The market for us, the file of it for the peers, and what it is."""
    from data.market import Market

    bars, told = hourly_bars(BARS + FEATURES)
    log = np.log(bars["close"])
    moves = pd.concat([log.diff(lag) for lag in range(1, FEATURES + 1)], axis=1).iloc[FEATURES:]
    features = (moves / moves.std()).to_numpy(np.float32)
    prices = bars.to_numpy()[FEATURES:]
    time = pd.DatetimeIndex(bars.index[FEATURES:]).tz_localize(None).to_numpy().astype("datetime64[us]")
    file = folder / "market.npz"
    np.savez(file, time=time, prices=prices, features=features)
    gaps = np.flatnonzero(np.diff(time) != np.timedelta64(1, "h")) + 1
    borders = np.array([0, *gaps, BARS])
    market = Market(time=time, assets=("BTC",), prices=prices[:, None], features=features[:, None],
                    columns=tuple(f"move_{lag}" for lag in range(1, FEATURES + 1)), carry=np.zeros((BARS, 1)),
                    segments=np.stack([borders[:-1], borders[1:]], axis=1), bars_per_year=8760.0)
    return market, file, told


def read_market(path: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `make_market` wrote: bars and features on their times."""
    stored = np.load(path)
    index = pd.DatetimeIndex(stored["time"], name="timestamp")
    names = [f"feature_{n}" for n in range(stored["features"].shape[1])]
    return pd.DataFrame(stored["prices"], index, COLUMNS), pd.DataFrame(stored["features"], index, names)
