"""Work side by side in processes: nothing is done twice, and a stop loses only what was under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, make_dataclass
from pathlib import Path

import pytest

from agents.cells import digest_of, side_by_side
from configs.errors import UserError

KILLED, CONFUSED, ENDLESS = 1_001, 1_002, 1_003
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Squared:
    number: int
    squared: int


def square(given: tuple[str, int]) -> Squared:
    """Leaves a mark for each time that it is done."""
    folder, number = given
    if number < 0:
        raise UserError(f"{number} is negative")
    if number == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == CONFUSED:
        raise ValueError("shapes do not fit")
    (Path(folder) / f"{number}-{os.getpid()}-{os.urandom(2).hex()}").touch()
    if number == ENDLESS:
        time.sleep(10 * PATIENCE)
    return Squared(number, number * number)


def cells(folder: Path, numbers) -> dict[str, tuple[str, int]]:
    folder.mkdir(exist_ok=True)
    return {f"of {number}": (str(folder), number) for number in numbers}


def test_every_cell_is_done_once_and_never_again(tmp_path):
    marks, kept = tmp_path / "marks", tmp_path / "kept"
    first = dict(side_by_side(square, cells(marks, range(3)), kept, jobs=2))
    assert first == {f"of {number}": Squared(number, number * number) for number in range(3)}
    again = dict(side_by_side(square, cells(marks, range(4)), kept, jobs=1))
    assert again == {**first, "of 3": Squared(3, 9)}
    assert sorted(int(mark.name.split("-")[0]) for mark in marks.iterdir()) == [0, 1, 2, 3]


def test_other_settings_are_other_cells(tmp_path):
    dict(side_by_side(square, {"one": cells(tmp_path / "marks", [2])["of 2"]}, tmp_path / "kept", jobs=1))
    found = dict(side_by_side(square, {"one": cells(tmp_path / "marks", [3])["of 3"]}, tmp_path / "kept", jobs=1))
    assert found == {"one": Squared(3, 9)}


def test_what_was_measured_otherwise_is_measured_again():
    def measuring(*names: str):
        def work(given: int):
            raise NotImplementedError

        work.__annotations__["return"] = make_dataclass("Found", names)
        return work

    assert digest_of(measuring("growth"), 1) == digest_of(measuring("growth"), 1)
    assert digest_of(measuring("growth"), 1) != digest_of(measuring("growth", "best"), 1)


def test_what_goes_wrong_is_said_with_the_name_of_the_cell(tmp_path):
    with pytest.raises(UserError, match="of -1: -1 is negative"):
        list(side_by_side(square, cells(tmp_path / "marks", [-1]), tmp_path / "kept", jobs=1))
    with pytest.raises(UserError, match="jobs must be at least 1"):
        list(side_by_side(square, cells(tmp_path / "marks", [1]), tmp_path / "kept", jobs=0))


def test_a_cell_that_is_killed_is_named_and_what_is_done_is_kept(tmp_path):
    with pytest.raises(UserError, match=f"^of {KILLED}, or one beside it, was killed .out of memory.*goes on"):
        list(side_by_side(square, cells(tmp_path / "marks", [2, KILLED, 3]), tmp_path / "kept", jobs=1))
    assert [path.name[:4] for path in (tmp_path / "kept").iterdir()] == ["of 2"]


def test_an_error_of_ours_keeps_its_traceback_and_names_the_cell(tmp_path):
    with pytest.raises(ValueError, match="shapes do not fit") as caught:
        list(side_by_side(square, cells(tmp_path / "marks", [CONFUSED]), tmp_path / "kept", jobs=1))
    assert caught.value.__notes__ == [f"of {CONFUSED}"]


def test_nobody_works_on_for_a_parent_that_was_killed(tmp_path):
    marks = tmp_path / "marks"
    work = ("from pathlib import Path; from tests.agents.test_cells import *; "
            f"list(side_by_side(square, cells(Path({str(marks)!r}), [ENDLESS]), Path({str(tmp_path / 'kept')!r}), 1))")
    parent = subprocess.Popen([sys.executable, "-c", work], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE
    while not (marks.exists() and any(marks.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.communicate(timeout=PATIENCE)  # which waits for everybody who could still write to it
