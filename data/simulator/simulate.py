"""The bundled market: hourly bars, on-chain and macro tables, and a dial for how much of tomorrow can be known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.market import hourly_times
from data.schema import EVERY_ASSET, OHLCV
from data.simulator.config import SimulatorConfig
from data.simulator.context import MAX_LEAD, onchain, world
from data.simulator.prices import bars, funding, hidden_state, returns
from data.simulator.regimes import volatility
from data.sources.base import RawData, Truth


def simulate(config: SimulatorConfig) -> RawData:
    """The market of `config`; the same config gives the same numbers.

    >>> raw = simulate(SimulatorConfig(bars=100, assets=("BTC", "ETH")))
    >>> raw.assets, len(raw.bars["ETH"]), sorted(raw.context)
    (('BTC', 'ETH'), 100, [('markets', 'all'), ('onchain_hourly', 'BTC'), ('onchain_hourly', 'ETH'), ('rates', 'all')])
    """
    stamps = hourly_times(config.bars)
    time = pd.DatetimeIndex(stamps, tz="UTC")
    hours = stamps.astype("datetime64[h]").astype(np.int64)
    z = hidden_state(config, config.bars + MAX_LEAD)  # (T + lead, N)
    paths = returns(config, volatility(config, hours), z[: config.bars])
    prices = bars(config, paths, hours)  # (T, N, 5)
    carry = funding(config, config.bars)
    following = np.concatenate([paths.mean[1:], np.full((1, len(config.assets)), np.nan)])  # row t: bar t+1
    context = {("onchain_hourly", a): onchain(config, a, z[:, n], prices[:, n], time)
               for n, a in enumerate(config.assets)}
    context |= {(kind, EVERY_ASSET): table for kind, table in world(config, time).items()}
    return RawData(
        bars={a: pd.DataFrame({"time": time, **dict(zip(OHLCV, prices[:, n].T))}) for n, a in enumerate(config.assets)},
        context=context,
        carry={a: carry[:, n] for n, a in enumerate(config.assets)},
        bars_per_year=8760.0,
        truth=Truth(following),
    )
