"""What members said of labelled rows, beside what came, and the loss of any pool of them with its slope.

Three heads, each pooled in the terms in which its loss is convex in the weights: the chance of the class that came (log
loss of the linear pool), the quantiles themselves (pinball), the variance (QLIKE). The losses are those of
`encoders.scores`, with their slopes, and in units of each asset's own size: otherwise the wildest asset would rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from configs.errors import UserError
from data.labels import UNKNOWN, Labels
from encoders.batches import spread_rows
from encoders.ensemble.fitted import Fitted
from encoders.forecast import LEVELS, Forecast
from encoders.scores import FLOOR, SUREST

HEADS = ("direction", "quantiles", "volatility")
ENOUGH = 10_000
"""pairs that weights are sought on: of more, rows are taken from equal stretches, since neighbours' labels say almost
the same"""

Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Units(Fitted):
    """Root mean square of what came, by asset; 1 for an asset that never moved or was not there.

    >>> labels = Labels(np.array([[2], [0]]), np.array([[0.3], [-0.4]]), np.array([[0.1], [0.1]]), reach=1)
    >>> Units.fit(labels, np.arange(2)).forward.round(4).tolist()
    [0.3536]
    """

    forward: np.ndarray  # (N,) log return
    volatility: np.ndarray  # (N,) of one bar

    @classmethod
    def fit(cls, labels: Labels, rows: np.ndarray) -> Units:
        return cls(size(labels.forward[rows]), size(labels.volatility[rows]))


def size(values: np.ndarray) -> np.ndarray:
    """(N,) root mean square of (B, N), missing values aside."""
    known = np.isfinite(values)
    squares = np.where(known, values, 0.0).astype(np.float64) ** 2
    found = np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return np.where(found > 0, found, 1.0)


class Head(NamedTuple):
    """One of the three. `loss` of a pool (P, K) is (P,), with its slope (P, K)."""

    said: np.ndarray  # (M, P, K)
    came: np.ndarray  # (P, 1)
    measure: Loss

    def loss(self, pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.measure(pool, self.came)

    def pooled(self, weights: np.ndarray) -> np.ndarray:
        """(P, K) of weights (M,) or (M, P)."""
        return np.einsum("m,mpk->pk" if weights.ndim == 1 else "mp,mpk->pk", weights, self.said)

    def each(self) -> np.ndarray:
        """(M, P) the losses of the members by themselves."""
        members, pairs, width = self.said.shape
        came = np.broadcast_to(self.came, (members, pairs, 1)).reshape(-1, 1)
        return self.measure(self.said.reshape(-1, width), came)[0].reshape(members, pairs)


class Contest(NamedTuple):
    row: np.ndarray  # (P,)
    asset: np.ndarray  # (P,)
    heads: dict[str, Head]


def known_pairs(members: Sequence[Forecast], labels: Labels, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) rows and (P,) assets of which every member and all labels speak."""
    rows = np.asarray(rows)
    known = (labels.direction[rows] != UNKNOWN) & np.isfinite(labels.forward[rows] + labels.volatility[rows])
    for member in members:
        known &= np.isfinite(member.volatility[rows])
    place, asset = np.nonzero(known)
    return rows[place], asset


def contest(members: Sequence[Forecast], labels: Labels, rows: np.ndarray, units: Units, enough: int | None = None
            ) -> Contest:
    """The known pairs of `rows`, or of so many of these that the pairs are at most `enough`."""
    if enough is not None:
        rows = spread_rows(rows, max(enough // labels.forward.shape[1], 1))
    row, asset = known_pairs(members, labels, rows)
    if len(row) == 0:
        raise UserError(f"none of the {len(rows)} rows to fuse on has both labels and a forecast of every member; "
                        "give rows after the members' warm-up and before the last reach of the labels")
    at = (row, asset)
    forward, volatility = units.forward[asset, None], units.volatility[asset, None]
    direction = labels.direction[at]
    heads = {
        "direction": Head(np.stack([member.direction[(*at, direction)][:, None] for member in members])
                          .astype(np.float64), np.ones((len(row), 1)), log_loss),
        "quantiles": Head(np.stack([member.quantiles[at] / forward for member in members]),
                          labels.forward[at][:, None] / forward, pinball),
        "volatility": Head(np.stack([(member.volatility[at][:, None] / volatility) ** 2 for member in members]),
                           (labels.volatility[at][:, None] / volatility) ** 2, qlike),
    }
    return Contest(row, asset, heads)


def losses(forecast: Forecast, labels: Labels, rows: np.ndarray, units: Units) -> dict[str, float]:
    """Mean loss of each head, and their plain sum `total`, which is what the nets are trained on too."""
    found = {name: float(head.each().mean()) for name, head in contest([forecast], labels, rows, units).heads.items()}
    return {**found, "total": sum(found.values())}


def log_loss(pool: np.ndarray, came: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the chance (P, 1) that was given to the class that came."""
    chance = np.maximum(pool, SUREST)
    return -np.log(chance[:, 0]), -came / chance


def pinball(pool: np.ndarray, came: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of quantiles (P, Q), mean over the levels."""
    levels = np.asarray(LEVELS)
    miss = came - pool
    return (np.maximum(levels * miss, (levels - 1) * miss).mean(axis=1),
            np.where(miss > 0, -levels, 1 - levels) / len(levels))


def qlike(pool: np.ndarray, came: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the variance (P, 1), in units of the mean that came."""
    share = (came + FLOOR) / (pool + FLOOR)
    return (share - np.log(share) - 1)[:, 0], (1 - share) / (pool + FLOOR)
