"""What can be seen of a leak without changing anything: stamps, spans, and inputs that are answers.

The causal test (`causality.py`) believes each row's `known_at` and the labels' reach. Here those are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data.dataset import Dataset
from data.labels import UNKNOWN
from data.market import CLOSE
from data.schema import schema_of
from data.sources.base import RawData
from data.splits import Split
from data.table import Table

ALIKE = 0.99  # of a correlation; volatility that clusters stays well below
ENOUGH = 50  # rows below which a correlation says nothing


def early_stamps(raw: RawData) -> list[str]:
    """Tables of context whose rows claim to be known sooner than their schema's rule allows, or in no order.

    Where the moment was measured (`Known.measured`), a row may be known as soon as its period is over.

    >>> from data.simulator import SimulatorConfig
    >>> from data.simulator.simulate import simulate
    >>> early_stamps(simulate(SimulatorConfig(bars=300)))
    []
    """
    found = []
    for (kind, asset), table in raw.context.items():
        known = pd.DatetimeIndex(table["known_at"])
        if not known.is_monotonic_increasing:
            row = int(np.argmax(known[1:] < known[:-1])) + 1
            found.append(f"{kind} of {asset}: known_at falls at row {row}, from {known[row - 1]} to {known[row]}")
        if "time" not in table or not isinstance(table["time"].dtype, pd.DatetimeTZDtype):
            continue
        known_by = schema_of(kind).known
        period = pd.Timedelta(schema_of(kind).frequencies[0])
        rule = pd.DatetimeIndex(table["time"]) if known_by.measured else known_by.moments(table, period)
        early = known < rule
        if early.any():
            row = int(np.argmax(early))
            found.append(f"{kind} of {asset}: {early.sum()} of {len(table)} rows are known sooner than such a table "
                         f"can be; the first is row {row}, known at {known[row]}, {rule[row] - known[row]} too soon")
    return found


def overlaps(split: Split, reach: int, window: int) -> list[str]:
    """Spans whose last labels tell of bars that the next span's first window sees.

    >>> overlaps(Split(slice(0, 100), slice(112, 200), slice(240, 300), 12), reach=10, window=5)[0][43:]
    'and the windows of the validation rows begin with row 108: purge 2 more'
    """
    names = {"train": "training", "valid": "validation", "test": "test"}
    found = []
    for before, after in (("train", "valid"), ("valid", "test")):
        told, seen = getattr(split, before).stop - 1 + reach, getattr(split, after).start - (window - 1)
        if told >= seen:
            found.append(f"labels of the {names[before]} rows reach row {told}, and the windows of the {names[after]} "
                         f"rows begin with row {seen}: purge {told - seen + 1} more")
    return found


def answers(table: Table, data: Dataset) -> list[str]:
    """Columns that equal a label or the next bar's return, or rise and fall with it as no forecast can.

    By Pearson's and by Spearman's correlation, so a squashed or ranked answer is one too.
    """
    log_close = np.log(table.prices[:, :, CLOSE])  # (T, N)
    following = np.full(log_close.shape, np.nan)
    following[:-1] = np.diff(log_close, axis=0)
    labels = data.labels
    told = {"the next bar's return": following, "the forward return label": labels.forward,
            "the volatility label": labels.volatility,
            "the direction label": np.where(labels.direction == UNKNOWN, np.nan, labels.direction)}
    found = []
    for n, column in enumerate(table.columns):
        values = table.values[:, :, n]
        for name, answer in told.items():
            both = np.isfinite(values) & np.isfinite(answer)
            like = alike(values[both], np.asarray(answer, float)[both])
            if like >= ALIKE:
                row = int(np.argmax(both.any(axis=1)))
                found.append(f"column {column!r} is {name} ({like:.4f} alike) from row {row} on: a label is no input")
                break
    return found


def alike(values: np.ndarray, answer: np.ndarray) -> float:
    """The larger of the absolute Pearson and Spearman correlations; 0 where one of the two hardly varies.

    >>> x = np.linspace(-1, 1, 100)
    >>> round(alike(x, -np.tanh(9 * x)), 6), alike(x, x * 0)
    (1.0, 0.0)
    """
    if len(values) < ENOUGH or np.ptp(values) == 0 or np.ptp(answer) == 0:
        return 0.0
    pairs: Sequence[tuple[np.ndarray, np.ndarray]] = (
        (values, answer), (pd.Series(values).rank().to_numpy(), pd.Series(answer).rank().to_numpy()))
    return float(max(abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs))
