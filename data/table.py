"""From raw data to a table of features: aligned, computed, cut where something is missing; nothing is fitted yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.align import COMPANY, aligned
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
    absent: np.ndarray | None = None  # (T, N) no bar, or not all of its features; None: no asset ever is, in segments

    def before(self, row: int) -> Table:
        """As if nothing from `row` on had been there; what columns hang on was told of the whole."""
        inside = np.minimum(self.segments, row)
        return replace(self, time=self.time[:row], prices=self.prices[:row], values=self.values[:row],
                       carry=self.carry[:row], segments=inside[inside[:, 1] > inside[:, 0]],
                       absent=None if self.absent is None else self.absent[:row])

    @property
    def flags(self) -> np.ndarray:
        """(F,) columns of 0 and 1 that say where others are missing; they mean what they are, unscaled."""
        return np.array([kind.startswith(FLAGGED) for kind in self.kinds])


def table_of(raw: RawData, features: Sequence[Feature], missing: Missing = "break", cache: Path | None = None,
             bridge: int = 0, together: bool = True) -> Table:
    """`features` of every asset of `raw`, on the bars that all of them share.

    Unless `together`, the rows are the bars of any asset, each is computed on its own bars alone, and an asset is
    absent where it has none or its features are not all there: what is listed late does not hold the others up.

    Where a table has nothing to say, `missing` decides: `break` ends the segment there; `mask` keeps the row and adds a
    column `<kind>_missing`; `age` holds the last value however old and adds `<kind>_age` in days. A gap of at most
    `bridge` bars is passed over.
    """
    kinds = {feature.name: hangs_on(feature, raw) for feature in features}
    if not together:  # the others' closes may be missing where the own bars are not
        kinds |= {feature.name: "peer" for feature in features if COMPANY in feature.needs}
    frames = aligned(raw, {need for feature in features if feature.on == BARS for need in feature.needs},
                     hold=missing == "age", together=together)
    time = all_closes(frames)
    if not len(time):
        raise UserError(f"no bar is shared by all of {', '.join(frames)}; give assets whose times overlap")
    step = raw.bar * (1 + bridge)
    warm = max((feature.lookback for feature in features if kinds[feature.name] == BARS), default=1)
    blocks = BlockCache(cache) if cache else None
    everyone: list[np.ndarray] = []
    told: dict[str, str] = {}  # column -> what it hangs on, the same for every asset
    warmed = np.zeros((len(time), len(frames)), bool)
    for n, (asset, frame) in enumerate(frames.items()):
        own = frame["time"]
        position = own.astype("datetime64[us, UTC]").astype("int64").to_numpy() // (raw.bar // pd.Timedelta("1us"))
        lots = bar_lots(frame, step, features, kinds, position, blocks)
        lots += table_lots(raw, asset, own, [f for f in features if f.on != BARS], missing == "age")
        one, told = put_together(lots, features, kinds, missing)
        everyone.append(placed(one, own, time, np.nan))
        runs = unbroken(own, step, np.ones(len(own), bool))
        warmed[time.searchsorted(own), n] = covered(
            len(own), np.array([[a + warm - 1, b] for a, b in runs if b - a >= warm]).reshape(-1, 2))
    values = np.stack(everyone, axis=1)  # (T, N, F)
    spoken = tuple(told.values())
    context = np.array([kind != BARS and not kind.startswith((FLAGGED, AGED)) for kind in spoken])
    masked = context & (missing == "mask")
    there = np.isfinite(values)
    ready = there[..., context & ~masked].all(axis=2) & warmed  # (T, N)
    enough = np.all if together else np.any
    usable = enough(ready, axis=1)
    values[~(usable[:, None] & (ready | together))] = np.nan
    return Table(
        time=time.tz_convert(None).to_numpy("datetime64[us]"),
        assets=raw.assets,
        prices=np.stack([placed(frame[list(OHLCV)], frame["time"], time, np.nan) for frame in frames.values()], axis=1),
        values=values,
        columns=tuple(told),
        kinds=spoken,
        masked=masked,
        carry=np.concatenate([placed(frame[["carry"]], frame["time"], time, 0.0) for frame in frames.values()], axis=1),
        segments=unbroken(pd.Series(time), step, usable),
        warm_up=warm,
        held={kind: int(enough(there[..., [k == kind for k in spoken]].all(axis=2) & warmed, axis=1).sum())
              for kind in (BARS, *dict.fromkeys(k for k, outside in zip(spoken, context) if outside))},
        absent=None if together else ~ready,
    )


def all_closes(frames: Mapping[str, pd.DataFrame]) -> pd.DatetimeIndex:
    """Every close of any of `frames`, which must lie on one grid."""
    times = [pd.DatetimeIndex(frame["time"]) for frame in frames.values()]
    whole = reduce(pd.DatetimeIndex.union, times)
    if len(whole) > 1 and np.diff(whole).min() < min(np.diff(time).min() for time in times if len(time) > 1):
        row = int(np.argmin(np.diff(whole))) + 1
        raise UserError(f"bars of {', '.join(frames)} close at different moments, such as {whole[row - 1]} and "
                        f"{whole[row]}; give bars of one grid, or say --data.assets_together true")
    return whole


def placed(values: pd.DataFrame, own: pd.Series, time: pd.DatetimeIndex, gap: float) -> np.ndarray:
    """(T, columns) `values` of the closes `own` among those of `time`, with `gap` between them."""
    found = np.full((len(time), values.shape[1]), gap)
    found[time.searchsorted(own)] = values.to_numpy(float)
    return found
