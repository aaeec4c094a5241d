"""From a config to a `Market` ready to be learnt from: source, alignment, features, gaps, labels, splits, scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from configs.errors import UserError
from configs.registry import check_name
from data.features import FEATURES, GROUPS, PRESETS
from data.features.base import BARS, Feature, choose
from data.features.own import load_features
from data.labels import LabelConfig, Labels, make_labels
from data.lots import FLAGGED, Missing, fed_columns
from data.market import Market
from data.scaling import Scaler
from data.segments import covered, unbroken
from data.simulator.config import SimulatorConfig
from data.simulator.known import KnownConfig, known_raw
from data.simulator.simulate import simulate
from data.sources.base import RawData, Truth, values_of
from data.sources.files import FileConfig, FileSource
from data.splits import Split, SplitConfig, chronological, gap_of
from data.stored import StoreConfig, stored_raw
from data.table import Table, table_of

BUNDLED = ("returns", "technical", "onchain_hourly", "macro", "calendar")  # what the simulated market feeds
SOURCES = ("simulated", "known", "file", "store")


@dataclass(frozen=True)
class DataConfig:
    source: Literal["simulated", "known", "file", "store"] = "simulated"
    """where bars come from: the bundled simulator, a market whose best policy is known, a file of yours, or a store
    that scripts/import_data.py has filled"""
    path: Path | None = None
    """a Parquet or CSV file of bars; giving one makes it the source"""
    groups: tuple[str, ...] = BUNDLED
    """groups of features, whole, beside those of data.features if that is named; one whose columns the source lacks is
    dropped and reported. A known market has its own"""
    window: int = 48
    """bars that a decision sees"""
    features: str = ""
    """a named set of features: minimal, hourly or long_horizon; '' for groups alone"""
    own_features: Path | None = None
    """a Python file of yours that defines FEATURES, which are added"""
    missing: Missing = "break"
    """where a table of context has no value: break the segment, mask (0 and a column that says so), or age (the last
    value, and a column that says how old)"""
    bridge: int = 0
    """gaps in the bars of at most so many are passed over as if they were none; longer ones end a segment, after which
    every feature has to warm up anew"""
    rolling: int = 0
    """scale by this many trailing bars instead of by the training rows, for what drifts over the years; 0: do not"""
    clip: float = 8.0
    """scaled features are winsorised at this many spreads from their middle"""
    assets_together: bool = True
    """only the bars that all assets share; false: the bars of any, an asset without one, or whose features still have
    to warm up, being absent there: it shows zeros and cannot be traded"""
    borders: tuple[int, int] | None = None
    """first rows of validation and test, gaps aside, instead of the shares of split"""
    dates: tuple[str, str] | None = None
    """first days of validation and test, such as 2022-01-01 2023-01-01, instead of the shares of split"""
    span: tuple[int, int] | None = None
    """rows that are learnt from, chosen on and tested: training begins with the first number, and nothing from the
    second on exists; None: all. Features look back beyond the first as ever"""
    labels: LabelConfig = field(default_factory=LabelConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    known: KnownConfig = field(default_factory=KnownConfig)
    file: FileConfig = field(default_factory=FileConfig)
    store: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        if self.path is not None:
            object.__setattr__(self, "path", Path(self.path))
            object.__setattr__(self, "source", "file")
        check_name("data source", self.source, SOURCES)
        if self.source == "file" and self.path is None:
            raise UserError("data source 'file' needs a path: --data.path bars.parquet")
        if self.window < 1 or self.clip <= 0:
            raise UserError(f"window must be at least 1 and clip above 0, found {self.window} and {self.clip}")
        check_name("way with missing values", self.missing, get_args(Missing))
        if self.bridge < 0:
            raise UserError(f"bridge must be at least 0 bars, found {self.bridge}")
        if self.rolling and self.rolling < 100:
            raise UserError(f"rolling must be 0 or at least 100 bars, found {self.rolling}")
        if self.features:
            check_name("feature preset", self.features, PRESETS)
        if not self.groups:
            raise UserError(f"no feature group given: choose from {', '.join(GROUPS)}")
        for group in self.groups:
            check_name("feature group", group, GROUPS)
        if self.borders is not None and not 0 < self.borders[0] < self.borders[1]:
            raise UserError(f"borders must rise from above 0, found {self.borders[0]} and {self.borders[1]}")
        if self.span is not None and not 0 <= self.span[0] < self.span[1]:
            raise UserError(f"span must rise from 0 or above, found {self.span[0]} and {self.span[1]}")
        if self.dates is not None:
            try:
                first, second = (np.datetime64(date) for date in self.dates)
            except ValueError:
                raise UserError(f"dates are two days such as 2022-01-01 2023-01-01, found {' '.join(self.dates)}"
                                ) from None
            if not first < second or self.borders is not None:
                raise UserError(f"dates must rise, and stand without borders: found {' '.join(self.dates)} and borders "
                                f"{self.borders}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A market, what its rows are labelled with, and which of them may teach."""

    market: Market
    labels: Labels
    split: Split
    scaler: Scaler
    dropped: tuple[str, ...]  # groups of features that the source cannot feed
    truth: Truth | None = None  # of simulated and known markets: what nobody in them can see
    notes: tuple[str, ...] = ()  # what whoever reads results should know of the data


