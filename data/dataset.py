"""From a config to a `Market` ready to be learnt from: source, alignment, features, gaps, labels, splits, scaling."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from configs.errors import UserError
from configs.registry import check_name
from data.align import aligned
from data.features import FEATURES, GROUPS
from data.features.base import choose, compute_features
from data.labels import LabelConfig, Labels, make_labels
from data.market import Market
from data.scaling import Scaler
from data.simulator.config import SimulatorConfig
from data.simulator.known import KnownConfig, known_raw
from data.simulator.simulate import simulate
from data.sources.base import OHLCV, RawData, Truth, values_of
from data.sources.files import FileConfig, FileSource
from data.splits import Split, SplitConfig, chronological

SOURCES = ("simulated", "known", "file")


@dataclass(frozen=True)
class DataConfig:
    source: Literal["simulated", "known", "file"] = "simulated"
    """where bars come from: the bundled simulator, a market whose best policy is known, or a file of yours"""
    path: Path | None = None
    """a Parquet or CSV file of bars; giving one makes it the source"""
    groups: tuple[str, ...] = ("returns", "technical", "onchain", "macro", "calendar")
    """groups of features; one whose columns the source lacks is dropped and reported. A known market has its own"""
    window: int = 48
    """bars that a decision sees"""
    clip: float = 8.0
    """scaled features are cut at this many spreads from their middle"""
    borders: tuple[int, int] | None = None
    """first rows of validation and test, gaps aside, instead of the shares of split"""
    labels: LabelConfig = field(default_factory=LabelConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    known: KnownConfig = field(default_factory=KnownConfig)
    file: FileConfig = field(default_factory=FileConfig)

    def __post_init__(self) -> None:
        if self.path is not None:
            object.__setattr__(self, "path", Path(self.path))
            object.__setattr__(self, "source", "file")
        check_name("data source", self.source, SOURCES)
        if self.source == "file" and self.path is None:
            raise UserError("data source 'file' needs a path: --data.path bars.parquet")
        if self.window < 1 or self.clip <= 0:
            raise UserError(f"window must be at least 1 and clip above 0, found {self.window} and {self.clip}")
        if not self.groups:
            raise UserError(f"no feature group given: choose from {', '.join(GROUPS)}")
        for group in self.groups:
            check_name("feature group", group, GROUPS)
        if self.borders is not None and not 0 < self.borders[0] < self.borders[1]:
            raise UserError(f"borders must rise from above 0, found {self.borders[0]} and {self.borders[1]}")


@dataclass(frozen=True, eq=False)
class Table:
    """Everything that is computed, before anything is fitted."""

    time: np.ndarray  # (T,) datetime64[us], UTC
    assets: tuple[str, ...]
    prices: np.ndarray  # (T, N, 5)
    values: np.ndarray  # (T, N, F) float64 features, unscaled
    columns: tuple[str, ...]
    carry: np.ndarray  # (T, N)
    segments: np.ndarray  # (S, 2) rows without a gap on which every feature has warmed up
    warm_up: int  # bars that a run without a gap needs before its first row counts
    dropped: tuple[str, ...]  # groups of features that the source cannot feed


@dataclass(frozen=True, eq=False)
class Dataset:
    """A market, what its rows are labelled with, and which of them may teach."""

    market: Market
    labels: Labels
    split: Split
    scaler: Scaler
    dropped: tuple[str, ...]  # groups of features that the source cannot feed
    truth: Truth | None = None  # of simulated and known markets: what nobody in them can see


def load_dataset(config: DataConfig) -> Dataset:
    """`build` of `load_raw`.

    >>> data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_real", bars=2_000)))
    >>> data.market.columns, data.split.train, data.truth.growth > 0
    (('x',), slice(0, 1200, None), True)
    """
    return build(load_raw(config), config)


def load_raw(config: DataConfig) -> RawData:
    if config.source == "simulated":
        return simulate(config.simulator)
    if config.source == "known":
        return known_raw(config.known)
    assert config.path is not None
    return FileSource(config.path, config.file).raw()


def build(raw: RawData, config: DataConfig) -> Dataset:
    """The dataset of `raw`: a pure function of its two arguments, as the leak tests need it."""
    return finish(tabulate(raw, config), raw, config)


def finish(table: Table, raw: RawData, config: DataConfig) -> Dataset:
    """Split, fit the scaler on training rows, scale and label."""
    if not len(table.segments):
        raise UserError(f"features need {table.warm_up} bars without a gap to warm up, and {len(table.time)} bars have "
                        "no such run; give more data or fewer groups")
    split = split_rows(len(table.time), config)
    scaler = fit_scaler(table, split, config)
    market = Market(
        time=table.time,
        assets=table.assets,
        prices=table.prices,
        features=scaler.transform(table.values),  # (T, N, F) float32
        columns=table.columns,
        carry=table.carry,
        segments=table.segments,
        bars_per_year=raw.bars_per_year,
    )
    labels = make_labels(table.prices, table.segments, config.labels)
    return Dataset(market, labels, split, scaler, table.dropped, raw.truth)


def tabulate(raw: RawData, config: DataConfig) -> Table:
    """Align, find the gaps, compute the features, and set the warm-up aside."""
    frames = aligned(raw)
    first = next(iter(frames.values()))
    if not len(first):
        raise UserError(f"no bar is shared by all of {', '.join(frames)}; give assets whose times overlap")
    dropped: tuple[str, ...] = ()
    if config.source == "known":
        own = [c for (kind, _), state in raw.context.items() if kind == "state" for c in values_of(state)]
        runs = unbroken(first["time"], raw.bar, np.ones(len(first), bool))
        parts, warm = [frame[own] for frame in frames.values()], 1
    else:
        shared = set.intersection(*(set(frame.columns) for frame in frames.values()))
        features, dropped = choose(FEATURES, config.groups, shared)
        if not features:
            raise UserError(f"the source feeds none of the feature groups {', '.join(config.groups)}; add 'returns'")
        needed = sorted({column for feature in features for column in feature.needs})
        complete = np.all([frame[needed].notna().all(axis=1).to_numpy() for frame in frames.values()], axis=0)
        runs = unbroken(first["time"], raw.bar, complete)
        parts = [compute_features(frame, features, runs) for frame in frames.values()]
        warm = max(feature.lookback for feature in features)
    # Short segments stay: no window fits there, and dropping them would let a later gap decide about earlier rows.
    segments = np.array([[a + warm - 1, b] for a, b in runs if b - a >= warm], dtype=np.int64).reshape(-1, 2)
    columns = tuple(map(str, parts[0].columns))
    values = np.stack([part.to_numpy(float) for part in parts], axis=1)  # (T, N, F)
    outside = np.ones(len(first), bool)
    for start, stop in segments:
        outside[start:stop] = False
    values[outside] = np.nan
    return Table(
        time=first["time"].dt.tz_convert(None).to_numpy("datetime64[us]"),
        assets=raw.assets,
        prices=np.stack([frame[list(OHLCV)].to_numpy(float) for frame in frames.values()], axis=1),
        values=values,
        columns=columns,
        carry=np.stack([frame["carry"].to_numpy(float) for frame in frames.values()], axis=1),
        segments=segments,
        warm_up=warm,
        dropped=dropped,
    )


def unbroken(time: pd.Series, bar: pd.Timedelta, complete: np.ndarray) -> np.ndarray:
    """(S, 2) runs of rows that follow one another by exactly one bar and miss nothing.

    >>> closes = pd.Series(pd.to_datetime([1, 2, 3, 6, 7], unit="h", utc=True))
    >>> unbroken(closes, pd.Timedelta("1h"), np.array([True, True, True, True, False])).tolist()
    [[0, 3], [3, 4]]
    """
    follows = (time.diff() == bar).to_numpy() & complete
    follows[1:] &= complete[:-1]
    starts = np.flatnonzero(complete & ~follows)
    ends = np.flatnonzero(complete & ~np.append(follows[1:], False)) + 1
    return np.stack([starts, ends], axis=1)


def split_rows(rows: int, config: DataConfig) -> Split:
    """The spans by shares of the rows, or, where `borders` fixes them, by row number whatever the length."""
    if config.borders is None:
        return chronological(rows, config.labels.horizon, config.window, config.split)
    gap = config.labels.horizon + config.window + config.split.embargo
    first, second = (min(border, rows) for border in config.borders)
    return Split(slice(0, first), slice(min(first + gap, second), second), slice(min(second + gap, rows), rows), gap)


def fit_scaler(table: Table, split: Split, config: DataConfig) -> Scaler:
    rows = np.zeros(len(table.time), bool)
    for start, stop in table.segments:
        rows[start:stop] = True
    rows[split.train.stop :] = False
    return Scaler.fit(table.values, table.columns, np.flatnonzero(rows), config.clip)
