"""A run's folder says what was done, also when it was stopped half-way; scripts end in one line, not a traceback."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from configs.errors import UserError, run_script
from configs.run import LIBRARIES, Run, plain, write_json


@dataclass(frozen=True)
class Inner:
    rates: tuple[float, ...] = (0.5, 1e-7)
    path: Path | None = None


@dataclass(frozen=True)
class Outer:
    name: str = "a: b"
    inner: Inner = Inner()


def test_config_command_and_versions_are_there_from_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scripts/train_agent.py", "--name", "two words"])
    run = Run(tmp_path / "runs" / "mine", Outer(), seed=7)
    assert yaml.safe_load((run.folder / "config.yaml").read_text()) == {
        "name": "a: b", "inner": {"rates": [0.5, 1e-7]}}
    command = (run.folder / "command.txt").read_text()
    assert command.endswith("scripts/train_agent.py --name 'two words'\n")
    record = json.loads((run.folder / "run.json").read_text())
    assert record["seed"] == 7
    assert record["versions"].keys() == {"python", "platform", *LIBRARIES}
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["numpy"] == np.__version__


def test_only_the_first_of_several_processes_writes_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match="several processes must not write one run"):
        Run(tmp_path / "a", {}, seed=0)
    assert not list(tmp_path.iterdir())


def test_facts_are_added_as_the_work_goes_on(tmp_path):
    run = Run(tmp_path, Outer(), seed=0)
    run.note(market="one", growth=np.float64(0.25))
    run.note(market="two", columns=("x", "y"))
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["market"], record["growth"], record["columns"]) == ("two", 0.25, ["x", "y"])
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "command.txt", "run.json"}


def test_a_write_that_fails_leaves_the_record_as_it_was(tmp_path):
    path = tmp_path / "run.json"
    write_json(path, {"step": 1})
    with pytest.raises(TypeError):
        write_json(path, {"step": object()})
    assert json.loads(path.read_text()) == {"step": 1}


def test_a_reader_never_meets_half_a_file(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_json(path, {"step": 1})

    def power_cut(self: Path, text: str) -> None:
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", power_cut)
    with pytest.raises(OSError, match="no space left"):
        write_json(path, {"step": 2})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"step": 1}


def test_plain_is_what_yaml_and_json_can_hold():
    value = {"a": (1, np.int64(2)), 3: Path("x/y"), "inner": Inner(path=Path("z")), "b": np.bool_(True), "none": None}
    found = plain(value)
    assert found == {"a": [1, 2], "3": "x/y", "inner": {"rates": [0.5, 1e-7], "path": "z"}, "b": True, "none": None}
    assert json.loads(json.dumps(found)) == yaml.safe_load(yaml.safe_dump(found)) == found


def fail_with(error: BaseException):
    def main() -> None:
        raise error

    return main


def test_bad_input_is_one_line_on_stderr_and_exit_status_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        run_script(fail_with(UserError("no such file: x")))
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", "error: no such file: x\n")


def test_control_c_says_what_is_left(capsys):
    with pytest.raises(SystemExit) as stopped:
        run_script(fail_with(KeyboardInterrupt()))
    assert stopped.value.code == 130
    assert "what was written up to here is kept" in capsys.readouterr().err


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_script(fail_with(ZeroDivisionError()))


def test_a_script_that_ends_well_says_nothing(capsys):
    run_script(lambda: None)
    assert capsys.readouterr() == ("", "")


def test_what_came_to_its_end_is_kept_and_what_did_not_is_written_over(tmp_path, capsys):
    folder, before = tmp_path / "mine", tmp_path / "mine.before"
    Run(folder, Outer(), seed=1).done(growth=1.0)
    (folder / "model").write_text("good")
    Run(folder, Outer(), seed=2)  # is refused after this
    assert (before / "model").read_text() == "good"
    assert f"the run that was in {folder} is now in {before}" in capsys.readouterr().err
    Run(folder, Outer(), seed=3).done()
    assert (before / "model").read_text() == "good"
    for seed in (4, 5):
        Run(folder, Outer(), seed=seed).done()
    kept = [json.loads((tmp_path / f"mine.before{number}" / "run.json").read_text())["seed"] for number in (2, 3)]
    assert kept == [3, 4], "none that came to its end is ever lost"
    assert (before / "model").read_text() == "good"
    Run(folder, Outer(), seed=6)
    Run(folder, Outer(), seed=3)
    assert json.loads((folder / "run.json").read_text())["seed"] == 3
