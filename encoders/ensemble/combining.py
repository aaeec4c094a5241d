"""Pooling members by weight, and the two combiners that have nothing to learn: equal weights and a vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from configs.errors import UserError
from data.labels import Labels
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.fitted import Fitted
from encoders.forecast import LEVELS, Forecast, doubt, mean, noise


class Shares(NamedTuple):
    """Weights of the members that sum to one, (M, B or 1, N or 1) for each of the three heads."""

    direction: np.ndarray
    quantiles: np.ndarray
    volatility: np.ndarray


def pool(members: Sequence[Forecast], shares: Shares) -> Forecast:
    """Mean of the probabilities, of the quantiles and of the variances; NaN where any member is.

    Members are one mixture: each has its own law of the return, and its weight is the chance that it is the right one.
    The mixture's variance is then the sum of two (law of total variance): `epistemic` squared, the variance of the
    members' middles and the mean of what each disagrees within itself (a net of several seeds), and `aleatoric`
    squared, the mean of what is left of the members' own variances. The quantiles are averaged, not those of the
    mixture: an average of calibrated quantiles is too narrow by the disagreement alone, which the interval's
    calibration mends, and it does not tear in two where members disagree.
    """
    said, quantiles, volatility, middles, doubts, noises = (np.stack(parts) for parts in zip(*(
        (member.direction, member.quantiles, np.asarray(member.volatility, np.float64), member.median, doubt(member),
         noise(member)) for member in members)))  # each (M, B, N, ...)
    direction = np.sum(shares.direction[..., None] * said, axis=0)
    quantiles = np.sum(shares.quantiles[..., None] * quantiles, axis=0)
    variance = np.sum(shares.volatility * volatility**2, axis=0)
    middle = quantiles[..., quantiles.shape[-1] // 2]
    between = np.sum(shares.quantiles * ((middles - middle) ** 2 + doubts**2), axis=0)
    within = np.sum(shares.quantiles * noises**2, axis=0)
    return Forecast(direction, quantiles, np.sqrt(variance), np.sqrt(between), np.sqrt(within))


def check_members(members: Sequence[Forecast]) -> None:
    """All of the same rows, assets and the levels that interval and pinball loss are about."""
    if not members:
        raise UserError("an ensemble needs at least one member's forecast")
    shapes = {member.quantiles.shape for member in members}
    if len(shapes) > 1 or next(iter(shapes))[-1] != len(LEVELS):
        raise UserError(f"members must forecast the same rows and assets at the quantiles {LEVELS}, found "
                        + ", ".join(map(str, sorted(shapes))))


@dataclass(frozen=True, eq=False)
class Equal(Fitted):
    """`encoders.forecast.mean`, the standard that the others must beat."""

    @classmethod
    def fit(cls, members: Sequence[Forecast], labels: Labels, rows: np.ndarray, config: FusionConfig) -> Equal:
        return cls()

    def refit(self, members: Sequence[Forecast], labels: Labels, rows: np.ndarray) -> Equal:
        return self

    def apply(self, members: Sequence[Forecast], labels: Labels) -> Forecast:
        return mean(members)


@dataclass(frozen=True, eq=False)
class Vote(Equal):
    """Each member calls its likeliest class; the shares of the calls are the probabilities.

    Calls are counted from one each (Laplace's rule of succession), so that three members of one mind say 4/6 and not
    certainty. Likeliest classes that are equally likely share the call. All but the direction is as `Equal` has it.

    >>> ups = Forecast(np.array([[[0.3, 0.3, 0.4]]]), np.zeros((1, 1, 3)), np.ones((1, 1)))
    >>> Vote().apply([ups, ups, ups], None).direction.round(3).tolist()
    [[[0.167, 0.167, 0.667]]]
    """

    def apply(self, members: Sequence[Forecast], labels: Labels) -> Forecast:
        calls = np.ones(members[0].direction.shape)
        for member in members:
            likeliest = member.direction == member.direction.max(axis=-1, keepdims=True)
            calls += likeliest / np.maximum(likeliest.sum(axis=-1, keepdims=True), 1)
        found = super().apply(members, labels)
        known = np.isfinite(found.volatility)[..., None]
        return replace(found, direction=np.where(known, calls / calls.sum(axis=-1, keepdims=True), np.nan))
