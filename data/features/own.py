"""A user's own features: a Python file that defines FEATURES, checked before anything is computed."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from configs.errors import UserError
from data.features import FEATURES
from data.features.base import Feature

OWN = "own"  # the group of all of them, whatever their file says: a group is dropped as a whole

Compute = Callable[[pd.DataFrame], pd.DataFrame]


def load_features(path: Path | str, taken: Iterable[Feature] = FEATURES) -> list[Feature]:
    """The FEATURES of a file, in the group `own`; what their code raises is told with its file and line.

    No name of theirs may be that of a feature or column of `taken`.

    >>> import tempfile
    >>> code = '''
    ... from data.features.base import Feature, one
    ... FEATURES = [Feature("range", "own", 1, ("high", "low"), "high over low",
    ...                     one("range", lambda bars: bars["high"] / bars["low"] - 1))]
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.py")
    ...     _ = path.write_text(code)
    ...     [feature.name for feature in load_features(path)]
    ['range']
    """
    path = Path(path)
    listed = getattr(run_file(path), "FEATURES", None)
    if listed is None:
        raise UserError(f"{path} defines no FEATURES: write FEATURES = [Feature(...), ...] at its end "
                        "(from data.features.base import Feature)")
    if not isinstance(listed, (list, tuple)) or not listed:
        raise UserError(f"FEATURES of {path} must be a list of at least one Feature, found {listed!r:.60}")
    for number, feature in enumerate(listed):
        check(feature, f"FEATURES[{number}] of {path}")
    check_names(listed, taken, path)
    return [replace(feature, group=OWN, compute=guarded(feature, path)) for feature in listed]


def run_file(path: Path) -> ModuleType:
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"no Python file of features at {path}: give one that ends in .py")
    name = f"own_features_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it runs
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"{place(error, path)}: {said(error)}") from error
    return module


def check(feature: object, where: str) -> None:
    if not isinstance(feature, Feature):
        raise UserError(f"{where} must be a Feature, found {type(feature).__name__} {feature!r:.60}")
    wrong = {"lookback": not (isinstance(feature.lookback, int) and feature.lookback >= 1),
             "needs": not (isinstance(feature.needs, tuple) and all(isinstance(n, str) for n in feature.needs)),
             "outputs": not (isinstance(feature.outputs, tuple) and all(isinstance(n, str) for n in feature.outputs)),
             "name": not (isinstance(feature.name, str) and feature.name),
             "compute": not callable(feature.compute)}
    meant = {"lookback": "a whole number of rows, at least 1, its own included",
             "needs": "a tuple of column names, such as ('close',)", "outputs": "a tuple of column names",
             "name": "some text", "compute": "a function of a table of rows"}
    for field in (field for field, bad in wrong.items() if bad):
        raise UserError(f"{where}: {field} must be {meant[field]}, found {getattr(feature, field)!r:.60}")


def check_names(listed: list[Feature] | tuple[Feature, ...], taken: Iterable[Feature], path: Path) -> None:
    owners = {name: feature.name for feature in taken for name in (feature.name, *feature.columns)}
    for feature in listed:
        for name in (feature.name, *feature.columns):
            if name in owners:
                raise UserError(f"the name {name!r} in {path} is taken by the suite's feature {owners[name]!r}: choose "
                                f"another, such as {f'my_{name}'!r}")
    twice = [name for name, count in Counter(c for feature in listed for c in feature.columns).items() if count > 1]
    if twice:
        raise UserError(f"two features of {path} make a column {twice[0]!r}: rename one of them")


def guarded(feature: Feature, path: Path) -> Compute:
    """The feature's computation with its mistakes told in one line."""

    def compute(rows: pd.DataFrame) -> pd.DataFrame:
        try:
            made = feature.compute(rows)
        except Exception as error:
            raise UserError(f"{place(error, path)}: feature {feature.name!r} failed on {len(rows)} rows: "
                            f"{said(error)}") from error
        if not isinstance(made, pd.DataFrame):
            raise UserError(f"feature {feature.name!r} of {path} must return a DataFrame, found {type(made).__name__}; "
                            "wrap a function that returns a Series in one(name, function)")
        if missing := [column for column in feature.columns if column not in made]:
            raise UserError(f"feature {feature.name!r} of {path} made no column {missing[0]!r}, only "
                            f"{', '.join(map(str, made.columns)) or 'none'}: name it, or list its outputs")
        if len(made) != len(rows):
            raise UserError(f"feature {feature.name!r} of {path} made {len(made)} rows of {len(rows)}: keep every row, "
                            "with NaN where there is no value")
        for column in feature.columns:
            if not (pd.api.types.is_numeric_dtype(made[column]) and np.isrealobj(made[column].to_numpy())):
                raise UserError(f"column {column!r} of {path} must hold numbers, found {made[column].dtype}")
        return made

    return compute


def place(error: BaseException, path: Path) -> str:
    """'mine.py, line 7': the innermost line of the user's own file that the error went through."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def said(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}"
