"""The same command gives the same numbers: from data to table, twice from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.arena.tournament import head_to_head
from agents.train import train
from data.bootstrap import BootstrapConfig
from data.dataset import load_dataset
from encoders.batches import labelled_rows
from encoders.embed import embed
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.ensemble import Ensemble
from encoders.ensemble.fusion import fit_fusion
from tests.agents.small import AGENT, DATA, ENV, WINDOW, tiny_encoder

BOOTSTRAP = BootstrapConfig(draws=100, block=10)


def table(folder: Path, algo: str, seed: int = 0) -> bytes:
    """Everything from nothing: market, two encoders, agent, arena."""
    dataset = load_dataset(DATA)
    encoders = {name: tiny_encoder(dataset, name, seed) for name in ("lstm", "transformer")}
    bundle = train(dataset, ENV, AGENT, algo, WINDOW, encoders["transformer"], folder=folder, cache=folder / "cache",
                   seed=seed, progress=False)
    forecasts = {name: embed(encoder, dataset.market, cache=folder / "cache").forecast
                 for name, encoder in encoders.items()}
    fusion = fit_fusion(forecasts, dataset.labels, labelled_rows(dataset.market, dataset.labels, WINDOW,
                                                                 dataset.split.valid), FusionConfig())
    ensemble = Ensemble({}, fusion, DATA.labels, str(dataset.market.time[dataset.split.valid.start]))
    head_to_head([bundle], forecasts, ensemble, dataset, ENV, WINDOW, BOOTSTRAP, folder, cache=folder / "cache")
    return (folder / "table.json").read_bytes()


@pytest.mark.parametrize("algo", ["ppo", "a2c", "dqn"])
def test_the_same_seed_gives_the_same_table_to_the_byte(algo, tmp_path):
    assert table(tmp_path / "first", algo) == table(tmp_path / "second", algo)


def test_another_seed_gives_another_table_and_a_warm_cache_the_same_one(tmp_path):
    first = table(tmp_path / "first", "ppo")
    assert table(tmp_path / "other", "ppo", seed=1) != first
    assert table(tmp_path / "first", "ppo") == first
