"""What an experiment asks for of supervised models: encoders and their ensemble, from the cache where they fit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agents.experiment import ExperimentConfig
from data.dataset import Dataset

if TYPE_CHECKING:
    from agents.sight import Sight
    from encoders.checkpoint import Checkpoint
    from encoders.embed import Embeddings
    from encoders.ensemble.ensemble import Ensemble
    from encoders.forecast import Forecast


def encode(config: ExperimentConfig, dataset: Dataset, encoder: str, device: str
           ) -> tuple[Checkpoint, Embeddings]:
    """The pretrained encoder and the market as it sees it; both from the cache where they fit."""
    from encoders.embed import embed  # torch comes with these, and --help does without

    checkpoint = net_of(config, dataset, encoder, config.seed, device)
    return checkpoint, embed(checkpoint, dataset.market, device, config.cache)


def net_of(config: ExperimentConfig, dataset: Dataset, encoder: str, seed: int, device: str) -> Checkpoint:
    """The encoder, pretrained from a seed."""
    from encoders.pretrained import pretrained

    folder = encoder if seed == config.seed else f"{encoder}-seed{seed}"
    return pretrained(dataset.market, dataset.labels, dataset.split, dataset.scaler, config.data.window,
                      config.net_of(encoder), config.pretrain_of(encoder), config.cache, device,
                      config.folder / "tensorboard" / folder, seed, config.progress)


def ensemble_of(config: ExperimentConfig, dataset: Dataset, device: str
                ) -> tuple[Ensemble | None, dict[str, Forecast]]:
    """The supervised ensemble, its members from the cache where they fit, and what each of them forecasts."""
    if not config.ensemble.members:
        return None, {}
    from encoders.ensemble.train import train_ensemble
    from encoders.trees.fit import fitted_trees

    return train_ensemble(
        dataset, config.data.labels, config.data.window, config.ensemble, config.seed,
        net_of=lambda name, seed: net_of(config, dataset, name, seed, device),
        trees_of=lambda kind: fitted_trees(dataset.market, dataset.labels, dataset.split, dataset.scaler,
                                           config.data.window, config.trees_of(kind), config.cache, config.seed,
                                           config.progress),
        device=device, cache=config.cache)


def sight_of(config: ExperimentConfig, dataset: Dataset, device: str, ensemble: Ensemble | None = None) -> Sight:
    """What the experiment's agent sees through: its encoders, and the `ensemble` where it is asked for."""
    from agents.sight import Sight
    from encoders.ensemble.heldout import held_out

    wanted = config.agent.extractor
    chosen = None if config.encoder == "none" else encode(config, dataset, config.encoder, device)[0]
    beside = tuple(encode(config, dataset, name, device)[0] for name in wanted.beside)
    if not wanted.ensemble:
        return Sight(chosen, beside)
    assert ensemble is not None

    def taught(part: Dataset, fold: int) -> tuple[Ensemble, dict[str, Forecast]]:
        if config.progress:
            print(f"the ensemble anew, without block {fold + 1} of {wanted.folds} of the training rows",
                  file=sys.stderr)
        found, forecasts = ensemble_of(config.within(config.folder / f"heldout-{fold}"), part, device)
        assert found is not None
        return found, forecasts

    said = held_out(ensemble.forecast(dataset.market), dataset, config.data.window, wanted.folds,
                    config.data.split.embargo, taught) if wanted.folds else None
    return Sight(chosen, beside, ensemble, said)
