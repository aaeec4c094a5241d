"""Choices stand in visible tables `name -> "module:attribute"`; nothing heavy is imported until a name is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from configs.errors import UserError


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """' did you mean X?' for the closest allowed name, or nothing."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_name(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Return `name` if it is allowed, else say which names are."""
    allowed = list(allowed)
    if name not in allowed:
        raise UserError(f"unknown {kind} {name!r}: choose from {', '.join(allowed)}{did_you_mean(name, allowed)}")
    return name


def lookup(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The object that `table` names, imported now.

    >>> lookup("path join", "posix", {"posix": "posixpath:join"})("a", "b")
    'a/b'
    """
    return resolve(table[check_name(kind, name, table)])


def resolve(place: str) -> Any:
    """What stands at "module:attribute", imported now."""
    module, attribute = place.split(":")
    return getattr(importlib.import_module(module), attribute)
