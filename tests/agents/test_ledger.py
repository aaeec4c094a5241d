"""What was tried is counted: every training once, by history, whoever else is writing."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from agents.ledger import FILE, Trial, history_of, note, noted, trials_of
from data.dataset import DataConfig
from data.simulator.config import SimulatorConfig
from data.stored import StoreConfig


def test_a_training_counts_once_and_for_its_history(tmp_path):
    assert trials_of(tmp_path, "a") == 0
    for history, training in (("a", "1"), ("a", "2"), ("a", "1"), ("b", "1")):
        note(tmp_path / "runs", Trial(history, training, "ppo + none", 0))
    assert trials_of(tmp_path / "runs", "a") == 2
    assert trials_of(tmp_path / "runs", "b") == 1
    assert [trial.training for trial in noted(tmp_path / "runs")] == ["1", "2", "1", "1"]


def test_half_a_line_spoils_nothing(tmp_path):
    note(tmp_path, Trial("a", "1", "ppo", 0))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"history": "a", "tra\n[]\n')
    note(tmp_path, Trial("a", "2", "ppo", 0))
    assert trials_of(tmp_path, "a") == 2


def fill(work: tuple[Path, int]) -> None:
    runs, who = work
    for number in range(200):
        note(runs, Trial("a", f"{who}-{number}", "ppo + " + "x" * 100, number))


def test_many_may_note_at_once(tmp_path):
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        list(pool.map(fill, [(tmp_path, who) for who in range(4)]))
    assert trials_of(tmp_path, "a") == 800
    assert len((tmp_path / FILE).read_text().splitlines()) == 800


@pytest.mark.parametrize("other", [
    {"window": 9}, {"features": "hourly"}, {"span": (100, 900)}, {"dates": ("2022-01-01", "2023-01-01")},
])
def test_other_features_or_windows_are_the_same_history(other):
    assert history_of(DataConfig()) == history_of(replace(DataConfig(), **other))


@pytest.mark.parametrize("other", [
    {"simulator": SimulatorConfig(seed=1)}, {"source": "known"}, {"path": Path("bars.csv")}, {"source": "store"},
])
def test_other_bars_are_another(other):
    assert history_of(DataConfig()) != history_of(replace(DataConfig(), **other))


def test_another_asset_of_the_store_is_another_history():
    one, other = (DataConfig(source="store", store=StoreConfig(assets=(asset,))) for asset in ("BTC", "ETH"))
    assert history_of(one) != history_of(other)
