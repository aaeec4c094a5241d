"""Play a trained agent's episode back: one HTML page that needs no network, to be opened in any browser.

    python scripts/replay.py runs/ppo-transformer-seed0                # replay.html beside the run's table
    python scripts/replay.py runs/ppo-transformer-seed0 --span valid --out valid.html
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from configs.errors import UserError, run_script
from configs.loader import parse
from configs.registry import check_name

SPANS = ("train", "valid", "test")


@dataclass(frozen=True)
class ReplayConfig:
    """Walk a saved agent over one span and write the page."""

    run: Annotated[Path, tyro.conf.Positional]
    """folder that scripts/train_agent.py wrote; of several seeds one, such as runs/ppo-transformer-seeds0-4/seed0"""
    span: str = "test"
    """which rows: train, valid or test"""
    out: Path | None = None
    """where the page is written; by default replay.html in the run's folder"""
    device: str = "auto"
    """auto, cpu or cuda"""


def main() -> None:
    arguments = parse(ReplayConfig, sys.argv[1:])
    check_name("span", arguments.span, SPANS)
    if arguments.out and arguments.out.is_dir():
        raise UserError(f"--out names the page to write, and {arguments.out} is a folder: add a name to it")

    import numpy as np

    from agents.bundle import Bundle, place_of
    from agents.device import pick_device
    from agents.experiment import ExperimentConfig
    from data.dataset import load_dataset
    from envs.trading_env import TradingEnv

    place, run = place_of(arguments.run)
    bundle = Bundle.load(place)
    config = ExperimentConfig.of_run(run)
    dataset = load_dataset(config.data, config.cache / "features")
    policy = bundle.trader(dataset.market, pick_device(arguments.device), config.cache)
    env = TradingEnv(dataset.market, bundle.window, getattr(dataset.split, arguments.span), bundle.env,
                     observation="row", random_start=False, render_mode="ansi")
    observation, _ = env.reset(seed=bundle.seed)
    state, over, first = None, False, True
    while not over:
        batch = {name: value[None] for name, value in observation.items()}
        action, state = policy.predict(batch, state, np.array([first]), deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action[0])
        over, first = terminated or truncated, False
    out = arguments.out or arguments.run / "replay.html"
    env.replay(str(out), f"{bundle.name}, {arguments.span} rows")
    print(f"{env.render()}\nwritten: {out}")


if __name__ == "__main__":
    run_script(main)
