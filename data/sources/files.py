"""Bars from one Parquet or CSV file: taken as they are or refused with the first bad row, never repaired in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from configs.errors import UserError
from configs.registry import check_name, did_you_mean
from data.schema import OHLCV
from data.sources.base import RawData

TIME_NAMES = ("timestamp", "time", "open_time", "close_time", "date", "datetime")
READERS: dict[str, Callable[..., pd.DataFrame]] = {".parquet": pd.read_parquet, ".csv": pd.read_csv}


@dataclass(frozen=True)
class FileConfig:
    asset: str = ""
    """name of the asset; the file's own name if empty"""
    stamp: Literal["open", "close"] = "open"
    """whether a row's time is the open of its bar, as exchanges write it, or the close"""
    assume_utc: bool = False
    """take times without a zone as UTC instead of refusing them"""
    bar_minutes: int = 60
    """length of a bar; rows further apart are a gap"""

    def __post_init__(self) -> None:
        check_name("file.stamp", self.stamp, ("open", "close"))
        if self.bar_minutes < 1:
            raise UserError(f"file.bar_minutes must be at least 1, found {self.bar_minutes}")


@dataclass(frozen=True)
class FileSource:
    path: Path
    config: FileConfig = FileConfig()

    @property
    def asset(self) -> str:
        return self.config.asset or self.path.stem

    def fetch(self, asset: str, start: datetime | None = None, end: datetime | None = None) -> pd.DataFrame:
        """The file's bars that close in [start, end]."""
        check_name("asset", asset, [self.asset])
        bars = read_bars(self.path, self.config)
        kept = np.ones(len(bars), bool)
        if start is not None:
            kept &= (bars["time"] >= start).to_numpy()
        if end is not None:
            kept &= (bars["time"] <= end).to_numpy()
        return bars[kept].reset_index(drop=True)

    def raw(self) -> RawData:
        """The whole file; it knows of no context and no funding."""
        bars = self.fetch(self.asset)
        carry = {self.asset: np.zeros(len(bars))}
        return RawData({self.asset: bars}, {}, carry, bars_per_year=365 * 24 * 60 / self.config.bar_minutes)


def read_bars(path: Path, config: FileConfig) -> pd.DataFrame:
    """`time` (UTC close) and open, high, low, close, volume of a file that has passed every check."""
    table = read_table(Path(path))
    stamps = utc_stamps(table, path, config)
    missing = [name for name in OHLCV if name not in table]
    if missing:
        unread = [str(name) for name in table.columns if name not in OHLCV]
        raise UserError(f"{path} has no column {', '.join(map(repr, missing))}, only "
                        f"{', '.join(map(str, table.columns))}{did_you_mean(missing[0], unread)}")
    try:
        prices = table[list(OHLCV)].astype("float64").reset_index(drop=True)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: {', '.join(OHLCV)} must be numbers: {' '.join(str(error).split())}") from None
    check_times(stamps, path, config)
    check_prices(prices, stamps, path)
    bar = pd.Timedelta(minutes=config.bar_minutes)
    prices.insert(0, "time", stamps + bar if config.stamp == "open" else stamps)
    return prices


def read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"no file of bars at {path}; give --data.path a Parquet or CSV file")
    table = open_table(path)
    if len(table) < 2:
        raise UserError(f"{path} has {len(table)} rows; bars need at least 2")
    return table


