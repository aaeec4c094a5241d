import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import UserError
from encoders import ENCODERS
from encoders.checkpoint import Checkpoint
from encoders.embed import Embeddings, embed
from encoders.model import ForecastModel
from encoders.scale import TargetScale
from tests.encoders.planted import WINDOW, Pieces, tiny


def same(one: Embeddings, other: Embeddings, rows: slice | np.ndarray = slice(None)) -> bool:
    pairs = [(one.values, other.values), (one.forecast.direction, other.forecast.direction),
             (one.forecast.quantiles, other.forecast.quantiles), (one.forecast.volatility, other.forecast.volatility)]
    return all(np.array_equal(a[rows], b[rows], equal_nan=True) for a, b in pairs)


def test_every_decision_row_and_no_other(checkpoint: Checkpoint, pieces: Pieces) -> None:
    found = embed(checkpoint, pieces.market)
    rows = pieces.market.decision_rows(WINDOW)
    inside = np.zeros(len(pieces.market), bool)
    inside[rows] = True
    assert found.values.shape == (len(pieces.market), 2, checkpoint.encoder.width)
    assert np.isfinite(found.values[inside]).all()
    assert np.isnan(found.values[~inside]).all()
    assert (found.forecast.known == inside).all()


def test_other_columns_are_refused(checkpoint: Checkpoint, pieces: Pieces) -> None:
    turned = dataclasses.replace(pieces.market, columns=pieces.market.columns[::-1])
    with pytest.raises(UserError, match="the same names in another order"):
        embed(checkpoint, turned)


def test_one_row_is_its_window_encoded(checkpoint: Checkpoint, pieces: Pieces) -> None:
    found = embed(checkpoint, pieces.market, batch=37)
    window = torch.from_numpy(pieces.market.window_at(400, WINDOW).transpose(1, 0, 2).copy())
    model = checkpoint.model()
    with torch.no_grad():
        embedding = model.encode(window.unsqueeze(0))
    np.testing.assert_allclose(found.values[400], embedding[0], atol=1e-6)
    said = model.forecast(embedding, checkpoint.scale.expected(pieces.market)[[400]])
    np.testing.assert_allclose(found.forecast.quantiles[400], said.quantiles[0], atol=1e-7)


def test_cached_equals_fresh(checkpoint: Checkpoint, pieces: Pieces, tmp_path: Path) -> None:
    fresh = embed(checkpoint, pieces.market)
    first = embed(checkpoint, pieces.market, cache=tmp_path)
    (stored,) = tmp_path.iterdir()
    written = stored.stat().st_mtime_ns
    second = embed(checkpoint, pieces.market, cache=tmp_path)
    assert same(first, fresh)
    assert same(second, fresh)
    assert stored.stat().st_mtime_ns == written
    other = dataclasses.replace(pieces.market, features=pieces.market.features * np.float32(0.5))
    assert not same(embed(checkpoint, other, cache=tmp_path), fresh)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_doctored_or_torn_cache_is_computed_again(checkpoint: Checkpoint, pieces: Pieces, tmp_path: Path) -> None:
    fresh = embed(checkpoint, pieces.market, cache=tmp_path / "cache")
    (stored,) = (tmp_path / "cache").iterdir()
    target = tmp_path / "owned"

    class Payload:
        def __reduce__(self):
            return Path.write_text, (target, "owned")

    for raw in (pickle.dumps(Payload()), stored.read_bytes()[:100], b""):
        stored.write_bytes(raw)
        assert same(embed(checkpoint, pieces.market, cache=tmp_path / "cache"), fresh)
    assert not target.exists()


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_later_features_change_no_earlier_row_to_the_bit(name: str, checkpoint: Checkpoint, pieces: Pieces) -> None:
    torch.manual_seed(0)
    fresh = ForecastModel.build(4, tiny(name), TargetScale(0.01, 0.01), assets=2).eval()
    random = dataclasses.replace(checkpoint, encoder=tiny(name), weights=fresh.state_dict(), scale=fresh.scale)
    wanted = embed(random, pieces.market)
    for cut in (27, 300, pieces.split.train.stop, 1500):
        features = pieces.market.features.copy()
        features[cut + 1 :] = features[cut + 1 :] * 5 + 1
        found = embed(random, dataclasses.replace(pieces.market, features=features))
        assert same(found, wanted, slice(0, cut + 1))
        assert not same(found, wanted, slice(cut + 1, cut + 3))
