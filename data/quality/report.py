"""The findings of many tables as a page to read and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from data.quality.checks import CHECKS
from data.quality.finding import SEVERITIES, Finding, worst
from data.schema import Key

Findings = Mapping[Key, Sequence[Finding]]
Tables = Mapping[Key, pd.DataFrame]
HEAD = """# Data quality

`refuse`: used as it stands it gives wrong results. `flag`: look at it. `note`: good to know. Rows of an hour are named
by the moment the hour ends, rows of a day by the day.
"""


def worst_first(findings: Findings) -> list[Key]:
    """The gravest tables first, those without a finding last."""
    rank = {severity: i for i, severity in enumerate((*SEVERITIES, None))}
    return sorted(findings, key=lambda key: (rank[worst(findings[key])], key))


def counts(found: Sequence[Finding]) -> str:
    """How many findings of each severity.

    >>> counts([])
    'nothing found'
    """
    number = Counter(finding.severity for finding in found)
    return ", ".join(f"{number[name]} {name}" for name in SEVERITIES if number[name]) or "nothing found"


def span(table: pd.DataFrame, key: Key) -> str:
    """The periods that a table describes, first to last."""
    start = table["time"].iloc[[0, -1]] - key.period
    return " .. ".join(f"{moment:%Y-%m-%d}" for moment in start)


def report(findings: Findings, tables: Tables) -> str:
    """A Markdown page: a table of all tables, then each one's findings, worst first; every check and what it looks for.

    >>> time = pd.date_range("2024-01-01", periods=2, freq="1h", tz="UTC")
    >>> key = Key("spot", "BTC", "1h")
    >>> page = report({key: []}, {key: pd.DataFrame({"time": time})})
    >>> [line for line in page.splitlines() if line.startswith("| spot")]
    ['| spot/BTC/1h | 2 | 2023-12-31 .. 2024-01-01 | nothing found |']
    """
    lines = [HEAD, "| table | rows | days | found |", "|---|---:|---|---|"]
    order = worst_first(findings)
    lines += [f"| {key} | {len(tables[key]):,} | {span(tables[key], key) if len(tables[key]) else ''} | "
              f"{counts(findings[key])} |" for key in order]
    for key in order:
        if findings[key]:
            lines += ["", f"## {key}", ""]
            lines += [f"- **{each.severity}** {' '.join(filter(None, (each.check, each.column)))}: {each.message}"
                      for each in findings[key]]
    lines += ["", "## What is checked", "", *(f"- {name}: {check.meaning}" for name, check in CHECKS.items())]
    return "\n".join(lines) + "\n"


def plain(findings: Findings, tables: Tables) -> dict[str, object]:
    """What JSON can hold: rows, severity and findings of each table."""
    return {str(key): {"rows": len(tables[key]), "worst": worst(findings[key]),
                       "findings": [each.plain() for each in findings[key]]} for key in worst_first(findings)}


def save_report(path: Path, findings: Findings, tables: Tables) -> None:
    """Writes `path` (Markdown) and the same beside it with the ending .json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report(findings, tables), encoding="utf-8")
    path.with_suffix(".json").write_text(json.dumps(plain(findings, tables), indent=1) + "\n", encoding="utf-8")
