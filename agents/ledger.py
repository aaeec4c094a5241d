"""Every agent that was trained on a history, counted: of many that are worth nothing the best looks good.

A line for each training in `<runs>/trials.jsonl`, appended as it ends and never taken away; the same training done
twice counts once. What a deflated Sharpe ratio needs is how many there were, those that were thrown away above all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.resume import digest_of
from data.dataset import DataConfig

FILE = "trials.jsonl"


@dataclass(frozen=True)
class Trial:
    history: str  # where the bars come from, whatever was made of them
    training: str  # digest of all settings, the seed and the data
    agent: str
    seed: int


def history_of(data: DataConfig) -> str:
    """One and the same for all features, windows, labels and splits of the same bars.

    >>> one, other = DataConfig(window=8), DataConfig(window=48, borders=(500, 900))
    >>> history_of(one) == history_of(other)
    True
    """
    store = data.store
    bars = {"file": data.path, "simulated": data.simulator, "known": data.known,
            "store": (store.folder, store.bars, store.assets, store.frequency)}
    return digest_of(source=data.source, bars=bars[data.source])


def note(runs: Path, trial: Trial) -> None:
    """One line, written at once: processes that note side by side do not meet in the midst of it."""
    runs.mkdir(parents=True, exist_ok=True)
    line = json.dumps({**asdict(trial), "ended": datetime.now(UTC).isoformat(timespec="seconds")}) + "\n"
    file = os.open(runs / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def trials_of(runs: Path, history: str) -> int:
    """How many different trainings there were on that history."""
    return len({trial.training for trial in noted(runs) if trial.history == history})


def noted(runs: Path) -> Iterator[Trial]:
    """All of them, the oldest first; half a line that a full disk has left is passed over."""
    try:
        lines = (runs / FILE).read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            stored = json.loads(line)
            yield Trial(*(stored[name] for name in Trial.__dataclass_fields__))
        except (ValueError, KeyError, TypeError):
            continue
