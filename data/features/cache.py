"""Blocks of features on disk, under the hash of all they were computed from."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from configs.run import code_digest

if TYPE_CHECKING:
    from data.features.base import Feature

HASH = 32  # bytes
CODE = (Path(__file__).parent,)  # that features are written in
LIBRARIES = ("numba", "numpy", "pandas", "scipy", "ta")


class BlockCache:
    """`get` and `put` of (rows, F) arrays.

    A key holds all that a block was computed from, for a feature is shown nothing but what it needs; a file holds the
    hash of its content, and is computed again where the two do not agree.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, inputs: pd.DataFrame, features: Sequence[Feature], rows: int) -> str:
        digest = hashlib.sha256(f"{code_digest(CODE, LIBRARIES)} {rows} {len(inputs)}".encode())
        for feature in features:
            digest.update(f"{feature.name} {feature.lookback} {feature.neutral};".encode())
        for column in sorted({column for feature in features for column in feature.reads(inputs.columns)}):
            values = inputs[column]
            if isinstance(values.dtype, pd.DatetimeTZDtype):  # as an array it would be one of pointers
                values = values.astype("int64")
            digest.update(column.encode() + np.ascontiguousarray(values.to_numpy()).tobytes())
        return digest.hexdigest()

    def get(self, key: str) -> np.ndarray | None:
        try:
            data = (self.folder / f"{key}.npy").read_bytes()
        except FileNotFoundError:
            return None
        held, content = data[:HASH], data[HASH:]
        return np.load(BytesIO(content), allow_pickle=False) if hashlib.sha256(content).digest() == held else None

    def put(self, key: str, block: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = BytesIO()
        np.save(content, block, allow_pickle=False)
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tmp", delete=False) as beside:
            beside.write(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
        Path(beside.name).replace(self.folder / f"{key}.npy")
