"""Saved agents of one market head to head, with the signals of the supervised ensemble and the baselines.

    python scripts/evaluate.py runs/ppo-transformer-seed0 runs/dqn-transformer-seed0
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
    """Run saved agents over the test rows, all in one batch, and print the table."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders that scripts/train_agent.py wrote; data, costs and ensemble are those of the first"""
    out: Path = Path("runs/evaluation")
    """where table and picture are written"""
    device: str = "auto"
    """auto, cpu or cuda"""


def main() -> None:
    arguments = parse(EvaluateConfig, sys.argv[1:])
    if not arguments.runs:
        raise UserError("name at least one run: python scripts/evaluate.py runs/ppo-transformer-seed0")

    from agents.arena.tournament import head_to_head
    from agents.bundle import Bundle, places_in, run_of
    from agents.device import pick_device
    from agents.experiment import ExperimentConfig
    from agents.supervised import ensemble_of
    from configs.run import came_to_its_end
    from data.dataset import load_dataset

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
