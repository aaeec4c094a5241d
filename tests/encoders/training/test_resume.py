"""A training that was killed goes on, and ends with the very weights of one that was not."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from configs.errors import UserError
from encoders.checkpoint import Checkpoint
from encoders.pretrain import pretrain
from encoders.training.state import FILE
from tests.encoders.planted import QUICK, WINDOW, Pieces, planted, tiny

EVERYTHING = dataclasses.replace(
    QUICK, epochs=3, rows_per_epoch=100, batch=25, schedule="one_cycle", accumulate=2, dropout=(0.4, 0.1), average=0.9,
    curriculum=(0.5, 1.0), adversarial=0.02, masked_epochs=2, focal=1.0)
STREAM = dataclasses.replace(QUICK, epochs=2, context="stream", tbptt=16, carried=2, pieces=16,
                             masked_epochs=2)
SCRIPT = """
import sys
from pathlib import Path
from tests.encoders.training.test_resume import EVERYTHING, train
from tests.encoders.planted import planted
train(planted(lead=0.6), EVERYTHING, state=Path(sys.argv[1])).save(Path(sys.argv[2]))
"""


class Killed(Exception):
    pass


def train(pieces: Pieces, config, name: str = "lstm", **more) -> Checkpoint:
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny(name), config,
                    progress=False, **more)


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return one.scores == other.scores and all(torch.equal(value, other.weights[name])
                                              for name, value in one.weights.items())


@pytest.mark.parametrize(("config", "name"), [(EVERYTHING, "lstm"), (EVERYTHING, "transformer"), (STREAM, "lstm")],
                         ids=["lstm", "transformer", "masked, then a stream"])
def test_stopped_after_any_write_it_ends_the_same(pieces: Pieces, config, name: str, tmp_path: Path, monkeypatch
                                                  ) -> None:
    """Whichever write of its state is the last one before the end, and whether that one was whole or not."""
    from encoders.training import state as module

    whole = train(pieces, config, name)
    write = module.write_durably
    for last in range(config.epochs + config.masked_epochs if name == "lstm" else 2):
        for finished in (True, False):
            folder = tmp_path / f"{last}{finished}"
            count = iter(range(100))

            def dying(path: Path, data: bytes, last=last, finished=finished, count=count) -> None:
                now = next(count)
                if now < last or finished:
                    write(path, data)
                if now == last:
                    raise Killed

            monkeypatch.setattr(module, "write_durably", dying)
            with pytest.raises(Killed):
                train(pieces, config, name, state=folder)
            monkeypatch.setattr(module, "write_durably", write)
            assert same(train(pieces, config, name, state=folder), whole), (last, finished)


def test_a_fitted_batch_is_kept_whatever_memory_there_is_later(pieces: Pieces, tmp_path: Path, monkeypatch) -> None:
    from encoders.training import hardware
    from encoders.training import state as module

    config = dataclasses.replace(EVERYTHING, batch=0)
    monkeypatch.setattr(hardware, "free_memory", lambda device: 2 * 10**6)
    whole, write, count = train(pieces, config), module.write_durably, iter(range(100))

    def dying(path: Path, data: bytes) -> None:
        write(path, data)
        if next(count) == 0:
            raise Killed  # in the warm start

    monkeypatch.setattr(module, "write_durably", dying)
    with pytest.raises(Killed):
        train(pieces, config, state=tmp_path / "a")
    monkeypatch.setattr(module, "write_durably", write)
    monkeypatch.setattr(hardware, "free_memory", lambda device: 10**5)
    assert not same(train(pieces, config), whole), "with less memory there are smaller batches"
    assert same(train(pieces, config, state=tmp_path / "a"), whole)


def test_killed_amid_its_work_it_ends_the_same(tmp_path: Path) -> None:
    """SIGKILL, as a machine that is taken away would do it."""
    whole = train(planted(lead=0.6), EVERYTHING)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    state, out = tmp_path / "state", tmp_path / "out"
    running = subprocess.Popen([sys.executable, "-c", SCRIPT, str(state), str(out)], env=environment)
    deadline = time.monotonic() + 60
    while not (state / FILE).exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)  # the imports take longer than the training
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it was still at work"
    assert (state / FILE).exists()
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(state), str(out)], env=environment, check=True)
    assert done.returncode == 0
    assert same(Checkpoint.load(out), whole)


def test_what_it_writes_is_refused_when_damaged(pieces: Pieces, tmp_path: Path, monkeypatch) -> None:
    from encoders.training import state as module

    def once(path: Path, data: bytes) -> None:
        write(path, data[:-100])
        raise Killed

    write, config = module.write_durably, dataclasses.replace(STREAM, masked_epochs=0)
    monkeypatch.setattr(module, "write_durably", once)
    with pytest.raises(Killed):
        train(pieces, config, "lstm", state=tmp_path / "a")
    assert (tmp_path / "a" / FILE).exists()
    with pytest.raises(UserError, match=r"cannot be trained on from .* delete it to begin anew"):
        train(pieces, config, "lstm", state=tmp_path / "a")
