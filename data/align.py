"""Context joined to bars by the moment it was known, never by the moment it describes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.sources.base import EVERY_ASSET, RawData, values_of

# kind -> how old a row may be and still count; past that the bar has no value, and its segment ends there.
MAX_AGE = {
    "onchain": pd.Timedelta(hours=6),
    "macro": pd.Timedelta(days=5),  # a weekend with a holiday on either side
    "state": pd.Timedelta(0),
}


def known_at_join(time: pd.Series, table: pd.DataFrame, max_age: pd.Timedelta) -> pd.DataFrame:
    """The values of `table` that were the latest known at each close; missing where they are older than `max_age`.

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
    left = pd.DataFrame({"close_time": time.astype("datetime64[us, UTC]").to_numpy()})
    right = table[values_of(table)].astype(float).assign(known_at=known.astype("datetime64[us, UTC]").to_numpy())
    joined = pd.merge_asof(left, right, left_on="close_time", right_on="known_at", direction="backward",
                           tolerance=max_age)
    return joined[values_of(table)]


def aligned(raw: RawData) -> dict[str, pd.DataFrame]:
    """One frame an asset on the closes that all assets share: time, bars, carry, and the context known by then."""
    shared = None
    for bars in raw.bars.values():
        shared = bars["time"] if shared is None else shared[shared.isin(bars["time"])]
    assert shared is not None
    frames: dict[str, pd.DataFrame] = {}
    for asset, bars in raw.bars.items():
        kept = bars["time"].isin(shared).to_numpy()
        parts = [bars[kept].reset_index(drop=True)]
        for (kind, owner), table in raw.context.items():
            if owner in (asset, EVERY_ASSET):
                parts.append(known_at_join(parts[0]["time"], table, MAX_AGE[kind]))
        frame = pd.concat(parts, axis=1)
        twice = frame.columns[frame.columns.duplicated()]
        if len(twice):
            raise UserError(f"column {twice[0]!r} of {asset} comes from two tables; rename one of them")
        frames[asset] = frame.assign(carry=np.asarray(raw.carry[asset])[kept])
    return frames
