"""What a trained agent trades on, when it trades, and what its growth owes to costs and speed, on the validation rows.

    python scripts/diagnose.py runs/ppo-transformer-seed0    # report.md, diagnosis.json and pictures in its diagnosis/
    python scripts/diagnose.py runs/dqn-lstm-seed0 --diagnosis.draws 8

Shuffles each group of features in time, asks the agent what it would do from every position, walks it at other costs
and with late orders, holds it against the oracle of a known market or perfect foresight. Test rows are not looked at.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from agents.diagnosis.config import DiagnosisConfig
from configs.errors import run_script
from configs.loader import parse


@dataclass(frozen=True)
class DiagnoseConfig:
    """Explain a saved agent."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder that scripts/train_agent.py wrote; of several seeds one, such as runs/ppo-transformer-seeds0-4/seed0"""
    out: Path | None = None
    """folder of the report; by default diagnosis in the run's"""
    device: str = "auto"
    """auto, cpu or cuda"""
    diagnosis: DiagnosisConfig = field(default_factory=DiagnosisConfig)


def main() -> None:
    arguments = parse(DiagnoseConfig, sys.argv[1:])

    from agents.bundle import Bundle, place_of
    from agents.device import pick_device
    from agents.diagnosis.diagnosis import diagnose
    from agents.diagnosis.report import write_diagnosis
    from agents.diagnosis.subject import Subject
    from agents.experiment import ExperimentConfig
    from data.dataset import load_dataset
    from data.features import FEATURES
    from data.features.own import load_features

    started = time.perf_counter()
    place, run = place_of(arguments.run)
    bundle = Bundle.load(place)
    config = ExperimentConfig.of_run(run)
    dataset = load_dataset(config.data, config.cache / "features")
    own = load_features(config.data.own_features) if config.data.own_features else []
    subject = Subject.of(bundle, dataset, config.data, arguments.diagnosis, config.bootstrap, [*FEATURES, *own],
                         pick_device(arguments.device), config.cache)
    found = diagnose(subject, lambda step: print(f"{step} ...", flush=True))
    out = arguments.out or arguments.run / "diagnosis"
    print(f"\n{write_diagnosis(found, out)}\nin {out}: report.md, diagnosis.json, pictures; "
          f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    run_script(main)
