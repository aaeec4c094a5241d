"""Markets that we make ourselves: no network, no keys, and the truth is known."""

from data.simulator.config import SimulatorConfig

__all__ = ["SimulatorConfig"]
