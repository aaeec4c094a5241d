"""What TensorBoard is told: curves, pictures, the settings beside what came of them, and what was run.

The page of a run is its config and its command. The HParams tab compares runs by `best/*`, the numbers of the look that
chose the weights.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

import torch
import yaml
from stable_baselines3.common.logger import Figure, HParam, Logger, TensorBoardOutputFormat

from agents import ALGOS
from agents.config import AgentConfig
from agents.plots import drawdown_figure, equity_figure, position_figure
from agents.watch.validation import Look
from configs.run import CONFIG, plain
from envs.config import EnvConfig

NOT_TEXT = ("stdout", "log", "json", "csv")  # formats of SB3's logger that refuse pictures
MARKDOWN_CODE = "    "  # TensorBoard renders text as Markdown


@dataclass(frozen=True)
class Card:
    """What a run is, beside what it does."""

    config: str
    """as YAML"""
    command: str
    settings: Mapping[str, bool | str | float | int | None]
    """those that runs are compared by"""


def card_of(algo: str, encoder: str, window: int, seed: int, agent: AgentConfig, env: EnvConfig,
            folder: Path | None = None) -> Card:
    """The whole config where a run has written it into `folder`, else what the agent was given."""
    given = {"algo": algo, "encoder": encoder, "window": window, "seed": seed, "agent": plain(agent), "env": plain(env)}
    whole = folder / CONFIG if folder else None
    text = whole.read_text() if whole and whole.exists() else yaml.safe_dump(given, sort_keys=False)
    return Card(text, shlex.join([Path(sys.executable).name, *sys.argv]),
                settings_of(algo, encoder, window, seed, agent, env))


def settings_of(algo: str, encoder: str, window: int, seed: int, agent: AgentConfig, env: EnvConfig
                ) -> dict[str, bool | str | float | int | None]:
    """One flat row: what every agent has, what this algorithm has of its own, and what it trades under."""
    found: dict[str, Any] = {"algo": algo, "encoder": encoder, "window": window, "seed": seed}
    elsewhere = {name for other in ALGOS.values() for name in other.settings} - set(ALGOS[algo].settings)
    for name, value in plain(agent).items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": number for key, number in value.items() if name not in elsewhere}
        else:
            found[name] = value
    found |= {"env.action": env.action, "env.episode": env.episode, "env.cost_bps": env.costs.per_unit * 1e4}
    return {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in found.items()}


def record_card(logger: Logger, card: Card) -> None:
    for name, text in (("config", card.config), ("command", card.command)):
        logger.record(f"run/{name}", indent(text, MARKDOWN_CODE), exclude=NOT_TEXT)


def record_look(logger: Logger, look: Look) -> None:
    """Numbers, and the weights that were chosen."""
    for name, value in look.numbers.items():
        logger.record(f"valid/{name}", value)
    logger.record("valid/actions", torch.from_numpy(look.chosen[look.alive]), exclude=NOT_TEXT)


def draw_look(logger: Logger, look: Look, assets: tuple[str, ...], title: str) -> None:
    """Three pictures, where TensorBoard is there to show them; they take longer than the look itself."""
    if any(isinstance(one, TensorBoardOutputFormat) for one in logger.output_formats):
        pictures = {"equity": equity_figure({"validation": look.equity}, title, look.time),
                    "position": position_figure(look.time, look.weights, look.prices, assets, title),
                    "drawdown": drawdown_figure(look.time, look.equity, title)}
        for name, figure in pictures.items():
            logger.record(f"valid/{name}", Figure(figure, close=True), exclude=NOT_TEXT)


def record_best(logger: Logger, best: Mapping[str, float], card: Card | None) -> None:
    """Last of all: what the weights that are kept did on the validation rows, and the settings that led there."""
    numbers = {f"best/{name}": value for name, value in best.items()}
    for name, value in numbers.items():
        logger.record(name, value)
    if card:
        logger.record("hparams", HParam(dict(card.settings), numbers), exclude=NOT_TEXT)
