"""Tiny markets and pretrained encoders, made once for all tests of the agents."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from data.dataset import Dataset, load_dataset
from encoders.checkpoint import Checkpoint
from tests.agents.small import DATA, KNOWN, PAIR, tiny_encoder


@pytest.fixture(scope="session")
def simulated() -> Dataset:
    """1,500 simulated bars of one asset, window 8, horizon 4."""
    return load_dataset(DATA)


@pytest.fixture(scope="session")
def pair() -> Dataset:
    """1,500 simulated bars of two assets."""
    return load_dataset(PAIR)


@pytest.fixture(scope="session")
def reverting() -> Dataset:
    """3,000 bars of `ou_easy`, window 4: the state that tells tomorrow is the one feature."""
    return load_dataset(KNOWN)


@pytest.fixture(scope="session")
def encoder_of(simulated: Dataset) -> Callable[[str], Checkpoint]:
    """A pretrained encoder of the simulated market by name, each made once."""
    return cache(lambda name: tiny_encoder(simulated, name))
