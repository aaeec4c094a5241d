"""The best that anyone can do on a known market, by fee: what an agent's growth there is to be held against.

    python scripts/oracle.py ou_real
    python scripts/oracle.py regime_lead --fees 0 10 --positions 0 1
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from configs.errors import UserError, run_script
from configs.loader import parse

HOURS = 8760


@dataclass(frozen=True)
class OracleConfig:
    """Solve a known market for its best policy."""

    market: Annotated[str, tyro.conf.Positional] = "ou_real"
    """trend, sine, random_walk, ou_easy, ou_real, ar1_costly or regime_lead"""
    fees: tuple[float, ...] = (0.0, 2.0, 5.0, 10.0, 20.0)
    """in bps of the value traded"""
    positions: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """weights to choose from"""


def main() -> None:
    config = parse(OracleConfig, sys.argv[1:])

    from agents.strategies.oracle import solve

    if not config.fees or not all(0 <= fee <= 1000 for fee in config.fees):
        raise UserError(f"--fees must be basis points from 0 to 1000, such as 0 5 10, found {config.fees}")
    found = [(fee, solve(config.market, fee * 1e-4, config.positions)) for fee in config.fees]
    print("| fee bps | growth bps per bar | log growth per year | units traded per year |\n|--:|--:|--:|--:|")
    for fee, best in found:
        print(f"| {fee:g} | {best.growth * 1e4 + 0:.3f} | {best.growth * HOURS + 0:.2f} | {best.traded * HOURS:.0f} |")


if __name__ == "__main__":
    run_script(main)
