"""The line of text and the picture of an account."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.passive_env_checker import env_render_passive_checker
from gymnasium.wrappers import RenderCollection

from configs.errors import UserError
from envs.config import EnvConfig
from envs.engine import Engine
from envs.recording import Recorder
from envs.render import ansi, picture
from envs.risk import RiskConfig
from tests.envs.markets import market_of, random_market
from tests.envs.recordings import made_recording


class Pictured(gym.Env[Any, Any]):
    """The smallest env that shows an engine's account as pictures."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  gymnasium's own name and form
    render_mode = "rgb_array"
    observation_space = gym.spaces.Discrete(1)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, assets: int) -> None:
        self.engine = Engine(random_market(60, assets), EnvConfig(), 1, window=4)
        self.assets = assets
        self.recorder = Recorder(self.engine)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.engine.reset([0])
        self.recorder.begin()
        return 0, {}

    def step(self, action):
        target = np.full((1, self.assets), action / self.assets)
        self.engine.step(target)
        self.recorder.record(target[0])
        return 0, float(self.engine.reward[0]), bool(self.engine.terminated[0]), bool(self.engine.truncated[0]), {}

    def render(self):
        return picture(self.recorder.recording(), bars=40, size=(480, 320))


@pytest.mark.parametrize("assets", [1, 3])
def test_gymnasium_takes_the_pictures_from_the_reset_on(assets):
    env = RenderCollection(Pictured(assets))
    env.reset(seed=0)
    for action in (1, 0, 1):
        env.step(action)
    frames = env.render()
    assert [frame.shape for frame in frames] == [(320, 480, 3)] * 4
    assert all(frame.dtype == np.uint8 and frame.flags["C_CONTIGUOUS"] for frame in frames)
    assert len({frame.tobytes() for frame in frames}) == 4
    env_render_passive_checker(env.unwrapped)


@pytest.mark.parametrize("recording", [
    made_recording(0), made_recording(1), made_recording(0, ("A", "B")), made_recording(500, fills=80, gap=True),
    made_recording(90, tuple(f"A{n}" for n in range(16)), gap=True)], ids=["start", "one", "two", "long", "sixteen"])
def test_every_length_and_width_gives_a_picture_of_its_size(recording):
    assert picture(recording).shape == (640, 960, 3)
    assert picture(recording, bars=30, size=(500, 700)).shape == (700, 500, 3)


def test_a_picture_depends_on_its_recording_alone():
    """The figure is used again; nothing of the frame before may stay in it."""
    one, other = made_recording(60), made_recording(50, ("A", "B"), seed=1)
    first = picture(one)
    assert not np.array_equal(first, picture(other))
    np.testing.assert_array_equal(first, picture(one))
    first[:] = 0  # the caller's own array
    assert picture(one).any()


def test_only_the_last_bars_are_shown():
    long, changed = made_recording(300), made_recording(300)
    changed.candles[: 300 - 100] *= 7
    np.testing.assert_array_equal(picture(long, bars=80), picture(changed, bars=80))
    assert not np.array_equal(picture(long, bars=250), picture(changed, bars=250))


@pytest.mark.parametrize("kind", [2, 3, 4, 5])
def test_each_kind_of_fill_leaves_a_mark_of_its_own(kind):
    recording = made_recording(40, fills=0)
    bare = picture(recording)
    recording.fills[20, 0] = (5.0, 100.0, 0.0, 0.0) if kind == 2 else (0.0, 0.0, -5.0, 100.0)
    recording.events[20] = {2: 0, 3: 1 << 7, 4: 1 << 9, 5: 1 << 11}[kind]
    marked = picture(recording)
    assert 20 < (bare != marked).any(axis=2).sum() < 6000


def test_a_picture_too_small_is_refused():
    with pytest.raises(UserError, match=r"at least 2 bars and 240 pixels a side, found 200 and \(100, 640\)"):
        picture(made_recording(3), size=(100, 640))


def test_neither_a_display_nor_matplotlib_is_needed_to_import():
    code = ("import sys, envs.render\nassert 'matplotlib' not in sys.modules\n"
            "from tests.envs.recordings import made_recording\nenvs.render.picture(made_recording(3))\n"
            "assert 'matplotlib.figure' in sys.modules\nassert 'matplotlib.pyplot' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_line_tells_position_equity_costs_and_what_happened():
    closes = np.array([[100.0], [100.0], [100.0], [101.0], [90.0]])
    engine = Engine(market_of(np.vstack([closes[:1], closes[:-1]]), closes),
                    EnvConfig(risk=RiskConfig(stop_loss=0.05)), 1, window=2)
    engine.reset([0])
    assert ansi(engine) == ("2020-01-01 02:00  A0 100.00 flat  equity 10,000.00 (+0.00%)  drawdown 0.00%  costs 0.00")
    engine.step(np.array([[0.5]]))
    engine.step(np.array([[np.nan]]))
    line = ansi(engine)
    assert line.startswith("2020-01-01 04:00  A0 101.00 long 0.50 (+0.98%)  equity 10,0")
    assert "\n" not in line
    engine.step(np.array([[np.nan]]))
    assert "flat" in ansi(engine)
    assert ansi(engine).endswith("  stop_loss")


def test_the_line_of_a_portfolio_names_the_heaviest_positions():
    engine = Engine(random_market(30, 6), EnvConfig(), 1, window=4)
    engine.reset([0])
    assert "  flat  " in ansi(engine)
    engine.step(np.array([[0.05, 0.3, -0.1, 0.06, 0.04, 0.2]]))
    line = ansi(engine)
    assert "and 2 more" in line
    places = [line.index(name) for name in ("A1 ", "A5 ", "A2 ", "A3 ")]
    assert places == sorted(places)
    assert "short 0.10" in line
