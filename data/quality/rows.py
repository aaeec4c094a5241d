"""Which rows there are: absent periods, stamps that come twice or between, and where the table begins and ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from data.quality.finding import Finding, Severity, counted, listed
from data.quality.subject import DAY_US, Subject, microseconds, on_weekend
from data.schema import US_BUSINESS_DAY

SEAMS = 5  # this many holes of one length, evenly spaced, are a pattern
LATE = 90 * DAY_US  # a table that begins this much later or ends this much earlier than its siblings is spoken of


def gaps(s: Subject) -> Iterator[Finding]:
    """Periods without a row between the first row and the last; weekends are none where business days are kept."""
    row = np.flatnonzero(~on_weekend(s.time - s.period)) if s.business else np.arange(len(s.time))
    absent = np.diff(s.position[row]) - 1
    holes = np.flatnonzero(absent > 0)
    if not len(holes):
        return
    before, after, lengths = row[holes], row[holes + 1], absent[holes]
    unit = "weekdays" if s.business else "days" if s.period == DAY_US else "hours"
    where = [f"{n} after {s.label(int(a))}" for n, a in zip(lengths, before)]
    message = (f"{lengths.sum():,} {unit} are absent in {counted(len(holes), 'gap')}, the longest "
               f"{where[int(lengths.argmax())]}: {listed(where)}")
    message += seams(s.position[before], lengths, unit)
    if s.business:
        message += f"; {holidays(s, before, after)} of them are American holidays"
    else:
        message += also_absent(s, s.position[before], lengths)
    named = np.zeros(len(s.time), bool)
    named[after] = True
    severity: Severity = "note" if s.business and lengths.max() <= 3 else "flag"
    yield replace(s.finding(severity, message, named), rows=int(lengths.sum()), bad=None)  # absent rows have no number


def seams(start: np.ndarray, lengths: np.ndarray, unit: str) -> str:
    """Holes of one length that return at an even distance are where one download ended and the next began.

    >>> seams(np.arange(6) * 744, np.full(6, 23), "hours")
    '; 6 of the gaps last 23 hours and return every 31 days or so: seams between downloads'
    """
    usual = int(np.bincount(lengths).argmax())
    distance = np.diff(start[lengths == usual])
    if usual < 2 or len(distance) + 1 < SEAMS:
        return ""
    middle = float(np.median(distance))
    if np.mean(np.abs(distance - middle) <= 0.15 * middle) < 0.8:
        return ""
    days = float(distance.mean()) / (24 if unit == "hours" else 1)
    return (f"; {len(distance) + 1} of the gaps last {usual} {unit} and return every {int(days)} days or so: seams "
            "between downloads")


def holidays(s: Subject, before: np.ndarray, after: np.ndarray) -> int:
    """How many absent weekdays are federal holidays."""
    calendar = US_BUSINESS_DAY.calendar.holidays
    free = np.asarray(calendar, "datetime64[D]").astype(np.int64)
    day = (s.time - s.period) // DAY_US
    return int(sum(np.count_nonzero((free > day[a]) & (free < day[b])) for a, b in zip(before, after)))


def also_absent(s: Subject, start: np.ndarray, lengths: np.ndarray) -> str:
    """Another series of the same kind that lacks the same periods: then the venue was out, not this table."""
    absent = np.concatenate([np.arange(a + 1, a + 1 + n) for a, n in zip(start, lengths)])
    for key, table in s.tables(lambda key: (key.kind, key.frequency) == (s.key.kind, s.key.frequency)):
        theirs = (microseconds(table["time"]) - s.period) // s.period
        if theirs[0] < absent[0] and absent[-1] < theirs[-1] and not np.isin(absent, theirs).any():
            return f"; all of them are absent in {key} too, so the source was out"
    return ""


def repeated_stamps(s: Subject) -> Iterator[Finding]:
    """Two rows of one moment: harmless copies, or two truths."""
    twin = np.concatenate([[False], np.diff(s.time) == 0])
    if not twin.any():
        return
    values = s.table[list(s.columns)].to_numpy(float)
    same = ((values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))).all(axis=1)
    copy = twin & np.concatenate([[True], same])
    moments = np.unique(s.time[twin & ~copy])
    differing = np.isin(s.time, moments)
    if differing.any():
        where = [s.moment(int(moment)) for moment in moments]
        yield s.finding("refuse", f"{counted(differing.sum(), 'row')} share {counted(len(moments), 'moment')} but "
                        f"differ: {listed(where)}", differing)
    copy &= ~differing
    if copy.any():
        yield s.finding("flag", f"{copy.sum():,} rows are copies of the row before: {listed(s.spans(copy))}", copy)


def off_grid(s: Subject) -> Iterator[Finding]:
    """Stamps that do not follow one another by whole periods."""
    phase = s.time % s.period
    phases, count = np.unique(phase, return_counts=True)
    odd = phase != phases[count.argmax()]
    if odd.any():
        where = [f"{pd.Timestamp(int(t), unit='us'):%Y-%m-%d %H:%M:%S}" for t in s.time[odd]]
        yield s.finding("flag", f"{odd.sum():,} rows do not follow the others by whole periods of {s.key.frequency}: "
                        f"{listed(where)}", odd)


def weekend_rows(s: Subject) -> Iterator[Finding]:
    """Rows on weekends in a table of business days."""
    weekend = on_weekend(s.time - s.period)
    if s.business and weekend.any():
        filled = [name for name in s.columns if np.isfinite(s.values(name)[weekend]).any()]
        yield s.finding("flag", f"{weekend.sum():,} rows lie on weekends in a table of business days, from "
                        f"{', '.join(filled)}: {listed(s.spans(weekend))}", weekend)


def span_of_siblings(s: Subject) -> Iterator[Finding]:
    """Where the table begins or ends long before or after the tables it will be used with."""
    siblings = {key: microseconds(table["time"]) for key, table in s.tables(
        lambda key: key.frequency == s.key.frequency and key.schema.name == s.key.schema.name
        and (key.kind == s.key.kind or key.asset == s.key.asset))}
    if not siblings:
        return
    first = min(siblings, key=lambda key: int(siblings[key][0]))
    last = max(siblings, key=lambda key: int(siblings[key][-1]))
    late, early = int(s.time[0] - siblings[first][0]), int(siblings[last][-1] - s.time[-1])
    if late > LATE:
        yield s.finding("note", f"starts {late // DAY_US:,} days after {first} and has {len(s.time):,} rows to its "
                        f"{len(siblings[first]):,}")
    if early > LATE:
        yield s.finding("note", f"ends on {s.label(len(s.time) - 1)}, {early // DAY_US:,} days before {last}")
