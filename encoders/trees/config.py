"""Settings of the tree forecasters; without their libraries, so that a script's --help is quick."""

from __future__ import annotations

import os
from dataclasses import dataclass

from configs.errors import UserError
from configs.registry import check_name
from encoders.trees import TREES


@dataclass(frozen=True)
class TreeConfig:
    """One flat set for all kinds; a forest averages its trees and has no use for rate, l2 and patience.

    >>> TreeConfig(name="forest", bag=0.3).least_rows(reach=24, assets=1, drawn=1.0)
    144
    """

    name: str = "boosting"
    """which kind of trees, a name of encoders.trees.TREES"""
    trees: int = 300
    """of a forest: how many; of a boosting: at most so many rounds, early stopping usually ends before"""
    leaves: int = 4
    """most leaves of one tree"""
    least: float = 20
    """labels without a bar in common that a leaf must hold: with a reach of 24 bars, as many days of training rows"""
    bag: float = 0.5
    """share of the training rows that each tree sees"""
    columns: float = 0.2
    """share of the summaries that each tree of a boosting, or each branching of a forest, may choose from"""
    bins: int = 63
    """values of a summary that can be told apart"""
    rate: float = 0.03
    """share of what a tree has found that is added to the trees before it (boosting, xgboost)"""
    l2: float = 10.0
    """pull of each leaf towards saying nothing (boosting, xgboost); a leaf's quantile feels none"""
    patience: int = 40
    """rounds without a better validation loss before no more trees are grown (boosting, xgboost)"""
    rows: int = 0
    """rows that teach, and rows that choose, one from each of as many equal stretches; 0 takes every row"""
    threads: int = 1
    """CPU threads, 0 takes all there are; LightGBM's trees are the same to the bit with any number, XGBoost's up to
    rounding"""

    def __post_init__(self) -> None:
        check_name("kind of trees", self.name, TREES)
        for field, lowest in (("trees", 1), ("leaves", 2), ("bins", 2), ("patience", 1), ("rows", 0), ("threads", 0)):
            if getattr(self, field) < lowest:
                raise UserError(f"trees {field} must be at least {lowest}, found {getattr(self, field)}")
        for field in ("bag", "columns", "rate"):
            if not 0 < getattr(self, field) <= 1:
                raise UserError(f"trees {field} must be above 0 and at most 1, found {getattr(self, field)}")
        if self.name == "forest" and self.bag == 1:
            raise UserError("a forest is trees that each see other rows: give a bag below 1, such as 0.3")
        if not (self.least > 0 and self.l2 >= 0):
            raise UserError(f"trees least must be above 0 and l2 at least 0, found {self.least} and {self.l2}")

    @property
    def cores(self) -> int:
        """`threads` as a library takes it: to both a 0 is what OpenMP's variables allow, which scripts set to 1."""
        return self.threads or os.cpu_count() or 1

    def least_rows(self, reach: int, assets: int, drawn: float) -> int:
        """Rows of its bag that a leaf must hold, `drawn` being the share of the training rows that teach.

        Labels of neighbouring rows look at almost the same bars, and assets mostly move together: `reach` rows of all
        assets count as one label.
        """
        apart = max(reach * drawn, 1.0)
        return max(round(self.least * apart * assets * self.bag), 1)
