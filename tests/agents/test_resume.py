"""A training that is killed and started again ends as if nothing had been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from agents import ALGOS, LEVEL
from agents.algos.all_q import AllQ
from agents.bundle import Bundle
from agents.callbacks import Watch
from agents.resume import FILE
from agents.sb3_env import AccountsVecEnv
from agents.train import train
from agents.weights import Weights
from configs.errors import UserError
from data.dataset import Dataset
from envs.config import EnvConfig
from tests.agents.small import AGENT, ENV, WINDOW

LONG = replace(AGENT, steps=480, validations=3, save_every=0.0)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Which would take most of the time."""
    monkeypatch.setattr("agents.train.logger_of", lambda folder, step: Logger(None, []))


class Killed(BaseException):
    """What nothing catches."""


def env_of(algo: str) -> EnvConfig:
    return ENV if LEVEL in ALGOS[algo].chooses else replace(ENV, action="weights")


def trained(dataset: Dataset, algo: str, folder: Path, **more) -> tuple[Bundle, Weights]:
    """The bundle, and the weights after the last step, which are not always the best ones."""
    last: Weights = {}
    def note(self) -> None:
        last.update({name: value.clone() for name, value in self.model.policy.state_dict().items()})
        ended(self)

    ended = Watch._on_training_end
    Watch._on_training_end = note
    try:
        bundle = train(dataset, env_of(algo), replace(LONG, **more), algo, WINDOW, folder=folder, progress=False,
                       seed=3)
    finally:
        Watch._on_training_end = ended
    return bundle, last


def assert_same(first: Weights, second: Weights) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def dying(does, steps: int):
    """A method that is killed after so many calls."""
    left = iter(range(steps))

    def step(self, *given):
        if next(left, None) is None:
            raise Killed
        return does(self, *given)

    return step


def kill_after(monkeypatch, steps: int) -> None:
    """The training dies in the midst of a step of all accounts, or of a lesson."""
    monkeypatch.setattr(AccountsVecEnv, "step_wait", dying(AccountsVecEnv.step_wait, steps))
    monkeypatch.setattr(AllQ, "teach", dying(AllQ.teach, steps))


@pytest.mark.parametrize("algo", ALGOS)
def test_killed_at_two_moments_it_ends_with_the_same_weights(algo, simulated, tmp_path, monkeypatch):
    """Eleven algorithms, two random moments each."""
    whole, last = trained(simulated, algo, tmp_path / "whole")
    moments = random.Random(algo)
    steps = LONG.steps // (LONG.all_q.batch if algo == "all_q" else LONG.accounts)
    for _ in range(2):
        with monkeypatch.context() as patched:
            kill_after(patched, moments.randrange(2, steps // 2))
            with pytest.raises(Killed):
                trained(simulated, algo, tmp_path / "killed")
        assert (tmp_path / "killed" / "training" / FILE).exists()
    again, last_again = trained(simulated, algo, tmp_path / "killed")
    assert_same(last, last_again)
    assert_same(whole.weights, again.weights)
    assert not (tmp_path / "killed" / "training" / FILE).exists(), "a training that has ended leaves nothing to go on"


def test_it_goes_on_and_does_not_begin_anew(simulated, tmp_path, monkeypatch):
    steps = []
    one = AccountsVecEnv.step_wait
    monkeypatch.setattr(AccountsVecEnv, "step_wait", lambda self: steps.append(1) or one(self))
    with monkeypatch.context() as patched:
        kill_after(patched, 40)
        with pytest.raises(Killed):
            trained(simulated, "ppo", tmp_path)
    before = len(steps)
    trained(simulated, "ppo", tmp_path)
    assert len(steps) - before <= LONG.steps // LONG.accounts - 30


def test_other_settings_begin_anew(simulated, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        kill_after(patched, 40)
        with pytest.raises(Killed):
            trained(simulated, "ppo", tmp_path / "killed")
    other, _ = trained(simulated, "ppo", tmp_path / "killed", gamma=0.5)
    whole, _ = trained(simulated, "ppo", tmp_path / "whole", gamma=0.5)
    assert_same(other.weights, whole.weights)


def test_a_state_that_is_not_whole_is_refused_by_name(simulated, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        kill_after(patched, 40)
        with pytest.raises(Killed):
            trained(simulated, "ppo", tmp_path)
    path = tmp_path / "training" / FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot be trained on from"):
        trained(simulated, "ppo", tmp_path)


SCRIPT = """
import sys
from pathlib import Path
from dataclasses import replace
from agents.train import train
from data.dataset import load_dataset
from tests.agents.small import DATA, ENV, WINDOW
from tests.agents.test_resume import LONG
train(load_dataset(DATA), ENV, replace(LONG, steps=100_000), "dqn", WINDOW, folder=Path(sys.argv[1]), progress=False)
"""


def test_a_real_kill_in_the_midst_of_anything(simulated, tmp_path, monkeypatch):
    """Signal 9, twice, wherever it strikes: in a step, an update, or while the state is being written."""
    path = tmp_path / "training" / FILE
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env={**os.environ, "PYTHONPATH": "."},
                                   stderr=subprocess.PIPE)
        written = path.stat().st_mtime_ns if path.exists() else 0
        deadline = time.monotonic() + 120
        while (not path.exists() or path.stat().st_mtime_ns == written) and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read().decode()[-2000:]
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        seen.append(path.stat().st_size)
    assert min(seen) > 0
    monkeypatch.setattr(AccountsVecEnv, "step_wait", dying(AccountsVecEnv.step_wait, 30))
    with pytest.raises(Killed):  # it can be gone on from
        train(simulated, ENV, replace(LONG, steps=100_000), "dqn", WINDOW, folder=tmp_path, progress=False)
