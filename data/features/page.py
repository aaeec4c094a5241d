"""The table of features as a page for people."""

from __future__ import annotations

from data.features import FEATURES, GROUPS, PRESETS
from data.features.base import BARS, Feature

HEAD = """# Features

Made by `python scripts/list_features.py`; the table itself is `FEATURES` in `data/features/`. *Lookback* counts rows,
the value's own included: bars, or rows of the table named under *on*, whose values are joined to the bars by when they
were known. A group is used whole or not at all: where the source lacks one of the columns it *needs*, it is left out,
and the run says so.
"""


def page() -> str:
    """Presets, then every group with its features."""
    lines = [HEAD]
    for name, members in PRESETS.items():
        held = [feature for feature in FEATURES if feature.name in members]
        columns = sum(len(feature.columns) for feature in held)
        groups = ", ".join(dict.fromkeys(feature.group for feature in held))
        lines.append(f"**`{name}`**: {len(held)} features, {columns} columns, of {groups}.\n")
    for group in GROUPS:
        lines += [f"\n## {group}\n", "| feature | columns | lookback | on | needs | meaning | presets |",
                  "|---|--:|--:|---|---|---|---|", *(row(feature) for feature in FEATURES if feature.group == group)]
    return "\n".join(lines) + "\n"


def row(feature: Feature) -> str:
    """One line of the table.

    >>> row(next(feature for feature in FEATURES if feature.name == "candle_body")).split(" | ")[:4]
    ['| `candle_body`', '1', '1', 'bars']
    """
    presets = ", ".join(name for name, members in PRESETS.items() if feature.name in members)
    on = "bars" if feature.on == BARS else feature.on
    cells = (f"`{feature.name}`", str(len(feature.columns)), str(feature.lookback), on, " ".join(feature.needs),
             feature.meaning.replace("|", "\\|"), presets)
    return f"| {' | '.join(cells)} |"
