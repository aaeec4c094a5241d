"""Columns by the place they come from: the bars, or a table without which they have no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from data.align import AGE, COMPANY, known_at_join
from data.features.base import BARS, Feature, compute_features
from data.features.cache import BlockCache
from data.features.own import OWN
from data.schema import EVERY_ASSET, OHLCV, schema_of
from data.segments import unbroken
from data.sources.base import RawData, values_of

Missing = Literal["break", "mask", "age"]
FLAG = "_missing"  # how a column is called that says where a kind is missing
FLAGGED, AGED = "flag of ", "age of "  # what a column speaks of that says where a kind is missing, or how old it is


@dataclass(frozen=True, eq=False)
class Lot:
    """Columns of one asset that come from one place, and hence are missing together."""

    kind: str  # BARS, or the schema of the tables without which there is no value
    values: pd.DataFrame  # (T, F)
    age: pd.Series | None = None  # (T,) days since the values became known


def hangs_on(feature: Feature, raw: RawData) -> str:
    """BARS if only a gap in the bars can take its value away, else the kind of table that can."""
    if feature.on != BARS:
        return feature.on
    if COMPANY in feature.needs:
        return "peer" if any(kind == "peer" for kind, _ in raw.context) else BARS
    beyond = set(feature.needs) - {"time", *OHLCV}
    return next((schema_of(kind).name for (kind, _), table in raw.context.items() if beyond & set(values_of(table))),
                BARS)


def bar_lots(frame: pd.DataFrame, step: pd.Timedelta, features: Sequence[Feature], kinds: Mapping[str, str],
             position: np.ndarray, blocks: BlockCache | None) -> list[Lot]:
    """What is computed on the bars, by the kind of table that it hangs on; each on the runs where that has values.

    A user's own features are computed anew each time: no hash sees all that their code may call.
    """
    lots = []
    bars = [feature for feature in features if feature.on == BARS]
    for kind, own in dict.fromkeys((kinds[feature.name], feature.group == OWN) for feature in bars):
        chosen = [feature for feature in bars if (kinds[feature.name], feature.group == OWN) == (kind, own)]
        inputs = list(dict.fromkeys(column for feature in chosen for column in feature.reads(map(str, frame))))
        runs = unbroken(frame["time"], step, frame[inputs].notna().all(axis=1).to_numpy())
        values = compute_features(frame, chosen, runs, position, None if own else blocks)
        lots.append(Lot(kind, values, frame.get(f"{AGE}:{kind}")))
    return lots


def table_lots(raw: RawData, asset: str, time: pd.Series, features: Sequence[Feature], age: bool) -> list[Lot]:
    """What is computed on context tables, on their own rows, and joined to the bars by when it was known."""
    lots = []
    for on, needs in dict.fromkeys((feature.on, feature.needs) for feature in features):
        chosen = [feature for feature in features if (feature.on, feature.needs) == (on, needs)]
        columns = list(dict.fromkeys(("time", "known_at", *needs)))
        rows = feeding(raw, asset, on, needs)[columns].dropna().reset_index(drop=True)
        values = compute_features(rows, chosen, np.array([[0, len(rows)]]))
        # a later row may have been finished sooner; a value rests on all the rows before it, so it is known last
        table = values.assign(known_at=rows["known_at"].cummax())
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


def put_together(lots: Sequence[Lot], features: Sequence[Feature], kinds: Mapping[str, str], missing: Missing
                 ) -> tuple[pd.DataFrame, dict[str, str]]:
    """(T, F) of one asset in the order of `features`, then what speaks of missing and of old values; and what each
    column hangs on."""
    values = pd.concat([lot.values for lot in lots], axis=1)
    told = {column: kinds[feature.name] for feature in features for column in feature.columns}
    frame = values[list(told)]
    said = {}
    for kind in dict.fromkeys(lot.kind for lot in lots if lot.kind != BARS):
        own = [lot for lot in lots if lot.kind == kind]
        ages = [lot.age for lot in own if lot.age is not None]
        if missing == "mask":
            gone = pd.concat([lot.values for lot in own], axis=1).isna().any(axis=1)
            said[f"{kind}{FLAG}"] = gone.astype(float)
            told[f"{kind}{FLAG}"] = f"{FLAGGED}{kind}"
        elif missing == "age" and ages:
            said[f"{kind}_age"] = pd.concat(ages, axis=1).max(axis=1)
            told[f"{kind}_age"] = f"{AGED}{kind}"
    return frame.assign(**said), told
