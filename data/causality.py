"""The causal test: change everything that is known after a moment, and nothing before it may move.

Each output carries a stamp, the last row of the market that it may depend on. Raw data after the cut are changed in
every column of every table, the pipeline runs again, and all items stamped up to the cut must be bit-identical. The
changes stay finite: a NaN in the future rightly poisons masked sums (0 x NaN), so missing data are another test's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from configs.registry import check_name
from data.dataset import DataConfig, Dataset, Table, finish, tabulate
from data.sources.base import RawData, values_of

KINDS = ("noise", "jump", "flip", "cut")
# Same-shape kinds must agree to the bit; shorter arrays may be summed in another order (BLAS), so `cut` has slack.
CUT_SLACK = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-5}


class Output(NamedTuple):
    """Something the pipeline made; a plain tuple in this order will do."""

    name: str
    values: np.ndarray  # first axis: items, one stamp each, or anything under a single stamp
    stamps: np.ndarray | int  # last row of the market that an item may depend on
    columns: tuple[str, ...] = ()  # names along the last axis, if it has any


@dataclass(frozen=True)
class Finding:
    """The first item of an output that knew what it could not."""

    kind: str
    cut: np.datetime64
    output: str
    row: int
    column: str
    before: float
    after: float

    def __str__(self) -> str:
        column = f" column {self.column!r}" if self.column else ""
        return (f"{self.output}{column} at row {self.row} looks past {self.cut}: {self.before:g} became {self.after:g} "
                f"when only later data changed ({self.kind})")


Extra = Callable[[Dataset], Iterable[Output | tuple]]


def perturb(raw: RawData, time: np.datetime64 | pd.Timestamp, kind: str, seed: int = 0) -> RawData:
    """`raw` with every column of every row that is known after `time` changed.

    `noise` multiplies each value by exp(N(0, 0.3)), `jump` by 5, `flip` reverses the order of the rows, `cut` removes
    them. Bars stay bars: high and low are mended around open and close.
    """
    check_name("perturbation", kind, KINDS)
    moment = pd.Timestamp(time)
    moment = moment.tz_localize("UTC") if moment.tz is None else moment
    bars, context, carry = {}, {}, {}
    for asset, frame in raw.bars.items():
        late = (frame["time"] > moment).to_numpy()
        rng = np.random.default_rng([seed, zlib.crc32(asset.encode())])
        changed = change(frame, list(frame.columns[1:]), late, kind, rng)
        prices = changed[["open", "high", "low", "close"]]
        bars[asset] = changed.assign(
            high=np.where(late[: len(changed)], prices.max(axis=1), prices["high"]),
            low=np.where(late[: len(changed)], prices.min(axis=1), prices["low"]),
        )
        paid = pd.DataFrame({"carry": np.asarray(raw.carry[asset], float)})
        carry[asset] = change(paid, ["carry"], late, kind, rng)["carry"].to_numpy()
    for key, table in raw.context.items():
        late = (table["known_at"] > moment).to_numpy()
        rng = np.random.default_rng([seed, zlib.crc32("/".join(key).encode())])
        context[key] = change(table, values_of(table), late, kind, rng)
    return replace(raw, bars=bars, context=context, carry=carry)


def change(table: pd.DataFrame, columns: list[str], late: np.ndarray, kind: str, rng: np.random.Generator
           ) -> pd.DataFrame:
    """`late` are the last rows of `table`, for its times rise."""
    if kind == "cut":
        return table[~late].reset_index(drop=True)
    values = table[columns].to_numpy(float, copy=True)
    tail = values[late]
    if kind == "noise":
        tail = tail * np.exp(rng.normal(0, 0.3, tail.shape))
    elif kind == "jump":
        tail = tail * 5
    else:
        tail = tail[::-1]
    # What multiplying or reversing leaves as it was (zeros, constants) is moved too, or a leak of it would hide.
    values[late] = np.where(tail == values[late], tail + 1e-3 * (1 + np.abs(tail)), tail)
    return table.assign(**{column: values[:, n] for n, column in enumerate(columns)})


def compare(before: Output, after: Output, row: int, kind: str, cut: np.datetime64) -> Finding | None:
    """The first item stamped up to `row` that differs, if there is one; NaN equals NaN.

    >>> a = Output("x", np.array([1.0, 2.0, 3.0]), np.arange(3))
    >>> b = Output("x", np.array([1.0, 2.5, 9.0]), np.arange(3))
    >>> compare(a, b, 0, "noise", np.datetime64("2024")), compare(a, b, 1, "noise", np.datetime64("2024")).row
    (None, 1)
    """
    items = np.atleast_1d(before.values)
    bound = np.broadcast_to(np.asarray(before.stamps), len(items)) <= row
    if not bound.any():
        return None
    others = np.atleast_1d(after.values)
    if len(others) <= np.flatnonzero(bound)[-1] or others.shape[1:] != items.shape[1:]:
        return Finding(kind, cut, before.name, len(others), "", float(len(items)), float(len(others)))
    old, new = items[: len(others)], others[: len(items)]
    same = (old == new) | (is_nan(old) & is_nan(new))
    if kind == "cut" and old.dtype in CUT_SLACK:
        same |= np.isclose(old, new, rtol=CUT_SLACK[old.dtype], atol=CUT_SLACK[old.dtype] ** 2)
    guilty = np.argwhere(~same[bound[: len(same)]])
    if not len(guilty):
        return None
    place = (int(np.flatnonzero(bound)[guilty[0][0]]), *(int(i) for i in guilty[0][1:]))
    column = before.columns[place[-1]] if before.columns else ""
    return Finding(kind, cut, before.name, place[0], column, float(old[place]), float(new[place]))


def is_nan(values: np.ndarray) -> np.ndarray:
    return np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.zeros(values.shape, bool)


def computed(table: Table) -> list[Output]:
    """What is made before anything is fitted: stamped with its own row."""
    rows = np.arange(len(table.time))
    inside = np.zeros(len(rows), bool)
    for start, stop in table.segments:
        inside[start:stop] = True
    return [
        Output("time", table.time.astype(np.int64), rows),
        Output("prices", table.prices, rows, ("open", "high", "low", "close", "volume")),
        Output("features", table.values, rows, table.columns),
        Output("carry", table.carry, rows, table.assets),
        Output("segments", inside, rows),
    ]


def fitted(data: Dataset) -> list[Output]:
    """What rests on the training rows: the scaler, all that it scales, and the labels of the rows it may teach."""
    rows = np.arange(len(data.market))
    last = data.split.train.stop - 1
    labels = data.labels
    ahead = rows + labels.horizon
    return [
        Output("scaler center", data.scaler.center[None], last, data.scaler.columns),
        Output("scaler scale", data.scaler.scale[None], last, data.scaler.columns),
        Output("scaled features", data.market.features, np.maximum(rows, last), data.market.columns),
        Output("direction labels", labels.direction, ahead, data.market.assets),
        Output("forward labels", labels.forward, ahead, data.market.assets),
        Output("volatility labels", labels.volatility, ahead, data.market.assets),
    ]


def audit_dataset(raw: RawData, config: DataConfig, cuts: Sequence[int | np.datetime64],
                  kinds: Sequence[str] = KINDS, extra: Extra | None = None, seed: int = 0) -> list[Finding]:
    """Every output that looks ahead, once for each cut and kind; an empty list is what one wants.

    A cut is a row of the market or a moment, which may lie in a gap. `extra` makes further outputs of a dataset, such
    as embeddings, observations and actions, as `Output` or (name, values, stamps, columns). Split borders are held
    where they are, by row: `cut` would move shares.
    """
    table = tabulate(raw, config)
    reference = finish(table, raw, config)
    split, time = reference.split, reference.market.time
    config = replace(config, borders=(split.train.stop, split.valid.stop))
    first_look = computed(table)
    second_look = [*fitted(reference), *further(extra, reference)]
    findings: list[Finding] = []
    for cut in cuts:
        moment = time[cut] if isinstance(cut, (int, np.integer)) else cut.astype("datetime64[us]")
        row = int(np.searchsorted(time, moment, side="right")) - 1
        for kind in kinds:
            changed = perturb(raw, moment, kind, seed)
            table = tabulate(changed, config)
            pairs = list(zip(first_look, computed(table)))
            if kind != "cut" or row >= split.train.stop - 1:  # less than the training rows cannot be fitted on
                data = finish(table, changed, config)
                pairs += zip(second_look, [*fitted(data), *further(extra, data)])
            found = (compare(before, after, row, kind, moment) for before, after in pairs)
            findings += [finding for finding in found if finding]
    return findings


def further(extra: Extra | None, data: Dataset) -> list[Output]:
    return [Output(*item) for item in extra(data)] if extra else []
