"""What the chain says: activity, fees, security, coins on exchanges, and what holders paid.

Three groups. `onchain_hourly` is the simulated chain, hour by hour beside the bars. `onchain` is a real one, day by
day: the names are Coin Metrics' under those of `data/schema.py`, and realised cap is market cap over MVRV.
`onchain_value` needs what only older collections hold: value transferred, difficulty, realised cap itself.

SOPR, RHODL and dormancy are not here: they need the age or the price of the coins that moved, which no table has.
Price over realised price is not either: with caps of one supply it is MVRV again.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from data.features.base import BARS, Feature, Series, log, one, zscore

CHAIN = "onchain"  # the kind of table that daily features are computed on
YEAR = 365
CYCLE = 4 * YEAR  # from one halving to the next
RIBBON = (9, 14, 25, 40, 60, 90, 128, 200)  # days of the averages of difficulty (W. Woo)
FLOWS = ("exchange_inflow", "exchange_outflow")


def log_z(column: str, rows: int) -> Series:
    return lambda f: zscore(log(f[column]), rows)


def log_change(column: str, rows: int) -> Series:
    return lambda f: log(f[column]).diff(rows)


def log_means(over: str, under: str, rows: int) -> Series:
    """Log of the ratio of two sums: a day of next to nothing does not upset it."""
    return lambda f: log(f[over].rolling(rows).mean() / f[under].rolling(rows).mean())


def log_growth(column: str, rows: int) -> Series:
    """Mean of the last `rows` against that of the `rows` before: whole weeks, so weekends cancel."""

    def growth(f: pd.DataFrame) -> pd.Series:
        mean = f[column].rolling(rows).mean()
        return log(mean / mean.shift(rows))

    return growth


def hourly_netflow(f: pd.DataFrame) -> pd.Series:
    """Coins leaving exchanges against coins arriving; leaving ones are not about to be sold."""
    return log(f["exchange_outflow"] / f["exchange_inflow"])


def netflow(rows: int) -> Series:
    """The same between -1 and 1, since real flows may be 0; and 0 where nothing flowed.

    >>> netflow(1)(pd.DataFrame({"exchange_inflow": [1.0, 0.0], "exchange_outflow": [3.0, 0.0]})).tolist()
    [0.5, 0.0]
    """

    def share(f: pd.DataFrame) -> pd.Series:
        inflow, outflow = (f[column].rolling(rows).sum() for column in FLOWS)
        flow = inflow + outflow
        return ((outflow - inflow) / flow.where(flow > 0)).fillna(0.0)

    return share


def fees_over_issuance(f: pd.DataFrame) -> pd.Series:
    return log(1 + f["fees"].rolling(7).mean() / f["issuance"].rolling(7).mean())


def realised_cap(f: pd.DataFrame) -> pd.Series:
    """All coins at the prices at which they last moved."""
    return f["market_cap"] / f["mvrv"]


def realised_change(rows: int) -> Series:
    return lambda f: log(realised_cap(f)).diff(rows)


def mvrv_z_score(f: pd.DataFrame) -> pd.Series:
    """Distance of the caps in deviations of the market's, over a cycle where the usual definition takes all history."""
    cap = f["market_cap"].rolling(CYCLE)
    spread = cap.std(ddof=0)
    return (f["market_cap"] - realised_cap(f)) / spread.where(spread > 1e-9 * cap.mean())


def pi_cycle(f: pd.DataFrame) -> pd.Series:
    """Tops of 2013, 2017 and 2021 fell within days of its crossing 0."""
    return log(f["price_usd"].rolling(111).mean() / (2 * f["price_usd"].rolling(350).mean()))


def over_mean(column: str, rows: int) -> Series:
    return lambda f: log(f[column] / f[column].rolling(rows).mean())


