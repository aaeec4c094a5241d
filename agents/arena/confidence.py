"""Whether those who forecast are right as often as they are sure: of the direction that each of them calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from encoders.scores import f1, precision, recall

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
    precision: float  # share of the calls of a direction that were right, mean over those that came or were called
    recall: float  # share of what came in a direction that was called, mean over those that came or were called
    f1: float  # mean over the same of 2 precision recall / (precision + recall)
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
        table = np.bincount(3 * came + called, minlength=9).astype(float)  # class that came by class that was called
        bins = np.array_split(np.argsort(chance, kind="stable"), min(BINS, len(own)))
        said, share = (np.array([values[part].mean() for part in bins]) for values in (chance, right))
        off = np.average(np.abs(share - said), weights=[len(part) for part in bins])
        found.append(Confidence(
            str(name), len(own), float(right.mean()), float(chance.mean()), float(off), float(precision(table)),
            float(recall(table)), float(f1(table)), tuple(said.tolist()), tuple(share.tolist())))
    return tuple(found)
