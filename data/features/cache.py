"""Blocks of features on disk, under the hash of all they were computed from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from data.features.base import Feature

LIBRARIES = ("numba", "numpy", "pandas", "scipy", "ta")


@cache
def code_digest() -> str:
    """Of every file that features are written in and the libraries they call: a change of either makes blocks anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for library in LIBRARIES:
        digest.update(metadata.version(library).encode())
    return digest.hexdigest()


class BlockCache:
    """`get` and `put` of (rows, F) arrays. A key holds the inputs themselves, so nothing stale can ever be found.

    `extra` is what else decides about values, such as the text of a user's own features.
    """

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.folder = folder
        self.extra = extra
        self.hits = self.misses = 0

    def key(self, inputs: pd.DataFrame, features: Sequence[Feature], rows: int) -> str:
        digest = hashlib.sha256(f"{code_digest()} {self.extra} {rows} {len(inputs)}".encode())
        for feature in features:
            digest.update(f"{feature.name} {feature.lookback} {feature.neutral};".encode())
        needs = {need for feature in features for need in feature.needs}
        # where features compare assets, they read columns whose names no feature can list beforehand
        others = {str(column) for column in inputs if ":" in str(column)} if "company" in needs else set()
        for column in sorted(needs | others):
            values = inputs[column]
            if isinstance(values.dtype, pd.DatetimeTZDtype):  # as an array it would be one of pointers
                values = values.astype("int64")
            digest.update(column.encode() + np.ascontiguousarray(values.to_numpy()).tobytes())
        return digest.hexdigest()

    def get(self, key: str) -> np.ndarray | None:
        try:
            block = np.load(self.folder / f"{key}.npy", allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):
            self.misses += 1
            return None
        self.hits += 1
        return block

    def put(self, key: str, block: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f"{key}.{os.getpid()}.tmp.npy"
        np.save(beside, block, allow_pickle=False)
        beside.replace(self.folder / f"{key}.npy")
