"""Assets look at those they move with, and at no one who is not there."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from configs.errors import UserError
from data.market import Market, hourly_times
from encoders import ENCODERS
from encoders.base import make_encoder
from encoders.graph import SHARED_BARS, Graph, linked
from tests.encoders.planted import tiny

torch.set_num_threads(1)
ASSETS = ("A", "B", "C", "D")


def market_of(returns: np.ndarray, segments: list[list[int]] | None = None, absent: np.ndarray | None = None) -> Market:
    rows, assets = returns.shape
    close = 100 * np.exp(0.01 * np.cumsum(returns, axis=0))
    prices = np.repeat(close[:, :, None], 5, axis=2)
    if absent is not None:
        prices[absent] = np.nan
    return Market(hourly_times(rows), ASSETS[:assets], prices, np.zeros((rows, assets, 1), np.float32), ("nothing",),
                  np.zeros((rows, assets)), np.array(segments or [[0, rows]]), 8760.0, absent=absent)


def moving(rows: int = 600) -> np.ndarray:
    """A and B move together, C against them, D by itself."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(rows, 1)), rng.normal(size=(rows, 4))
    return shared * np.array([1.0, 1.0, -1.0, 0.0]) + 0.7 * own


KNOWN = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], bool)


def graph(assets: int = 4, **changes: object) -> Graph:
    torch.manual_seed(0)
    return make_encoder(5, tiny("graph", layers=2, **changes), assets).eval()


def windows(assets: int = 4) -> Tensor:
    return torch.randn(3, assets, 11, 5, generator=torch.Generator().manual_seed(1))


def test_links_are_who_moves_together() -> None:
    market, rows = market_of(moving()), np.arange(600)
    assert (linked(market, rows, 0.3) == KNOWN).all()
    assert (linked(market, rows, 0.9) == np.eye(4, dtype=bool)).all()
    assert linked(market, rows, 0.0).all()


def test_only_training_rows_and_whole_segments_are_looked_at() -> None:
    returns = moving()
    returns[400:] = np.random.default_rng(1).normal(size=(200, 1))  # all as one, but after the training rows
    returns[200] = 500.0  # the jump over a gap, which would link everything
    market = market_of(returns, segments=[[0, 200], [200, 600]])
    assert (linked(market, np.arange(400), 0.3) == KNOWN).all()
    assert not (linked(market, np.arange(600), 0.3) == KNOWN).all()
    assert linked(market_of(returns), np.arange(400), 0.3).all()


def test_assets_are_compared_where_both_are_there() -> None:
    absent = np.zeros((600, 4), bool)
    absent[:300, 1] = True
    absent[SHARED_BARS - 20 :, 2] = True
    wanted = KNOWN.copy()
    wanted[2, :2] = wanted[:2, 2] = False  # too few bars together, or none
    assert (linked(market_of(moving(), absent=absent), np.arange(600), 0.3) == wanted).all()


def test_links_are_stored_with_the_weights(tmp_path: Path) -> None:
    encoder = graph()
    assert torch.equal(encoder.edges, torch.eye(4, dtype=torch.bool))
    encoder.prepare(market_of(moving()), np.arange(600))
    assert torch.equal(encoder.edges, torch.from_numpy(KNOWN))
    safetensors.torch.save_file(encoder.state_dict(), tmp_path / "weights")
    with torch.device("meta"):
        shell = graph()
    shell.load_state_dict(safetensors.torch.load_file(tmp_path / "weights"), assign=True)
    assert torch.equal(shell.encode(windows()), encoder.encode(windows()))


def test_who_is_linked_counts_and_who_is_not_does_not() -> None:
    encoder = graph()
    encoder.prepare(market_of(moving()), np.arange(600))
    x = windows()
    base = encoder.encode(x)
    for asset, touched in ((0, [True, True, True, False]), (3, [False, False, False, True])):
        other = x.clone()
        other[:, asset] += 1
        changed = (encoder.encode(other) != base).any(-1)  # (B, N)
        assert (changed == torch.tensor(touched)).all()


def test_an_absent_asset_tells_the_others_nothing() -> None:
    encoder = graph()
    encoder.edges.fill_(True)
    x = windows()
    x[1, 2, -1] = 0.0  # absent on the bar of the decision, whatever it was before
    other = x.clone()
    other[1, 2, :-1] += 3
    found, again = encoder.encode(x), encoder.encode(other)
    assert torch.isfinite(found).all()
    assert torch.equal(found[:, [0, 1, 3]], again[:, [0, 1, 3]])
    assert not torch.equal(found[1, 2], again[1, 2])
    other[1, 2, -1] = 1e-3  # there again
    assert not torch.equal(encoder.encode(other)[1, 0], found[1, 0])


def test_the_order_of_assets_does_not_matter() -> None:
    encoder = graph()
    encoder.prepare(market_of(moving()), np.arange(600))
    order = [2, 0, 3, 1]
    x = windows()
    wanted = encoder.encode(x)[:, order]
    encoder.edges.copy_(encoder.edges[order][:, order])
    torch.testing.assert_close(encoder.encode(x[:, order]), wanted, rtol=0, atol=1e-6)
    encoder.edges.copy_(torch.from_numpy(KNOWN))  # with the links in the old order it does
    assert not torch.allclose(encoder.encode(x[:, order]), wanted, atol=1e-3)


@pytest.mark.parametrize("over", [name for name in ENCODERS if name != "graph"])
def test_it_stands_on_every_encoder(over: str) -> None:
    encoder = graph(over=over, over_layers=2)
    encoder.edges.fill_(True)
    assert encoder.encode(windows()).shape == (3, 4, 16)
    assert type(encoder.inner) is type(make_encoder(5, tiny(over)))


def test_one_asset_and_fifty() -> None:
    assert graph(assets=1).encode(windows(1)).shape == (3, 1, 16)
    many = graph(assets=50)
    many.edges.fill_(True)
    assert torch.isfinite(many.encode(windows(50))).all()


def test_assets_that_are_not_those_of_the_training_are_refused() -> None:
    with pytest.raises(UserError, match="graph encoder of 4 assets was given 3"):
        graph().encode(windows(3))


def test_a_graph_learns_from_its_neighbour() -> None:
    """What A's window holds leads B: without links nothing can be learnt, with them nearly all."""
    make = torch.Generator().manual_seed(2)
    left = {}
    for joined in (True, False):
        encoder = graph(assets=2, dropout=0.0, width=8, over_layers=1)
        encoder.edges.fill_(joined) if joined else None
        optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-2)
        for _ in range(100):
            x = torch.randn(64, 2, 3, 5, generator=make)
            error = (encoder.encode(x)[:, 1, 0] - x[:, 0, -1, 0]).square().mean()
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
        left[joined] = float(error.detach())
    assert left[True] < 0.3 < 0.7 < left[False]


def test_the_config_is_that_of_the_inner_encoder() -> None:
    config = tiny("graph", over="gru", over_layers=3, input_dropout=0.4)
    encoder = make_encoder(5, config)
    assert encoder.inner.layers.num_layers == 3
    assert (encoder.hide_features.share, encoder.inner.hide_features.share) == (0.4, 0.0)
    assert dataclasses.replace(config, link=0.5).link == 0.5
