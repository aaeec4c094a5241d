"""How often does an agent look as if it had found something where there is nothing? At most one time in twenty it may.

    python scripts/fair_game.py --algos all_q ppo --games 40
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError, run_script
from configs.loader import HELP, parse, parted


@dataclass(frozen=True)
class FairGame:
    """Train agents on simulated markets without an edge; further flags are those of train_agent.py."""

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

    from agents.arena.cells import side_by_side
    from agents.arena.fair_game import flags_of, play
    from agents.experiment import load_experiment

    games = {}
    for algo in config.algos:
        for seed in range(config.games):
            games[f"{algo}-{config.encoder}-seed{seed}"] = (*flags_of(algo, config.encoder, seed), *passed_on)
            load_experiment(games[f"{algo}-{config.encoder}-seed{seed}"])  # what is wrong is said before any work
    found = []
    for name, game_over in side_by_side(play, games, config.folder, config.jobs):
        found.append(game_over)
        print(f"{len(found)} of {len(games)}: {name} {game_over['growth']:+.3f} "
              f"[{game_over['low']:+.3f}, {game_over['high']:+.3f}]", file=sys.stderr, flush=True)
    print("| agent | games | interval above zero | below zero | stayed in cash | mean log growth |\n"
          "|---|--:|--:|--:|--:|--:|")
    for algo in config.algos:
        own_games = [one for one in found if one["algo"] == algo]
        count = len(own_games)
        above, below = (sum(one[end] * sign > 0 for one in own_games) for end, sign in (("low", 1), ("high", -1)))
        print(f"| {algo} | {count} | {above} ({above / count:.1%}) | {below} ({below / count:.1%}) | "
              f"{sum(one['cash'] for one in own_games)} | {sum(one['growth'] for one in own_games) / count:+.3f} |")


if __name__ == "__main__":
    run_script(main)