def load_dataset(config: DataConfig, cache: Path | None = None) -> Dataset:
    """`build` of `load_raw`; blocks of features are looked for in `cache`, and left there.

    >>> data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_real", bars=2_000)))
    >>> data.market.columns, data.split.train, data.truth.growth > 0
    (('x',), slice(0, 1200, None), True)
    """
    return build(load_raw(config), config, cache)


def load_raw(config: DataConfig) -> RawData:
    if config.source == "simulated":
        return simulate(config.simulator)
    if config.source == "known":
        return known_raw(config.known)
    if config.source == "store":
        return stored_raw(config.store)
    assert config.path is not None
    return FileSource(config.path, config.file).raw()


def build(raw: RawData, config: DataConfig, cache: Path | None = None) -> Dataset:
    """The dataset of `raw`: a pure function of its first two arguments, as the leak tests need it."""
    return finish(tabulate(raw, config, cache), raw, config)


def finish(table: Table, raw: RawData, config: DataConfig) -> Dataset:
    """Split, fit the scaler on training rows, scale and label."""
    if not len(table.segments):
        raise UserError(nothing_left(table))
    split = split_rows(len(table.time), config if config.dates is None else replace(
        config, dates=None, borders=borders_of(table.time, config.dates)))
    market, scaler, notes = scaled(table, raw, config, [split.train])
    labels = make_labels(table.prices, market.segments, config.labels, market.absent)
    truth = raw.truth and replace(raw.truth, mean=raw.truth.mean[: len(table.time)])
    return Dataset(market, labels, split, scaler, table.dropped, truth, (*raw.notes, *notes))


def like(raw: RawData, config: DataConfig, scaler: Scaler, cache: Path | None = None) -> Market:
    """The market of other rows, on the scale of one that has been learnt from: what its agents can be judged on.

    >>> config = DataConfig(source="known", known=KnownConfig("ou_real", bars=2_000))
    >>> learnt = load_dataset(config)
    >>> later = replace(config, known=KnownConfig("ou_real", bars=500, seed=1))
    >>> len(like(load_raw(later), later, learnt.scaler))
    500
    """
    return scaled(tabulate(raw, config, cache), raw, config, [], scaler)[0]


def scaled(table: Table, raw: RawData, config: DataConfig, train: Sequence[slice], scaler: Scaler | None = None
           ) -> tuple[Market, Scaler, list[str]]:
    """The market on the scale of the `train` rows, as each fold of a cross-validation needs its own, or of a `scaler`
    that there is; with notes."""
    if scaler is None:
        rows = spanned(covered(len(table.time), table.segments), train)
        unseen = table.masked & ~np.isfinite(table.values[rows]).any(axis=(0, 1))  # (F,) never seen while training
        values = np.where(unseen, np.nan, table.values)
        scaler = fit_scaler(replace(table, values=values), rows, config)
    else:
        unseen = table.masked & np.isin(table.columns, scaler.unseen)  # what nobody was taught stays missing
        values = np.where(unseen, np.nan, table.values)
        if scaler.columns != table.columns:
            raise UserError(f"the scaler knows {', '.join(scaler.columns[:3])}, ... and here is "
                            f"{', '.join(table.columns[:3])}, ...: use the data settings that it was made with")
    features = scaler.transform(values)  # (T, N, F) float32
    segments, absent = table.segments, table.absent
    if table.masked.any() or config.rolling:
        inside = covered(len(table.time), segments)
        features[..., table.flags] = table.values[..., table.flags]
        for kind in {kind for kind, gone in zip(table.kinds, unseen) if gone}:
            features[inside, :, table.kinds.index(f"{FLAGGED}{kind}")] = 1.0
        # what stands in for a missing value, beside the flag that says so, is the middle of the scale
        features[inside[:, None, None] & table.masked & np.isnan(features)] = 0.0
        ready = np.isfinite(features).all(axis=2)  # (T, N): a trailing scale needs bars of its own to begin
        absent = None if absent is None else absent | ~ready
        usable = inside & (ready.all(axis=1) if absent is None else ~absent.all(axis=1))
        segments = unbroken(pd.Series(table.time), raw.bar * (1 + config.bridge), usable)
    if absent is not None:
        features[absent & covered(len(table.time), segments)[:, None]] = 0.0
    market = Market(
        time=table.time,
        assets=table.assets,
        prices=table.prices,
        features=features,
        columns=table.columns,
        carry=table.carry,
        segments=segments,
        bars_per_year=raw.bars_per_year,
        absent=absent,
    )
    names = ", ".join(column for column, gone in zip(table.columns, unseen) if gone)
    return market, scaler, [f"without a value on the training rows, hence left missing: {names}"] if names else []


