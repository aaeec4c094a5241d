"""A carried state: what teaches, what does not, and the same embedding bar by bar as all at once."""

import dataclasses

import numpy as np
import pytest
import torch

from data.market import Market
from encoders import ENCODERS
from encoders.base import make_encoder
from encoders.batches import LabelTable, labelled_rows
from encoders.embed import embed
from encoders.pretrain import pretrain
from encoders.scale import TargetScale
from encoders.streams import carried
from encoders.training.feeds import StreamFeed
from encoders.training.objective import detached
from tests.encoders.planted import QUICK, WINDOW, Pieces, tiny

STREAMING = [name for name in sorted(ENCODERS) if make_encoder(4, tiny(name)).stateful]
STREAM = dataclasses.replace(QUICK, context="stream", tbptt=8, pieces=8)


def feed_of(pieces: Pieces, tbptt: int = 8, together: int = 4) -> StreamFeed:
    rows = labelled_rows(pieces.market, pieces.labels, WINDOW, pieces.split.train)
    table = LabelTable(pieces.market, pieces.labels, TargetScale(1.0, 1.0), "cpu")
    return StreamFeed(pieces.market, table, rows, WINDOW, tbptt, together, "cpu")


@pytest.mark.parametrize("seed", range(5))
def test_every_training_row_teaches_once_a_pass(pieces: Pieces, seed: int) -> None:
    feed = feed_of(pieces)
    batches = list(feed.passes(feed.rows, np.random.default_rng(seed), batch=7))
    taught = np.concatenate([batch.rows[batch.teaches] for batch in batches])
    assert sorted(taught) == feed.rows.tolist()


def test_a_row_teaches_only_with_a_window_before_it(pieces: Pieces) -> None:
    """In its piece: at least `window` bars of its own segment, itself among them, since the state began."""
    feed = feed_of(pieces)
    age: np.ndarray | None = None
    for batch in feed.passes(feed.rows, np.random.default_rng(0), batch=5):
        first = np.zeros(len(batch.rows), int) if batch.begins or age is None else age
        ages = first[:, None] + np.arange(1, batch.rows.shape[1] + 1)
        assert (ages[batch.teaches] >= WINDOW).all()
        steps = np.diff(batch.rows, axis=1)[batch.teaches[:, 1:]]
        assert (steps == 1).all(), "bars of a piece follow one another"
        age = ages[:, -1]


def test_labels_of_a_stream_are_those_of_its_bars(pieces: Pieces) -> None:
    feed = feed_of(pieces)
    batch = next(iter(feed.passes(feed.rows, np.random.default_rng(0), batch=3)))
    x, targets = feed.inputs(batch)
    lanes, bars = batch.rows.shape
    assert x.shape == (lanes * 2, bars, 4)
    for lane in range(lanes):
        for asset in range(2):
            place = lane * 2 + asset
            teaches = batch.teaches[lane]
            np.testing.assert_array_equal(x[place][teaches], pieces.market.features[batch.rows[lane][teaches], asset])
            np.testing.assert_array_equal(targets.forward[place][teaches],
                                          pieces.labels.forward[batch.rows[lane][teaches], asset])
            assert (targets.direction[place][~teaches] == -1).all()


@pytest.mark.parametrize("name", STREAMING)
def test_carried_in_chunks_equals_bar_by_bar(name: str, monkeypatch) -> None:
    torch.manual_seed(0)
    encoder = make_encoder(4, tiny(name, layers=2)).eval().double()
    table = torch.randn(60, 2, 4, dtype=torch.float64)
    segments, rows = np.array([[3, 30], [35, 60]]), np.array([10, 11, 29, 35, 50, 59])
    monkeypatch.setattr("encoders.streams.CHUNK", 7)
    parts = list(carried(encoder, table, segments, rows))
    assert np.concatenate([where for where, _ in parts]).tolist() == rows.tolist()
    found = torch.cat([embedding for _, embedding in parts])
    for index, row in enumerate(rows):
        state, start = None, 3 if row < 30 else 35
        with torch.no_grad():
            for bar in range(start, row + 1):
                hidden, state = encoder.stream(table[bar].unsqueeze(1), state)
        torch.testing.assert_close(found[index], hidden[:, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", STREAMING)
def test_a_stream_is_trained_stored_and_embedded(pieces: Pieces, name: str, tmp_path) -> None:
    checkpoint = pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny(name),
                          dataclasses.replace(STREAM, epochs=3), progress=False)
    assert checkpoint.context == "stream"
    assert checkpoint.scores["direction"] < checkpoint.scores["base_direction"] - 0.05
    again = type(checkpoint).load(checkpoint.save(tmp_path))
    assert again.context == "stream"
    found = embed(again, pieces.market)
    rows = pieces.market.decision_rows(WINDOW)
    assert np.isfinite(found.values[rows]).all()
    assert np.isnan(np.delete(found.values, rows, axis=0)).all()
    model = again.model()
    start, stop = pieces.market.segments[1]
    with torch.no_grad():
        hidden, _ = model.encoder.stream(torch.from_numpy(pieces.market.features[start:stop]).transpose(0, 1))
    np.testing.assert_allclose(found.values[stop - 1], hidden[:, -1], atol=1e-5)


def test_a_state_ends_its_gradient_and_keeps_its_values() -> None:
    x = torch.ones(2, requires_grad=True)
    state = [(x * 2, (x * 3, None))]
    ended = detached(state)
    assert isinstance(ended[0], tuple)
    assert not ended[0][0].requires_grad
    assert torch.equal(ended[0][1][0], torch.full((2,), 3.0))
    assert ended[0][1][1] is None


def test_pieces_cover_short_stretches_too() -> None:
    market = dataclasses.replace(Market.flat(40), segments=np.array([[0, 4], [5, 12], [12, 40]]))
    feed = StreamFeed(market, None, np.arange(4, 40), window=5, tbptt=4, carried=3, device="cpu")  # type: ignore[arg-type]
    for offset in range(12):
        covered = {bar for begin, end in feed.pieces(offset) for bar in range(begin + 4, end)}
        assert covered == {*range(9, 12), *range(16, 40)}
