"""Trees on disk: `trees.json` and the text of each model beside it in one folder. Nothing is unpickled.

Digests are looked at before a library meets a file, and its own text is checked once more (`text.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import UserError
from configs.registry import lookup
from data.durable import write_durably
from data.scaling import Scaler
from encoders.checkpoint import TrainedSpan, digest, tuples
from encoders.forecast import LEVELS
from encoders.scale import TargetScale
from encoders.trees import TREES
from encoders.trees.config import TreeConfig
from encoders.trees.model import TreeForecaster, files_of
from encoders.trees.part import Part
from encoders.trees.summaries import SUMMARIES
from encoders.trees.targets import TARGETS, Target

FORMAT = 2  # of the JSON; raise it when the meaning of a key or of the trees changes
SETTINGS = "trees.json"
ANEW = "delete the folder and fit the trees again"


def save_trees(trees: TreeForecaster, path: Path | str) -> Path:
    """Write the folder. The settings come last and name every file's digest: half a save is never taken for one."""
    folder = Path(path)
    for part in trees.parts:
        for number, file in enumerate(files_of(part)):
            write_durably(folder / file_name(part.target, number), file)
    settings = {"format": FORMAT, **trees.settings()}
    write_durably(folder / SETTINGS, f"{json.dumps(settings, indent=2)}\n".encode())
    return folder


def load_trees(path: Path | str) -> TreeForecaster:
    """The forecaster of a folder, or one line on what is wrong with it."""
    folder = Path(path)
    try:
        stored = json.loads((folder / SETTINGS).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"no trees at {folder}: {SETTINGS} must be there; fit them or give another folder") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{folder / SETTINGS} is damaged ({error}); {ANEW}") from None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        found = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
        raise UserError(f"{folder / SETTINGS} has format {found!r}, this version reads {FORMAT}; fit the trees again")
    try:
        return _from_settings(stored, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder / SETTINGS} is not complete ({type(error).__name__}: {error}); {ANEW}") from None


def _from_settings(stored: dict[str, Any], folder: Path) -> TreeForecaster:
    config = TreeConfig(**stored["trees"])
    columns, levels = tuple(stored["columns"]), tuple(stored["levels"])
    if levels != LEVELS:
        raise UserError(f"{folder / SETTINGS} holds the quantiles {levels}, this version forecasts {LEVELS}; fit the "
                        "trees again")
    parts = tuple(_part(target, stored["parts"][target.name], config, len(columns), folder) for target in TARGETS)
    return TreeForecaster(
        config=config, columns=columns, scaler=Scaler.of(stored["scaler"]), window=stored["window"],
        reach=stored["reach"], levels=levels, scale=TargetScale(**tuples(stored["scale"])),
        trained=TrainedSpan(**stored["trained"]), market=stored["market"], parts=parts, scores=stored["scores"],
    )


def _part(target: Target, stored: dict[str, Any], config: TreeConfig, columns: int, folder: Path) -> Part:
    files = tuple(_whole(folder / file_name(target, number), wanted) for number, wanted in enumerate(stored["files"]))
    start, share = np.array(stored["start"], float), float(stored["share"])
    if start.shape != (target.outputs,) or not np.isfinite(start).all() or not 0 <= share <= 1:
        raise ValueError(f"{target.name} starts at {stored['start']} and believes {share} of its trees")
    if not files:
        return Part(target, start, 0.0, None)
    try:
        trees = lookup("kind of trees", config.name, TREES)(target, files, columns * len(SUMMARIES))
    except ValueError as error:
        raise UserError(f"{folder / file_name(target, 0)} holds no trees of the kind {config.name} ({error}); {ANEW}"
                        ) from None
    return Part(target, start, share, trees)


def _whole(path: Path, wanted: str) -> bytes:
    """The bytes that the settings were written for."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing, which {SETTINGS} names; {ANEW}") from None
    if digest(raw) != wanted:
        raise UserError(f"{path} is damaged: its {len(raw)} bytes are not those that {SETTINGS} was written for; "
                        f"{ANEW}")
    return raw


def file_name(target: Target, number: int) -> str:
    """Never read from the settings, which could name a file elsewhere."""
    return f"{target.name}.{number}.model"
