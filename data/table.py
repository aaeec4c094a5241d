"""From raw data to a table of features: aligned, computed, cut where something is missing; nothing is fitted yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.align import aligned
from data.features.base import BARS, Feature
from data.features.cache import BlockCache
from data.lots import AGED, FLAGGED, Missing, bar_lots, hangs_on, put_together, table_lots
from data.schema import OHLCV
from data.segments import covered, unbroken
from data.sources.base import RawData


@dataclass(frozen=True, eq=False)
class Table:
    """Everything that is computed, before anything is fitted."""

    time: np.ndarray  # (T,) datetime64[us], UTC
    assets: tuple[str, ...]
    prices: np.ndarray  # (T, N, 5)
    values: np.ndarray  # (T, N, F) float64 features, unscaled; inside segments only masked ones may be missing
    columns: tuple[str, ...]
    kinds: tuple[str, ...]  # (F,) BARS, the kind of table that a column hangs on, or FLAGGED + the kind it speaks of
    masked: np.ndarray  # (F,) columns that may be missing, a flag saying where
    carry: np.ndarray  # (T, N)
    segments: np.ndarray  # (S, 2) rows without a gap on which every feature has warmed up
    warm_up: int  # bars that a run without a gap needs before its first row counts
    held: dict[str, int] = field(default_factory=dict)  # kind -> warmed-up bars on which all that hangs on it is known
    dropped: tuple[str, ...] = ()  # groups of features that the source cannot feed

    @property
    def flags(self) -> np.ndarray:
        """(F,) columns of 0 and 1 that say where others are missing; they mean what they are, unscaled."""
        return np.array([kind.startswith(FLAGGED) for kind in self.kinds])


def table_of(raw: RawData, features: Sequence[Feature], missing: Missing = "break", cache: Path | None = None,
             bridge: int = 0) -> Table:
    """`features` of every asset of `raw`, on the bars that all of them share.

    Where a table has nothing to say, `missing` decides: `break` ends the segment there; `mask` keeps the row and adds a
    column `<kind>_missing`; `age` holds the last value however old and adds `<kind>_age` in days. A gap of at most
    `bridge` bars is passed over.
    """
    kinds = {feature.name: hangs_on(feature, raw) for feature in features}
    frames = aligned(raw, {need for feature in features if feature.on == BARS for need in feature.needs},
                     hold=missing == "age")
    first = next(iter(frames.values()))
    if not len(first):
        raise UserError(f"no bar is shared by all of {', '.join(frames)}; give assets whose times overlap")
    time = first["time"]
    step = raw.bar * (1 + bridge)
    position = time.astype("datetime64[us, UTC]").astype("int64").to_numpy() // (raw.bar // pd.Timedelta("1us"))
    blocks = BlockCache(cache) if cache else None
    everyone: list[pd.DataFrame] = []
    told: dict[str, str] = {}  # column -> what it hangs on, the same for every asset
    for asset, frame in frames.items():
        lots = bar_lots(frame, step, features, kinds, position, blocks)
        lots += table_lots(raw, asset, time, [f for f in features if f.on != BARS], missing == "age")
        one, told = put_together(lots, features, kinds, missing)
        everyone.append(one)
    values = np.stack([one.to_numpy(float) for one in everyone], axis=1)  # (T, N, F)
    spoken = tuple(told.values())
    context = np.array([kind != BARS and not kind.startswith((FLAGGED, AGED)) for kind in spoken])
    masked = context & (missing == "mask")
    warm = max((feature.lookback for feature in features if kinds[feature.name] == BARS), default=1)
    runs = unbroken(time, step, np.ones(len(time), bool))
    warmed = covered(len(time), np.array([[a + warm - 1, b] for a, b in runs if b - a >= warm]).reshape(-1, 2))
    there = np.isfinite(values).all(axis=1)  # (T, F)
    segments = unbroken(time, step, there[:, context & ~masked].all(axis=1) & warmed)
    values[~covered(len(time), segments)] = np.nan
    return Table(
        time=time.dt.tz_convert(None).to_numpy("datetime64[us]"),
        assets=raw.assets,
        prices=np.stack([frame[list(OHLCV)].to_numpy(float) for frame in frames.values()], axis=1),
        values=values,
        columns=tuple(told),
        kinds=spoken,
        masked=masked,
        carry=np.stack([frame["carry"].to_numpy(float) for frame in frames.values()], axis=1),
        segments=segments,
        warm_up=warm,
        held={kind: int((there[:, np.array([k == kind for k in spoken])].all(axis=1) & warmed).sum())
              for kind in (BARS, *dict.fromkeys(k for k, outside in zip(spoken, context) if outside))},
    )
