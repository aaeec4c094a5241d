"""Tiny markets and pretrained encoders, made once for all tests of the agents."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from agents.watch.validation import Validation
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


@pytest.fixture
def ever_better(monkeypatch):
    """Or the untrained weights may stay the best ones, and nothing that was learnt be handed back."""
    measured, looks = Validation.run, itertools.count(1)

    def run(self, policy):
        found = measured(self, policy)
        return replace(found, equity=np.exp(next(looks) * np.linspace(0.0, 1.0, len(found.equity))))

    monkeypatch.setattr(Validation, "run", run)
