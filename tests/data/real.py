"""Where real market data lie, for tests that use them."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("COINARENA_SHARED_DATA", str(ROOT / "../shared/data"))).resolve()


def real(name: str) -> Path:
    """The path of `name` among the real data; the test that asks is skipped where they are absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"real data is absent: {path}")
    return path
