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
from tqdm import tqdm

from configs.registry import check_name
from data.dataset import DataConfig, Dataset, finish, tabulate
from data.features.base import BLOCK, Feature, values_in
from data.segments import covered
from data.sources.base import RawData, values_of
from data.table import Table

KINDS = ("noise", "jump", "flip", "cut")
# Same-shape kinds must agree to the bit; shorter arrays may be summed in another order (BLAS), so `cut` has slack.
CUT_SLACK = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-5}
SOON = 8  # rows behind a place where something begins: there a value filled in from later shows


class Output(NamedTuple):
    """Something the pipeline made; a plain tuple in this order will do."""

    name: str
    values: np.ndarray  # first axis: items, one stamp each, or anything under a single stamp
    stamps: np.ndarray | int  # last row of the market that an item may depend on
    columns: tuple[str, ...] = ()  # names along the last axis, if it has any
    rows: np.ndarray | None = None  # the row of the market that an item belongs to; None: item by item, or the stamp

    def row(self, item: int) -> int:
        if self.rows is not None:
            return int(self.rows[item])
        return item if isinstance(self.stamps, np.ndarray) else int(self.stamps)


@dataclass(frozen=True)
class Finding:
    """The first item of a column of an output that knew what it could not."""

    kind: str
    cut: np.datetime64
    output: str
    row: int
    column: str
    before: float
    after: float
    time: np.datetime64 | None = None  # of the row

    @property
    def name(self) -> str:
        return f"{self.output} column {self.column!r}" if self.column else self.output

    def __str__(self) -> str:
        at = "" if self.time is None else f" ({said(self.time)})"
        return (f"{self.name} at row {self.row}{at} looks past {said(self.cut)}: {self.before:g} became {self.after:g} "
                f"when only later data changed ({self.kind})")


