"""What the chain says: activity, fees, security, and coins on their way to and from exchanges."""

from __future__ import annotations

import pandas as pd

from data.features.base import Feature, Series, log, one, zscore


def log_z(column: str, bars: int) -> Series:
    return lambda f: zscore(log(f[column]), bars)


def netflow(f: pd.DataFrame) -> pd.Series:
    """Coins leaving exchanges against coins arriving; leaving ones are not about to be sold."""
    return log(f["exchange_outflow"] / f["exchange_inflow"])


def line(name: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = 0.0) -> Feature:
    return Feature(name, "onchain", lookback, needs, meaning, one(name, value), neutral)


FLOWS = ("exchange_inflow", "exchange_outflow")

ONCHAIN = [
    *(line(f"{column}_z", 168, (column,), f"log {column} in deviations of its last 168 rows", log_z(column, 168))
      for column in ("active_addresses", "tx_count", "exchange_inflow", "exchange_outflow", "nvt")),
    line("active_addresses_6", 6, ("active_addresses",), "log active addresses of 6 rows against those of 1",
         lambda f: log(f["active_addresses"].rolling(6).mean() / f["active_addresses"]), None),
    line("netflow", 1, FLOWS, "log outflow over inflow", netflow, None),
    line("netflow_6", 6, FLOWS, "mean of 6 rows of log outflow over inflow", lambda f: netflow(f).rolling(6).mean(),
         None),
    line("netflow_z", 168, FLOWS, "log outflow over inflow in deviations of its last 168 rows",
         lambda f: zscore(netflow(f), 168)),
    line("fee_z", 168, ("fees", "tx_count"), "log fee of a transaction in deviations of its last 168 rows",
         lambda f: zscore(log(f["fees"] / f["tx_count"]), 168)),
    line("hash_rate_168", 169, ("hash_rate",), "log change of the hash rate over 168 rows",
         lambda f: log(f["hash_rate"]).diff(168), None),
    line("mvrv", 1, ("mvrv",), "log market value over realised value", lambda f: log(f["mvrv"]), None),
    line("mvrv_24", 25, ("mvrv",), "its change over 24 rows", lambda f: log(f["mvrv"]).diff(24), None),
]
