"""What contestants would have earned in histories resampled in blocks, all of them in the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy.stats import trim_mean

from agents.arena.rollout import RUINED
from data.bootstrap import BootstrapConfig
from encoders.score_table import histories


@dataclass(frozen=True, eq=False)
class Resampled:
    """Each contestant's numbers in every resampled history; all contestants meet the same histories.

    A history is kept in W parts, one for each window of a tournament, whose agents were trained apart.
    """

    bars: np.ndarray  # (draws, W) that each history has of each part
    about: np.ndarray  # (draws, W, C) sums of returns less `usual`
    squares: np.ndarray  # (draws, W, C) of the same
    logs: np.ndarray  # (draws, W, C) log of what capital was multiplied by
    usual: np.ndarray  # (C,) mean return, taken out before anything is squared
    bars_per_year: float

    @cached_property
    def growth(self) -> np.ndarray:
        """(draws, C) log of the total return."""
        return np.asarray(self.logs.sum(axis=1))

    @cached_property
    def sharpe(self) -> np.ndarray:
        """(draws, C) of a year."""
        bars = self.bars.sum(axis=1)[:, None]
        mean = self.about.sum(axis=1) / bars
        variance = np.maximum(self.squares.sum(axis=1) - bars * mean**2, 0.0) / (bars - 1)
        moved = variance > 1e-28  # rounding size
        ratio = np.where(moved, (self.usual + mean) / np.sqrt(np.where(moved, variance, 1.0)), 0.0)
        return np.asarray(ratio * np.sqrt(self.bars_per_year))

    def drawn_anew(self, places: Sequence[int], rng: np.random.Generator) -> Resampled:
        """As many runs as there are `places`, each of them in every part one of these contestants, drawn apart."""
        draws, parts = self.bars.shape
        chosen = np.asarray(places)[rng.integers(0, len(places), (draws, parts, len(places)))]
        about, squares, logs = (np.take_along_axis(one, chosen, axis=2)
                                for one in (self.about, self.squares, self.logs))
        usual = self.usual[list(places)].mean()
        off, bars = self.usual[chosen] - usual, self.bars[..., None]  # what was taken out is another's now
        return Resampled(self.bars, about + off * bars, squares + 2 * off * about + off**2 * bars, logs,
                         np.full(len(places), usual), self.bars_per_year)


class OverSeeds(NamedTuple):
    """(draws,) interquartile means over seeds; an interval of these holds the luck of the period and of training."""

    growth: np.ndarray
    sharpe: np.ndarray
    steady: np.ndarray  # growth as if the size of the luck of training were known: what a standard error is made of


def resample(returns: np.ndarray, bars_per_year: float, config: BootstrapConfig, parts: Sequence[int] = ()
             ) -> Resampled:
    """`returns` (C, K) net simple returns of C contestants on the same bars, which are in `parts` of so many each."""
    bars = returns.shape[1]
    parts = parts or [bars]
    assert sum(parts) == bars
    usual = returns.mean(axis=1)
    about = (returns - usual[:, None]).T  # (K, C)
    every = np.concatenate([about, about**2, np.log1p(np.maximum(returns, RUINED - 1)).T], axis=1)  # (K, 3C)
    spans = [slice(stop - length, stop) for stop, length in zip(np.cumsum(parts), parts, strict=True)]
    counted, summed = [], []
    for counts in islice(histories(bars, config), 1, None):  # the first is the history as it was
        counted.append(np.stack([counts[:, span].sum(axis=1) for span in spans], axis=1))
        summed.append(np.stack([counts[:, span] @ every[span] for span in spans], axis=1))
    sums, squares, logs = np.split(np.concatenate(summed), 3, axis=2)
    return Resampled(np.concatenate(counted), sums, squares, logs, usual, bars_per_year)


def over_seeds(draws: Resampled, places: Sequence[int], seed: int = 0) -> OverSeeds:
    """Of the contestants at `places`, which are seeds of one agent, drawn anew in each history and each part of it.

    Drawing n of n again makes the luck of training look smaller than it is, by the root of (n - 1) / n; and of so few
    its size is itself a guess, which Student's law allows for: a size is drawn anew in each history, as freely as the
    seeds of all parts leave it. One seed alone tells nothing of it.
    """
    own = [trim_mean(one[:, [*places]], 0.25, axis=1) for one in (draws.growth, draws.sharpe)]
    count, (histories, parts) = len(places), draws.bars.shape
    if count == 1:
        return OverSeeds(own[0], own[1], own[0])
    rng = np.random.default_rng(seed)
    other = draws.drawn_anew(places, rng)
    moved = [trim_mean(one, 0.25, axis=1) - mean for one, mean in zip((other.growth, other.sharpe), own, strict=True)]
    wider, freedom = np.sqrt(count / (count - 1)), parts * (count - 1)
    size = wider / np.sqrt(rng.chisquare(freedom, histories) / freedom)
    return OverSeeds(own[0] + size * moved[0], own[1] + size * moved[1], own[0] + wider * moved[0])
