"""What a stage of the ensemble has learnt: numbers, to and from plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np

from data.labels import Labels
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.online import arrived
from encoders.forecast import Forecast


class Fitted:
    """A frozen dataclass of numbers and arrays of them, with nothing in it that could be run.

    >>> from encoders.ensemble.probabilities import Temperature
    >>> Temperature.of(Temperature(np.array(0.5)).plain()).sharpness
    array(0.5)
    """

    def plain(self) -> dict[str, Any]:
        """What JSON can hold, exact to the bit."""
        return {field.name: getattr(self, field.name).tolist() for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """What `plain` described; a description that cannot be one is a ValueError."""
        return cls(**arrays_of(stored, [field.name for field in fields(cls)]))  # type: ignore[arg-type]


class Follower(Fitted):
    """A stage that follows the outcomes known on a row. What it has come to is carried in a dict, so that a live
    decision goes on from the last one; a backtest is the same from an empty dict.
    """

    def news(self, said: Any, labels: Labels) -> np.ndarray:
        """(B, ...) what is learnt from the outcome of each row once it is known; NaN where it never is."""
        raise NotImplementedError

    def follow(self, said: Any, news: np.ndarray, reach: int, carried: dict[str, Any]) -> Forecast:
        """Of what was said on some rows in a row, given the news that arrive on them."""
        raise NotImplementedError

    def apply(self, said: Any, labels: Labels) -> Forecast:
        return self.follow(said, arrived(self.news(said, labels), labels.reach), labels.reach, {})


def arrays_of(stored: Mapping[str, Any], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Finite arrays under exactly these names, or a ValueError."""
    if set(stored) != set(names):
        raise ValueError(f"expected {', '.join(names) or 'nothing'}; found {', '.join(stored) or 'nothing'}")
    found = {name: np.array(stored[name], np.float64) for name in names}
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} must hold finite numbers")
    return found


class Combiner(Protocol):
    """Members to one forecast with `epistemic` and `aleatoric`. Members come in one order, always the same."""

    @classmethod
    def fit(cls, members: Sequence[Forecast], labels: Labels, rows: np.ndarray, config: FusionConfig) -> Self:
        """Learn on `rows`, choosing its own amounts (of shrinkage, of memory) by cross-fitting."""
        ...

    def refit(self, members: Sequence[Forecast], labels: Labels, rows: np.ndarray) -> Self:
        """Learn on other rows, keeping those amounts: chosen among a handful, they hardly flatter the rows left out,
        and to choose them anew for each block would take as many times longer."""
        ...

    def apply(self, members: Sequence[Forecast], labels: Labels) -> Forecast: ...

    def plain(self) -> dict[str, Any]: ...

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self: ...


class Calibration(Protocol):
    """One part of a forecast mended, the others left as they are."""

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> Self: ...

    def apply(self, forecast: Forecast, labels: Labels) -> Forecast: ...

    def plain(self) -> dict[str, Any]: ...

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self: ...


@dataclass(frozen=True, eq=False)
class Unchanged(Fitted):
    """No calibration."""

    @classmethod
    def fit(cls, forecast: Forecast, labels: Labels, rows: np.ndarray, config: FusionConfig) -> Unchanged:
        return cls()

    def apply(self, forecast: Forecast, labels: Labels) -> Forecast:
        return forecast
