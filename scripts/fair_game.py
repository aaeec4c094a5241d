"""How often does an agent look as if it had found something where there is nothing?

    python scripts/fair_game.py --algos all_q ppo --games 40

It does where all of the interval of its growth lies above zero. By luck alone one in forty may: an interval of 95 %
leaves one in forty out on either side.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError, run_script
from configs.loader import HELP, parse, parted


@dataclass(frozen=True)
class FairGame:
    """Train agents on simulated markets without an edge; further flags are those of train_agent.py, such as
    --agent.steps."""

    algos: tuple[str, ...] = ("all_q", "ppo", "dqn", "a2c")
    """names of agents.ALGOS"""
    encoder: str = "none"
    """what the agents see through; none: the features of the last bar"""
    games: int = 40
    """markets, each with an agent of its own, for every algorithm"""
    jobs: int = 2
    """games at once, each of one thread"""
    folder: Path = Path("runs/fair_game")
    """where each game's result is kept; what is there is not played again"""

    def __post_init__(self) -> None:
        if self.games < 1 or not self.algos:
            raise UserError(f"--games must be at least 1 and --algos name one or more, found {self.games}, "
                            f"{self.algos}")


def main() -> None:
    own, passed_on = parted(FairGame, sys.argv[1:])
    config = parse(FairGame, [*own, *(HELP & {*passed_on})])

    from agents.arena.fair_game import counted, game_of, play
    from agents.cells import side_by_side
    from encoders.score_table import as_markdown

    games = {f"{algo}-{config.encoder}-seed{seed}": game_of(algo, config.encoder, seed, passed_on)
             for algo in config.algos for seed in range(config.games)}  # what is wrong is said before any work
    print(f"{len(games)} trainings, {config.jobs} at a time; what is done stays in {config.folder}", file=sys.stderr,
          flush=True)
    found = {}
    for name, game in side_by_side(play, games, config.folder, config.jobs):
        found[name] = game
        print(f"{len(found)} of {len(games)}: {name} {game.growth:+.3f} [{game.low:+.3f}, {game.high:+.3f}]",
              file=sys.stderr, flush=True)
    print(as_markdown(counted([found[name] for name in games])))


if __name__ == "__main__":
    run_script(main)
