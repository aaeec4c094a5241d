"""`Market`, labels, splits and scaling: checked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from data.labels import DOWN, FLAT, UNKNOWN, UP, LabelConfig, make_labels
from data.market import CLOSE, Market
from data.scaling import Scaler
from data.splits import SplitConfig, chronological


def spoilt(market, name, place, value):
    array = getattr(market, name).copy()
    array[place] = value
    return replace(market, **{name: array})


@pytest.mark.parametrize(("name", "place", "value", "message"), [
    ("prices", (3, 0, 1), np.nan, "row 3"),
    ("prices", (3, 0, 1), 0.0, "row 3"),
    ("prices", (3, 0, 4), np.inf, "row 3"),
    ("features", (5, 0, 0), np.nan, "feature 'nothing' is not a number at row 5"),
    ("time", 4, np.datetime64("2020-01-01T01:00"), "times must rise: row 4"),
])
def test_a_market_says_what_is_wrong_with_it(name, place, value, message):
    with pytest.raises(UserError, match=message):
        spoilt(Market.flat(10), name, place, value)


@pytest.mark.parametrize("wrong", [
    {"bars_per_year": 0.0}, {"columns": ("a", "b")}, {"assets": ("A", "B")}, {"carry": np.zeros((3, 1))},
    {"prices": np.ones((9, 1, 5))},
])
def test_shapes_must_fit(wrong):
    with pytest.raises(UserError):
        replace(Market.flat(10), **wrong)


def test_features_outside_segments_may_be_missing():
    market = replace(Market.flat(10), segments=np.array([[2, 10]]))
    assert np.isnan(spoilt(market, "features", (slice(0, 2), 0, 0), np.nan).features[1, 0, 0])


def test_it_is_the_same_market_after_saving(tmp_path):
    market = replace(Market.flat(20, ("A", "B")), segments=np.array([[0, 5], [8, 20]]))
    market.save(tmp_path / "m.npz")
    loaded = Market.load(tmp_path / "m.npz")
    assert loaded.fingerprint == market.fingerprint
    assert loaded.assets == ("A", "B")
    assert spoilt(market, "prices", (7, 1, 3), 101.0).fingerprint != market.fingerprint


def with_holes():
    """Two assets, the second without a bar on rows 3 to 5 and with bars but no features on 6 and 7."""
    market = Market.flat(20, ("A", "B"))
    prices, features, absent = market.prices.copy(), np.ones_like(market.features), np.zeros((20, 2), bool)
    prices[3:6, 1] = np.nan
    absent[3:8, 1] = True
    features[absent] = 0
    return replace(market, prices=prices, features=features, absent=absent, spread=np.full((20, 2), 1e-4))


def test_an_asset_may_be_absent_and_a_spread_given(tmp_path):
    market = with_holes()
    market.save(tmp_path / "m.npz")
    loaded = Market.load(tmp_path / "m.npz")
    assert loaded.fingerprint == market.fingerprint
    np.testing.assert_array_equal(loaded.absent, market.absent)
    np.testing.assert_array_equal(loaded.spread, market.spread)
    part = market.slice(slice(4, 10))
    assert part.absent[:, 1].tolist() == [True] * 4 + [False] * 2
    assert part.spread.shape == (6, 2)
    assert np.isnan(spoilt(market, "spread", (0, 0), np.nan).spread[0, 0])  # a quote may be missing
    assert spoilt(market, "spread", (0, 0), 2e-4).fingerprint != market.fingerprint
    whole = Market.flat(20, ("A", "B"))
    assert len({whole.fingerprint, replace(whole, spread=np.zeros((20, 2))).fingerprint,
                replace(whole, absent=np.zeros((20, 2), bool)).fingerprint}) == 3


def test_what_a_market_without_holes_is_called_stays():
    assert Market.flat(50, ("A", "B")).fingerprint == "3234914ba23e1070"  # kept embeddings are looked up by it


@pytest.mark.parametrize(("name", "place", "value", "message"), [
    ("prices", (3, 1, 0), 100.0, "row 3"),  # part of a bar
    ("prices", (8, 1, 0), np.nan, "row 8"),  # no bar, and not absent
    ("prices", (6, 1, 0), -1.0, "row 6"),  # absent for want of features: its prices are prices
    ("features", (7, 1, 0), 0.5, "features must be 0 where an asset is absent, found 0.5"),
    ("spread", (9, 0), np.inf, "row 9"),
    ("spread", (9, 0), -1e-4, "spread must be a share, at least 0 and below 1, or NaN where it is unknown: row 9"),
    ("spread", (9, 0), 1.0, "row 9"),
])
def test_what_is_absent_is_absent_whole(name, place, value, message):
    with pytest.raises(UserError, match=message):
        spoilt(with_holes(), name, place, value)


@pytest.mark.parametrize("wrong", [{"absent": np.zeros((20, 2))}, {"absent": np.zeros((20, 1), bool)},
                                   {"spread": np.zeros((19, 2))}, {"spread": np.zeros((20, 2), bool)}])
def test_what_a_market_may_hold_has_its_shape_and_kind(wrong):
    with pytest.raises(UserError, match="must be None or"):
        replace(with_holes(), **wrong)


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_what_is_no_market_is_refused(tmp_path, content):
    path = tmp_path / "m.npz"
    if content:
        path.write_bytes(content)
    with pytest.raises(UserError, match="market"):
        Market.load(path)


def test_a_slice_keeps_its_gaps():
    market = replace(Market.flat(30), segments=np.array([[2, 10], [12, 30]]))
    part = market.slice(slice(8, 20))
    assert part.segments.tolist() == [[0, 2], [4, 12]]
    assert part.time[0] == market.time[8]
    assert market.slice(slice(10, 12)).segments.shape == (0, 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 8), st.integers(0, 60), st.integers(0, 60))
def test_no_window_crosses_a_gap(lengths, window, first, last):
    segments, start = [], 0
    for length in lengths:
        segments.append([start, start + length])
        start += length + 1
    market = replace(Market.flat(start + 1), segments=np.array(segments))
    rows = market.decision_rows(window, slice(first, last))
    expected = [t for a, b in segments for t in range(a + window - 1, b) if first <= t < last]
    assert rows.tolist() == expected
    assert all(len(market.window_at(t, window)) == window for t in rows)


def test_labels_by_hand():
    close = np.exp(np.array([0, 1, 0, 1, 4, 0, 0, 0.0]) / 100)[:, None]
    prices = np.repeat(close[:, :, None], 5, axis=2)
    labels = make_labels(prices, np.array([[0, 8]]), LabelConfig(horizon=2, flat_band=0.5, volatility_window=100))
    # rows 0 and 1 have less than two returns behind them, rows 6 and 7 less than two ahead
    np.testing.assert_allclose(labels.forward[:, 0] * 100, [np.nan, np.nan, 4, -1, -4, 0, np.nan, np.nan], atol=1e-5)
    np.testing.assert_allclose(labels.volatility[2:6, 0] * 100, np.sqrt([5, 12.5, 8, 0]), atol=1e-5)
    # usual sizes in percent: row 2 1.41, row 3 1.41, row 4 2.45; half of it is the band
    assert labels.direction[:, 0].tolist() == [UNKNOWN, UNKNOWN, UP, DOWN, DOWN, FLAT, UNKNOWN, UNKNOWN]
    assert labels.known.tolist() == [False, False, True, True, True, True, False, False]


def test_labels_stay_within_their_segment():
    rng = np.random.default_rng(0)
    prices = np.exp(np.cumsum(rng.normal(0, 0.01, (60, 1, 1)), axis=0)) * np.ones((1, 1, 5))
    segments = np.array([[0, 25], [30, 60]])
    config = LabelConfig(horizon=4)
    labels = make_labels(prices, segments, config)
    assert (labels.direction[21:32] == UNKNOWN).all()
    other = prices.copy()
    other[25:30] *= 7
    again = make_labels(other, segments, config)
    np.testing.assert_array_equal(labels.forward, again.forward)
    np.testing.assert_array_equal(labels.direction, again.direction)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 30), st.integers(900, 3_000))
def test_no_label_of_one_span_meets_a_window_of_the_next(horizon, window, embargo, rows):
    split = chronological(rows, horizon, window, SplitConfig(embargo=embargo))
    for before, after in ((split.train, split.valid), (split.valid, split.test)):
        last_label = before.stop - 1 + horizon
        first_window = after.start - (window - 1)
        assert first_window - last_label > embargo
    assert split.test.stop == rows


@pytest.mark.parametrize("wrong", [{"valid": 0.0}, {"test": 1.0}, {"valid": 0.6, "test": 0.5}, {"embargo": -1}])
def test_impossible_splits_are_refused(wrong):
    with pytest.raises(UserError):
        SplitConfig(**wrong)


def test_too_few_rows_are_refused():
    with pytest.raises(UserError, match="too few rows"):
        chronological(100, 24, 48, SplitConfig())


@pytest.mark.parametrize("wrong", [{"horizon": 0}, {"volatility_window": 1}, {"flat_band": -1.0}])
def test_impossible_labels_are_refused(wrong):
    with pytest.raises(UserError):
        LabelConfig(**wrong)


def test_a_scaler_looks_at_its_rows_alone_and_cuts_what_is_far():
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, (1_000, 2, 3))
    values[:, :, 2] = 1.0  # a constant column stays finite
    train = np.arange(600)
    scaler = Scaler.fit(values, ("a", "b", "c"), train, clip=4.0)
    assert scaler.center[:2] == pytest.approx([5, 5], abs=0.2)
    assert scaler.scale[:2] == pytest.approx([2, 2], abs=0.15)
    changed = values.copy()
    changed[600:] = 1e6
    again = Scaler.fit(changed, ("a", "b", "c"), train, clip=4.0)
    np.testing.assert_array_equal(scaler.center, again.center)
    np.testing.assert_array_equal(scaler.scale, again.scale)
    scaled = again.transform(changed)
    assert scaled.dtype == np.float32
    assert scaled.max() == 4.0
    assert (scaled[:600, :, 2] == 0).all()
    with pytest.raises(UserError, match="no training rows"):
        Scaler.fit(values, ("a", "b", "c"), train[:0])


def test_closes_are_where_they_are_said_to_be():
    assert Market.flat(3).prices[0, 0, CLOSE] == 100.0
