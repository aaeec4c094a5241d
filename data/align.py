"""Context joined to bars by the moment it was known, never by the moment it describes.

What has not been known yet, or is older than its schema allows, is missing. Nights, weekends and holidays of daily
tables are handled by this rule and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.schema import AT_ONCE, EVERY_ASSET, schema_of
from data.sources.base import RawData, values_of

AGE = "age"  # the column that a join adds when asked how old, in days, the values are
COMPANY = "company"  # the column that counts the assets whose closes stand beside an asset's own bars


def known_at_join(time: pd.Series, table: pd.DataFrame, max_age: pd.Timedelta | None, age: bool = False
                  ) -> pd.DataFrame:
    """The values of `table` that were the latest known at each close; missing where they are older than `max_age`.

    `None` lets them grow as old as they will. With `age`, a column says how many days ago they became known.

    >>> table = pd.DataFrame({"known_at": pd.to_datetime(["2024-01-01 01:00:01"], utc=True), "vix": [20.0]})
    >>> closes = pd.Series(pd.to_datetime(["2024-01-01 01:00", "2024-01-01 02:00"], utc=True))
    >>> known_at_join(closes, table, pd.Timedelta("1D"))["vix"].tolist()
    [nan, 20.0]
    """
    known = table["known_at"]
    if not isinstance(known.dtype, pd.DatetimeTZDtype):
        raise UserError(f"known_at must be a UTC time with its zone, found {known.dtype}; use pd.to_datetime(utc=True)")
    if not known.is_monotonic_increasing:
        raise UserError("known_at must rise from row to row; sort the table by it")
    left = pd.DataFrame({"close_time": pd.DatetimeIndex(time).as_unit("us")})
    right = table[values_of(table)].astype(float).assign(known_at=pd.DatetimeIndex(known).as_unit("us"))
    joined = pd.merge_asof(left, right, left_on="close_time", right_on="known_at", direction="backward",
                           tolerance=max_age)
    values = joined[values_of(table)]
    old = (joined["close_time"] - joined["known_at"]).dt.total_seconds() / 86_400
    return values.assign(**{AGE: old}) if age else values


def aligned(raw: RawData, columns: Collection[str] | None = None, hold: bool = False, together: bool = True
            ) -> dict[str, pd.DataFrame]:
    """One frame an asset on the closes that all assets share: time, bars, carry, and the context known by then.

    Unless `together`, each asset keeps all its own closes; where another has no bar, its close and volume are missing.

    Of the context only `columns` are joined, all if none are named; of two tables of one schema the first that has a
    column gives it. `hold` lets values grow as old as they will, and adds `age:<kind>` in days. Where there are several
    assets, or some that are only watched, each frame also holds the close and volume of every one of them.
    """
    shared = shared_closes(raw) if together else None
    company = None
    frames: dict[str, pd.DataFrame] = {}
    for asset, bars in raw.bars.items():
        kept = np.ones(len(bars), bool) if shared is None else bars["time"].isin(shared).to_numpy()
        own = bars[kept].reset_index(drop=True)
        time = own["time"]
        company = closes_of_all(raw, time) if company is None or not together else company
        parts = [own, company]
        given: dict[str, str] = {}  # column -> the schema that gave it
        for (kind, owner), table in raw.context.items():
            schema = schema_of(kind)
            wanted = [c for c in values_of(table) if (columns is None or c in columns) and given.get(c) != schema.name]
            if not wanted or owner not in (asset, EVERY_ASSET) or schema.name == "peer":
                continue
            given |= dict.fromkeys(wanted, schema.name)
            ageing = hold and schema.max_age > AT_ONCE
            seen = known_at_join(time, table[["known_at", *wanted]], None if ageing else schema.max_age, ageing)
            named = f"{AGE}:{schema.name}"
            parts.append(seen.rename(columns={AGE: named}).drop(columns=[c for c in [named] if c in given]))
            given[named] = schema.name
        frame = pd.concat(parts, axis=1)
        twice = frame.columns[frame.columns.duplicated()]
        if len(twice):
            raise UserError(f"column {twice[0]!r} of {asset} comes from two tables; rename one of them")
        frames[asset] = frame.assign(carry=np.asarray(raw.carry[asset])[kept])
    return frames


def shared_closes(raw: RawData) -> pd.Series:
    """The closes at which every asset has a bar."""
    first, *others = (bars["time"] for bars in raw.bars.values())
    for time in others:
        first = first[first.isin(time)]
    return first


def closes_of_all(raw: RawData, time: pd.Series) -> pd.DataFrame:
    """`close:<asset>` and `volume:<asset>` of the traded and the watched assets; nothing where there is one alone.

    The leader's stand first: it is what the others are compared with.
    """
    tables = {asset: bars.assign(known_at=bars["time"]) for asset, bars in raw.bars.items()}
    tables |= {asset: table for (kind, asset), table in raw.context.items() if kind == "peer"}
    if len(tables) == 1:
        return pd.DataFrame(index=time.index)
    parts: list[pd.DataFrame] = [pd.DataFrame({COMPANY: np.full(len(time), float(len(tables)))})]
    for asset in sorted(tables, key=lambda name: name != raw.leader):  # the others keep their order
        seen = known_at_join(time, tables[asset][["known_at", "close", "volume"]], schema_of("peer").max_age)
        parts.append(seen.rename(columns={name: f"{name}:{asset}" for name in seen}))
    return pd.concat(parts, axis=1)
