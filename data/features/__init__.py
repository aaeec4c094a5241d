"""Every feature that can be asked for, in one table: adding one is a new line in its group's file."""

from __future__ import annotations

from data.features.base import Feature
from data.features.calendar import CALENDAR
from data.features.context import MACRO
from data.features.onchain import ONCHAIN
from data.features.returns import RETURNS
from data.features.technical import TECHNICAL

FEATURES: list[Feature] = [*RETURNS, *TECHNICAL, *ONCHAIN, *MACRO, *CALENDAR]
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(feature.group for feature in FEATURES))
