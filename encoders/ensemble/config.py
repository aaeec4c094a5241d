"""Settings of the ensemble; without torch or scipy, so that a script's --help is quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec

from configs.errors import UserError
from configs.registry import check_name
from encoders import ENCODERS
from encoders.ensemble import STAGES
from encoders.trees import TREES

AUTO = "auto"


@dataclass(frozen=True)
class FusionConfig:
    """How members become one forecast. Each stage is a name of its table in `encoders.ensemble`, or auto.

    >>> FusionConfig(combiner="gated").candidates("combiner")
    ('gated',)
    """

    combiner: str = AUTO
    """how members are combined: equal, weights, recent, gated, vote; auto: by cross-fitted score"""
    direction: str = AUTO
    """how P(down, flat, up) is calibrated: none, temperature, temperature_biases, isotonic; auto: by cross-fitted log
    loss"""
    volatility: str = AUTO
    """how volatility is calibrated: static, adaptive, none; auto: by cross-fitted QLIKE"""
    interval: str = AUTO
    """how the outer quantiles are calibrated: static, adaptive, none; auto: by cross-fitted pinball loss"""
    blocks: int = 5
    """blocks of time that choices are cross-fitted over, purged by the labels' reach at their borders"""
    memory: int = 1000
    """known labels that an adaptive volatility or interval goes by: the length of its fading mean, and of its window"""

    def __post_init__(self) -> None:
        for stage in STAGES:
            check_name(f"fusion {stage}", getattr(self, stage), [AUTO, *STAGES[stage]])
        if self.blocks < 2 or self.memory < 20:
            raise UserError(f"fusion needs at least 2 blocks and a memory of at least 20 labels, found {self.blocks} "
                            f"and {self.memory}")

    def candidates(self, stage: str) -> tuple[str, ...]:
        """The names to choose from, the plainest first; a single one where it was given."""
        name = getattr(self, stage)
        return tuple(STAGES[stage]) if name == AUTO else (name,)


@dataclass(frozen=True)
class EnsembleConfig:
    """
    >>> EnsembleConfig(members=("lstm", "forest"), seeds=3).seeds
    3
    """

    members: tuple[str, ...] = ("lstm", "attention_lstm", "transformer", "mamba", "forest", "boosting")
    """who forecasts, and whose signals and ensemble an agent has to beat: names of encoders.ENCODERS and
    encoders.trees.TREES"""
    seeds: int = 1
    """nets of each kind, trained from as many seeds; their disagreement counts as uncertainty"""
    passes: int = 0
    """forecasts of each net with its dropout on, whose mean and disagreement count; 0: one of the whole net"""
    fusion: FusionConfig = field(default_factory=FusionConfig)

    def __post_init__(self) -> None:
        if len(set(self.members)) != len(self.members):
            raise UserError(f"an ensemble names each of its members once, found {', '.join(self.members)}")
        for member in self.members:
            check_name("member", member, (*ENCODERS, *TREES))
        if "xgboost" in self.members and find_spec("xgboost") is None:
            raise UserError("the member xgboost needs XGBoost, which is not installed: pip install "
                            "'coinarena[xgboost]', or take boosting")
        if self.seeds < 1 or self.passes < 0:
            raise UserError(f"an ensemble needs seeds of at least 1 and passes of at least 0, found {self.seeds} and "
                            f"{self.passes}")
