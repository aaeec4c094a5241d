"""Cells on two nodes, one of which dies midway: every cell is done, and what was done is not done again."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from agents.cells import side_by_side
from agents.cluster import Needs
from configs.errors import UserError
from tests.agents.test_cells import Squared, cells

ray = pytest.importorskip("ray", reason="needs the extra `cluster`")
SECONDS = 0.5  # that a cell takes
COUNT = 8


def slow_square(given: tuple[str, int]) -> Squared:
    """Leaves a mark as it begins and another as it ends."""
    folder, number = given
    (Path(folder) / f"{number}-began-{time.time_ns()}").touch()
    time.sleep(SECONDS)
    if number < 0:
        raise UserError(f"{number} is negative")
    (Path(folder) / f"{number}-ended-{time.time_ns()}").touch()
    return Squared(number, number * number)


@pytest.fixture
def cluster(monkeypatch):
    """A head without work to do, and two nodes for one cell each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", found.address)
    nodes = [found.add_node(num_cpus=1) for _ in range(2)]
    found.wait_for_nodes()
    yield found, nodes
    ray.shutdown()
    found.shutdown()


def test_a_node_that_dies_costs_nothing_but_its_own_cell(cluster, tmp_path):
    found, (doomed, _) = cluster
    marks, kept = tmp_path / "marks", tmp_path / "kept"
    given = cells(marks, range(COUNT))

    def kill() -> None:
        while len(list(marks.glob("*-ended-*"))) < 2:
            time.sleep(0.02)
        found.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    done = dict(side_by_side(slow_square, given, kept, jobs=1, on="ray"))
    killer.join()
    assert done == {f"of {number}": Squared(number, number * number) for number in range(COUNT)}
    began, ended = (len(list(marks.glob(f"*-{what}-*"))) for what in ("began", "ended"))
    assert ended == COUNT
    assert COUNT <= began <= COUNT + 1  # that of the dead node twice, had it begun one
    again = dict(side_by_side(slow_square, given, kept, jobs=1, on="here"))  # the same files, whatever the place
    assert again == done
    assert len(list(marks.glob("*-began-*"))) == began


def test_what_a_cell_complains_of_is_said_with_its_name(cluster, tmp_path):
    with pytest.raises(UserError, match="of -2: -2 is negative"):
        dict(side_by_side(slow_square, cells(tmp_path / "marks", [-2]), tmp_path / "kept", jobs=1, on="ray"))


def dying(given: tuple[str, int]) -> Squared:
    os._exit(1)


def test_a_cell_that_kills_its_worker_is_named_and_not_a_traceback(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.cluster.RETRIES", 1)
    with pytest.raises(UserError, match="of 3: its worker or its node died 2 times over"):
        dict(side_by_side(dying, cells(tmp_path / "marks", [3]), tmp_path / "kept", jobs=1, on="ray"))


def test_a_gpu_that_no_node_has_is_not_waited_for(cluster, tmp_path):
    with pytest.raises(UserError, match="no node of the Ray cluster has a GPU"):
        dict(side_by_side(slow_square, cells(tmp_path / "marks", [3]), tmp_path / "kept", jobs=1, on="ray",
                          needs=Needs(device="cuda")))


def test_a_tournament_on_a_cluster_that_loses_a_node_ends_with_the_same_table(cluster, tmp_path):
    from agents.arena.league import hold  # here: workers import this file, and would wait for torch
    from tests.agents.test_league import TINY

    found, (doomed, _) = cluster
    (tmp_path / "tiny.yaml").write_text(TINY.replace("[none, lstm]", "[none]"))
    words = ["--config", str(tmp_path / "tiny.yaml"), "--agent.ppo.n_steps", "8", "--agent.ppo.batch", "32"]
    here, there = tmp_path / "here", tmp_path / "there"
    hold([*words, "--runs", str(here)])

    def kill() -> None:
        until = time.monotonic() + 300
        while not list((there / "tiny" / "cells").glob("window1-ppo-none-seed*")) and time.monotonic() < until:
            time.sleep(0.02)
        found.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    hold([*words, "--runs", str(there), "--on", "ray"])
    killer.join()
    for file in ("table.csv", "windows.csv"):
        assert (there / "tiny" / file).read_text() == (here / "tiny" / file).read_text()


def test_without_a_cluster_a_person_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match="ray start --head"):
        dict(side_by_side(slow_square, cells(tmp_path / "marks", [1]), tmp_path / "kept", jobs=1, on="ray"))
