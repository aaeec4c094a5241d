"""Saved agents of one market head to head, or a whole tournament over a walk forward.

    python scripts/evaluate.py runs/ppo-transformer-seed0 runs/dqn-transformer-seed0
    python scripts/evaluate.py --config configs/arena/bundled.yaml
    python scripts/evaluate.py --from runs/bundled
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from configs.errors import UserError, run_script
from configs.loader import parse


@dataclass(frozen=True)
class EvaluateConfig:
    """Run saved agents over the test rows, all in one batch, and print the table. With --config a tournament is held
    instead."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders that scripts/train_agent.py wrote; data, costs and ensemble are those of the first"""
    out: Path = Path("runs/evaluation")
    """where table and picture are written"""
    device: str = "auto"
    """auto, cpu or cuda"""
    config: Path | None = None
    """a tournament's file, such as configs/arena/bundled.yaml; its own flags: --config FILE --help"""
    again: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """a tournament's folder: make its report anew from the tracks that lie there, and train nothing"""


def main() -> None:
    if any(word.split("=")[0] == "--config" for word in sys.argv[1:]):
        from agents.arena.league import hold

        print(hold(sys.argv[1:]))
        return
    arguments = parse(EvaluateConfig, sys.argv[1:])
    if arguments.again is not None and arguments.runs:
        raise UserError("--from makes a tournament's report again, and runs are compared without it: give one of them")
    if arguments.again is not None:
        from agents.arena.league import told_again

        print(told_again(arguments.again))
        return
    if not arguments.runs:
        raise UserError("name at least one run, such as runs/ppo-transformer-seed0, or a tournament: --config "
                        "configs/arena/bundled.yaml")
    head_to_head_of(arguments)


def head_to_head_of(arguments: EvaluateConfig) -> None:
    from agents.arena.league import is_tournament
    from agents.arena.tournament import head_to_head
    from agents.bundle import Bundle, places_in, run_of
    from agents.device import pick_device
    from agents.experiment import ExperimentConfig
    from agents.supervised import ensemble_of
    from configs.run import came_to_its_end
    from data.dataset import load_dataset

    for folder in arguments.runs:
        if is_tournament(folder):
            raise UserError(f"{folder} is a tournament: python scripts/evaluate.py --from {folder}")
    bundles = [Bundle.load(place) for folder in arguments.runs for place in places_in(folder)]
    runs = [run_of(folder) for folder in arguments.runs]
    for folder in dict.fromkeys(runs):
        if not came_to_its_end(folder):
            print(f"{folder} was stopped before its end: its agent is the best up to there")
    config = ExperimentConfig.of_run(runs[0])
    device = pick_device(arguments.device)
    dataset = load_dataset(config.data, config.cache / "features")
    ensemble, forecasts = ensemble_of(config, dataset, device)
    report, _ = head_to_head(bundles, forecasts, ensemble, dataset, config.env, config.data.window, config.bootstrap,
                             arguments.out, device, config.cache)
    print(f"{report.markdown()}\nin {arguments.out}: table.md, table.csv, table.json, equity.png")


if __name__ == "__main__":
    run_script(main)
