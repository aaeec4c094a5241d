"""`CHECKS`, the table of all checks, and `check_table`, which makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from data.quality import bars, jumps, levels, rows, shifts, units, values
from data.quality.case import Case
from data.quality.finding import SEVERITIES, Finding, listed
from data.schema import Key


@dataclass(frozen=True)
class Check:
    find: Callable[[Case], Iterator[Finding]]
    meaning: str
    compares: bool = False  # it says nothing without a second source


def second_source(c: Case) -> Iterator[Finding]:
    """Which checks could not be made for want of a second source."""
    made = {name for name, _ in c.pairs}
    if c.copies:
        told = [f"{key} ({listed(names, 3)})" for key, names in c.copies.items()]
        yield c.finding("note", f"the same numbers stand in {' and '.join(told)}: a copy confirms nothing")
    alone = [name for name in c.own if name not in made and not c.key.schema.column(name).moves_with]
    if alone:
        missing = [name for name, check in CHECKS.items() if check.compares and name != "day_shifts"]
        what = "" if len(alone) == len(c.own) == 1 else f" for {listed(alone, 3)}"
        yield c.finding("note", f"no second source{what}: {', '.join(missing)} could not be checked")
    for name in c.own:
        column = c.key.schema.column(name)
        if column.moves_with and shifts.leader_of(c, column) is None:
            yield c.finding("note", f"nothing to hold {name} against ({column.moves_with}): day_shifts could not be "
                            "checked", column=name)


CHECKS: dict[str, Check] = {
    "repeated_stamps": Check(rows.repeated_stamps, "two rows of one moment"),
    "off_grid": Check(rows.off_grid, "stamps that are not whole periods apart"),
    "gaps": Check(rows.gaps, "periods without a row"),
    "weekend_rows": Check(rows.weekend_rows, "weekends in a table of business days"),
    "siblings": Check(rows.span_of_siblings, "begins late or ends early beside tables of its kind"),
    "impossible_prices": Check(bars.impossible_prices, "bars whose low, high, open and close contradict one another"),
    "out_of_range": Check(values.out_of_range, "infinite, or beyond what the schema allows"),
    "missing_values": Check(values.missing_values, "rows without a value"),
    "constant_columns": Check(values.constant_columns, "a column that never changes"),
    "own_maximum": Check(values.scaled_by_own_maximum, "scaled by a maximum that only the future knew"),
    "few_observations": Check(values.few_observations, "means of a handful"),
    "completion_stamps": Check(values.completion_stamps, "completed at one go, long after"),
    "flat_candles": Check(bars.flat_candles, "one value a period dressed as bars"),
    "stale_bars": Check(bars.stale_bars, "bars that repeat the one before, or trade nothing"),
    "repeated_blocks": Check(bars.repeated_blocks, "stretches that come twice"),
    "volume_units": Check(units.volume_units, "volume that holds money for a while"),
    "jumps": Check(jumps.jumps, "moves out of all proportion, confirmed or not"),
    "wicks": Check(jumps.wicks, "highs and lows that no trade can have made"),
    "second_source": Check(second_source, "what could not be checked"),
    "time_shifts": Check(shifts.time_shifts, "stamps that are hours off", compares=True),
    "day_shifts": Check(shifts.day_shifts, "daily columns that are days off", compares=True),
    "identity": Check(levels.identity, "a series that is not what it claims", compares=True),
    "departures": Check(levels.departures, "levels away from those of the other sources", compares=True),
}


def check_table(key: Key, table: pd.DataFrame, references: Mapping[Key, pd.DataFrame] = {}) -> list[Finding]:
    """What there is to say about `table`, worst first; `references` may hold any tables, itself among them.

    >>> time = pd.date_range("2024-01-01", periods=4, freq="1h", tz="UTC")
    >>> bars = pd.DataFrame({"time": time, "open": [1.0, 2, 3, 4], "high": [2.0, 3, 4, 5], "low": [1.0, 2, 5, 4],
    ...                      "close": [2.0, 3, 4, 5], "volume": 1.0})
    >>> found = check_table(Key("spot", "BTC", "1h"), bars)[0]
    >>> found.check, found.severity, found.bad.tolist()
    ('impossible_prices', 'refuse', [False, False, True, False])
    """
    if not len(table):
        return []
    case = Case(key, table, references)
    found = [replace(finding, check=name) for name, check in CHECKS.items() for finding in check.find(case)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
