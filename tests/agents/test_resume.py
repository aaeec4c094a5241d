"""A training that is killed and started again ends as if nothing had been."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from agents import ALGOS, resume
from agents.algos.all_q import AllQ
from agents.bundle import WEIGHTS, Bundle
from agents.callbacks import Watch
from agents.config import CurriculumConfig, ExtractorConfig, WarmConfig
from agents.resume import ENDED, FILE
from agents.sb3_env import AccountsVecEnv
from agents.train import train
from agents.weights import Weights
from configs.errors import UserError
from data.dataset import Dataset, load_dataset
from data.splits import SplitConfig
from encoders.checkpoint import Checkpoint
from envs.config import EnvConfig
from envs.episodes import EpisodeConfig
from tests.agents.small import AGENT, DATA, ENV, WINDOW, env_of

LONG = replace(AGENT, steps=480, validations=3, save_every=0.0)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Which would take most of the time."""
    monkeypatch.setattr("agents.train.logger_of", lambda folder, step: Logger(None, []))


class Killed(BaseException):
    """What nothing catches."""


def trained(dataset: Dataset, algo: str, folder: Path, env: EnvConfig | None = None, seen: Checkpoint | None = None,
            **more) -> tuple[Bundle, Weights]:
    """The bundle, and the weights after the last step, which are not always the best ones."""
    last: Weights = {}
    def note(self) -> None:
        last.update({name: value.clone() for name, value in self.model.policy.state_dict().items()})
        ended(self)

    ended = Watch._on_training_end
    Watch._on_training_end = note
    try:
        bundle = train(dataset, env or env_of(algo), replace(LONG, **more), algo, WINDOW, seen, folder=folder,
                       progress=False, seed=3)
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
    moments = random.Random(algo)
    steps = LONG.steps // (LONG.all_q.batch if algo == "all_q" else LONG.accounts)
    assert_goes_on(simulated, algo, tmp_path, monkeypatch, [moments.randrange(2, steps // 2) for _ in range(2)])


SHORT = replace(ENV, episode=20)
LEARNS_ON = ExtractorConfig(finetune=True, unfreeze=0.4)


@pytest.mark.parametrize(("algo", "env", "encoder", "more"), [
    ("ppo", replace(SHORT, episodes=EpisodeConfig(band_bars=24)), None,
     {"curriculum": CurriculumConfig((0.3, 0.6, 1.0), costs=0.0, until=0.8)}),
    ("ppo", SHORT, "lstm", {"warm": WarmConfig("signal", updates=20, batch=32, fade=1.0)}),
    ("ppo", SHORT, "lstm", {"extractor": LEARNS_ON}),
    ("ppo", replace(SHORT, episodes=EpisodeConfig("sequential", cost_scale=(0.5, 2.0))), None, {}),
    ("dqn", SHORT, "lstm", {"extractor": LEARNS_ON, "dqn": replace(LONG.dqn, n_step=3, dueling=True)}),
    ("sac", replace(SHORT, action="weights"), "lstm", {"extractor": LEARNS_ON}),
], ids=["curriculum", "warm", "unfrozen", "sequential", "dueling", "soft"])
def test_killed_with_what_changes_in_the_midst_of_a_training(algo, env, encoder, more, simulated, encoder_of, tmp_path,
                                                             monkeypatch):
    """The first death comes before half of the training, the second after stages, costs, leash and encoder moved."""
    seen = encoder_of(encoder) if encoder else None
    assert_goes_on(simulated, algo, tmp_path, monkeypatch, (23, 17), env=env, seen=seen, **more)


def assert_goes_on(dataset: Dataset, algo: str, folder: Path, monkeypatch, moments: Sequence[int], **settings) -> None:
    """Killed after so many steps of all accounts, and so many more, it ends as if nothing had been."""
    whole, last = trained(dataset, algo, folder / "whole", **settings)
    for moment in moments:
        with monkeypatch.context() as patched:
            kill_after(patched, moment)
            with pytest.raises(Killed):
                trained(dataset, algo, folder / "killed", **settings)
        assert (folder / "killed" / "training" / FILE).exists()
    again, last_again = trained(dataset, algo, folder / "killed", **settings)
    assert_same(last, last_again)
    assert_same(whole.weights, again.weights)
    assert not (folder / "killed" / "training" / FILE).exists(), "a training that has ended leaves nothing to go on"


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


@pytest.mark.parametrize(("algo", "after"), [("ppo", 7), ("dqn", 7), ("all_q", 7), ("ppo", 59), ("dqn", 59)])
def test_ctrl_c_saves_what_was_learnt(algo, after, simulated, tmp_path, monkeypatch, capsys):
    """However long ago the last save was; the signal strikes in the midst of a step, or of a lesson, or of the last
    one."""
    whole, last = trained(simulated, algo, tmp_path / "whole", save_every=600.0)
    before = signal.getsignal(signal.SIGINT)
    for owner, name in ((AccountsVecEnv, "step_wait"), (AllQ, "teach")):
        monkeypatch.setattr(owner, name, interrupting(getattr(owner, name), after=after))
    with pytest.raises(KeyboardInterrupt):
        trained(simulated, algo, tmp_path / "stopped", save_every=600.0)
    assert signal.getsignal(signal.SIGINT) is before
    assert "the same command goes on from what was saved" in capsys.readouterr().out
    again, last_again = trained(simulated, algo, tmp_path / "stopped", save_every=600.0)
    [step] = re.findall(r"goes on from step ([\d,]+), where", capsys.readouterr().out)
    assert int(step.replace(",", "")) > 0
    assert_same(last, last_again)
    assert_same(whole.weights, again.weights)


def test_a_ctrl_c_that_is_ignored_stays_ignored(simulated, tmp_path, monkeypatch):
    """As under nohup."""
    monkeypatch.setattr(AccountsVecEnv, "step_wait", interrupting(AccountsVecEnv.step_wait, after=7))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        trained(simulated, "ppo", tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert [path.name for path in (tmp_path / "training").iterdir()] == [ENDED]


def interrupting(does, after: int):
    """A method that Ctrl-C strikes in once, after so many calls."""
    left = iter([*[False] * after, True])

    def step(self, *given):
        if next(left, False):
            signal.raise_signal(signal.SIGINT)
        return does(self, *given)

    return step


def test_a_training_that_has_ended_is_handed_back(simulated, tmp_path, monkeypatch):
    first, _ = trained(simulated, "ppo", tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("agents.train.make_model", lambda *_, **__: pytest.fail("it is trained anew"))
        again, _ = trained(simulated, "ppo", tmp_path, save_every=9.0, second_look=False)
    assert_same(first.weights, again.weights)
    assert (again.agent.save_every, again.stays_out) == (9.0, first.stays_out)
    other, _ = trained(simulated, "ppo", tmp_path, gamma=0.5)
    assert any(not torch.equal(value, other.weights[name]) for name, value in first.weights.items())
    (tmp_path / "bundle" / WEIGHTS).write_bytes(b"")
    mended, _ = trained(simulated, "ppo", tmp_path, gamma=0.5)
    assert_same(other.weights, mended.weights)
    monkeypatch.setattr(resume, "code_digest", lambda: "another")
    started = (tmp_path / "bundle" / WEIGHTS).stat().st_mtime_ns
    trained(simulated, "ppo", tmp_path, gamma=0.5)
    assert (tmp_path / "bundle" / WEIGHTS).stat().st_mtime_ns > started, "other code may learn otherwise"


def test_an_earlier_end_does_not_vouch_for_a_later_training(simulated, tmp_path, monkeypatch):
    """A ended here, B was killed over it, and A is asked for again."""
    first, _ = trained(simulated, "ppo", tmp_path)
    with monkeypatch.context() as patched:
        kill_after(patched, 40)
        with pytest.raises(Killed):
            trained(simulated, "ppo", tmp_path, gamma=0.5)
    again, _ = trained(simulated, "ppo", tmp_path)
    assert again.agent.gamma == first.agent.gamma
    assert_same(again.weights, first.weights)


def test_other_settings_begin_anew(simulated, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        kill_after(patched, 40)
        with pytest.raises(Killed):
            trained(simulated, "ppo", tmp_path / "killed")
    other, _ = trained(simulated, "ppo", tmp_path / "killed", gamma=0.5)
    whole, _ = trained(simulated, "ppo", tmp_path / "whole", gamma=0.5)
    assert_same(other.weights, whole.weights)


def begun(dataset: Dataset, folder: Path, monkeypatch, **more) -> bool:
    """Whether a training that is killed at once had been begun before, and was gone on from."""
    found = []
    load = resume.load
    with monkeypatch.context() as patched:
        patched.setattr(resume, "load", lambda *given: found.append(load(*given)) or found[-1])
        kill_after(patched, 20)
        with pytest.raises(Killed):
            trained(dataset, "ppo", folder, **more)
    return found == [True]


def test_rows_that_chose_are_never_judged_by(tmp_path, monkeypatch):
    """The market and the training rows are the same to the bit; what was best on validation rows is not."""
    first, second = (load_dataset(replace(DATA, split=SplitConfig(valid=valid, test=0.4 - valid, embargo=4)))
                     for valid in (0.25, 0.15))
    assert (first.split.train, first.market.fingerprint) == (second.split.train, second.market.fingerprint)
    assert not begun(first, tmp_path, monkeypatch)
    assert not begun(second, tmp_path, monkeypatch)
    assert begun(second, tmp_path, monkeypatch)


def test_how_often_it_is_saved_changes_no_number(simulated, tmp_path, monkeypatch):
    assert not begun(simulated, tmp_path, monkeypatch)
    assert begun(simulated, tmp_path, monkeypatch, save_every=600.0)


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


def test_a_real_kill_in_the_midst_of_anything(simulated, tmp_path, monkeypatch, capsys):
    """Signal 9, twice, wherever it strikes: in a step, an update, or while the state is being written."""
    path = tmp_path / "training" / FILE
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env={**os.environ, "PYTHONPATH": "."},
                                   stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        for _ in range(3):  # saves: the first is of nothing learnt
            written = path.stat().st_mtime_ns if path.exists() else 0
            while (not path.exists() or path.stat().st_mtime_ns == written) and time.monotonic() < deadline:
                assert process.poll() is None, process.stderr.read().decode()[-2000:]
                time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        seen.append(path.stat().st_size)
    assert min(seen) > 0
    monkeypatch.setattr(AccountsVecEnv, "step_wait", dying(AccountsVecEnv.step_wait, 30))
    with pytest.raises(Killed):
        train(simulated, ENV, replace(LONG, steps=100_000), "dqn", WINDOW, folder=tmp_path)
    [step] = re.findall(r"goes on from step ([\d,]+), where", capsys.readouterr().out)
    assert int(step.replace(",", "")) > 0
