"""Does the arena name the right winner where it is known who knows more, and nobody where nobody does?

    python scripts/planted_edge.py
    python scripts/planted_edge.py --kinds agents signals --edge 0.05

Each line is of tournaments of tiny contestants on markets of their own. `over fresh years`: who was chosen, on years of
the same market that no tournament has seen, which is where the truth is from.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from agents.arena.config import KNOWN_WINNERS, check_once
from configs.errors import UserError, run_script
from configs.loader import HELP, parse, parted
from configs.registry import check_name


@dataclass(frozen=True)
class PlantedEdge:
    """Hold tiny tournaments whose outcome is known; further flags are those of train_agent.py, such as
    --agent.lr, but for what makes a kind what it is."""

    kinds: tuple[str, ...] = KNOWN_WINNERS
    """who is to win: agents, signals, nobody (a fair game), nobody_free (one in which all trade, and orders cost
    nothing)"""
    tournaments: int = 20
    """of each kind"""
    edge: float = 0.3
    """how much of a bar can be known beforehand where somebody is to win (simulator.edge)"""
    algos: tuple[str, ...] = ("ppo",)
    """names of agents.ALGOS"""
    jobs: int = 2
    """tournaments at once, each of one thread"""
    folder: Path = Path("runs/planted_edge")
    """where each result is kept; what is there is not held again"""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            check_name("kind", kind, KNOWN_WINNERS)
        for name, given in (("tournaments", self.tournaments), ("jobs", self.jobs)):
            if given < 1:
                raise UserError(f"--{name} must be at least 1, found {given}")
        if not 0 <= self.edge <= 1:
            raise UserError(f"--edge must be between 0 and 1, found {self.edge}")
        for name, named in (("kinds", self.kinds), ("algos", self.algos)):
            check_once(name, named)


def main() -> None:
    own, passed_on = parted(PlantedEdge, sys.argv[1:])
    config = parse(PlantedEdge, [*own, *(HELP & {*passed_on})])

    from agents.arena.planted import CAMP, Planted, counted, held
    from agents.cells import side_by_side
    from encoders.score_table import as_markdown

    given = {f"{kind}-market{seed}": Planted(kind, seed, config.edge if kind in CAMP else 0.0, config.algos,
                                             config.folder / kind, (*passed_on,))
             for seed in range(config.tournaments) for kind in config.kinds}
    next(iter(given.values())).windows()  # what is wrong is said before any work
    print(f"{len(given)} tournaments, {config.jobs} at a time; what is done stays in {config.folder}", file=sys.stderr,
          flush=True)
    found = {}
    for name, one in side_by_side(held, given, config.folder, config.jobs):
        found[name] = one
        print(f"{len(found)} of {len(given)}: {name}, {one.winner or 'no evidence'}: agents less signals "
              f"{one.growth:+.2f} [{one.low:+.2f}, {one.high:+.2f}] a year, in truth {one.truth:+.2f}", file=sys.stderr,
              flush=True)
    ordered = [found[name] for kind in config.kinds for name in given if given[name].kind == kind]
    print(as_markdown(counted(ordered)))


if __name__ == "__main__":
    run_script(main)
