"""What a pretrained encoder looks at: hours, features and groups of features, as one page that needs no network.

    python scripts/explain.py --encoder transformer
    python scripts/explain.py runs/ppo-transformer-seed0    # the encoder that this run trained

Takes every flag of scripts/train_agent.py; the encoder comes from the cache, or is pretrained. Writes explain.html,
explain.json and TensorBoard's pictures to runs/explain-<name>. Test rows are not looked at.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from agents.experiment import ExperimentConfig, load_as
from agents.supervised import encode
from configs.errors import UserError, run_script
from configs.run import CONFIG, Run
from encoders.explain.config import ExplainConfig


@dataclass(frozen=True)
class ExplainedExperiment(ExperimentConfig):
    """What an experiment's encoder looks at."""

    explain: ExplainConfig = field(default_factory=ExplainConfig)


def main() -> None:
    argv = sys.argv[1:]
    if argv and not argv[0].startswith("-"):
        argv = ["--config", str(Path(argv[0]) / CONFIG), *argv[1:]]
    config = load_as(ExplainedExperiment, argv)
    if config.encoder == "none":
        raise UserError("nothing to explain: choose an encoder with --encoder")
    config = config.called(f"explain-{config.encoder}")

    from agents.device import pick_device
    from data.dataset import load_dataset
    from data.features import FEATURES
    from data.features.own import load_features
    from encoders.explain.explanation import explain
    from encoders.explain.report import write_explanation
    from encoders.explain.subject import Subject

    started = time.perf_counter()
    device = pick_device(config.device)
    dataset = load_dataset(config.data, config.cache / "features")
    run = Run(config.folder, config, config.seed)
    checkpoint, _ = encode(config, dataset, config.encoder, device)
    own = load_features(config.data.own_features) if config.data.own_features else []
    subject = Subject.of(checkpoint, dataset.market, dataset.labels, dataset.split.valid, config.explain,
                         config.bootstrap, [*FEATURES, *own], device)
    found = explain(subject)
    page = write_explanation(found, config.folder)
    run.done(market=dataset.market.fingerprint, checkpoint=checkpoint.fingerprint, device=device,
             seconds=round(time.perf_counter() - started, 1))
    for line in found.lines():
        print(line)
    print(f"written: {page}, explain.json beside it; tensorboard --logdir {config.folder} shows the pictures")


if __name__ == "__main__":
    run_script(main)