def ribbon(f: pd.DataFrame) -> pd.Series:
    """Narrow when miners give up, since short averages of difficulty fall on the long ones."""
    means = np.stack([log(f["difficulty"].rolling(days).mean()) for days in RIBBON], axis=1)  # (T, 8)
    return pd.Series(means.std(axis=1), index=f.index)


def line(group: str, on: str, name: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = None) -> Feature:
    return Feature(name, group, lookback, needs, meaning, one(name, value), neutral, on=on)


hourly = partial(line, "onchain_hourly", BARS)
daily = partial(line, "onchain", CHAIN)
valued = partial(line, "onchain_value", CHAIN)


ONCHAIN_HOURLY = [
    *(hourly(f"{column}_z", 168, (column,), f"log {column} in deviations of its last 168 rows", log_z(column, 168), 0.0)
      for column in ("active_addresses", "tx_count", "exchange_inflow", "exchange_outflow", "nvt")),
    hourly("active_addresses_6", 6, ("active_addresses",), "log active addresses of 6 rows against those of 1",
           lambda f: log(f["active_addresses"].rolling(6).mean() / f["active_addresses"])),
    hourly("netflow", 1, FLOWS, "log outflow over inflow", hourly_netflow),
    hourly("netflow_6", 6, FLOWS, "mean of 6 rows of log outflow over inflow",
           lambda f: hourly_netflow(f).rolling(6).mean()),
    hourly("netflow_z", 168, FLOWS, "log outflow over inflow in deviations of its last 168 rows",
           lambda f: zscore(hourly_netflow(f), 168), 0.0),
    hourly("fee_z", 168, ("fees", "tx_count"), "log fee of a transaction in deviations of its last 168 rows",
           lambda f: zscore(log(f["fees"] / f["tx_count"]), 168), 0.0),
    hourly("hash_rate_168", 169, ("hash_rate",), "log change of the hash rate over 168 rows",
           log_change("hash_rate", 168)),
    hourly("mvrv", 1, ("mvrv",), "log market value over realised value", lambda f: log(f["mvrv"])),
    hourly("mvrv_24", 25, ("mvrv",), "its change over 24 rows", log_change("mvrv", 24)),
]

ACTIVITY = [
    daily("addresses_z", 90, ("active_addresses",), "log active addresses in deviations of their last 90 days",
          log_z("active_addresses", 90), 0.0),
    daily("addresses_28", 56, ("active_addresses",), "log mean of 28 days of them over that of the 28 before",
          log_growth("active_addresses", 28)),
    daily("holders_28", 29, ("addresses_with_balance",), "log change of addresses with a balance over 28 days",
          log_change("addresses_with_balance", 28)),
    daily("transactions_z", 90, ("tx_count",), "log transactions in deviations of their last 90 days",
          log_z("tx_count", 90), 0.0),
    daily("transactions_28", 56, ("tx_count",), "log mean of 28 days of them over that of the 28 before",
          log_growth("tx_count", 28)),
    daily("transfers_each", 7, ("transfers", "tx_count"), "log transfers in a transaction over 7 days",
          log_means("transfers", "tx_count", 7)),
    daily("fee_each_z", 90, ("fees", "tx_count"), "log fee of a transaction in deviations of its last 90 days",
          lambda f: zscore(log(f["fees"] / f["tx_count"]), 90), 0.0),
]

SECURITY = [
    daily("fees_over_issuance", 7, ("fees", "issuance"), "log of 1 + fees over new coins, of 7 days: what miners earn",
          fees_over_issuance, 0.0),
    daily("block_time", 7, ("blocks",), "log minutes from block to block over 7 days",
          lambda f: log(1440 / f["blocks"].rolling(7).mean())),
    daily("hash_ribbon", 60, ("hash_rate",), "log mean hash rate of 30 days over that of 60",
          lambda f: log(f["hash_rate"].rolling(30).mean() / f["hash_rate"].rolling(60).mean())),
    daily("puell_multiple", YEAR, ("issuance_usd",), "log worth of new coins over its mean of 365 days",
          over_mean("issuance_usd", YEAR)),
    daily("supply_growth", YEAR + 1, ("supply",), "log change of supply over 365 days, the inverse of stock to flow",
          log_change("supply", YEAR)),
]

