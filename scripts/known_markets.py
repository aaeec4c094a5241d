"""How much of what the best policy earns do agents capture? Known markets, several seeds, years that nobody has seen.

    python scripts/known_markets.py --algos all_q ppo --markets ou_real regime_lead
    python scripts/known_markets.py --encoders lstm --data.known.candles True --data.window 48 --years 16
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError, run_script
from configs.loader import HELP, parse, parted

MARKETS = ("ou_easy", "ou_real", "regime_lead", "ar1_costly", "random_walk")


@dataclass(frozen=True)
class KnownMarkets:
    """Train agents on known markets and hold them against the oracle; further flags are those of train_agent.py, such
    as --agent.steps."""

    algos: tuple[str, ...] = ("all_q", "ppo", "dqn", "a2c")
    """names of agents.ALGOS"""
    markets: tuple[str, ...] = MARKETS
    """trend, sine, random_walk, ou_easy, ou_real, ar1_costly or regime_lead"""
    encoders: tuple[str, ...] = ("none",)
    """what the agents see through; none: the state as it is"""
    seed: int = 0
    """of the first run; presets were tuned on paths of the seeds 0 to 4"""
    seeds: int = 5
    """runs of each, from `seed` on; each learns on a path of its own"""
    years: int = 64
    """that every run is judged on"""
    jobs: int = 2
    """runs side by side, each of one thread"""
    folder: Path = Path("runs/known")
    """where each run's result is kept; what is there is not done again"""

    def __post_init__(self) -> None:
        if self.seed < 0 or min(self.seeds, self.years) < 1 or not (self.algos and self.markets and self.encoders):
            raise UserError("--seed must be at least 0, --seeds and --years at least 1, and --algos, --markets and "
                            f"--encoders name one or more, found {self.seed}, {self.seeds}, {self.years}, "
                            f"{self.algos}, {self.markets}, {self.encoders}")


def main() -> None:
    own, passed_on = parted(KnownMarkets, sys.argv[1:])
    config = parse(KnownMarkets, [*own, *(HELP & {*passed_on})])

    from agents.arena.known import Cell, captured, on_market, readable, train_and_judge
    from agents.cells import side_by_side
    from encoders.score_table import as_markdown

    cells, seeds = {}, range(config.seed, config.seed + config.seeds)
    for seed, market, algo, encoder in itertools.product(seeds, config.markets, config.algos, config.encoders):
        experiment = on_market(market, algo, encoder, seed, passed_on)  # what is wrong is said before any work
        cells[f"{market}-{algo}-{encoder}-seed{seed}"] = Cell(experiment, config.years)
    print(f"{len(cells)} trainings, {config.jobs} at a time; what is done stays in {config.folder}", file=sys.stderr,
          flush=True)
    found = {}
    for name, run in side_by_side(train_and_judge, cells, config.folder, config.jobs):
        found[name] = run
        print(f"{len(found)} of {len(cells)}: {name} {run.growth * 1e4:.3f} of {run.oracle * 1e4:.3f} bps/h, "
              f"{run.seconds:.0f} s", file=sys.stderr, flush=True)
    table = captured([found[name] for name in cells])
    table.to_csv(config.folder / "table.csv", index=False)
    print(as_markdown(readable(table)))


if __name__ == "__main__":
    run_script(main)