def nothing_left(table: Table) -> str:
    """Why no row has everything, and what to do about it."""
    if not table.held[BARS]:
        return (f"features need {table.warm_up} bars without a gap to warm up, and {len(table.time)} bars have no such "
                "run; give more data, fewer groups, or pass short gaps over with --data.bridge")
    short = ", ".join(f"{kind} on {rows}" for kind, rows in table.held.items() if rows < table.held[BARS])
    return (f"of {table.held[BARS]} bars none has everything: there are values of {short}; say --data.missing mask, or "
            "leave those groups out")


def tabulate(raw: RawData, config: DataConfig, cache: Path | None = None) -> Table:
    """The features that `config` asks for and `raw` can feed, computed and cut where something is missing."""
    own = load_features(config.own_features, [*FEATURES]) if config.own_features else []
    features, dropped = chosen(raw, config, own)
    if not features:
        raise UserError(f"the source feeds none of the feature groups {', '.join(dropped)}; add 'returns'")
    table = table_of(raw, features, config.missing, cache, config.bridge, config.assets_together)
    if config.span is not None:
        if config.span[1] > len(table.time):
            raise UserError(f"span ends with row {config.span[1]}, and there are {len(table.time)}")
        table = table.before(config.span[1])
    return replace(table, dropped=dropped)


def chosen(raw: RawData, config: DataConfig, own: list[Feature]) -> tuple[list[Feature], tuple[str, ...]]:
    """Features by preset or by group, a user's own always among them, and the groups that have to be left out."""
    if config.source == "known":  # it shows its state as it is and, unless as candles, nothing else
        names = [name for (kind, _), table in raw.context.items() if kind == "state" for name in values_of(table)]
        meaning = "the state of a known market"
        own = [*(Feature(name, "state", 1, (name,), meaning, itemgetter([name])) for name in names), *own]
        if not config.known.candles:
            return own, ()
    fed = fed_columns(raw)
    for feature in own:
        if not feature.fed_by(fed):
            held = "; ".join(", ".join(sorted(columns)) for columns in fed.get(feature.on, [])) or "none"
            raise UserError(f"your feature {feature.name!r} needs {', '.join(feature.needs)} of {feature.on}; the "
                            f"source has {held}")
    if config.features:
        more = () if config.groups == BUNDLED else config.groups
        wanted = [f for f in FEATURES if f.name in PRESETS[config.features] or f.group in more] + own
        return choose(wanted, tuple(dict.fromkeys(feature.group for feature in wanted)), fed)
    groups = dict.fromkeys([*config.groups, *(feature.group for feature in own)])
    return choose([*FEATURES, *own], tuple(groups), fed)


def split_rows(rows: int, config: DataConfig) -> Split:
    """The spans by shares of the rows, or, where `borders` fixes them, by row number whatever the length."""
    begin = config.span[0] if config.span else 0
    if config.borders is None:
        return chronological(rows - begin, config.labels.reach, config.window, config.split).moved(begin)
    gap = gap_of(config.labels.reach, config.window, config.split.embargo)
    first, second = (max(min(border, rows), begin) for border in config.borders)
    return Split(slice(begin, first), slice(min(first + gap, second), second), slice(min(second + gap, rows), rows),
                 gap)


def borders_of(time: np.ndarray, dates: tuple[str, str]) -> tuple[int, int]:
    """The first rows that close after the midnights at which `dates` begin.

    >>> time = np.datetime64("2022-12-31T22:00") + np.arange(30) * np.timedelta64(1, "h")
    >>> borders_of(time, ("2023-01-01", "2023-01-02"))
    (3, 27)
    """
    first, second = (int(np.searchsorted(time, np.datetime64(date), side="right")) for date in dates)
    if not 0 < first < second < len(time):
        raise UserError(f"dates {' and '.join(dates)} must lie inside the market's, {time[0]} to {time[-1]}")
    return first, second


def spanned(inside: np.ndarray, spans: Sequence[slice]) -> np.ndarray:
    """Rows that lie inside, and in one of `spans`."""
    taken = np.zeros(len(inside), bool)
    for span in spans:
        taken[span] = True
    return np.flatnonzero(inside & taken)


def fit_scaler(table: Table, rows: np.ndarray, config: DataConfig) -> Scaler:
    return Scaler.fit(table.values, table.columns, rows, config.clip, config.rolling)
