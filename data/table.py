"""From raw data to a table of features: aligned, computed, cut where something is missing; nothing is fitted yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.align import AGE, COMPANY, aligned, known_at_join
from data.features.base import BARS, Feature, compute_features
from data.features.cache import BlockCache
from data.schema import EVERY_ASSET, OHLCV, schema_of
from data.sources.base import RawData, values_of

Missing = Literal["break", "mask", "age"]
MISSING = "_missing"  # how the columns end that say where a kind of table has no value


@dataclass(frozen=True, eq=False)
class Table:
    """Everything that is computed, before anything is fitted."""

    time: np.ndarray  # (T,) datetime64[us], UTC
    assets: tuple[str, ...]
    prices: np.ndarray  # (T, N, 5)
    values: np.ndarray  # (T, N, F) float64 features, unscaled; inside segments only masked ones may be missing
    columns: tuple[str, ...]
    masked: np.ndarray  # (F,) columns that may be missing, another one saying where
    flags: np.ndarray  # (F,) columns of 0 and 1 that say where others are missing; they mean what they are, unscaled
    carry: np.ndarray  # (T, N)
    segments: np.ndarray  # (S, 2) rows without a gap on which every feature has warmed up
    warm_up: int  # bars that a run without a gap needs before its first row counts
    dropped: tuple[str, ...] = ()  # groups of features that the source cannot feed


@dataclass(frozen=True, eq=False)
class Lot:
    """Columns of one asset that come from one place, and hence are missing together."""

    kind: str  # BARS, or the schema of the tables without which there is no value
    values: pd.DataFrame  # (T, F)
    age: pd.Series | None = None  # (T,) days since the values became known


def table_of(raw: RawData, features: Sequence[Feature], missing: Missing = "break", cache: Path | None = None,
             extra: str = "", bridge: int = 0) -> Table:
    """`features` of every asset of `raw`, on the bars that all of them share.

    Where a table has nothing to say, `missing` decides: `break` ends the segment there; `mask` keeps the row and adds a
    column `<kind>_missing`; `age` holds the last value of a daily table however old and adds `<kind>_age` in days.
    A gap of at most `bridge` bars is passed over. `extra` is the text of features that are not ours, for the cache to
    know them by.
    """
    kinds = {feature.name: kind_of(feature, raw) for feature in features}
    frames = aligned(raw, {need for feature in features if feature.on == BARS for need in feature.needs})
    first = next(iter(frames.values()))
    if not len(first):
        raise UserError(f"no bar is shared by all of {', '.join(frames)}; give assets whose times overlap")
    time = first["time"]
    step = raw.bar * (1 + bridge)
    runs = unbroken(time, step, np.ones(len(time), bool))
    position = time.astype("datetime64[us, UTC]").astype("int64").to_numpy() // (raw.bar // pd.Timedelta("1us"))
    blocks = BlockCache(cache, extra) if cache else None
    everyone = []
    for asset, frame in frames.items():
        lots = bar_lots(frame, step, features, kinds, position, blocks)
        lots += table_lots(raw, asset, time, [f for f in features if f.on != BARS], missing == "age")
        everyone.append(put_together(lots, features, missing))
    columns = tuple(map(str, everyone[0].columns))
    values = np.stack([one.to_numpy(float) for one in everyone], axis=1)  # (T, N, F)
    context = {column for feature in features if kinds[feature.name] != BARS for column in feature.columns}
    outside = np.array([column in context for column in columns])  # (F,) may be missing without a fault of the bars
    masked = outside & (missing == "mask")
    warm = max((feature.lookback for feature in features if kinds[feature.name] == BARS), default=1)
    usable = np.isfinite(values[:, :, outside & ~masked]).all(axis=(1, 2))
    warmed = covered(len(time), np.array([[a + warm - 1, b] for a, b in runs if b - a >= warm]).reshape(-1, 2))
    segments = unbroken(time, step, usable & warmed)
    values[~covered(len(time), segments)] = np.nan
    return Table(
        time=time.dt.tz_convert(None).to_numpy("datetime64[us]"),
        assets=raw.assets,
        prices=np.stack([frame[list(OHLCV)].to_numpy(float) for frame in frames.values()], axis=1),
        values=values,
        columns=columns,
        masked=masked,
        flags=np.array([column.endswith(MISSING) for column in columns]),
        carry=np.stack([frame["carry"].to_numpy(float) for frame in frames.values()], axis=1),
        segments=segments,
        warm_up=warm,
    )


def kind_of(feature: Feature, raw: RawData) -> str:
    """BARS if only a gap in the bars can take its value away, else the kind of table that it hangs on."""
    if feature.on != BARS:
        return feature.on
    if COMPANY in feature.needs:
        return "peer" if any(kind == "peer" for kind, _ in raw.context) else BARS
    beyond = set(feature.needs) - {"time", *OHLCV}
    return next((schema_of(kind).name for (kind, _), table in raw.context.items() if beyond & set(values_of(table))),
                BARS)


def bar_lots(frame: pd.DataFrame, step: pd.Timedelta, features: Sequence[Feature], kinds: Mapping[str, str],
             position: np.ndarray, blocks: BlockCache | None) -> list[Lot]:
    """What is computed on the bars, by the kind of table that it hangs on; each on the runs where that has values."""
    lots = []
    for kind in dict.fromkeys(kinds[feature.name] for feature in features if feature.on == BARS):
        chosen = [feature for feature in features if feature.on == BARS and kinds[feature.name] == kind]
        inputs = {need for feature in chosen for need in feature.needs}
        closes = [c for c in frame if str(c).startswith("close:")] if COMPANY in inputs else []
        complete = frame[[*sorted(inputs), *closes]].notna().all(axis=1).to_numpy()
        runs = unbroken(frame["time"], step, complete)
        lots.append(Lot(kind, compute_features(frame, chosen, runs, position, blocks)))
    return lots


def table_lots(raw: RawData, asset: str, time: pd.Series, features: Sequence[Feature], age: bool) -> list[Lot]:
    """What is computed on context tables, on their own rows, and joined to the bars by when it was known."""
    lots = []
    for on, needs in dict.fromkeys((feature.on, feature.needs) for feature in features):
        chosen = [feature for feature in features if (feature.on, feature.needs) == (on, needs)]
        rows = feeding(raw, asset, on, needs)[["time", "known_at", *needs]].dropna().reset_index(drop=True)
        values = compute_features(rows, chosen, np.array([[0, len(rows)]]))
        # a later row may have been finished sooner; a value rests on all the rows before it, so it is known last
        table = values.assign(known_at=rows["known_at"].cummax()).dropna().reset_index(drop=True)
        joined = known_at_join(time, table, None if age else schema_of(on).max_age, age)
        lots.append(Lot(on, joined[list(values)], joined[AGE] if age else None))
    return lots


def feeding(raw: RawData, asset: str, on: str, needs: Sequence[str]) -> pd.DataFrame:
    """The first table of schema `on` that speaks of `asset` and has all of `needs`."""
    return next(table for (kind, owner), table in raw.context.items()
                if schema_of(kind).name == on and owner in (asset, EVERY_ASSET) and set(needs) <= set(table))


def fed_columns(raw: RawData) -> dict[str, list[set[str]]]:
    """What features may need: on the bars, and in each table of a kind, as far as all assets have it."""
    everyone = []
    for asset in raw.assets:
        seen = [(schema_of(kind).name, values_of(table)) for (kind, owner), table in raw.context.items()
                if owner in (asset, EVERY_ASSET) and kind != "peer"]
        company = len(raw.assets) > 1 or any(kind == "peer" for kind, _ in raw.context)
        beside = {column for _, columns in seen for column in columns}
        everyone.append({BARS: [{"time", *OHLCV, *beside, *([COMPANY] if company else [])}]})
        for kind, columns in seen:
            everyone[-1].setdefault(kind, []).append({"time", *columns})
    return {kind: tables for kind, tables in everyone[0].items() if all(kind in other for other in everyone)}


def put_together(lots: Sequence[Lot], features: Sequence[Feature], missing: Missing) -> pd.DataFrame:
    """(T, F) of one asset in the order of `features`, then the columns that speak of what is missing or old."""
    values = pd.concat([lot.values for lot in lots], axis=1)
    frame = values[[column for feature in features for column in feature.columns]]
    said = {}
    for kind in dict.fromkeys(lot.kind for lot in lots if lot.kind != BARS):
        own = [lot for lot in lots if lot.kind == kind]
        if missing == "mask":
            gone = pd.concat([lot.values for lot in own], axis=1).isna().any(axis=1)
            said[kind + MISSING] = gone.astype(float)
        elif missing == "age" and all(lot.age is not None for lot in own):
            said[f"{kind}_age"] = pd.concat([lot.age for lot in own], axis=1).max(axis=1)
    return frame.assign(**said)


def covered(rows: int, segments: np.ndarray) -> np.ndarray:
    """(rows,) whether a row lies in one of `segments`.

    >>> covered(5, np.array([[0, 2], [3, 4]])).tolist()
    [True, True, False, True, False]
    """
    inside = np.zeros(rows, bool)
    for start, stop in segments:
        inside[start:stop] = True
    return inside


def unbroken(time: pd.Series, step: pd.Timedelta, complete: np.ndarray) -> np.ndarray:
    """(S, 2) runs of rows that follow one another within `step` and miss nothing.

    >>> closes = pd.Series(pd.to_datetime([1, 2, 3, 6, 7], unit="h", utc=True))
    >>> unbroken(closes, pd.Timedelta("1h"), np.array([True, True, True, True, False])).tolist()
    [[0, 3], [3, 4]]
    """
    follows = (time.diff() <= step).to_numpy() & complete
    follows[1:] &= complete[:-1]
    starts = np.flatnonzero(complete & ~follows)
    ends = np.flatnonzero(complete & ~np.append(follows[1:], False)) + 1
    return np.stack([starts, ends], axis=1)
