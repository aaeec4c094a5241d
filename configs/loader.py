"""Command line over YAML over defaults, all checked by one parser before any work.

A YAML file is turned into flags that stand *before* the user's own, so tyro alone checks keys, types and choices, and
the last one given wins. The dataclasses stand beside what they set; this file knows none of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import tyro
import yaml

from configs.errors import UserError
from configs.registry import did_you_mean

PRESETS = Path(__file__).parent
HELP = {"-h", "--help"}
Config = TypeVar("Config")


def flags(settings: Mapping[str, Any], cls: type | None = None, prefix: str = "") -> list[str]:
    """Nested settings as the flags that would set them; `cls` tells a section from a setting that holds pairs.

    >>> flags({"env": {"fee_bps": 5.0, "levels": [-1, 1]}})
    ['--env.fee_bps', '5.0', '--env.levels', '-1', '1']
    """
    hints = get_type_hints(cls) if dataclasses.is_dataclass(cls) else {}
    out: list[str] = []
    for key, value in settings.items():
        kind = hints.get(key)
        if isinstance(value, Mapping) and get_origin(kind) is not dict:
            out += flags(value, kind, f"{prefix}{key}.")
        else:
            out += [f"--{prefix}{key}", *words(value)]
    return out


def words(value: Any) -> list[str]:
    """A setting as it stands on a command line; pairs and rows of numbers one after the other."""
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, (list, tuple)):
        return [word for item in value for word in words(item)]
    return [str(value)]


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise UserError(f"no such config file: {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UserError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path} must hold 'key: value' lines, found {type(settings).__name__}")
    return settings


def presets(group: str) -> list[str]:
    """Names of the files of `configs/<group>`."""
    return sorted(path.stem for path in (PRESETS / group).glob("*.yaml"))


def preset(group: str, name: str) -> dict[str, Any]:
    """The settings of `configs/<group>/<name>.yaml`."""
    path = PRESETS / group / f"{name}.yaml"
    if not path.exists():
        allowed = presets(group)
        raise UserError(f"no preset {name!r} in configs/{group}: choose from {', '.join(allowed)}"
                        f"{did_you_mean(name, allowed)}")
    return read_yaml(path)


def parse(cls: type[Config], argv: Sequence[str], settings: Mapping[str, Any] | None = None) -> Config:
    """A checked `cls` from `settings` (a preset, a file, a saved dict) with `argv` over it."""
    if not isinstance(settings or {}, Mapping):
        raise UserError(f"the settings of {cls.__name__} must be 'key: value' pairs, found {settings!r}")
    if HELP & {*argv} and settings:  # which shows what would be set without the words that it is asked with
        default = parse(cls, [], settings)
        tyro.cli(cls, args=["--help"], default=default, prog=Path(sys.argv[0]).name,
                 config=(tyro.conf.FlagConversionOff,))
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(cls, args=[*flags(settings or {}, cls), *argv], prog=Path(sys.argv[0]).name,
                            config=(tyro.conf.FlagConversionOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise  # --help has been printed
        text = one_line(complaint.getvalue())
        unknown = re.match(r"Unrecognized options: --([^\s,=]+)", text)
        raise UserError(unknown_key(cls, unknown[1].replace("-", "_")) if unknown else text) from None


def unknown_key(cls: type, key: str) -> str:
    """What the deepest section on the way to `key` holds, and the nearest setting of the whole tree."""
    tree = sections(cls)
    if key in tree:
        return f"{key} is a section, not a setting: give one of {', '.join(tree[key])} (see --help)"
    home = max((name for name in tree if f"{key}.".startswith(f"{name}.") or not name), key=len)
    settings = [setting for inside in tree.values() for setting in inside if setting not in tree]
    near = [setting for setting in settings if key.split(".")[-1] in setting.split(".")[-1]]
    near.sort(key=lambda setting: (not setting.startswith(f"{home}."), len(setting)))
    hint = f"; did you mean {near[0]!r}?" if near else did_you_mean(key, settings)
    return f"unknown setting {key!r}: choose from {', '.join(tree[home])}{hint} (see --help)"


def sections(cls: type, name: str = "") -> dict[str, list[str]]:
    """Every section by its dotted name ('' is the outermost) and the dotted names of what stands in it."""
    hints, marked = get_type_hints(cls), get_type_hints(cls, include_extras=True)
    inside = {f"{name}.{flag}".lstrip("."): hints[f.name] for f in dataclasses.fields(cls)
              if (flag := flag_of(f.name, marked[f.name]))}
    found = {name: list(inside)}
    for dotted, kind in inside.items():
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            found |= sections(kind, dotted)
    return found


def flag_of(name: str, hint: Any) -> str:
    """How a setting is called in a line; empty where it is given without a name.

    >>> flag_of("again", Annotated[int, tyro.conf.arg(name="from")]), flag_of("lr", float)
    ('from', 'lr')
    >>> flag_of("path", Annotated[int, tyro.conf.Positional])
    ''
    """
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    if tyro.conf.Positional in marks:
        return ""
    return next((mark.name for mark in marks if getattr(mark, "name", None)), name)


def known_flags(cls: type[Config], argv: Sequence[str]) -> Config:
    """Only the flags of `cls` out of a longer line: the first look that decides which presets are read."""
    return parse(cls, parted(cls, argv)[0])


def parted(cls: type, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a line that set something of `cls`, and all others.

    >>> Draw = dataclasses.make_dataclass("Draw", [("draws", int), ("seed", int)])
    >>> parted(Draw, ["--draws", "500", "--agent.lr", "-1", "--seed=3"])
    (['--draws', '500', '--seed=3'], ['--agent.lr', '-1'])
    """
    wanted = {field.name for field in dataclasses.fields(cls)}
    own: list[str] = []
    others: list[str] = []
    keep = False
    for word in argv:
        if word.startswith("-") and not word[1:2].isdigit():
            keep = word[2:].split("=")[0].split(".")[0].replace("-", "_") in wanted
        (own if keep else others).append(word)
    return own, others


def one_line(box: str) -> str:
    """tyro explains in a drawn box over several lines; people and logs want the sentence."""
    # where the terminal knows no Unicode, the frame is missing and its rules are of hyphens
    lines = [re.sub(r"[│╭╮╰╯]", " ", line).strip() for line in box.splitlines()]
    lines = [line for line in lines if line.strip("─- ")]
    said = itertools.takewhile(lambda line: not line.startswith(("For full help", "Argument helptext")), lines[1:])
    text = " ".join(" ".join(said).split())
    text = text.split(" Perhaps you meant:")[0]
    choice = re.search(r"invalid choice '([^']*)'.*Expected one of \(([^)]*)\)", text)
    if choice:
        text += did_you_mean(choice[1], re.findall(r"'([^']*)'", choice[2]))
    return f"{text} (see --help)"