def said(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[m]")).replace("T", " ")


@dataclass(frozen=True)
class Audit:
    """What was found, and how much was looked at."""

    findings: list[Finding]
    outputs: tuple[str, ...]  # that could be compared at one cut at least
    columns: int  # of features
    cuts: int
    kinds: int
    on_its_face: tuple[str, ...] = ()  # what `leaks.py` saw without changing anything

    @property
    def clean(self) -> bool:
        return not self.findings and not self.on_its_face

    def lines(self) -> list[str]:
        """One line for each guilty column of an output, in the pipeline's order: the first row over all cuts.

        What a guilty feature feeds is guilty after it, so the first line is the one to mend.
        """
        grouped: dict[str, list[Finding]] = {}
        for finding in self.findings:
            grouped.setdefault(finding.name, []).append(finding)
        lines = list(self.on_its_face)
        for group in sorted(grouped.values(), key=lambda group: self.outputs.index(group[0].output)):
            kinds, cuts = {finding.kind: None for finding in group}, {finding.cut for finding in group}
            seen = f"; seen with {', '.join(kinds)} at {len(cuts)} of {self.cuts} cuts" if len(group) > 1 else ""
            lines.append(f"{min(group, key=lambda finding: finding.row)}{seen}")
        return lines


Extra = Callable[[Dataset, slice], Iterable[Output | tuple]]


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
        bars[asset] = mended(change(frame, list(frame.columns[1:]), late, kind, rng), late)
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


def mended(bars: pd.DataFrame, late: np.ndarray) -> pd.DataFrame:
    prices = bars[["open", "high", "low", "close"]]
    changed = late[: len(bars)]
    return bars.assign(high=np.where(changed, prices.max(axis=1), prices["high"]),
                       low=np.where(changed, prices.min(axis=1), prices["low"]))


def bound(output: Output, row: int) -> np.ndarray:
    """(items,) that may depend on nothing after `row`."""
    return np.broadcast_to(np.asarray(output.stamps), len(np.atleast_1d(output.values))) <= row


def compare(before: Output, after: Output, row: int, kind: str, cut: np.datetime64) -> list[Finding]:
    """The first item stamped up to `row` that differs, of each column; NaN equals NaN.

    >>> a = Output("x", np.array([1.0, 2.0, 3.0]), np.arange(3))
    >>> b = Output("x", np.array([1.0, 2.5, 9.0]), np.arange(3))
    >>> cut = np.datetime64("2024")
    >>> compare(a, b, 0, "noise", cut), [finding.row for finding in compare(a, b, 1, "noise", cut)]
    ([], [1])
    """
    held = np.flatnonzero(bound(before, row))
    if not len(held):
        return []
    items, others = np.atleast_1d(before.values), np.atleast_1d(after.values)
    if len(others) <= held[-1] or others.shape[1:] != items.shape[1:]:
        place = before.row(min(len(others), int(held[-1])))
        return [Finding(kind, cut, before.name, place, "", float(len(items)), float(len(others)))]
    old, new = items[held], others[held]
    same = (old == new) | (is_nan(old) & is_nan(new))
    if kind == "cut" and old.dtype in CUT_SLACK:
        slack = CUT_SLACK[old.dtype]
        usual = np.where(np.isfinite(old), np.abs(old), 0).mean(axis=tuple(range(old.ndim - 1)) or None)
        same |= np.isclose(old, new, rtol=slack, atol=slack * usual)
    flat = ~same.reshape(len(held), -1, max(len(before.columns), 1))  # (items, inner, columns); unnamed ones are one
    values, changed = (part.reshape(flat.shape) for part in (old, new))
    found = []
    for column in np.flatnonzero(flat.any(axis=(0, 1))).tolist():
        item, inner = (int(i) for i in np.argwhere(flat[:, :, column])[0])
        name = before.columns[column] if before.columns else ""
        found.append(Finding(kind, cut, before.name, before.row(int(held[item])), name,
                             float(values[item, inner, column]), float(changed[item, inner, column])))
    return found


def is_nan(values: np.ndarray) -> np.ndarray:
    return np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.zeros(values.shape, bool)


def computed(table: Table) -> list[Output]:
    """What is made before anything is fitted: stamped with its own row."""
    rows = np.arange(len(table.time))
    return [
        Output("time", table.time.astype(np.int64), rows),
        Output("prices", table.prices, rows, ("open", "high", "low", "close", "volume")),
        Output("features", table.values, rows, table.columns),
        Output("carry", table.carry, rows, table.assets),
        Output("segments", covered(len(rows), table.segments), rows),
    ]


def fitted(data: Dataset) -> list[Output]:
    """What rests on the training rows: the scaler, all that it scales, and the labels of the rows it may teach."""
    rows = np.arange(len(data.market))
    last = data.split.train.stop - 1
    labels = data.labels
    ahead = rows + labels.reach
    return [
        Output("scaler center", data.scaler.center[None], last, data.scaler.columns),
        Output("scaler scale", data.scaler.scale[None], last, data.scaler.columns),
        Output("scaled features", data.market.features, np.maximum(rows, last), data.market.columns),
        Output("direction labels", labels.direction, ahead, data.market.assets),
        Output("forward labels", labels.forward, ahead, data.market.assets),
        Output("volatility labels", labels.volatility, ahead, data.market.assets),
    ]


def choose_cuts(data: Dataset, count: int = 4, seed: int = 0) -> list[int | np.datetime64]:
    """Where leaks show, in order of time, and `count` rows at random.

    Inside the warm-up and just after it (a back-fill shows nowhere else), just after a block of features begins, on
    the last training row and one past it (scaler, purge), where validation ends, in the longest gap, and late.
    """
    time, split, rows = data.market.time, data.split, len(data.market)
    first = int(data.market.segments[0, 0])
    step = np.diff(time)
    bar, longest = step.min(), int(np.argmax(step))
    blocks = np.flatnonzero(np.diff(time.astype(np.int64) // bar.astype(np.int64) // BLOCK)) + 1  # where they begin
    inside = blocks[blocks > first]
    found: list[int | np.datetime64] = [max(first // 2, 1), first + SOON, split.train.stop - 1, split.train.stop,
                                        split.valid.stop - 1, split.valid.stop, rows - 3]
    found += [int(block) + SOON for block in inside[: len(inside) // 2 + 1][-1:]]
    found += np.random.default_rng(seed).integers(first, rows - 1, count).tolist()
    cuts = sorted({cut for cut in found if 0 < cut < rows - 1})
    return [*cuts, time[longest] + step[longest] // 2] if step[longest] > bar else [*cuts]


def audit_dataset(raw: RawData, config: DataConfig, cuts: Sequence[int | np.datetime64],
                  kinds: Sequence[str] = KINDS, extra: Extra | None = None, seed: int = 0, near: int | None = None
                  ) -> Audit:
    """Every output that looks ahead, once for each cut and kind; no finding is what one wants.

    A cut is a row of the market or a moment, which may lie in a gap. `extra` makes further outputs of a dataset on a
    span of its rows, such as embeddings, observations and actions, as `Output` or a tuple in its order: all rows, or
    `near` rows on either side of the cut, which keeps long markets quick. Split borders are held where they are, by
    row: `cut` would move shares.
    """
    table = tabulate(raw, config)
    reference = finish(table, raw, config)
    split, time = reference.split, reference.market.time
    config = replace(config, borders=(split.train.stop, split.valid.stop))
    first_look, second_look = computed(table), fitted(reference)
    spans: dict[tuple[int, int], list[Output]] = {}
    findings: list[Finding] = []
    looked: dict[str, None] = {}
    for cut in tqdm(cuts, "cuts", disable=None, leave=False):  # silent where nobody looks
        moment = time[cut] if isinstance(cut, (int, np.integer)) else cut.astype("datetime64[us]")
        row = int(np.searchsorted(time, moment, side="right")) - 1
        span = slice(0, len(time)) if near is None else slice(max(row - near, 0), min(row + near + 1, len(time)))
        decisions = reference.market.decision_rows(config.window, slice(span.start, row + 1))
        more = extra if near is None or len(decisions) > 1 else None
        if more and (span.start, span.stop) not in spans:
            spans = {(span.start, span.stop): further(more, reference, span)}
        third_look = spans[span.start, span.stop] if more else []
        for kind in kinds:
            changed = perturb(raw, moment, kind, seed)
            table = tabulate(changed, config)
            before, after = list(first_look), computed(table)
            if kind != "cut" or row >= split.train.stop - 1:  # less than the training rows cannot be fitted on
                data = finish(table, changed, config)
                before += [*second_look, *third_look]
                after += [*fitted(data), *further(more, data, span)]
            now = {output.name: output for output in after}
            for output in before:
                if bound(output, row).any():
                    looked[output.name] = None
                    missing = Output(output.name, np.empty(0), 0)
                    findings += compare(output, now.get(output.name, missing), row, kind, moment)
    findings = [replace(finding, time=time[finding.row]) for finding in findings]
    return Audit(findings, tuple(looked), len(reference.market.columns), len(cuts), len(kinds))


def further(extra: Extra | None, data: Dataset, rows: slice) -> list[Output]:
    """A market that the cut has shortened ends where it ends."""
    return [Output(*item) for item in extra(data, slice(rows.start, min(rows.stop, len(data.market))))] if extra else []


def audit_feature(feature: Feature, rows: pd.DataFrame, cuts: Sequence[int] = (5, 20, 60, 150, 400),
                  kinds: Sequence[str] = KINDS, seed: int = 0) -> list[Finding]:
    """The cheap test of one feature alone, on rows without a gap: what it says up to a cut rests on nothing later.

    >>> from data.features.base import one
    >>> bars = pd.DataFrame({"close": 100 + np.sin(np.arange(90.0))})
    >>> tomorrow = Feature("tomorrow", "own", 1, ("close",), "", one("tomorrow", lambda f: f["close"].shift(-1)))
    >>> [(finding.column, finding.row) for finding in audit_feature(tomorrow, bars, cuts=[60], kinds=["jump"])]
    [('tomorrow', 60)]
    """
    numbers = [str(column) for column in rows if pd.api.types.is_numeric_dtype(rows[column])]
    stamps = np.arange(len(rows))
    before = Output("features", values_in(rows, feature).to_numpy(float), stamps, feature.columns)
    found = []
    for cut in (cut for cut in cuts if feature.lookback <= cut + 1 < len(rows)):
        for kind in kinds:
            rng = np.random.default_rng([seed, cut])
            changed = change(rows, numbers, stamps > cut, kind, rng)
            if {"open", "high", "low", "close"} <= set(numbers):
                changed = mended(changed, stamps > cut)
            after = Output("features", values_in(changed, feature).to_numpy(float), stamps, feature.columns)
            moment = rows["time"].dt.tz_convert(None).to_numpy()[cut] if "time" in rows else np.datetime64(cut, "h")
            found += compare(before, after, cut, kind, moment)
    return found
