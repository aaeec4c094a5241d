import pytest

from encoders.checkpoint import Checkpoint
from encoders.pretrain import pretrain
from tests.encoders.planted import QUICK, WINDOW, Pieces, planted, tiny


@pytest.fixture(scope="session")
def pieces() -> Pieces:
    return planted(lead=0.6)


@pytest.fixture(scope="session")
def checkpoint(pieces: Pieces) -> Checkpoint:
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny("transformer"), QUICK,
                    progress=False)
