"""Markets made from markets: what must stay true of them, whatever they were made from."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from configs.errors import UserError
from data.market import CLOSE, HIGH, LOW, OPEN, VOLUME, Market, hourly_times
from data.variants import by_asset, joined, perturbed, resampled
from envs.execution import CostConfig, quoted_spread
from envs.risk import trailing_volatility
from tests.envs.markets import random_market

PURE = {"resampled": lambda m, seed: resampled(m, seed, 12), "perturbed": lambda m, seed: perturbed(m, seed, 0.3, 0.1)}


def made(rows=300, assets=2, seed=0, segments=None, holes=False, spread=True):
    """A random walk with wicks; with `holes`, the second asset is listed late, gone for a while and then not ready."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (rows, assets)), axis=0))
    opens = np.vstack([np.full((1, assets), 100.0), close[:-1]]) * np.exp(rng.normal(0, 0.005, (rows, assets)))
    wick = np.exp(rng.exponential(0.005, (2, rows, assets)))
    prices = np.stack([opens, np.maximum(opens, close) * wick[0], np.minimum(opens, close) / wick[1], close,
                       rng.uniform(1, 9, (rows, assets))], axis=2)
    features = rng.normal(size=(rows, assets, 3)).astype(np.float32)
    absent = None
    if holes:
        absent = np.zeros((rows, assets), bool)
        absent[:60, 1] = absent[150:160, 1] = True
        prices[:50, 1] = prices[150:155, 1] = np.nan
        features[absent] = 0
    return Market(hourly_times(rows), tuple("ABCDEFG"[:assets]), prices, features, ("x", "y", "z"),
                  rng.normal(0, 1e-4, (rows, assets)), np.array([[0, rows]]) if segments is None else segments, 8760.0,
                  rng.uniform(0, 1e-3, (rows, assets)) if spread else None, absent)


def returns(market):
    return np.diff(np.log(market.prices[:, :, CLOSE]), axis=0)


def assert_bars_are_bars(market):
    opens, high, low, close = (market.prices[:, :, i] for i in (OPEN, HIGH, LOW, CLOSE))
    there = np.isfinite(close)
    assert (high >= np.maximum(opens, close))[there].all()
    assert (low <= np.minimum(opens, close))[there].all()
    assert (low > 0)[there].all()


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("name", PURE)
def test_a_seed_makes_one_market_and_leaves_the_old_one_alone(name, holes):
    market = made(holes=holes)
    before = market.fingerprint
    one, same, other = (PURE[name](market, seed) for seed in (1, 1, 2))
    assert one.fingerprint == same.fingerprint
    assert len({before, one.fingerprint, other.fingerprint}) == 3
    assert replace(market).fingerprint == before
    assert_bars_are_bars(one)
    assert (np.diff(one.time) > np.timedelta64(0)).all()
    assert {field.name for field in fields(market) if getattr(market, field.name) is None} == {
        field.name for field in fields(one) if getattr(one, field.name) is None}


def test_a_resampled_bar_is_a_bar_of_the_original_with_all_that_belongs_to_it():
    market = made(segments=np.array([[10, 100], [120, 300]]))
    drawn = resampled(market, 3, block=15)
    assert len(drawn) == len(market)
    assert drawn.segments.tolist() == [[0, 300]]
    # features are all different, so they say which row a bar was
    row_of = {market.features[row].tobytes(): row for row in range(len(market))}
    rows = np.array([row_of[drawn.features[row].tobytes()] for row in range(len(drawn))])
    allowed = {*range(11, 100), *range(121, 300)}  # the first row of a segment may have a gap before it
    assert set(rows) <= allowed
    assert len(set(rows)) > 120
    np.testing.assert_allclose(returns(drawn), returns(market)[rows[1:] - 1], atol=1e-12)
    for column in (OPEN, HIGH, LOW):
        np.testing.assert_allclose(drawn.prices[1:, :, column] / drawn.prices[:-1, :, CLOSE],
                                   market.prices[rows[1:], :, column] / market.prices[rows[1:] - 1, :, CLOSE])
    np.testing.assert_array_equal(drawn.carry, market.carry[rows])
    np.testing.assert_array_equal(drawn.spread, market.spread[rows])
    traded, was = (m.prices[:, :, VOLUME] * m.prices[:, :, CLOSE] for m in (drawn, market))
    np.testing.assert_allclose(traded, was[rows])
    # joints are where rows do not follow one another; without join, segments end there and nowhere else in the main
    jumps = {int(row) for row in np.flatnonzero(np.diff(rows) != 1) + 1}
    cut = resampled(market, 3, block=15, join=False)
    np.testing.assert_array_equal(cut.prices, drawn.prices)
    assert jumps <= set(cut.segments[1:, 0].tolist())
    assert cut.segments[0, 0] == 0
    assert cut.segments[-1, 1] == 300
    assert all(a[1] == b[0] for a, b in pairwise(cut.segments))
    for row in cut.decision_rows(4):  # every window has been seen
        assert np.diff(rows[row - 3 : row + 1]).tolist() == [1, 1, 1]


