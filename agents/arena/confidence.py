"""Whether those who forecast are right as often as they are sure: of the direction that each of them calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

BINS = 10  # of equal mass
CHANCES = ["down", "flat", "up"]


@dataclass(frozen=True)
class Confidence:
    """Of one forecaster on all test rows that have a label."""

    name: str
    calls: int
    right: float  # share of the calls
    sure: float  # mean chance that was given to what was called
    off: float  # mean distance of the two, bin by bin
    f1: float  # mean over the three directions of 2 precision recall / (precision + recall)
    said: tuple[float, ...]  # mean chance in each bin, the least sure first
    came: tuple[float, ...]  # share of right calls in each


def confidences(forecasts: pd.DataFrame) -> tuple[Confidence, ...]:
    """
    >>> table = pd.DataFrame({"forecaster": "it", "down": 0.1, "flat": 0.2, "up": 0.7, "came": [2] * 7 + [0] * 3})
    >>> [(one.calls, one.right, round(one.sure, 3)) for one in confidences(table)]
    [(10, 0.7, 0.7)]
    """
    found = []
    for name, own in forecasts.groupby("forecaster", sort=False):
        chances, came = own[CHANCES].to_numpy(float), own["came"].to_numpy(int)
        called, chance = chances.argmax(axis=1), chances.max(axis=1)
        right = called == came
        bins = np.array_split(np.argsort(chance, kind="stable"), min(BINS, len(own)))
        said, share = (np.array([values[part].mean() for part in bins]) for values in (chance, right))
        off = np.average(np.abs(share - said), weights=[len(part) for part in bins])
        found.append(Confidence(str(name), len(own), float(right.mean()), float(chance.mean()), float(off),
                                f1(called, came), tuple(said.tolist()), tuple(share.tolist())))
    return tuple(found)


def f1(called: np.ndarray, came: np.ndarray) -> float:
    """0 for a direction that neither was called nor came rightly."""
    each = []
    for direction in range(len(CHANCES)):
        hits = float(((called == direction) & (came == direction)).sum())
        asked = float((called == direction).sum() + (came == direction).sum())
        each.append(2 * hits / asked if asked else 0.0)
    return float(np.mean(each))