EXCHANGES = [
    *(daily(name, days, FLOWS, f"outflow less inflow over their sum, of {days} days, -1 to 1",
            netflow(days), 0.0)
      for name, days in (("exchange_netflow", 1), ("exchange_netflow_7", 7))),
    daily("exchange_netflow_z", 90, FLOWS, "that of 1 day in deviations of its last 90",
          lambda f: zscore(netflow(1)(f), 90), 0.0),
    daily("exchange_share", 1, ("exchange_supply", "supply"), "share of all coins that lies on exchanges",
          lambda f: f["exchange_supply"] / f["supply"]),
    daily("exchange_share_30", 31, ("exchange_supply", "supply"), "its change over 30 days",
          lambda f: (f["exchange_supply"] / f["supply"]).diff(30)),
    daily("velocity", 7, ("spot_volume_usd", "market_cap"), "log spot volume over market cap, of 7 days",
          log_means("spot_volume_usd", "market_cap", 7)),
]

WORTH = [
    daily("mvrv_log", 1, ("mvrv",), "log market value over realised value", lambda f: log(f["mvrv"])),
    daily("mvrv_z_score", CYCLE, ("market_cap", "mvrv"), "market cap less realised cap in deviations of the market cap",
          mvrv_z_score, 0.0),
    daily("nupl", 1, ("mvrv",), "net unrealised profit as a share of market cap", lambda f: 1 - 1 / f["mvrv"]),
    daily("above_realised", YEAR, ("mvrv",), "share of 365 days on which the price stood above the realised price",
          lambda f: (f["mvrv"] > 1).astype(float).rolling(YEAR).mean()),
    *(daily(f"realised_{days}", days + 1, ("market_cap", "mvrv"), f"log change of realised cap over {days} days",
            realised_change(days)) for days in (30, YEAR)),
    daily("pi_cycle", 350, ("price_usd",), "log mean price of 111 days over twice that of 350", pi_cycle),
    daily("mayer_multiple", 200, ("price_usd",), "log price over its mean of 200 days", over_mean("price_usd", 200)),
]

ONCHAIN = [*ACTIVITY, *SECURITY, *EXCHANGES, *WORTH]

ONCHAIN_VALUE = [
    valued("nvt_log", 1, ("nvt",), "log market cap over value transferred in a day", lambda f: log(f["nvt"])),
    valued("nvt_log_z", YEAR, ("nvt",), "log NVT in deviations of its last 365 days", log_z("nvt", YEAR), 0.0),
    valued("nvt_signal", 90, ("market_cap", "transfer_value_adjusted_usd"),
           "log market cap over the mean of 90 days of value transferred",
           lambda f: log(f["market_cap"] / f["transfer_value_adjusted_usd"].rolling(90).mean())),
    valued("difficulty_ribbon", max(RIBBON), ("difficulty",), "deviation among the logs of its means of 9 to 200 days",
           ribbon),
    valued("difficulty_slope", max(RIBBON), ("difficulty",), "log mean of 9 days over that of 200",
           lambda f: log(f["difficulty"].rolling(RIBBON[0]).mean() / f["difficulty"].rolling(RIBBON[-1]).mean())),
    valued("fees_over_value", 7, ("fees_usd", "transfer_value_adjusted_usd"), "log fees over value moved, of 7 days",
           log_means("fees_usd", "transfer_value_adjusted_usd", 7)),
    valued("value_velocity", 30, ("transfer_value_adjusted_usd", "realised_cap"),
           "log value moved in a day over realised cap, of 30 days",
           log_means("transfer_value_adjusted_usd", "realised_cap", 30)),
]
