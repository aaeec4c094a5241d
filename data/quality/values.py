"""What stands in single columns: impossible, absent, constant, scaled with hindsight, thinly founded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from data.quality.finding import Finding, listed
from data.quality.subject import DAY_US, Subject

FEW = 10  # a mean of fewer observations than this says little
BULK = 10  # this many periods finished within one day were recalculated together


def out_of_range(s: Subject) -> Iterator[Finding]:
    """Infinite values, and values that the schema says cannot be true."""
    for name in s.columns:
        column, values = s.key.schema.column(name), s.values(name)
        for bad, what in ((np.isinf(values), "infinite"), (np.isfinite(values) & (values < column.low),
                          f"below {column.low:g}"), (np.isfinite(values) & (values > column.high),
                          f"above {column.high:g}")):
            if bad.any():
                extreme = values[bad][np.abs(values[bad]).argmax()]
                yield s.finding("refuse", f"{bad.sum():,} values of {name} are {what}, which cannot be ({extreme:g}): "
                                f"{listed(s.spans(bad))}", bad, name)


def missing_values(s: Subject) -> Iterator[Finding]:
    """How much of each column is missing, and where its values begin and end."""
    for name in s.columns:
        missing = np.isnan(s.values(name))
        if not missing.any():
            continue
        required = s.key.schema.column(name).required
        if missing.all():
            yield s.finding("flag" if required else "note", f"{name} has no value at all", missing, name)
            continue
        present = np.flatnonzero(~missing)
        begun = f"values start {s.label(present[0])}" if present[0] else ""
        ended = f"end {s.label(present[-1])}" if present[-1] < len(missing) - 1 else ""
        inside = missing[present[0] : present[-1] + 1].sum()
        within = f"{inside:,} are missing in between" if inside else ""
        yield s.finding("flag" if required else "note", f"{missing.sum():,} values of {name} are missing "
                        f"({missing.mean():.1%}): {', '.join(part for part in (begun, ended, within) if part)}",
                        missing, name)


def constant_columns(s: Subject) -> Iterator[Finding]:
    """A column that never changes tells nothing."""
    for name in s.columns:
        values = s.values(name)
        values = values[np.isfinite(values)]
        if len(values) > 2 and values.min() == values.max():
            yield s.finding("note", f"{name} is {values[0]:g} in all {len(values):,} rows", column=name)


def scaled_by_own_maximum(s: Subject) -> Iterator[Finding]:
    """Fractions of 100 with exactly 100 as the highest: divided by a maximum that only the future knew."""
    for name in s.columns:
        values = s.values(name)
        values = values[np.isfinite(values)]
        if len(values) > 100 and values.min() >= 0 and values.max() == 100 and (values % 1 != 0).any():
            row = int(np.nanargmax(s.values(name)))
            yield s.finding("flag", f"{name} runs from {values.min():g} to exactly 100 (first on {s.label(row)}): "
                            "scaled by its own highest, so earlier values know the later ones", column=name)


def few_observations(s: Subject) -> Iterator[Finding]:
    """Means that rest on fewer than `FEW` observations, where the table counts them."""
    for name in s.columns:
        counter = s.key.schema.column(name).counted_by
        if counter in s.table:
            few = s.values(counter) < FEW
            if few.any():
                yield s.finding("flag", f"{few.sum():,} values of {name} rest on fewer than {FEW} {counter}, the last "
                                f"on {s.label(np.flatnonzero(few)[-1])}", few, name)


def completion_stamps(s: Subject) -> Iterator[Finding]:
    """Completion times that many periods share long after their end: a recalculation, not the first publication."""
    known = s.key.schema.known
    if not known.measured or known.measured not in s.table:
        return
    stamp = s.values(known.measured) * 1e6  # microseconds since 1970
    late = np.isfinite(stamp) & (stamp - s.time > known.believed // pd.Timedelta("1us"))
    if not late.any():
        return
    day, together, count = np.unique(stamp[late] // DAY_US, return_inverse=True, return_counts=True)
    bulk = np.zeros(len(stamp), bool)
    bulk[np.flatnonzero(late)[count[together] >= BULK]] = True
    if bulk.any():
        dates = [f"{n:,} on {pd.Timestamp(d * DAY_US, unit='us'):%Y-%m-%d}" for d, n in zip(day, count) if n >= BULK]
        yield s.finding("note", f"{bulk.sum():,} rows ({s.label(int(bulk.argmax()))} .. "
                        f"{s.label(np.flatnonzero(bulk)[-1])}) were completed long after their day, {listed(dates)}: a "
                        "recalculation at one go, so the rule says when they were known", bulk, known.measured)
    single = late & ~bulk
    if single.any():
        yield s.finding("note", f"{single.sum():,} rows were completed late: {listed(s.spans(single))}", single,
                        known.measured)
