"""`Finding`: one thing that a check has to say about one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from data.schema import Key

Severity = Literal["refuse", "flag", "note"]
SEVERITIES: tuple[Severity, ...] = ("refuse", "flag", "note")  # worst first


@dataclass(frozen=True, eq=False)
class Finding:
    """`refuse`: used as it stands the table gives wrong results. `flag`: look at it. `note`: good to know."""

    check: str  # a name in `CHECKS`
    severity: Severity
    key: Key
    column: str  # "" when it concerns whole rows
    first: pd.Timestamp  # `time` of the first and of the last guilty row
    last: pd.Timestamp
    rows: int  # how many rows are guilty; of a gap, how many are absent
    message: str
    bad: np.ndarray | None = None  # (rows of the table,) bool, where guilty rows can be named

    def plain(self) -> dict[str, Any]:
        """What JSON can hold; the guilty rows as runs [first, last] of row numbers.

        >>> time = pd.Timestamp("2024-01-01", tz="UTC")
        >>> bad = np.array([False, True, True, False, True])
        >>> Finding("jumps", "flag", Key("spot", "BTC", "1h"), "close", time, time, 3, "up", bad).plain()["bad"]
        [[1, 2], [4, 4]]
        """
        named = None if self.bad is None else [[int(a), int(b) - 1] for a, b in runs(self.bad)]
        return {"check": self.check, "severity": self.severity, "key": str(self.key), "column": self.column,
                "first": self.first.isoformat(), "last": self.last.isoformat(), "rows": self.rows,
                "message": self.message, "bad": named}


def runs(bad: np.ndarray) -> np.ndarray:
    """(R, 2) first row and row past the last of every stretch that is True.

    >>> runs(np.array([True, False, True, True])).tolist()
    [[0, 1], [2, 4]]
    """
    edges = np.diff(np.concatenate([[0], bad.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def counted(number: int, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "gap"), counted(1200, "row")
    ('1 gap', '1,200 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str], limit: int = 5) -> str:
    """The first `limit` of `parts`, and how many more there are.

    >>> listed(["a", "b", "c"], limit=2)
    'a; b; and 1 more'
    """
    more = [f"and {len(parts) - limit} more"] if len(parts) > limit else []
    return "; ".join([*parts[:limit], *more])


def worst(findings: Sequence[Finding]) -> Severity | None:
    """The gravest severity among `findings`; None when there are none."""
    return min((finding.severity for finding in findings), key=SEVERITIES.index, default=None)