def open_table(path: Path, **options: Any) -> pd.DataFrame:
    """The file as it stands, its index a column and its columns in lower case; `options` are those of pd.read_csv."""
    if path.suffix not in READERS:
        raise UserError(f"{path} must end in .parquet or .csv, found {path.suffix or 'no ending'!r}")
    try:
        table = READERS[path.suffix](path, **options)
    except (ValueError, OSError) as error:  # pyarrow's and pandas' parse errors are both ValueErrors
        raise UserError(f"{path} is not readable as {path.suffix[1:]}: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    table.columns = [str(name).lower() for name in table.columns]
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise UserError(f"{path} has the column {twice!r} twice (capitals make no difference); keep one")
    return table


def utc_stamps(table: pd.DataFrame, path: Path, config: FileConfig) -> pd.Series:
    found = [name for name in TIME_NAMES if name in table]
    if not found:
        raise UserError(f"{path} has no column of times: name it {' or '.join(TIME_NAMES[:2])}; "
                        f"found {', '.join(table.columns)}")
    column = table[found[0]]
    if pd.api.types.is_numeric_dtype(column):
        raise UserError(f"{path}: {found[0]} holds numbers, whose unit is not guessed; write times such as "
                        "2024-01-01T00:00:00Z")
    try:
        times = pd.to_datetime(column, format="ISO8601")  # 01/02/2024 could be two days; nothing is guessed
    except (ValueError, TypeError):
        raise UserError(f"{path}: {found[0]} holds no ISO times; write them such as 2024-01-01T00:00:00Z, found "
                        f"{str(column.iloc[0])[:40]!r} in row 0") from None
    if times.isna().any():
        raise UserError(f"{path}: {found[0]} is missing in row {int(times.isna().to_numpy().argmax())}; "
                        "remove or mend the row")
    if times.dt.tz is None:
        if not config.assume_utc:
            raise UserError(f"{path}: {found[0]} has no time zone; if it is UTC say --data.file.assume_utc True")
        times = times.dt.tz_localize("UTC")
    elif times.iloc[0].utcoffset() != pd.Timedelta(0) or times.iloc[-1].utcoffset() != pd.Timedelta(0):
        raise UserError(f"{path}: {found[0]} is in {times.dt.tz}, not UTC; convert it with tz_convert('UTC')")
    return times.dt.tz_convert("UTC").astype("datetime64[us, UTC]").reset_index(drop=True)


def check_times(stamps: pd.Series, path: Path, config: FileConfig) -> None:
    step = np.diff(stamps.to_numpy("datetime64[us]"))  # (T - 1,)
    minute = np.timedelta64(60_000_000, "us")
    bar = config.bar_minutes * minute
    nothing = np.timedelta64(0, "us")
    for wrong, what in ((step == nothing, "comes twice; keep one of the two"),
                        (step < nothing, "is earlier than the row before; sort the file")):
        if wrong.any():
            row = int(wrong.argmax()) + 1
            raise UserError(f"{path}: time {stamps[row]} in row {row} {what}")
    usual = np.median(step)
    if usual != bar:
        raise UserError(f"{path}: bars are {usual / minute:g} minutes apart, not {config.bar_minutes}; set "
                        "--data.file.bar_minutes to what they are")
    odd = step % bar != nothing
    if odd.any():
        row = int(odd.argmax()) + 1
        raise UserError(f"{path}: row {row} ({stamps[row]}) comes {step[row - 1] / minute:g} minutes after the row "
                        f"before, no multiple of {config.bar_minutes}; mend its time")


def check_prices(prices: pd.DataFrame, stamps: pd.Series, path: Path) -> None:
    table = prices[list(OHLCV)].to_numpy()  # (T, 5)
    opened, high, low, closed, volume = table.T
    rules = (
        (~np.isfinite(table).all(axis=1), "a value that is missing or infinite"),
        ((table[:, :4] <= 0).any(axis=1), "a price that is not positive"),
        (volume < 0, "a negative volume"),
        (high < np.maximum(opened, closed), "a high below its open or close"),
        (low > np.minimum(opened, closed), "a low above its open or close"),
    )
    for wrong, what in rules:
        if wrong.any():
            row = int(wrong.argmax())
            values = ", ".join(f"{name} {value:g}" for name, value in zip(OHLCV, table[row]))
            raise UserError(f"{path}: row {row} ({stamps[row]}) has {what}: {values}; mend or remove it")
