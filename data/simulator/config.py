"""The dials of the simulated market."""

from __future__ import annotations

from dataclasses import dataclass

from configs.errors import UserError


@dataclass(frozen=True)
class SimulatorConfig:
    bars: int = 30_000
    """hourly bars"""
    assets: tuple[str, ...] = ("BTC",)
    """names of the assets; an asset's own randomness depends on its name, not on its company"""
    edge: float = 0.1
    """correlation of the next return with the hidden state that on-chain columns show early; 0 is a fair game"""
    seed: int = 0
    """the same seed with more bars begins with the same bars"""
    sigma: float = 0.006
    """root mean square volatility of one bar, jumps aside"""
    half_life: float = 24.0
    """bars in which the hidden state forgets half of itself"""
    correlation: float = 0.6
    """correlation between the returns of two assets, and between their hidden states"""
    jump_rate: float = 0.002
    """chance of a jump in a bar"""
    jump_size: float = 6.0
    """typical size of a jump, in volatilities of its bar"""
    carry: float = 1e-5
    """typical funding per bar; its mean is 0, so that neither side is paid for waiting"""

    def __post_init__(self) -> None:
        if self.bars < 2:
            raise UserError(f"simulator.bars must be at least 2, found {self.bars}")
        if not self.assets or len(set(self.assets)) != len(self.assets):
            raise UserError(f"simulator.assets must name each asset once, found {', '.join(self.assets) or 'none'}")
        if not 0 <= self.edge <= 1:
            raise UserError(f"simulator.edge must be between 0 (fair game) and 1, found {self.edge}")
        if not 0 <= self.correlation < 1 or not 0 <= self.jump_rate < 1:
            raise UserError("simulator.correlation and jump_rate must be in [0, 1), found "
                            f"{self.correlation} and {self.jump_rate}")
        if self.sigma <= 0 or self.half_life <= 0 or self.jump_size < 0 or self.carry < 0 or self.seed < 0:
            raise UserError("simulator.sigma and half_life must be positive, jump_size, carry and seed at least 0, "
                            f"found {self.sigma}, {self.half_life}, {self.jump_size}, {self.carry}, {self.seed}")
