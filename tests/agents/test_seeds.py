"""Several seeds side by side: what is handed back was trained as it was asked for."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch

from agents.bundle import SETTINGS, Bundle, place_of, places_in
from agents.experiment import ExperimentConfig, load_experiment
from agents.ledger import history_of, trials_of
from agents.seeds import train_seeds, trained
from agents.sight import Sight
from configs.errors import UserError
from configs.run import Run
from tests.agents.small import AGENT, DATA, ENV
from tests.agents.test_bundle import NoGood


@pytest.fixture
def two(tmp_path) -> ExperimentConfig:
    config = load_experiment(["--encoder", "none", "--runs", str(tmp_path), "--progress", "False", "--seeds", "2",
                              "--jobs", "1", "--name", "two", "--ensemble.members"])
    return replace(config, data=DATA, env=ENV, agent=replace(AGENT, steps=64, validations=1))


class Here:
    """A pool that needs no second process."""

    def __init__(self, *given) -> None:
        pass

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *given) -> None:
        pass

    def submit(self, work, *given) -> Future:
        future: Future = Future()
        future.set_result(work(*given))
        return future


def same(first: list[Bundle], second: list[Bundle]) -> bool:
    return all(torch.equal(value, other.weights[name]) for one, other in zip(first, second)
               for name, value in one.weights.items())


def test_every_training_is_on_the_ledger_once(two, simulated, monkeypatch):
    monkeypatch.setattr("agents.cells.ProcessPoolExecutor", Here)
    train_seeds(two, simulated, Sight(), "cpu")
    train_seeds(two, simulated, Sight(), "cpu")
    assert trials_of(two.runs, history_of(two.data)) == 2
    one = replace(two, seeds=1, name="elsewhere")
    train_seeds(one, simulated, Sight(), "cpu")
    assert trials_of(two.runs, history_of(two.data)) == 2, "the same training under another name"
    train_seeds(replace(one, agent=replace(one.agent, gamma=0.5)), simulated, Sight(), "cpu")
    assert trials_of(two.runs, history_of(two.data)) == 3
    trained(one, 7, "cpu")
    assert trials_of(two.runs, history_of(two.data)) == 3, "what leaves nothing behind is chosen from by nobody"


def test_a_seed_that_was_trained_over_is_trained_again(two, simulated, monkeypatch):
    """The folder held A, then B, and is asked for A again: A's mark must not vouch for B's bundle."""
    monkeypatch.setattr("agents.cells.ProcessPoolExecutor", Here)
    other = replace(two, agent=replace(two.agent, gamma=0.5))
    first = train_seeds(two, simulated, Sight(), "cpu")
    marks = {path: path.stat().st_mtime_ns for path in (two.folder / "done").iterdir()}
    assert same(train_seeds(replace(two, jobs=2), simulated, Sight(), "cpu"), first)
    assert {path: path.stat().st_mtime_ns for path in (two.folder / "done").iterdir()} == marks, "done once"
    assert {bundle.agent.gamma for bundle in train_seeds(other, simulated, Sight(), "cpu")} == {0.5}
    again = train_seeds(two, simulated, Sight(), "cpu")
    assert {bundle.agent.gamma for bundle in again} == {two.agent.gamma}
    assert same(first, again)


def test_what_each_seed_has_to_say_is_said(two, simulated, monkeypatch, capsys):
    monkeypatch.setattr("agents.cells.ProcessPoolExecutor", Here)
    monkeypatch.setattr("agents.train.Validation", NoGood)
    hasty = replace(two, agent=replace(two.agent, stay_out=True, patience=1, validations=8))
    train_seeds(hasty, simulated, Sight(), "cpu")
    said = capsys.readouterr().out
    for seed in ("seed0", "seed1"):
        assert f"{seed}: stopped after " in said
        assert f"{seed}: ppo + none stays out of the market" in said
        assert f"{seed} is trained, in " in said
    [mark] = (two.folder / "done").glob("seed1-*")
    mark.unlink()
    train_seeds(hasty, simulated, Sight(), "cpu")
    said = capsys.readouterr().out
    assert "seed0 had been trained, in " in said
    assert "seed1 is trained, in " in said


def test_a_cell_says_nothing_beside_its_result(two, monkeypatch, capsys):
    monkeypatch.setattr("agents.train.Validation", NoGood)
    assert trained(replace(two, agent=replace(two.agent, stay_out=True)), 0, "cpu").bundle.stays_out
    assert capsys.readouterr().out == ""


def test_a_cell_is_trained_as_a_run_is(two, simulated):
    alone = replace(two, seeds=1)
    [run] = train_seeds(alone, simulated, Sight(), "cpu")
    cell = trained(alone, alone.seed, "cpu")
    assert same([run], [cell.bundle])
    assert cell.dataset.market.fingerprint == simulated.market.fingerprint
    assert cell.seconds > 0


def leave(place) -> None:
    place.mkdir(parents=True)
    (place / SETTINGS).touch()


def test_only_the_seeds_of_this_run_count(two):
    Run(two.folder, replace(two, seed=3), 3)
    for seed in (0, 3, 4, 10):
        leave(two.folder / f"seed{seed}" / "bundle")
    assert [place.parent.name for place in places_in(two.folder)] == ["seed3", "seed4"]
    Run(two.folder, replace(two, seeds=1), 0)
    assert places_in(two.folder) == [two.folder / "bundle"]


def test_one_of_several_seeds_is_named(two):
    Run(two.folder, two, 0)
    assert places_in(two.folder) == [two.folder / "seed0" / "bundle"], "where one would have been"
    for seed in (0, 1):
        leave(two.folder / f"seed{seed}" / "bundle")
    with pytest.raises(UserError, match=r"holds 2 agents: name one of them, such as .*two/seed0"):
        place_of(two.folder)
    assert places_in(two.folder / "seed1") == [two.folder / "seed1" / "bundle"]
    assert place_of(two.folder / "seed1") == (two.folder / "seed1" / "bundle", two.folder)
    Run(two.folder, replace(two, seeds=1), 0)
    assert place_of(two.folder) == (two.folder / "bundle", two.folder)
