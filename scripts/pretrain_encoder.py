"""Pretrain one encoder and say how its forecasts compare with knowing only the base rates.

    python scripts/pretrain_encoder.py --encoder mamba
"""

from __future__ import annotations

import sys

from configs.errors import UserError, run_script
from configs.run import Run


def main() -> None:
    from agents.experiment import encode, load_experiment

    config = load_experiment(sys.argv[1:])
    if config.encoder == "none":
        raise UserError("nothing to pretrain: choose an encoder with --encoder")

    from dataclasses import replace

    from agents.algos import pick_device
    from data.dataset import load_dataset

    device = pick_device(config.device)
    config = replace(config, name=config.name or f"{config.encoder}-seed{config.seed}")
    dataset = load_dataset(config.data, config.cache / "features")
    run = Run(config.folder, config, config.seed)
    checkpoint, _ = encode(config, dataset, config.encoder, device)
    folder = checkpoint.save(config.folder / "encoder")
    run.note(market=dataset.market.fingerprint, scores=checkpoint.scores)
    for name, value in checkpoint.scores.items():
        print(f"{name:>24} {value:.4f}")
    print(f"checkpoint in {folder}; scripts/train_agent.py finds it in the cache and uses it again")


if __name__ == "__main__":
    run_script(main)
