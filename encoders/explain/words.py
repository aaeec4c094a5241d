"""How numbers and hours are written on the page."""

from __future__ import annotations

UNITS = {
    "loss": (1.0, "+.4f", ""), "plain": (1.0, ".4f", ""), "share": (100.0, ".1f", " %"),
    "points": (100.0, ".2f", ""), "points_push": (100.0, "+.2f", ""), "points_error": (100.0, ".2g", ""),
    "bp": (1e4, ".2f", ""), "bp_push": (1e4, "+.2f", ""), "bp_error": (1e4, ".2g", ""),
}
"""factor, format and what is written after it"""


def written(value: float | None, unit: str) -> str:
    """
    >>> written(0.0712, "share"), written(-0.00004, "loss"), written(None, "bp")
    ('7.1 %', '0.0000', '–')
    """
    if value is None or value != value:
        return "–"
    scale, style, after = UNITS[unit]
    text = format(value * scale, style)
    if not text.strip("+-0."):
        text = text.strip("+-")  # what rounds to zero has no sign
    return text.replace("-", "−") + after


def before(age: int, hours: float) -> str:
    """How long before the decision a bar of `hours` closed that is `age` bars old.

    >>> before(3, 1.0), before(0, 1.0), before(2, 24.0), before(1, 0.25), before(30, 1.0)
    ('3 h before the decision', 'the bar of the decision', '2 d before the decision', '15 min before the decision', \
'30 h before the decision')
    """
    if age == 0:
        return "the bar of the decision"
    unit, length = ("d", 24.0) if hours >= 24 else ("h", 1.0) if hours >= 1 else ("min", 1 / 60)
    return f"{age * hours / length:g} {unit} before the decision"
