"""How a file is to be read where it does not say so itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class ReadConfig:
    kind: str = ""
    """what the tables are, such as spot_kraken, where the files' columns and names do not say"""
    asset: str = ""
    """likewise whose they are, such as BTC; all for tables that speak of the whole market"""
    date_format: str = ""
    """form of dates that can be read in two ways, such as %d-%m-%Y; s, ms, us or ns for numbers since 1970"""
    stamp: Literal["start", "end"] = "start"
    """whether a row's time is the start of its period, as exchanges write it, or the end"""
    assume_utc: bool = False
    """take times without a zone as UTC instead of refusing them"""

    @property
    def how(self) -> dict[str, Any]:
        """These settings as the keywords of `read_file`, whatever a script has beside them."""
        return {field.name: getattr(self, field.name) for field in fields(ReadConfig)}
