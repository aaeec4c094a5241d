"""Nets as one member: trained from several seeds, and asked several times with other parts dropped.

Deep ensembles (Lakshminarayanan et al. 2017): nets that start elsewhere agree where the data spoke, and part where they
did not. Monte Carlo dropout (Gal and Ghahramani 2016) asks the same of one net's thinned versions, for free in training
and for as many passes as are asked for afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.market import Market
from encoders.checkpoint import Checkpoint
from encoders.embed import embed
from encoders.forecast import Forecast, mean


@dataclass(frozen=True, eq=False)
class Nets:
    """A `Forecaster` of equal members; their disagreement is its `epistemic`."""

    checkpoints: tuple[Checkpoint, ...]  # of one architecture, from as many seeds
    passes: int = 0  # through each with its dropout on; 0: one through the whole net
    device: str = "cpu"
    cache: Path | None = None  # of what was embedded before

    def forecast(self, market: Market) -> Forecast:
        found = [mean([embed(checkpoint, market, self.device, thinned=number * self.passes + one).forecast
                       for one in range(self.passes)])
                 if self.passes else embed(checkpoint, market, self.device, self.cache).forecast
                 for number, checkpoint in enumerate(self.checkpoints)]
        return found[0] if len(found) == 1 else mean(found)
