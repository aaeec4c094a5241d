"""Every feature that can be asked for, in one table: adding one is a new line in its group's file."""

from __future__ import annotations

from data.features.base import Feature
from data.features.calendar import CALENDAR, CALENDAR_MORE
from data.features.chaos import CHAOS
from data.features.cross_asset import CROSS_ASSET
from data.features.derivatives import FUNDING, IMPLIED_VOLATILITY
from data.features.fractal import FRACTAL
from data.features.macro import MACRO, MACRO_LONG, MACRO_REAL
from data.features.moments import MOMENTS
from data.features.onchain import ONCHAIN, ONCHAIN_HOURLY, ONCHAIN_VALUE
from data.features.oscillators import OSCILLATORS
from data.features.presets import PRESETS
from data.features.ranges import RANGES
from data.features.returns import RETURNS
from data.features.sentiment import SENTIMENT, SOCIAL
from data.features.spectral import SPECTRAL
from data.features.stops import STOPS
from data.features.technical import TECHNICAL
from data.features.trend import TREND
from data.features.volumes import VOLUMES

__all__ = ["FEATURES", "GROUPS", "PRESETS"]

FEATURES: list[Feature] = [
    *RETURNS, *TECHNICAL, *ONCHAIN_HOURLY, *MACRO, *CALENDAR,  # what the bundled market shows
    *MOMENTS, *RANGES, *TREND, *OSCILLATORS, *STOPS, *VOLUMES, *SPECTRAL, *FRACTAL, *CHAOS, *CROSS_ASSET,
    *CALENDAR_MORE,
    *ONCHAIN, *ONCHAIN_VALUE, *MACRO_REAL, *MACRO_LONG, *SENTIMENT, *SOCIAL, *FUNDING, *IMPLIED_VOLATILITY,
]
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(feature.group for feature in FEATURES))
