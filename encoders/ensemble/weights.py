"""Fixed weights of the members, found on rows that taught none of them, and the solver that the gate shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from data.labels import Labels
from encoders.ensemble.combining import Shares, pool
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.contest import ENOUGH, HEADS, Contest, Head, Units, contest
from encoders.ensemble.crossfit import plainest, time_blocks
from encoders.ensemble.fitted import Fitted
from encoders.forecast import Forecast

SHRINKAGES = (1.0, 0.75, 0.5, 0.25, 0.1, 0.0)  # part of the way to equal weights; all of it is the plainest
LOOSE = 10.0  # width of the prior of fixed weights' log odds: no more than keeps them finite


def solve(head: Head, inputs: np.ndarray, centre: np.ndarray, width: float, outcomes: float) -> np.ndarray:
    """(M, F) coefficients of the weights softmax(coefficients @ inputs), by L-BFGS.

    Maximum a posteriori: mean loss, plus the prior N(centre, width squared) of each coefficient over the number of
    independent `outcomes`. For the direction the loss is the mixture's negative log likelihood; pinball and QLIKE are
    those of the asymmetric Laplace law and, up to constants, the normal one.
    """
    count = inputs.shape[0]
    strength = 1 / (width**2 * outcomes)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        coefficients = flat.reshape(centre.shape)
        weights = softmax(coefficients @ inputs.T, axis=0)  # (M, P)
        loss, slope = head.loss(head.pooled(weights))
        gain = np.einsum("mpk,pk->mp", head.said, slope)  # of the loss, by each weight
        by_logit = weights * (gain - (weights * gain).sum(axis=0))
        away = coefficients - centre
        return (float(loss.mean() + strength / 2 * (away**2).sum()),
                (by_logit @ inputs / count + strength * away).ravel())

    found = minimize(objective, centre.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return found.x.reshape(centre.shape)


def best_weights(taught: Contest, outcomes: float) -> np.ndarray:
    """(3, M) the fixed weights of each head with the least loss."""
    found = []
    for head in taught.heads.values():
        members, count, _ = head.said.shape
        found.append(softmax(solve(head, np.ones((count, 1)), np.zeros((members, 1)), LOOSE, outcomes)[:, 0]))
    return np.stack(found)


def drawn_back(weights: np.ndarray, shrinkage: np.ndarray | float) -> np.ndarray:
    """Weights (..., M) moved by `shrinkage` of the way to equal ones.

    >>> drawn_back(np.array([1.0, 0.0]), 0.5).tolist()
    [0.75, 0.25]
    """
    return (1 - shrinkage) * weights + shrinkage / weights.shape[-1]


def outcomes_of(taught: Contest, labels: Labels) -> float:
    """Independent outcomes among the pairs: labels of `reach` rows in a row overlap, and bring the news of one.

    Thinned rows overlap less: what counts is the time they span.
    """
    assets = len(np.unique(taught.asset))
    rows = np.unique(taught.row)
    apart = np.minimum(np.diff(rows, prepend=rows[0] - labels.reach), labels.reach)
    return float(apart.sum() / labels.reach * assets)


@dataclass(frozen=True, eq=False)
class Weighted(Fitted):
    """One set of weights for each head: who knows the direction need not know the volatility.

    All three losses are convex in the weights. The weights are drawn back towards equal ones by an amount that is
    cross-fitted: the best weights of few independent outcomes are mostly luck (Smith and Wallis 2009).

    >>> Weighted(np.eye(3, 2), np.zeros(3)).weights.tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """

    weights: np.ndarray  # (3, M) of direction, quantiles, volatility
    shrinkage: np.ndarray  # (3,)

    @classmethod
    def fit(cls, members: Sequence[Forecast], labels: Labels, rows: np.ndarray, config: FusionConfig) -> Weighted:
        units, blocks = Units.fit(labels, rows), time_blocks(rows, labels.reach, config.blocks)
        found = np.empty((len(HEADS), len(SHRINKAGES), len(blocks)))
        for b, block in enumerate(blocks):
            taught = contest(members, labels, block.teach, units, ENOUGH)
            best = best_weights(taught, outcomes_of(taught, labels))
            tested = contest(members, labels, block.test, units, ENOUGH)
            for h, head in enumerate(tested.heads.values()):
                for s, shrinkage in enumerate(SHRINKAGES):
                    found[h, s, b] = head.loss(head.pooled(drawn_back(best[h], shrinkage)))[0].mean()
        shrinkages = np.array([SHRINKAGES[plainest(losses)] for losses in found])
        return cls(np.full((len(HEADS), len(members)), 1 / len(members)), shrinkages).refit(members, labels, rows)

    def refit(self, members: Sequence[Forecast], labels: Labels, rows: np.ndarray) -> Weighted:
        taught = contest(members, labels, rows, Units.fit(labels, rows), ENOUGH)
        best = best_weights(taught, outcomes_of(taught, labels))
        return Weighted(drawn_back(best, self.shrinkage[:, None]), self.shrinkage)

    def apply(self, members: Sequence[Forecast], labels: Labels) -> Forecast:
        return pool(members, Shares(*self.weights[:, :, None, None]))
