import pytest

from encoders.trees.model import TreeForecaster
from tests.encoders.planted import Pieces
from tests.encoders.trees.quick import fitted


@pytest.fixture(scope="session")
def boosting(pieces: Pieces) -> TreeForecaster:
    return fitted(pieces, "boosting")


@pytest.fixture(scope="session")
def forest(pieces: Pieces) -> TreeForecaster:
    return fitted(pieces, "forest")
