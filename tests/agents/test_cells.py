"""Work side by side in processes: nothing is done twice, and a stop loses only what was under way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.arena.cells import side_by_side
from configs.errors import UserError


def square(given: tuple[str, int]) -> dict[str, int]:
    """Leaves a mark for each time that it is done."""
    folder, number = given
    if number < 0:
        raise UserError(f"{number} is negative")
    (Path(folder) / f"{number}-{os.getpid()}-{os.urandom(2).hex()}").touch()
    return {"squared": number * number}


def cells(folder: Path, numbers) -> dict[str, tuple[str, int]]:
    folder.mkdir(exist_ok=True)
    return {f"of {number}": (str(folder), number) for number in numbers}


def test_every_cell_is_done_once_and_never_again(tmp_path):
    marks, kept = tmp_path / "marks", tmp_path / "kept"
    first = dict(side_by_side(square, cells(marks, range(3)), kept, jobs=2))
    assert first == {f"of {number}": {"squared": number * number} for number in range(3)}
    again = dict(side_by_side(square, cells(marks, range(4)), kept, jobs=1))
    assert again == {**first, "of 3": {"squared": 9}}
    assert sorted(int(mark.name.split("-")[0]) for mark in marks.iterdir()) == [0, 1, 2, 3]


def test_other_settings_are_other_cells(tmp_path):
    dict(side_by_side(square, {"one": cells(tmp_path / "marks", [2])["of 2"]}, tmp_path / "kept", jobs=1))
    found = dict(side_by_side(square, {"one": cells(tmp_path / "marks", [3])["of 3"]}, tmp_path / "kept", jobs=1))
    assert found == {"one": {"squared": 9}}


def test_what_goes_wrong_is_said_with_the_name_of_the_cell(tmp_path):
    with pytest.raises(UserError, match="of -1: -1 is negative"):
        list(side_by_side(square, cells(tmp_path / "marks", [-1]), tmp_path / "kept", jobs=1))
    with pytest.raises(UserError, match="jobs must be at least 1"):
        list(side_by_side(square, cells(tmp_path / "marks", [1]), tmp_path / "kept", jobs=0))
