"""Train every supervised model, fuse them, and score them on the test rows beside what is naive and what is possible.

    python scripts/train_ensemble.py
    python scripts/train_ensemble.py --market btc_hourly --ensemble.seeds 3
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from agents.experiment import ExperimentConfig, load_as
from agents.supervised import ensemble_of
from configs.errors import UserError, run_script
from configs.run import Run


@dataclass(frozen=True)
class EnsembleExperiment(ExperimentConfig):
    """Train the supervised ensemble and score it; settings of agents and environment have no part in it."""

    encoder: str = "none"
    """the one member that --net settings are for; none: all are as their presets have them"""


def main() -> None:
    config = load_as(EnsembleExperiment, sys.argv[1:])
    if config.encoder == "none" and any(word.startswith("--net.") for word in sys.argv):
        raise UserError("--net sets the one encoder that --encoder names: name it, or take another --preset for all")
    if not config.ensemble.members:
        raise UserError("nothing to train: name members with --ensemble.members lstm forest")
    config = config.called("ensemble")

    from agents.device import pick_device
    from data.dataset import load_dataset
    from encoders.ensemble.report import fusion_table, report

    started = time.perf_counter()
    device = pick_device(config.device)
    dataset = load_dataset(config.data, config.cache / "features")
    market = dataset.market
    run = Run(config.folder, config, config.seed)
    print(f"market {market.fingerprint}: {len(market):,} bars of {', '.join(market.assets)}, "
          f"{len(market.columns)} features, on {device}")
    for note in dataset.notes:
        print(note)

    ensemble, forecasts = ensemble_of(config, dataset, device)
    assert ensemble is not None
    ensemble.save(config.folder / "ensemble")
    forecasts = {**forecasts, "ensemble": ensemble.fuse(forecasts, market)}
    found = report(config.data, dataset, forecasts, config.bootstrap, dataset.split.test)
    found.save(config.folder)
    fused = fusion_table(ensemble.fusion)
    (config.folder / "fusion.md").write_text(f"{fused}\n")
    run.done(market=market.fingerprint, columns=market.columns, device=device,
             scores=found.scores.frame.reset_index().to_dict("records"),
             seconds=round(time.perf_counter() - started, 1))
    print(f"\n{found.markdown()}\nFused on the validation rows, each stage by its cross-fitted losses:\n\n{fused}\n\n"
          f"in {config.folder}: ensemble, scores.md, scores.csv, fusion.md")


if __name__ == "__main__":
    run_script(main)
