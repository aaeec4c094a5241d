"""On-chain and macro tables beside the bars, each row with the moment it became known.

Three on-chain columns carry the hidden state before prices do (LEADS); everything else only follows. With edge 0 they
carry it still, and it moves nothing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.schema import US_BUSINESS_DAY
from data.simulator.config import SimulatorConfig
from data.simulator.draws import ar1, recursion, stream

# column -> bars by which it runs ahead: its row of bar s carries z of bar s + lead.
# It is known DELAY after the close, so a decision at close t sees the row of bar t-1, and through it z of bar t-1+lead.
LEADS = {"exchange_inflow": 6, "exchange_outflow": 6, "active_addresses": 12}
SIGNS = {"exchange_inflow": -1.0, "exchange_outflow": 1.0, "active_addresses": 1.0}  # coins flow in to be sold
NOISE = {"exchange_inflow": 0.6, "exchange_outflow": 0.6, "active_addresses": 1.2}  # against z's own deviation of 1
MIDDLES = {"exchange_inflow": 1e3, "exchange_outflow": 1e3, "active_addresses": 8e5}  # where z and noise are 0
AMPLITUDE = 0.12  # of log columns per deviation of what they carry
MAX_LEAD = max(LEADS.values())
DELAY = pd.Timedelta(minutes=20)
MACRO_HOUR = 22  # UTC, after the American close: a day's row is known from then on


def leading(config: SimulatorConfig, asset: str, column: str, z: np.ndarray, rows: int) -> np.ndarray:
    """(T,) positive column around its middle that shows z (rows + MAX_LEAD,) early."""
    lead = LEADS[column]
    noise = stream(config.seed, column, asset).standard_normal(rows)
    return MIDDLES[column] * np.exp(AMPLITUDE * (SIGNS[column] * z[lead : lead + rows] + NOISE[column] * noise))


def onchain(config: SimulatorConfig, asset: str, z: np.ndarray, prices: np.ndarray, time: pd.DatetimeIndex
            ) -> pd.DataFrame:
    """The on-chain table of one asset from z (rows + MAX_LEAD,) and its bars (rows, 5)."""
    rows = len(prices)
    close, traded = prices[:, 3], prices[:, 4]

    def tide(name: str, half_life: float, size: float) -> np.ndarray:
        return np.exp(size * ar1(stream(config.seed, name, asset), rows, half_life))

    traded = traded / 1e3
    tx_count = 3e4 * tide("tx_count", 72.0, 0.15) * (traded / traded[0]) ** 0.1
    realised = close[0] + recursion(0.0005 * (close - close[0]), 0.9995)  # slow mean of prices paid
    return pd.DataFrame({
        "known_at": time + DELAY,
        "active_addresses": leading(config, asset, "active_addresses", z, rows),
        "tx_count": tx_count,
        "fees": 2.0 * tide("fees", 24.0, 0.3) * tx_count / 3e4,
        "hash_rate": 1e8 * np.exp(0.002 * np.cumsum(stream(config.seed, "hash_rate", asset).standard_normal(rows))),
        "exchange_inflow": leading(config, asset, "exchange_inflow", z, rows),
        "exchange_outflow": leading(config, asset, "exchange_outflow", z, rows),
        "mvrv": close / realised,
        "nvt": 60.0 * (close / realised) * 3e4 / tx_count,
    })


def world(config: SimulatorConfig, time: pd.DatetimeIndex) -> dict[str, pd.DataFrame]:
    """Rates and markets of every business day, from five weeks before the first bar for its first hours to look at."""
    first = time[0].normalize() - pd.Timedelta(days=35)  # 21 rows at the least
    last = time[-1].normalize()
    days = pd.date_range(first.tz_convert(None), last.tz_convert(None), freq=US_BUSINESS_DAY, tz="UTC")
    rows = len(days)

    def shock(name: str) -> np.ndarray:
        return stream(config.seed, f"macro {name}").standard_normal(rows)

    fear = ar1(stream(config.seed, "macro vix"), rows, 20.0)
    surprise = np.diff(fear, prepend=0.0)
    level = 2.5 + 1.2 * ar1(stream(config.seed, "macro rates"), rows, 250.0)
    slope = 0.4 * ar1(stream(config.seed, "macro slope"), rows, 120.0)
    known = {"time": days + pd.Timedelta(hours=MACRO_HOUR), "known_at": days + pd.Timedelta(hours=MACRO_HOUR)}
    dollar = 100.0 * np.exp(0.06 * ar1(stream(config.seed, "macro dollar"), rows, 200.0))
    sp500 = 4000.0 * np.exp(np.cumsum(0.006 * shock("sp500") - 0.02 * surprise))
    gold = 1800.0 * np.exp(np.cumsum(0.009 * shock("gold")))
    return {
        "rates": pd.DataFrame({**known, "us10y": level + slope, "us2y": level - slope}),
        "markets": pd.DataFrame({**known, "dollar_index": dollar, "vix": 18.0 * np.exp(0.35 * fear), "sp500": sp500,
                                 "gold": gold}),
    }
