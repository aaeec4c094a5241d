"""Two runs may pretrain the same checkpoint at once; what one leaves behind, the next one clears away."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from encoders import pretrained as module
from encoders.checkpoint import SETTINGS, Checkpoint
from encoders.pretrained import checkpoint_key, pretrained, sole
from tests.encoders.planted import QUICK, WINDOW, Pieces, planted, tiny

ENCODER = tiny("lstm")
CONFIG = dataclasses.replace(QUICK, epochs=20, patience=20, rows_per_epoch=50, batch=25)
SCRIPT = """
import sys
from pathlib import Path
from tests.encoders.test_pretrained import run_beside
run_beside(Path(sys.argv[1]), sys.argv[2])
"""


def run(pieces: Pieces, cache: Path) -> Checkpoint:
    return pretrained(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, ENCODER, CONFIG, cache,
                      progress=False)


def run_beside(place: Path, name: str) -> None:
    """Neither begins to train before both have found nothing in the cache, so that they write side by side."""
    train = module.pretrain

    def together(*arguments) -> Checkpoint:
        (place / f"{name}.here").touch()
        deadline = time.monotonic() + 60
        while len(list(place.glob("*.here"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.002)
        return train(*arguments)

    module.pretrain = together
    run(planted(lead=0.6), place / "cache").save(place / name)


@pytest.fixture
def folder(pieces: Pieces, tmp_path: Path) -> Path:
    """Where the checkpoint will be."""
    return tmp_path / checkpoint_key(pieces.market, pieces.labels, pieces.split, WINDOW, ENCODER, CONFIG)


@pytest.fixture
def begun(folder: Path) -> Path:
    """What a killed training left."""
    state = folder.with_name(f"{folder.name}.training")
    state.mkdir()
    (state / "left").touch()
    return state


@pytest.fixture
def states(monkeypatch, checkpoint: Checkpoint) -> list[Path | None]:
    """The states that trainings were given; none of them takes place."""
    found: list[Path | None] = []
    monkeypatch.setattr(module, "pretrain", lambda *given: (found.append(given[-1]), checkpoint)[1])
    return found


def test_two_at_once_end_with_equal_weights(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), name], env=environment,
                             stderr=subprocess.PIPE, text=True) for name in ("one", "other")]
    said = [each.communicate(timeout=120)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    one, other = (Checkpoint.load(tmp_path / name) for name in ("one", "other"))
    assert one.scores == other.scores
    assert all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())
    (kept,) = (tmp_path / "cache").iterdir()
    assert {path.name for path in kept.iterdir()} == {"checkpoint.json", "weights.safetensors"}
    assert Checkpoint.load(kept).fingerprint == one.fingerprint


def test_only_the_first_keeps_a_state(pieces: Pieces, folder: Path, begun: Path, states: list) -> None:
    with sole(folder) as alone:
        assert alone
        run(pieces, folder.parent)
        assert states == [None]
        assert (begun / "left").exists(), "it is the other's, who is still at work"
    assert folder.exists()
    (folder / SETTINGS).unlink()
    run(pieces, folder.parent)
    assert states == [None, begun]
    assert list(folder.parent.iterdir()) == [folder], "state and lock are gone"


def test_a_hit_clears_away_what_a_kill_has_left(pieces: Pieces, folder: Path, begun: Path, states: list,
                                                checkpoint: Checkpoint) -> None:
    """Killed between the checkpoint's last byte and the removal of the state."""
    checkpoint.save(folder)
    run(pieces, folder.parent)
    assert states == [], "nothing was trained again"
    assert list(folder.parent.iterdir()) == [folder]


def test_processes_that_train_together_share_the_state(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with sole(folder) as first, sole(folder) as second:
        assert first
        assert second
    assert list(folder.parent.iterdir()) == []


def test_a_lock_that_was_deleted_meanwhile_is_none(folder: Path, monkeypatch) -> None:
    """Opened while its holder was still there, locked after the holder deleted it: another may hold a new one."""
    lock = folder.with_name(f"{folder.name}.lock")
    monkeypatch.setattr(module.fcntl, "flock", lambda *_: lock.unlink())
    with sole(folder) as alone:
        assert not alone


def test_a_folder_where_nothing_can_be_locked_keeps_no_state(folder: Path, monkeypatch) -> None:
    def refuses(*_) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(module.fcntl, "flock", refuses)
    with sole(folder) as alone:
        assert not alone


def test_curves_come_with_a_checkpoint_out_of_the_cache(pieces: Pieces, tmp_path: Path) -> None:
    for name in ("first", "second"):
        pretrained(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, ENCODER, CONFIG,
                   tmp_path / "cache", log_dir=tmp_path / name, progress=False)
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
                     for name in ("first", "second"))
    assert first
    assert first == second
