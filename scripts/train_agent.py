"""Train an agent and hold it against the signals of the supervised ensemble.

    python scripts/train_agent.py --algo ppo --encoder transformer
    tensorboard --logdir runs
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from configs.errors import UserError, run_script
from configs.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from data.dataset import DataConfig, Dataset


def main() -> None:
    from agents.experiment import load_experiment
    from agents.supervised import ensemble_of, sight_of

    config = load_experiment(sys.argv[1:])

    from agents.arena.tournament import head_to_head
    from agents.device import pick_device
    from agents.seeds import train_seeds
    from data.dataset import load_dataset

    started = time.perf_counter()
    device = pick_device(config.device)
    dataset = load_dataset(config.data, config.cache / "features")
    market, window = dataset.market, config.data.window
    config.check_assets(market.assets)
    if config.data.own_features:
        refuse_answers(config.data, dataset, config.cache / "features")
    run = Run(config.folder, config, config.seed)
    run.note(market=market.fingerprint, columns=market.columns, dropped=dataset.dropped, notes=dataset.notes,
             device=device)
    print(f"market {market.fingerprint}: {len(market):,} bars of {', '.join(market.assets)}, "
          f"{len(market.columns)} features, on {device}")
    if len(market.segments) > 1:
        blind = len(market) - len(market.decision_rows(window))
        print(f"{len(market.segments)} stretches of bars without a gap: features warm up anew in each, so {blind:,} "
              "bars see no decision (a position is held there); --data.bridge passes over short gaps")
    if device == "cpu" and config.preset == "full":
        print(f"the full preset is meant for a GPU: {config.agent.steps:,} agent steps take hours on a CPU")
    for note in dataset.notes:
        print(note)
    if dataset.dropped:
        print(f"left out, for the source does not have them: {', '.join(dataset.dropped)} features")

    ensemble, forecasts = ensemble_of(config, dataset, device)
    sight = sight_of(config, dataset, device, ensemble)

    bundles = train_seeds(config, dataset, sight, device)

    report, _ = head_to_head(bundles, forecasts, ensemble, dataset, config.env, window, config.bootstrap,
                             config.folder, device, config.cache)
    run.done(results=report.table.reset_index().to_dict("records"), seconds=round(time.perf_counter() - started, 1))
    held = "bundle" if config.seeds == 1 else "a folder of each seed with its bundle"
    print(f"\n{report.markdown()}\nin {config.folder}: table, equity.png, {held}; "
          f"tensorboard --logdir {config.runs} shows the training")


def refuse_answers(config: DataConfig, dataset: Dataset, cache: Path) -> None:
    """Stop before hours are spent on a feature that is a label."""
    from data.dataset import load_raw, tabulate
    from data.leaks import answers

    found = answers(tabulate(load_raw(config), config, cache), dataset)
    if found:
        raise UserError(f"{found[0]}; python scripts/audit_leakage.py looks at everything")


if __name__ == "__main__":
    run_script(main)