def test_blocks_last_as_long_as_asked_in_the_mean():
    market = made(rows=20_000, assets=1)
    for mean in (1, 20, 100):
        joints = len(resampled(market, 0, mean, join=False).segments)
        assert joints == pytest.approx(20_000 / mean, rel=0.15)


def test_each_row_is_drawn_about_as_often_as_another():
    market = made(rows=50, assets=1)
    row_of = {market.features[row].tobytes(): row for row in range(50)}
    count = np.zeros(50)
    for seed in range(400):
        drawn = resampled(market, seed, block=3)
        np.add.at(count, [row_of[features.tobytes()] for features in drawn.features], 1)
    assert count[0] == 0
    assert count[10:].min() > 0.8 * 400 * 50 / 49  # the first rows of a segment are reached by fewer blocks


def test_an_absent_asset_stays_absent_with_its_bar():
    market = made(holes=True)
    drawn = resampled(market, 0, block=30)
    assert drawn.absent.any()
    assert np.isnan(drawn.prices[:, 1, CLOSE]).any()
    there = np.isfinite(drawn.prices[:, 1, CLOSE])
    assert (drawn.absent[:, 1] >= ~there).all()
    moves = np.log(drawn.prices[there, 1, CLOSE][1:] / drawn.prices[there, 1, CLOSE][:-1])
    held = market.prices[np.isfinite(market.prices[:, 1, CLOSE]), 1]
    known = [*np.diff(np.log(held[:, CLOSE])), np.log(held[0, CLOSE] / held[0, OPEN])]
    assert np.abs(moves[:, None] - np.array(known)[None]).min(axis=1).max() < 1e-12


def test_noise_is_of_the_size_asked_for_and_none_is_none():
    market = made(rows=5_000)
    noisy = perturbed(market, 0, price_noise=0.5, feature_noise=0.1)
    usual = np.sqrt((returns(market) ** 2).mean(axis=0))
    np.testing.assert_allclose((returns(noisy) - returns(market)).std(axis=0), 0.5 * usual, rtol=0.05)
    assert (noisy.features - market.features).std() == pytest.approx(0.1, rel=0.02)
    np.testing.assert_allclose(noisy.prices[1:, :, OPEN] / noisy.prices[:-1, :, CLOSE],
                               market.prices[1:, :, OPEN] / market.prices[:-1, :, CLOSE])
    assert perturbed(market, 0).fingerprint == market.fingerprint
    only = perturbed(market, 0, feature_noise=0.1)
    np.testing.assert_array_equal(only.prices, market.prices)


def test_noise_leaves_an_absent_asset_silent():
    market = made(holes=True)
    noisy = perturbed(market, 0, 0.5, 0.5)
    assert (noisy.features[market.absent] == 0).all()
    np.testing.assert_array_equal(np.isnan(noisy.prices), np.isnan(market.prices))


