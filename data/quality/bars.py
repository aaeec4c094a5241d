"""Bars for themselves: prices that cannot be, rows that stand still, stretches that come twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from data.quality.finding import Finding, counted, listed, runs
from data.quality.subject import Subject

ROUNDING = 1e-9  # of a price, as files written with few digits need it
STILL = 3  # rows in a row that repeat or trade nothing before it is more than a coincidence
BLOCK = 3  # rows that repeat earlier ones in the same order; two alike have been seen by chance


def impossible_prices(s: Subject) -> Iterator[Finding]:
    """Low above open or close, high below them, and prices of zero or less."""
    for c in s.candles:
        top, bottom = np.fmax(c.open, c.close), np.fmin(c.open, c.close)
        bad = (c.low > bottom * (1 + ROUNDING)) | (c.high < top * (1 - ROUNDING)) | (c.high < c.low * (1 - ROUNDING))
        if bad.any():
            yield s.finding("refuse", f"{bad.sum():,} bars of {c.name} break low <= open, close <= high: "
                            f"{listed(s.spans(bad))}", bad, c.name)
        bad = np.fmin(np.fmin(c.low, c.high), bottom) <= 0
        if bad.any():
            yield s.finding("refuse", f"{bad.sum():,} bars of {c.name} have a price of zero or less: "
                            f"{listed(s.spans(bad))}", bad, c.name)


def flat_candles(s: Subject) -> Iterator[Finding]:
    """Open, high, low and close are one number throughout: a single value a period, dressed as bars."""
    for c in s.candles:
        flat = (c.open == c.high) & (c.high == c.low) & (c.low == c.close)
        present = np.isfinite(c.close)
        if present.sum() >= BLOCK and flat[present].mean() > 0.9:
            yield s.finding("flag", f"open, high, low and close are equal in {flat.sum():,} of {present.sum():,} bars "
                            f"of {c.name}: not bars but one value a period", column=c.name)


def stale_bars(s: Subject) -> Iterator[Finding]:
    """Bars equal to the one before, and bars without a trade."""
    if not s.candles:
        return
    values = np.column_stack([each for c in s.candles for each in (c.open, c.high, c.low, c.close)])
    same = np.zeros(len(values), bool)
    same[1:] = (values[1:] == values[:-1]).all(axis=1)
    idle = s.values("volume") == 0 if "volume" in s.table else np.zeros(len(values), bool)
    if idle.all():
        yield s.finding("flag", "volume is 0 in every bar: it was not measured", idle, "volume")
        idle = np.zeros(len(values), bool)
    for bad, what in ((same, "equal to the bar before"), (idle, "without a trade")):
        stretches = runs(bad)
        if bad.any():
            longest = stretches[np.diff(stretches, axis=1).argmax()]
            length = int(longest[1] - longest[0])
            yield s.finding("flag" if length >= STILL else "note", f"{counted(bad.sum(), 'bar')} {what}, at most "
                            f"{length} in a row ({s.span(*longest)}): {listed(s.spans(bad))}", bad)


def repeated_blocks(s: Subject) -> Iterator[Finding]:
    """`BLOCK` rows or more that repeat earlier, moving rows exactly and in the same order."""
    if len(s.columns) < 4:  # few digits in few columns come back by chance
        return
    values = s.table[list(s.columns)].fillna(-1.0)
    mark = pd.util.hash_pandas_object(values, index=False).to_numpy()
    moving = np.concatenate([[True], mark[1:] != mark[:-1]])
    row = np.flatnonzero(moving)
    order = row[np.argsort(mark[row], kind="stable")]
    twin = np.full(len(mark), -1)  # the latest earlier row with the same values
    again = mark[order[1:]] == mark[order[:-1]]
    twin[order[1:][again]] = order[:-1][again]
    offset = np.where(twin >= 0, np.arange(len(mark)) - twin, 0)
    borders = np.flatnonzero(np.diff(offset)) + 1
    bad, said = np.zeros(len(mark), bool), []
    for start, stop in zip([0, *borders], [*borders, len(mark)]):
        if offset[start] and stop - start >= BLOCK:
            bad[start:stop] = True
            said.append(f"{s.span(start, stop)} repeats {s.span(start - offset[start], stop - offset[start])}")
    if said:
        yield s.finding("refuse", f"{bad.sum():,} rows repeat earlier ones exactly: {listed(said)}", bad)
