"""Volume that changes its unit: from coins to money, or to whatever else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from data.quality.finding import Finding, Severity, listed, runs
from data.quality.subject import Subject

SLACK = 0.05  # an average price may lie this share outside the bar: volumes are rounded, and thin bars have few digits
MANY = 0.001  # share of rows whose volumes fit no price before it is more than rounding
STEP_BARS = (6, 168)  # rows on either side whose medians a step of the volume is measured between
TELLING = 3.0  # log price: nearer to a price of 1 the unit makes no step that one could tell from trade
LIKE = 0.25  # share of the log price by which a step may miss it


def volume_units(s: Subject) -> Iterator[Finding]:
    """quote volume / volume is an average price and lies within the bar, or the two are swapped, or in other units."""
    if not s.key.schema.is_bars or "volume" not in s.table:
        return
    if "quote_volume" in s.table and np.isfinite(s.values("quote_volume")).any():
        yield from against_quote_volume(s)
    else:
        yield from volume_steps(s)


def against_quote_volume(s: Subject) -> Iterator[Finding]:
    base, quote = s.values("volume"), s.values("quote_volume")
    with np.errstate(divide="ignore", invalid="ignore"):
        price, inverse = quote / base, base / quote
    low, high = s.values("low") * (1 - SLACK), s.values("high") * (1 + SLACK)
    traded = (base > 0) & (quote > 0)
    right = (price >= low) & (price <= high)
    swapped = traded & ~right & (inverse >= low) & (inverse <= high)
    if swapped.any():
        stretches = s.spans(swapped)
        count = f"{len(stretches)} stretches" if len(stretches) > 1 else "one stretch"
        yield s.finding("refuse", f"in {swapped.sum():,} rows volume holds money and quote_volume holds coins, in "
                        f"{count}: {listed(stretches, 10)}", swapped, "volume")
    neither = traded & ~right & ~swapped
    if neither.any():
        factor = float(np.median(price[neither] / s.values("close")[neither]))
        severity: Severity = "refuse" if neither.mean() > MANY else "flag"
        yield s.finding(severity, f"in {neither.sum():,} rows quote_volume / volume lies outside the bar, in the "
                        f"middle at {factor:.3g} times its close: {listed(s.spans(neither))}", neither, "volume")


def volume_steps(s: Subject) -> Iterator[Finding]:
    """Without a second volume: log volume steps by the log price from one row to the next, and stays for a week."""
    volume, close = s.values("volume"), s.values("close")
    usable = np.flatnonzero((volume > 0) & (close > 0))
    if len(usable) < 2 * max(STEP_BARS):
        return
    level, price = np.log(volume[usable]), np.log(close[usable])
    like_price = np.abs(price) > TELLING
    steps = np.zeros(len(level))
    for bars in STEP_BARS:  # a surge of trade passes, a slow rise has no edge
        before = pd.Series(level).rolling(bars).median().shift(1).to_numpy()
        after = pd.Series(level[::-1]).rolling(bars).median().to_numpy()[::-1]
        steps = np.nan_to_num(after - before)
        like_price &= np.abs(np.abs(steps) - np.abs(price)) < LIKE * np.abs(price)
    borders = []  # (row, whether the volume rises there)
    for start, stop in runs(like_price):
        jump = np.diff(level[start - 1 : stop]) * np.sign(steps[start])
        borders.append((start + int(jump.argmax()), bool(steps[start] > 0)))
    if not borders:
        return
    dear = price[borders[0][0]] > 0  # of a coin worth less than one, money is the smaller number
    money = np.zeros(len(volume), bool)
    held, start = borders[0][1] != dear, 0  # what the rows before the first border hold
    for row, rises in [*borders, (len(usable), False)]:
        if held and start < row:
            money[usable[start] : usable[row - 1] + 1] = True
        held, start = rises == dear, row
    yield s.finding("refuse", f"volume steps by the price itself, so {money.sum():,} rows seem to hold money instead "
                    f"of coins: {listed(s.spans(money), 10)}", money, "volume")
