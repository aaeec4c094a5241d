"""Weights that follow which members have lately done well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from data.labels import Labels
from encoders.ensemble.combining import Shares, pool
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.contest import ENOUGH, HEADS, Units, contest, known_pairs
from encoders.ensemble.crossfit import plainest, time_blocks
from encoders.ensemble.fitted import Follower
from encoders.ensemble.online import arrived, fixed_share
from encoders.forecast import Forecast

# Both by independent outcome: the labels of `reach` rows in a row bring the news of about one, and are divided by it.
RATES = (0.3, 1.0, 3.0)  # how hard a loss counts; 1 is Bayes' rule for the direction
FORGOTTEN = (0.003, 0.01, 0.03, 0.1)  # share of the weights that is dealt out anew
EVEN = (0.0, 0.0)  # equal weights for ever: the plainest
CANDIDATES = (EVEN, *product(RATES, FORGOTTEN))


@dataclass(frozen=True, eq=False)
class Recent(Follower):
    """Fixed share (`online.fixed_share`) over the losses that are known, one set of weights for all assets.

    Rate and share are chosen on the rows to fit; the weights themselves are never fitted, they begin even and follow
    the market. Rows that taught a member must not speak for it: hide their labels, or give `Fusion.apply` the row from
    which outcomes count.
    """

    rate: np.ndarray  # (3,) of direction, quantiles, volatility
    share: np.ndarray  # (3,)
    forward: np.ndarray  # (N,) units of the losses
    volatility: np.ndarray  # (N,)

    @classmethod
    def fit(cls, members: Sequence[Forecast], labels: Labels, rows: np.ndarray, config: FusionConfig) -> Recent:
        units = Units.fit(labels, rows)
        blocks = time_blocks(rows, labels.reach, config.blocks)
        met = contest(members, labels, rows, units, ENOUGH)
        news = arrived(row_losses(members, labels, rows, units), labels.reach)
        chosen = []
        for h, head in enumerate(met.heads.values()):
            found = np.empty((len(CANDIDATES), len(blocks)))
            for c, (rate, share) in enumerate(CANDIDATES):
                weights = fixed_share(news[:, h], rate / labels.reach, share / labels.reach)[met.row].T  # (M, P)
                loss = head.loss(head.pooled(weights))[0]
                found[c] = [loss[np.isin(met.row, block.test)].mean() for block in blocks]
            chosen.append(CANDIDATES[plainest(found)])
        rates, shares = np.array(chosen).T
        return cls(rates, shares, units.forward, units.volatility)

    def refit(self, members: Sequence[Forecast], labels: Labels, rows: np.ndarray) -> Recent:
        return self

    def news(self, members: Sequence[Forecast], labels: Labels) -> np.ndarray:
        return row_losses(members, labels, np.arange(len(labels.forward)), Units(self.forward, self.volatility))

    def follow(self, members: Sequence[Forecast], news: np.ndarray, reach: int, carried: dict[str, Any]) -> Forecast:
        weights = carried.setdefault("weights", np.full((len(HEADS), len(members)), 1 / len(members)))
        return pool(members, Shares(*(
            fixed_share(news[:, h], self.rate[h] / reach, self.share[h] / reach, weights[h]).T[:, :, None]
            for h in range(len(HEADS)))))


def row_losses(members: Sequence[Forecast], labels: Labels, rows: np.ndarray, units: Units) -> np.ndarray:
    """(B, 3, M) the members' losses of each head on `rows`, mean over the assets; NaN elsewhere."""
    found = np.full((len(labels.forward), len(HEADS), len(members)), np.nan)
    if len(known_pairs(members, labels, rows)[0]):
        met = contest(members, labels, rows, units)
        known, first, count = np.unique(met.row, return_index=True, return_counts=True)  # pairs come row by row
        for h, head in enumerate(met.heads.values()):
            found[known, h] = (np.add.reduceat(head.each(), first, axis=1) / count).T
    return found
