"""How thoroughly an agent is diagnosed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError


@dataclass(frozen=True)
class DiagnosisConfig:
    """The bundled market and a small transformer take about two minutes on one core."""

    draws: int = 4
    """times that each group of features is shuffled; the encoder reads the market anew each time"""
    block: int = 0
    """bars that a shuffle keeps together, on average; 0: four windows, or the bootstrap's block if that is longer"""
    costs: tuple[float, ...] = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
    """basis points that trading one unit of value costs, all told"""
    seed: int = 0
    """of the shuffles"""

    def __post_init__(self) -> None:
        if self.draws < 1 or self.block < 0 or self.seed < 0:
            raise UserError("diagnosis needs draws >= 1, block >= 0 and seed >= 0, found "
                            f"{self.draws}, {self.block}, {self.seed}")
        costs = np.array(self.costs)
        if len(costs) < 2 or not (costs[0] == 0 and (np.diff(costs) > 0).all() and costs[-1] < 500):
            raise UserError("diagnosis costs must rise from 0 and stay below 500 basis points, at least two, found "
                            f"{' '.join(f'{cost:g}' for cost in costs) or 'none'}")
