"""Pretrain one encoder and say how its forecasts compare with knowing only the base rates.

    python scripts/pretrain_encoder.py --encoder mamba
    torchrun --nproc_per_node 4 scripts/pretrain_encoder.py --encoder transformer --preset full     # on four GPUs
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from agents.experiment import ExperimentConfig, load_as
from agents.supervised import net_of
from configs.errors import UserError, run_script
from configs.run import Run


@dataclass(frozen=True)
class EncoderExperiment(ExperimentConfig):
    """Pretrain one encoder; settings of agents, environment and ensemble have no part in it."""


def main() -> None:
    config = load_as(EncoderExperiment, sys.argv[1:])
    if config.encoder == "none":
        raise UserError("nothing to pretrain: choose an encoder with --encoder")

    from agents.device import pick_device
    from data.dataset import load_dataset
    from encoders.training.hardware import is_first

    device = pick_device(config.device)
    config = config.called(config.encoder)
    dataset = load_dataset(config.data, config.cache / "features")
    run = Run(config.folder, config, config.seed) if is_first() else None
    checkpoint = net_of(config, dataset, config.encoder, config.seed, device)
    if run is None:  # the first of torchrun's processes writes what there is to write
        return
    folder = checkpoint.save(config.folder / "encoder")
    run.done(market=dataset.market.fingerprint, scores=checkpoint.scores)
    scores = checkpoint.scores
    print(f"\nvalidation rows, best after pass {scores['epoch']:.0f}; losses (less is better) and the accuracy\n"
          f"{'':>12}{config.encoder:>16}{'base rates':>12}")
    for name in (name for name in scores if f"base_{name}" in scores):
        print(f"{name:>12}{scores[name]:16.4f}{scores[f'base_{name}']:12.4f}")
    print(f"\ncheckpoint in {folder}, and in the cache for scripts/train_agent.py; what it looks at: "
          f"python scripts/explain.py {config.folder}; curves: tensorboard --logdir {config.runs}")


if __name__ == "__main__":
    run_script(main)
