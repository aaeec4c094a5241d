"""A market out of the store: bars of the assets asked for, and the tables of context that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
PAYMENTS = 3  # of funding in a day
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
    leader: str = ""
    """the asset that the others are compared with; the first of assets if empty"""
    start: str = ""
    """first day, such as 2019-01-01; all there is if empty"""
    end: str = ""
    """first day that is left out"""

    def __post_init__(self) -> None:
        if not schema_of(self.bars).is_bars:
            raise UserError(f"store.bars must be a kind of bars (spot or perp), found {self.bars!r}")
        check_name("store.frequency", self.frequency, BARS_PER_YEAR)
        for kind in self.context:
            if schema_of(kind).is_bars:
                raise UserError(f"store.context is for what stands beside bars, and {kind!r} are bars: name their "
                                "assets in store.assets or store.peers")
        if not self.assets or len({*self.assets, *self.peers}) < len(self.assets) + len(self.peers):
            raise UserError(f"store.assets and store.peers must name assets, each once: found {self.assets} and "
                            f"{self.peers}")
        if self.leader and self.leader not in (*self.assets, *self.peers):
            raise UserError(f"store.leader must be one of store.assets and store.peers, found {self.leader!r}")
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
    keys = [key for kind in config.context for key in found
            if key.kind == kind and key.asset in (*config.assets, EVERY_ASSET)]
    context |= {(key.kind, key.asset): by_known_at(store.read(key)) for key in keys}
    carry = {asset: funding_paid(bars[asset], funding_of(context, asset, config)) for asset in bars}
    notes = [*absent(config, keys), *cleaned(store, [*(key for key in found if traded(key, config)), *keys])]
    if schema_of(config.bars).name == "perp":
        free = [asset for asset in bars if funding_of(context, asset, config) is None]
        notes += [f"no funding on file for {', '.join(free)}: positions in them cost and earn none"] * bool(free)
    return RawData(bars, context, carry, BARS_PER_YEAR[config.frequency], leader=config.leader, notes=tuple(notes))


def absent(config: StoreConfig, keys: Sequence[Key]) -> list[str]:
    """A line on the kinds of context that the store does not hold for these assets."""
    kinds = [kind for kind in config.context if schema_of(kind) and not any(key.kind == kind for key in keys)]
    return [f"not in {config.folder} for {', '.join(config.assets)}: {', '.join(kinds)}"] * bool(kinds)


def traded(key: Key, config: StoreConfig) -> bool:
    return key.kind == config.bars and key.asset in (*config.assets, *config.peers)


def cleaned(store: Store, keys: Sequence[Key]) -> list[str]:
    """Lines on rows that were left out on import: the checks that blamed them saw the whole file, as no trader does."""
    lines = []
    for key in keys:
        origins = [part.origin for part in store.entry(key).parts]
        rows, cells = (sum(origin.get(name, 0) for origin in origins) for name in ("left_out", "emptied"))
        if rows or cells:
            lines.append(f"{key}: {rows:,} rows and {cells:,} values were left out on import, by checks that saw what "
                         "came after")
    return lines


def by_known_at(table: pd.DataFrame) -> pd.DataFrame:
    """In the order of what is described; a row that was finished before an earlier one waits for it."""
    return table.assign(known_at=table["known_at"].cummax())


def bars_of(store: Store, config: StoreConfig, asset: str) -> pd.DataFrame:
    """`time` and the five prices of one asset within the days asked for."""
    wanted = Key(config.bars, asset, config.frequency)
    found = store.keys()
    hourly = Key(config.bars, asset, "1h")
    if wanted not in found and hourly not in found:
        if not found:
            raise UserError(f"there is no store at {config.folder} yet: fill one with python scripts/import_data.py "
                            "my_data, or say --data.store.folder")
        assets = [key.asset for key in found if key.kind == config.bars]
        bars = [key for key in found if key.schema.is_bars]
        others = [f"--data.store.bars {key.kind} --data.store.assets {key.asset}" for key in bars]
        held = ", ".join(assets) or f"nothing; take other bars: {' or '.join(others[:3]) or 'none are stored'}"
        raise UserError(f"{config.folder} has no bars {wanted}; of {config.bars} it holds {held}"
                        f"{did_you_mean(asset.upper(), assets)}")
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
    """Days of UTC from hourly bars, each with the end of its day as `time`.

    A day of few hours is left out, and so is the last one unless its last hour or a later one is there: it has not
    closed.

    >>> hours = pd.DataFrame({"time": pd.date_range("2024-01-01 01:00", periods=40, freq="h", tz="UTC"),
    ...                       **{name: np.arange(1.0, 41.0) for name in OHLCV}})
    >>> days_of(hours)[["time", "open", "close", "volume"]].values.tolist()
    [[Timestamp('2024-01-02 00:00:00+0000', tz='UTC'), 1.0, 24.0, 300.0]]
    """
    grouped = hours.groupby(hours["time"].dt.ceil("D"))
    days = grouped.agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    closed = days.index <= hours["time"].iloc[-1]
    return days[(grouped.size() >= LEAST_HOURS) & closed].reset_index(names="time")


def funding_of(context: Mapping[tuple[str, str], pd.DataFrame], asset: str, config: StoreConfig) -> pd.DataFrame | None:
    """The funding of a perpetual future, from the first kind of it that speaks of `asset`."""
    if schema_of(config.bars).name != "perp":
        return None
    return next((table for (kind, owner), table in context.items()
                 if owner == asset and schema_of(kind).name == "funding"), None)


def funding_paid(bars: pd.DataFrame, funding: pd.DataFrame | None) -> np.ndarray:
    """(rows,) share of a long's value paid over each bar.

    What is on file is the mean of a day's payments. All of them are charged on the first bar that closes when the mean
    is known, soon after the last: earlier, the account would tell of payments to come.
    """
    paid = np.zeros(len(bars))
    if funding is not None:
        time, known = pd.DatetimeIndex(bars["time"]), pd.DatetimeIndex(funding["known_at"])
        row = time.searchsorted(known)
        soon = row < len(time)
        soon[soon] = time[row[soon]] - known[soon] < pd.Timedelta("1D")
        np.add.at(paid, row[soon], PAYMENTS * funding["funding_rate"].to_numpy()[soon])
    return paid
