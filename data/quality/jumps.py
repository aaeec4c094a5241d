"""Moves out of all proportion: ticks that never were, and crashes that were."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from data.quality.case import Case
from data.quality.finding import Finding, Severity, counted, listed
from data.quality.lines import LOCAL
from data.quality.subject import DAY_US, microseconds

ABSURD = 20.0  # local sizes of a move
LEAST = 0.1  # of the price
WICK = 0.4  # log distance of a high or low from open and close, to be looked at
TREBLED = np.log(3.0)  # a move, there and back within a row, that no market makes
FIVEFOLD = np.log(5.0)  # a move that stays
BACK = 0.25  # share of a move that is left after the next row when it has reverted
SHARE = 0.5  # of a move that a second source must show to confirm it
NEAR, ANYWHERE = 1, 12  # periods around it in which it confirms, and in which nothing alike contradicts


def jumps(c: Case) -> Iterator[Finding]:
    """A move that reverts at once and that no second source knows is a bad tick; confirmed or kept, it may be real."""
    if not c.key.schema.is_bars or "close" not in c.own or (c.own["close"].level <= 0).any():
        return
    close = np.log(c.values("close"))
    move = np.concatenate([[np.nan], np.diff(close)])
    move[1:][np.diff(c.position) != 1] = np.nan
    half = pd.Series(np.abs(move)).rolling(LOCAL[c.period == DAY_US], center=True, min_periods=30).median().to_numpy()
    big = np.flatnonzero(np.nan_to_num(np.abs(move)) > np.maximum(ABSURD * 1.4826 * half, LEAST))
    following = np.append(np.nan_to_num(move[1:]), 0.0)
    reverted = np.abs(move + following) < BACK * np.abs(move)
    back = {int(row) + 1 for row in big if reverted[row]}
    kinds: dict[tuple[Severity, str], list[int]] = {}
    for row in (int(each) for each in big if int(each) not in back):
        seen = confirmed(c, row, float(move[row]))
        kind: tuple[Severity, str] = ("flag", "no second source decides: real, or a bad tick")
        if seen is True:
            kind = ("note", "confirmed by a second source")
        elif seen is False and reverted[row]:
            kind = ("refuse", "reverted at once and unknown to every second source: a bad tick")
        elif seen is False:
            kind = ("flag", "not shown by second sources")
        if seen is not True and abs(move[row]) > (TREBLED if reverted[row] else FIVEFOLD):
            kind = ("refuse", "back at once: a bad tick" if reverted[row] else "to stay: another unit or asset")
        kinds.setdefault(kind, []).append(row)
    for (severity, why), rows in kinds.items():
        bad = np.zeros(len(close), bool)
        bad[rows] = True
        where = [f"{c.label(row)} {np.expm1(move[row]):+.0%}{' and back' if reverted[row] else ''}" for row in rows]
        yield c.finding(severity, f"{counted(len(rows), 'move')} of more than {ABSURD:g} times the local size ({why}): "
                        f"{listed(where)}", bad, "close")


def wicks(c: Case) -> Iterator[Finding]:
    """A high or low out of all proportion to open and close. Books have been emptied, so it may be real: Binance sold
    LINK for a ten-thousandth of a dollar on 12 March 2020."""
    for candle in c.candles:
        top, bottom = np.fmax(candle.open, candle.close), np.fmin(candle.open, candle.close)
        with np.errstate(divide="ignore", invalid="ignore"):
            wick = np.nan_to_num(np.fmax(np.log(candle.high / top), np.log(bottom / candle.low)), posinf=0.0)
        usual = pd.Series(wick).rolling(LOCAL[c.period == DAY_US], center=True, min_periods=30).median().to_numpy()
        bad = wick > np.maximum(2 * ABSURD * np.nan_to_num(usual), WICK)
        if bad.any():
            where = [f"{c.label(row)} {np.expm1(wick[row]):.0%}" for row in np.flatnonzero(bad).tolist()]
            yield c.finding("flag", f"the high or low of {counted(bad.sum(), 'bar')} lies far beyond open and close: "
                            f"{listed(where)}", bad, candle.name)


def confirmed(c: Case, row: int, move: float) -> bool | None:
    """Whether second sources show the move; None where they cannot tell."""
    answers = []
    for _, both in c.pairs:
        if both.period == c.period:
            at = int(c.position[row]) - both.start
            if not 0 <= at < len(both.row):
                continue
            theirs = np.concatenate([[np.nan], np.diff(both.levels[1])])
            near, around = (theirs[max(at - n, 0) : at + n + 1] * np.sign(move) for n in (NEAR, ANYWHERE))
            if np.isfinite(near).any():
                if np.nanmax(near) >= SHARE * abs(move):
                    return True
                answers.append(bool(np.nanmax(np.abs(around)) < SHARE * abs(move)))
    if not answers or not all(answers):
        return None
    return None if venue_moved(c, row, move) else False


def venue_moved(c: Case, row: int, move: float) -> bool:
    """Whether another asset of the same source moved likewise: what happens to a whole venue is no bad tick."""
    for _, table in c.tables(lambda key: (key.kind, key.frequency) == (c.key.kind, c.key.frequency)):
        near = np.abs(microseconds(table["time"]) - c.time[row]) <= (NEAR + 1) * c.period
        close = table["close"].to_numpy(float)[near]
        if len(close) > 1 and (close > 0).all() and (np.diff(np.log(close)) * np.sign(move)).max() >= SHARE * abs(move):
            return True
    return False
