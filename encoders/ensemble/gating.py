"""Bayesian fusion: weights that depend on what the market looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from data.labels import Labels
from data.scaling import Scaler
from encoders.ensemble.combining import Shares, pool
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.contest import ENOUGH, HEADS, Contest, Units, contest
from encoders.ensemble.crossfit import plainest, time_blocks
from encoders.ensemble.fitted import arrays_of
from encoders.ensemble.online import arrived
from encoders.ensemble.weights import Weighted, best_weights, drawn_back, outcomes_of, solve
from encoders.forecast import Forecast

WIDTHS = (0.0, 0.1, 0.3, 1.0)  # of the prior of the gate's coefficients; 0, the fixed weights, is the plainest
INPUTS = ("said_volatility", "past_volatility", "disagreement")
SMALLEST = 1e-8  # a volatility below it, in log return, is none
LEAST_WEIGHT = 1e-6  # that the gate begins with, since no input could raise a weight of 0


@dataclass(frozen=True, eq=False)
class Gated:
    """A mixture of experts (Jacobs et al. 1991) whose experts are given: softmax of a line in standardised inputs.

    Inputs are the members' volatility, the volatility that was last known and how far the members disagree. A missing
    input counts as average. The coefficients maximise the posterior of the mixture, one gate for each head; their prior
    is centred on the fixed weights, and its width is cross-fitted, so that the gate moves only where the rows left out
    say it should.
    """

    coefficients: np.ndarray  # (3, M, 1 + F) of direction, quantiles, volatility; the first is the constant
    width: np.ndarray  # (3,)
    shrinkage: np.ndarray  # (3,) of the fixed weights
    scaler: Scaler

    @classmethod
    def fit(cls, members: Sequence[Forecast], labels: Labels, rows: np.ndarray, config: FusionConfig) -> Gated:
        shrinkage = Weighted.fit(members, labels, rows, config).shrinkage
        raw = gate_inputs(members, labels)
        scaler = Scaler.fit(raw, INPUTS, rows)
        inputs, units = standard(raw, scaler), Units.fit(labels, rows)
        blocks = time_blocks(rows, labels.reach, config.blocks)
        found = np.empty((len(HEADS), len(WIDTHS), len(blocks)))
        for b, block in enumerate(blocks):
            taught = contest(members, labels, block.teach, units, ENOUGH)
            tested = contest(members, labels, block.test, units, ENOUGH)
            centres, outcomes = centres_of(taught, labels, shrinkage, inputs.shape[-1])
            seen, shown = inputs[taught.row, taught.asset], inputs[tested.row, tested.asset]
            for h, name in enumerate(HEADS):
                head = tested.heads[name]
                for w, width in enumerate(WIDTHS):
                    coefficients = moved(taught, name, seen, centres[h], width, outcomes)
                    weights = softmax(coefficients @ shown.T, axis=0)
                    found[h, w, b] = head.loss(head.pooled(weights))[0].mean()
        widths = np.array([WIDTHS[plainest(losses)] for losses in found])
        return cls(np.zeros((len(HEADS), len(members), inputs.shape[-1])), widths, shrinkage, scaler).refit(
            members, labels, rows)

    def refit(self, members: Sequence[Forecast], labels: Labels, rows: np.ndarray) -> Gated:
        inputs = standard(gate_inputs(members, labels), self.scaler)
        taught = contest(members, labels, rows, Units.fit(labels, rows), ENOUGH)
        centres, outcomes = centres_of(taught, labels, self.shrinkage, inputs.shape[-1])
        seen = inputs[taught.row, taught.asset]
        coefficients = np.stack([moved(taught, name, seen, centres[h], self.width[h], outcomes)
                                 for h, name in enumerate(HEADS)])
        return Gated(coefficients, self.width, self.shrinkage, self.scaler)

    def apply(self, members: Sequence[Forecast], labels: Labels) -> Forecast:
        inputs = standard(gate_inputs(members, labels), self.scaler)
        logits = np.einsum("hmf,bnf->hmbn", self.coefficients, inputs)
        return pool(members, Shares(*softmax(logits, axis=1)))

    def plain(self) -> dict[str, Any]:
        return {"coefficients": self.coefficients.tolist(), "width": self.width.tolist(),
                "shrinkage": self.shrinkage.tolist(), "scaler": self.scaler.plain()}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Gated:
        numbers = {name: value for name, value in stored.items() if name != "scaler"}
        scaler = Scaler.of(stored["scaler"])
        if scaler.columns != INPUTS:
            raise ValueError(f"a gate goes by {', '.join(INPUTS)}, found {', '.join(scaler.columns)}")
        return cls(**arrays_of(numbers, ("coefficients", "width", "shrinkage")), scaler=scaler)


def gate_inputs(members: Sequence[Forecast], labels: Labels) -> np.ndarray:
    """(B, N, F) what the gate goes by, not yet standardised; NaN where missing."""
    said = np.mean([member.volatility for member in members], axis=0)  # (B, N)
    past = arrived(np.asarray(labels.volatility, np.float64), labels.reach)
    apart = np.std([member.median for member in members], axis=0) / np.maximum(said, SMALLEST)
    logs = np.log(np.maximum(said, SMALLEST)), np.log(np.maximum(past, SMALLEST)), np.log1p(apart)
    return np.stack(logs, axis=-1)


def standard(raw: np.ndarray, scaler: Scaler) -> np.ndarray:
    """(B, N, 1 + F) a constant and the scaled inputs; a missing one counts as average."""
    scaled = np.nan_to_num(scaler.transform(raw).astype(np.float64))
    return np.concatenate([np.ones((*scaled.shape[:2], 1)), scaled], axis=-1)


def centres_of(taught: Contest, labels: Labels, shrinkage: np.ndarray, width: int) -> tuple[np.ndarray, float]:
    """(3, M, width) coefficients that are the fixed weights whatever the input, and the independent outcomes."""
    outcomes = outcomes_of(taught, labels)
    weights = drawn_back(best_weights(taught, outcomes), shrinkage[:, None])  # (3, M)
    centres = np.zeros((*weights.shape, width))
    centres[..., 0] = np.log(np.maximum(weights, LEAST_WEIGHT))
    return centres, outcomes


def moved(taught: Contest, name: str, inputs: np.ndarray, centre: np.ndarray, width: float, outcomes: float
          ) -> np.ndarray:
    """(M, F) coefficients of a head, as far from the `centre` as the rows that taught and the prior's width allow."""
    return centre if width == 0 else solve(taught.heads[name], inputs, centre, width, outcomes)
