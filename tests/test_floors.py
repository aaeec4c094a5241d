"""The house keeps its floors: who may import whom, and how long a file may get (DESIGN.md, "Shape")."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT: dict[str, set[str]] = {  # of our own packages, itself aside
    "configs": set(),
    "data": {"configs"},
    "envs": {"configs", "data"},
    "encoders": {"configs", "data"},
    "agents": {"configs", "data", "envs", "encoders"},
    "scripts": {"configs", "data", "envs", "encoders", "agents"},
}
OURS = {*MAY_IMPORT, "tests"}
SB3 = {"stable_baselines3", "sb3_contrib"}
NETWORK = {"requests", "urllib", "http", "socket", "aiohttp", "httpx", "websockets", "ccxt"}
UNSAFE = {"pickle", "cloudpickle", "dill", "joblib"}
MUST_NOT_KNOW: dict[str, set[str]] = {
    "configs": {"torch", "gymnasium", *SB3, *NETWORK, *UNSAFE},
    "data": {"torch", "gymnasium", *SB3, *UNSAFE},
    "envs": {"torch", *SB3, *NETWORK, *UNSAFE},
    "encoders": {"gymnasium", *SB3, *NETWORK, *UNSAFE},
    "agents": set(UNSAFE),
    "scripts": set(UNSAFE),
}
# inside data, lowest first; a part may import its own rank and those below
DATA_RANKS = (("schema", "durable", "bootstrap"), ("market", "variants"), ("sources", "simulator"),
              ("store", "quality"), ("importing", "stored"), ("features", "labels", "align"),
              ("splits", "folds", "scaling", "table"), ("dataset",), ("causality", "leaks"))
RANK = {part: rank for rank, parts in enumerate(DATA_RANKS) for part in parts}
FILES = {package: sorted((ROOT / package).rglob("*.py")) for package in MAY_IMPORT}


def imports(source: str, package: str = "") -> set[str]:
    """Dotted names of every module that `source` imports, wherever in the file; `package` resolves relative ones."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}  # `from data import market` is data.market
    return found


def broken_arrows(package: str, source: str, inside: str = "") -> list[str]:
    """The imports that a file of `package` must not make."""
    bad = []
    for name in sorted(imports(source, inside or package)):
        top = name.split(".")[0]
        if top in OURS and top != package and top not in MAY_IMPORT[package]:
            bad.append(f"{package} must not import {name}")
        if top in MUST_NOT_KNOW[package]:
            bad.append(f"{package} must not know {top}")
    return bad


def data_part(name: str) -> str:
    """`data.sources.files.read_bars` and `data/sources/files.py` both belong to `sources`."""
    return name.split(".")[1]


def broken_data_order(part: str, source: str, inside: str = "data") -> list[str]:
    """Imports inside data that go up."""
    ours = {data_part(name) for name in imports(source, inside) if name.startswith("data.")}
    return [f"{part} must not import {other}" for other in sorted(ours & RANK.keys())
            if RANK[other] > RANK.get(part, len(DATA_RANKS))]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_nothing_is_imported_from_above(package):
    assert FILES[package], f"{package} has no modules: the test looks in the wrong place"
    bad = [f"{path.relative_to(ROOT)}: {fault}" for path in FILES[package]
           for fault in broken_arrows(package, path.read_text(), ".".join(path.relative_to(ROOT).parent.parts))]
    assert bad == []


def test_inside_data_the_order_holds():
    bad = []
    for path in FILES["data"]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] != "__init__":
            bad += broken_data_order(parts[1], path.read_text(), ".".join(parts[:-1]))
    assert bad == []


@pytest.mark.parametrize(("package", "source"), [
    ("configs", "import data.market"),
    ("data", "from envs.engine import Engine"),
    ("data", "import torch.nn as nn"),
    ("data", "def late():\n    import gymnasium"),
    ("envs", "from encoders import ENCODERS"),
    ("envs", "from torch import nn"),
    ("encoders", "from envs.engine import Engine"),
    ("encoders", "if TYPE_CHECKING:\n    from stable_baselines3 import PPO"),
    ("encoders", "import gymnasium as gym"),
    ("agents", "from scripts.train_agent import main"),
    ("agents", "from tests.envs.markets import market_of"),
    ("agents", "import pickle"),
])
def test_a_planted_import_is_caught(package, source):
    assert len(broken_arrows(package, source)) == 1


def test_allowed_imports_pass_and_relative_ones_are_resolved():
    allowed = "import numpy\nimport stable_baselines3\nfrom data.market import Market\nimport encoders.base"
    assert broken_arrows("agents", allowed) == []
    assert imports("from .x import y\nfrom ..z import w", "data.sources") == {"data.sources.x.y", "data.z.w"}
    assert broken_data_order("market", "from data.dataset import Dataset") == ["market must not import dataset"]
    assert broken_data_order("sources", "from ..splits import Split", "data.sources") == [
        "sources must not import splits"]
    assert broken_data_order("dataset", "from data.labels import Labels\nfrom data.market import Market") == []


def test_every_package_is_installed():
    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {".".join(path.parent.relative_to(ROOT).parts) for package in MAY_IMPORT if package != "scripts"
             for path in (ROOT / package).rglob("__init__.py")}
    assert named == there


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_file_is_read_in_one_sitting(package):
    longest = {"scripts": 99}.get(package, 320)
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES[package]}
    assert {name: lines for name, lines in lengths.items() if lines > longest} == {}
