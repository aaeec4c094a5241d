from __future__ import annotations

import pytest
import torch

from data.bootstrap import BootstrapConfig
from encoders.checkpoint import Checkpoint
from encoders.config import EncoderConfig
from encoders.explain.config import ExplainConfig
from encoders.explain.explanation import Explanation, explain
from encoders.explain.subject import Subject
from encoders.model import ForecastModel
from encoders.pretrain import pretrain
from encoders.training.hardware import own_randomness
from tests.encoders.planted import QUICK, WINDOW, Pieces, tiny

DRAWS = BootstrapConfig(draws=200, block=4)


def subject_of(pieces: Pieces, checkpoint: Checkpoint, **settings) -> Subject:
    return Subject.of(checkpoint, pieces.market, pieces.labels, pieces.split.valid, ExplainConfig(**settings), DRAWS)


def trained(pieces: Pieces, name: str) -> Checkpoint:
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny(name), QUICK,
                    progress=False)


def fresh(config: EncoderConfig, checkpoint: Checkpoint) -> ForecastModel:
    """Untrained, for the planted market."""
    with own_randomness(torch.device("cpu"), 0):
        return ForecastModel.build(4, config, checkpoint.scale, assets=2).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def subject(pieces: Pieces, checkpoint: Checkpoint) -> Subject:
    return subject_of(pieces, checkpoint, rows=200)


@pytest.fixture(scope="session")
def explanation(subject: Subject) -> Explanation:
    return explain(subject)


@pytest.fixture(scope="session")
def chosen(pieces: Pieces) -> Explanation:
    """Of a model that selects features."""
    return explain(subject_of(pieces, trained(pieces, "tft"), rows=64, repeats=1))


@pytest.fixture(scope="session")
def recurrent(pieces: Pieces) -> Explanation:
    """Of a model that keeps no weights."""
    return explain(subject_of(pieces, trained(pieces, "gru"), rows=64, repeats=1))
