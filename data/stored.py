"""A market out of the store: bars of the assets asked for, and the tables of context that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import UserError
from configs.registry import check_name, did_you_mean
from data.schema import EVERY_ASSET, OHLCV, Key, schema_of
from data.sources.base import RawData
from data.store import Store

BARS_PER_YEAR = {"1h": 8760.0, "1D": 365.0}
FUNDED_HOURS = 8  # a funding rate is a share of the position for so long
LEAST_HOURS = 12  # a day made of fewer hourly bars than that is a gap


@dataclass(frozen=True)
class StoreConfig:
    folder: Path = Path("store")
    """what scripts/import_data.py has filled"""
    bars: str = "spot_binance"
    """kind of the bars that are traded"""
    assets: tuple[str, ...] = ("BTC",)
    """assets that are traded"""
    frequency: str = "1h"
    """1h or 1D; days are made of stored hours where no days are stored"""
    context: tuple[str, ...] = ("onchain", "rates", "markets", "fear_greed", "funding")
    """kinds of tables beside the bars; of two that have the same columns the one named first counts"""
    peers: tuple[str, ...] = ()
    """assets that are watched and not traded, for features that compare assets"""
    start: str = ""
    """first day, such as 2019-01-01; all there is if empty"""
    end: str = ""
    """first day that is left out"""

    def __post_init__(self) -> None:
        if not schema_of(self.bars).is_bars:
            raise UserError(f"store.bars must be a kind of bars (spot or perp), found {self.bars!r}")
        check_name("store.frequency", self.frequency, BARS_PER_YEAR)
        if not self.assets or len({*self.assets, *self.peers}) < len(self.assets) + len(self.peers):
            raise UserError(f"store.assets and store.peers must name assets, each once: found {self.assets} and "
                            f"{self.peers}")
        for name, day in (("start", self.start), ("end", self.end)):
            try:
                moment(day)
            except ValueError:
                raise UserError(f"store.{name} must be a day such as 2019-01-01, found {day!r}") from None


def moment(day: str) -> pd.Timestamp | None:
    return pd.Timestamp(day, tz="UTC") if day else None


def stored_raw(config: StoreConfig) -> RawData:
    """Everything `config` asks for; context reaches back to where its tables begin, whatever the first bar."""
    store = Store(config.folder)
    bars = {asset: bars_of(store, config, asset) for asset in config.assets}
    context: dict[tuple[str, str], pd.DataFrame] = {}
    for asset in config.peers:
        peer = bars_of(store, config, asset)
        context["peer", asset] = peer[["close", "volume"]].assign(known_at=peer["time"])
    found = store.keys()
    for kind in config.context:
        owners = [key for key in found if key.kind == kind and key.asset in (*config.assets, EVERY_ASSET)]
        if not owners and not any(key.kind == kind for key in found):
            kinds = dict.fromkeys(key.kind for key in found)
            raise UserError(f"{config.folder} holds nothing of kind {kind!r}, only {', '.join(kinds)}"
                            f"{did_you_mean(kind, kinds)}; import it or leave it out of store.context")
        for key in owners:
            context[kind, key.asset] = by_known_at(store.read(key))
    carry = {asset: funding_paid(bars[asset], context, asset, config) for asset in bars}
    return RawData(bars, context, carry, BARS_PER_YEAR[config.frequency])


def by_known_at(table: pd.DataFrame) -> pd.DataFrame:
    """In the order of what is described; a row that was finished before an earlier one waits for it."""
    return table.assign(known_at=table["known_at"].cummax())


def bars_of(store: Store, config: StoreConfig, asset: str) -> pd.DataFrame:
    """`time` and the five prices of one asset within the days asked for."""
    wanted = Key(config.bars, asset, config.frequency)
    found = store.keys()
    hourly = Key(config.bars, asset, "1h")
    if wanted not in found and hourly not in found:
        assets = [key.asset for key in found if key.kind == config.bars]
        held = ", ".join(assets) or f"nothing of that kind, only {', '.join(dict.fromkeys(k.kind for k in found))}"
        raise UserError(f"{config.folder} has no bars {wanted}; of {config.bars} it holds {held}"
                        f"{did_you_mean(asset, assets)}")
    table = store.read(wanted) if wanted in found else days_of(store.read(hourly))
    kept = np.ones(len(table), bool)
    if config.start:
        kept &= (table["time"] > moment(config.start)).to_numpy()
    if config.end:
        kept &= (table["time"] <= moment(config.end)).to_numpy()
    if kept.sum() < 2:
        raise UserError(f"{wanted} has {kept.sum()} bars from {config.start or 'its beginning'} to "
                        f"{config.end or 'its end'}; it spans {table['time'].iloc[0]} to {table['time'].iloc[-1]}")
    return table.loc[kept, ["time", *OHLCV]].reset_index(drop=True)


def days_of(hours: pd.DataFrame) -> pd.DataFrame:
    """Days of UTC from hourly bars, each with the end of its day as `time`; a day of few hours is left out.

    >>> hours = pd.DataFrame({"time": pd.date_range("2024-01-01 01:00", periods=24, freq="h", tz="UTC"),
    ...                       **{name: np.arange(1.0, 25.0) for name in OHLCV}})
    >>> days_of(hours)[["time", "open", "close", "volume"]].values.tolist()
    [[Timestamp('2024-01-02 00:00:00+0000', tz='UTC'), 1.0, 24.0, 300.0]]
    """
    day = hours["time"].dt.ceil("D")
    grouped = hours.groupby(day)
    days = grouped.agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    return days[grouped.size() >= LEAST_HOURS].reset_index(names="time")


def funding_paid(bars: pd.DataFrame, context: Mapping[tuple[str, str], pd.DataFrame], asset: str, config: StoreConfig
                 ) -> np.ndarray:
    """(rows,) share of a long's value paid over each bar; of perpetual futures alone, and nothing where unknown.

    What is on file is the mean of a day's payments, so a day's funding is spread over its hours.
    """
    table = context.get(("funding", asset))
    if schema_of(config.bars).name != "perp" or table is None:
        return np.zeros(len(bars))
    hours = pd.Timedelta(config.frequency) / pd.Timedelta("1h")
    rate = pd.Series(table["funding_rate"].to_numpy(), index=pd.DatetimeIndex(table["time"]))
    return rate.reindex(bars["time"].dt.ceil("D")).fillna(0.0).to_numpy() * hours / FUNDED_HOURS