def test_joined_markets_stay_what_they_were_but_for_the_year():
    a, b, c = made(100, seed=1), made(50, seed=2, holes=True, segments=np.array([[0, 20], [25, 50]])), made(70, seed=3)
    later = replace(c, time=c.time + np.timedelta64(400, "D"))
    whole, parts = joined([a, b, later])
    assert [part.stop - part.start for part in parts] == [100, 50, 70]
    assert whole.segments.tolist() == [[0, 100], [100, 120], [125, 150], [150, 220]]
    for market, part in zip((a, b, later), parts):
        again = whole.slice(part)
        shift = again.time - market.time
        assert len(set(shift)) == 1
        assert shift[0] % np.timedelta64(7, "D") == np.timedelta64(0)
        np.testing.assert_array_equal(again.prices, market.prices)
        np.testing.assert_array_equal(again.features, market.features)
        np.testing.assert_array_equal(again.carry, market.carry)
        np.testing.assert_array_equal(again.spread, market.spread)
        assert again.segments.tolist() == market.segments.tolist()
        expected = np.zeros((len(market), 2), bool) if market.absent is None else market.absent
        np.testing.assert_array_equal(again.absent, expected)
    assert whole.time[150] == later.time[0]  # it came later as it was
    assert joined([a])[0].fingerprint == a.fingerprint
    unknown = joined([a, made(50, spread=False)])[0].spread
    assert np.isnan(unknown[100:]).all()
    np.testing.assert_array_equal(unknown[:100], a.spread)


@pytest.mark.parametrize(("other", "message"), [
    (made(50, assets=3), "assets, found 2 and 3"),
    (replace(made(50), columns=("x", "y", "w")), "columns"),
    (replace(made(50), bars_per_year=365.0), "bars_per_year"),
])
def test_what_does_not_fit_is_not_joined(other, message):
    with pytest.raises(UserError, match=message):
        joined([made(50), other])


def test_each_asset_becomes_a_market_without_holes():
    market = made(holes=True, segments=np.array([[0, 200], [200, 290]]))
    whole, parts = by_asset(market)
    assert whole.assets == ("A+B",)
    assert whole.absent is None
    assert len(whole) == 300 + 300 - 55
    np.testing.assert_array_equal(whole.prices[parts[0]], market.prices[:, :1])
    second = whole.slice(parts[1])
    there = np.isfinite(market.prices[:, 1, CLOSE])
    np.testing.assert_array_equal(second.prices, market.prices[there, 1:])
    # listed on 50, ready from 60, no bar on 150 to 154, ready again from 160; a gap before 200, the end at 290
    assert second.segments.tolist() == [[10, 100], [105, 145], [145, 235]]
    assert np.isnan(second.features[100:105]).all()
    np.testing.assert_array_equal(second.features[10:100], market.features[60:150, 1:])
    np.testing.assert_array_equal(second.spread, market.spread[there, 1:])


def test_an_asset_that_was_never_there_has_no_rows():
    whole, parts = by_asset(made(holes=True).slice(slice(0, 40)))
    assert parts == [slice(0, 40), slice(40, 40)]
    assert len(whole) == 40


def test_what_makes_no_sense_is_refused_in_words():
    with pytest.raises(UserError, match="at least 1 bar long, found 0"):
        resampled(made(), 0, 0)
    with pytest.raises(UserError, match="nothing to resample"):
        resampled(replace(made(), segments=np.array([[3, 4]])), 0, 5)
    with pytest.raises(UserError, match="no markets to join"):
        joined([])
    for wrong in ((-0.1, 0.0), (0.0, -0.1), (np.nan, 0.0)):
        with pytest.raises(UserError, match="noise must be at least 0"):
            perturbed(made(), 0, *wrong)


def test_what_a_joined_market_trails_does_not_reach_into_the_one_before():
    """Volatility and spread of a calm market behind a wild and dear one are those that it has alone."""
    wild, calm = random_market(400, seed=1, scale=0.05), random_market(300, seed=2, scale=0.001)
    calm = replace(calm, prices=calm.prices * 0.01)
    market, parts = joined([wild, calm])
    assert market.parts == parts
    assert market.slice(slice(350, 500)).parts == [slice(0, 50), slice(50, 150)]
    costs = CostConfig(spread="range")
    for of in (lambda m: trailing_volatility(m, 100), lambda m: quoted_spread(m, costs)):
        np.testing.assert_array_equal(of(market)[parts[1]], of(calm))
        np.testing.assert_array_equal(of(market)[parts[0]], of(wild))
    again = joined([market, wild])[0]
    assert again.parts == [slice(0, 400), slice(400, 700), slice(700, 1100)]
