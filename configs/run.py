"""`runs/<name>/`: everything it takes to know, and to repeat, what was done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shlex
import sys
from functools import cache
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from configs.errors import UserError

CONFIG = "config.yaml"
PACKAGES = tuple(Path(__file__).parents[1] / name for name in ("agents", "configs", "data", "encoders", "envs"))
LIBRARIES = ("coinarena", "gymnasium", "lightgbm", "numba", "numpy", "pandas", "sb3-contrib", "scipy",
             "stable-baselines3", "ta", "torch")


def plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as what YAML and JSON can hold; `None` settings are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
                if getattr(value, f.name) is not None}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "platform": platform.platform(),
            **{library: version(library) for library in LIBRARIES}}


def version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


@cache
def code_digest(folders: tuple[Path, ...] = PACKAGES, libraries: tuple[str, ...] = LIBRARIES) -> str:
    """Of all Python files and presets in `folders` and the versions of `libraries`: what was made with others is made
    anew. A tournament's own file (`configs/arena`) is no preset: what it asks for is in the settings of its cells."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.suffix == ".py" or (path.suffix == ".yaml" and path.parent.name != "arena"):
            digest.update(path.read_bytes())
    for library in libraries:
        digest.update(version(library).encode())
    return digest.hexdigest()


class Run:
    """A folder that is written as the work goes on, so that a stop half-way leaves a readable record.

    Earlier runs of the same name that came to their end are kept beside it as `<name>.before`, `<name>.before2` and so
    on, unless this one `goes_on` from what is there. One that was stopped or refused is written over, and its curves
    go on.
    """

    def __init__(self, folder: Path, config: Any, seed: int, goes_on: bool = False) -> None:
        if int(os.environ.get("RANK", 0)) > 0:
            raise UserError("several processes must not write one run: torchrun is for scripts/pretrain_encoder.py, "
                            "whose encoders the other scripts find in the cache")
        self.folder = folder
        if came_to_its_end(folder) and not goes_on:
            names = (folder.with_name(f"{folder.name}.before{number if number > 1 else ''}") for number in count(1))
            before = next(name for name in names if not name.exists())
            folder.rename(before)
            print(f"the run that was in {folder} is now in {before}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(yaml.safe_dump(plain(config), sort_keys=False))
        (folder / "command.txt").write_text(shlex.join([Path(sys.executable).name, *sys.argv]) + "\n")
        self.record: dict[str, Any] = {"finished": False, "seed": seed, "versions": versions()}
        self.note()

    def done(self, **facts: Any) -> None:
        """The last facts: from here on this run is not written over."""
        self.note(finished=True, **facts)

    def note(self, **facts: Any) -> None:
        """Add facts (data fingerprint, results, timings) to `run.json`."""
        self.record.update(plain(facts))
        write_json(self.folder / "run.json", self.record)


def came_to_its_end(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "run.json").read_text()).get("finished", True))  # older records do not say
    except FileNotFoundError:
        return False
    except (ValueError, AttributeError):
        return True


def read_record(folder: Path) -> dict[str, Any]:
    """What a run has noted about itself."""
    try:
        found = json.loads((folder / "run.json").read_text())
    except FileNotFoundError:
        raise UserError(f"{folder} is no run: it has no run.json") from None
    except ValueError as error:
        raise UserError(f"{folder / 'run.json'} is not readable JSON ({error})") from None
    if not isinstance(found, dict):
        raise UserError(f"{folder / 'run.json'} must hold a record, found {type(found).__name__}")
    return found


def write_json(path: Path, value: Any) -> None:
    """Written beside and renamed, so that a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(path.suffix + ".tmp")
    beside.write_text(json.dumps(plain(value), indent=2) + "\n")
    beside.replace(path)
