"""Draw the README's pictures: what an episode looks like, and, where Chromium is installed, its replay and a report.

    python scripts/pictures.py                 # docs/pictures/*.png
    python scripts/pictures.py --report runs/btc_hourly/report.html
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import UserError, run_script
from configs.loader import parse

if TYPE_CHECKING:
    from envs.recording import Recording

REPLAY = {"replay": (1280, 800), "replay_phone": (500, 900)}
REPORT = {"arena": (1280, 1500), "arena_phone": (500, 900)}


@dataclass(frozen=True)
class PicturesConfig:
    """Draw the README's pictures."""

    out: Path = Path("docs/pictures")
    """folder of the pictures"""
    steps: int = 600
    """steps of the episodes shown"""
    report: Path | None = None
    """a tournament's report.html, to be pictured as well"""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"steps must be at least 1, found {self.steps}")
        if self.report is not None and not self.report.is_file():
            raise UserError(f"there is no page {self.report}: scripts/evaluate.py --config writes one")


def episode(portfolio: bool, steps: int) -> Recording:
    """Momentum on the bundled market's test rows: sized by volatility; a stop and a take profit on a single asset."""
    from itertools import islice

    from agents.strategies.baselines import momentum
    from envs.config import EnvConfig
    from envs.engine import Engine
    from envs.portfolio_env import PortfolioEnv
    from envs.recording import Recorder
    from envs.risk import RiskConfig
    from envs.trading_env import TradingEnv, bundled_dataset

    dataset = bundled_dataset((PortfolioEnv if portfolio else TradingEnv).assets)
    risk = RiskConfig(volatility_target=0.4, stop_loss=0 if portfolio else 0.02, take_profit=0 if portfolio else 0.04)
    engine = Engine(dataset.market, EnvConfig(action="weights", risk=risk), 1, 48, dataset.split.test)
    policy = momentum(dataset.market)
    engine.reset([0])
    recorder = Recorder(engine)
    for _ in islice(range(engine.steps), steps):
        target, _ = policy.predict({"row": engine.rows[:, None]})
        engine.step(target)
        recorder.record(target[0])
        if engine.terminated[0]:
            break
    return recorder.recording()


def main() -> None:
    config = parse(PicturesConfig, sys.argv[1:])

    from matplotlib.image import imsave

    from envs.render import picture
    from envs.replay import write_replay
    from envs.screenshot import BROWSERS, browser, screenshot

    config.out.mkdir(parents=True, exist_ok=True)
    one, several = episode(False, config.steps), episode(True, config.steps)
    imsave(config.out / "episode.png", picture(one))
    imsave(config.out / "portfolio.png", picture(several))
    found = browser()
    if found:
        with tempfile.TemporaryDirectory() as folder:
            write_replay(one, Path(folder) / "replay.html", "Momentum with stops, simulated market")
            pages = {Path(folder) / "replay.html": REPLAY, **({config.report: REPORT} if config.report else {})}
            for page, sizes in pages.items():
                for name, size in sizes.items():
                    screenshot(found, page, config.out / f"{name}.png", size)
    print(f"{config.out}: {', '.join(sorted(path.name for path in config.out.glob('*.png')))}"
          + ("" if found else f"; no page was drawn, none of {', '.join(BROWSERS)} is installed"))


if __name__ == "__main__":
    run_script(main)
