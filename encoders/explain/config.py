"""How thoroughly a model is explained."""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import UserError

FEWEST_ROWS = 16
"""with fewer, rows cannot be swapped with others far away"""


@dataclass(frozen=True)
class ExplainConfig:
    """The bundled market and a small transformer take about a minute on one core."""

    rows: int = 512
    """validation rows that are looked at, one from each of as many equal stretches; 0 takes every row"""
    repeats: int = 4
    """times that each group of features is replaced by that of other windows"""
    nodes: int = 32
    """points of the path that gradients are taken at; their sum is exact for polynomials up to degree 2 nodes - 1"""
    largest: int = 20
    """features that the page shows of each table, and draws; the JSON file has all of them"""
    seed: int = 0
    """of the windows that are swapped"""

    def __post_init__(self) -> None:
        for name in ("repeats", "nodes", "largest"):
            if getattr(self, name) < 1:
                raise UserError(f"explain {name} must be at least 1, found {getattr(self, name)}")
        if (self.rows and self.rows < FEWEST_ROWS) or self.seed < 0:
            raise UserError(f"explain rows must be 0 or at least {FEWEST_ROWS} and seed at least 0, found {self.rows} "
                            f"and {self.seed}")
