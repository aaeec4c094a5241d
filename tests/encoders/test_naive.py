"""Naive forecasters: nothing of the future, known answers, and the places where prices break off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from data.labels import DOWN, FLAT, UP, LabelConfig, Labels, make_labels
from data.market import Market, hourly_times
from data.returns import returns_of
from encoders.forecast import Forecast
from encoders.naive import NAIVE, calling, fit_naive
from encoders.naive_lessons import Lessons
from encoders.naive_volatility import EwmaVolatility, HarVolatility, LastVolatility, Regression, smoothed, trailing_mean
from encoders.score_table import ScoreTable, score_table

SHORT = LabelConfig(horizon=4, volatility_window=24)
RULES = ("last volatility", "ewma volatility", "har volatility")


def market_of(returns: np.ndarray, segments=None, names: str = "ABC", **more) -> Market:
    """Hourly closes that make these log returns (T, N) or (T,); the first has no bar before it."""
    returns = returns[:, None] if returns.ndim == 1 else returns
    close = 100 * np.exp(np.cumsum(returns, axis=0))
    rows, assets = close.shape
    segments = np.array([[0, rows]] if segments is None else segments)
    return Market(hourly_times(rows), tuple(names[:assets]), np.repeat(close[:, :, None], 5, axis=2),
                  np.zeros((rows, assets, 1), np.float32), ("nothing",), np.zeros((rows, assets)), segments, 8760.0,
                  **more)


def labelled(market: Market, config: LabelConfig = SHORT) -> Labels:
    return make_labels(market.prices, market.segments, config, market.absent)


def fitted(market: Market, rows: slice, config: LabelConfig = SHORT):
    labels = labelled(market, config)
    known = (labels.direction >= 0).any(axis=1)
    taught = np.arange(len(market))[rows]
    return fit_naive(market, labels, taught[known[taught]], config)


def scored(market: Market, split: int, config: LabelConfig = SHORT) -> ScoreTable:
    """What naive forecasters fitted before row `split` score after it."""
    said = {name: one.forecast(market) for name, one in fitted(market, slice(2, split), config).items()}
    labels = labelled(market, config)
    rows = np.arange(split + config.reach, len(market))
    return score_table(said, labels, rows[labels.known[rows]], BootstrapConfig(draws=100))


def varying(rows: int, persistence: float, spread: float, seed: int = 0, assets: int = 1) -> np.ndarray:
    """Returns whose log variance is an autoregression of the first order."""
    rng = np.random.default_rng(seed)
    shocks = rng.normal(size=(rows, assets)) * spread * np.sqrt(1 - persistence**2)
    log_variance = np.zeros((rows, assets))
    for t in range(1, rows):
        log_variance[t] = persistence * log_variance[t - 1] + shocks[t]
    return 0.01 * np.exp(log_variance / 2) * rng.normal(size=(rows, assets))


def parts_of(said: Forecast) -> np.ndarray:
    return np.concatenate([said.direction, said.quantiles, said.volatility[..., None]], axis=-1)


@pytest.fixture(scope="module")
def broken() -> Market:
    """Two assets, a warm-up, a gap of a day, and one asset that comes late."""
    market = market_of(varying(900, 0.95, 1.0, assets=2), [[30, 400], [401, 900]])
    market.time[400:] += np.timedelta64(1, "D")
    absent = np.zeros((900, 2), bool)
    absent[:200, 1] = True
    market.prices[:150, 1] = np.nan
    return replace(market, absent=absent)


@pytest.mark.parametrize("cut", [40, 180, 399, 401, 700])
@pytest.mark.parametrize("kind", ["jump", "noise"])
def test_nothing_is_known_of_what_comes_after(broken, cut, kind):
    naive = fitted(broken, slice(0, 600))
    late = broken.prices.copy()
    rng = np.random.default_rng(0)
    late[cut + 1 :] *= 3.0 if kind == "jump" else np.exp(rng.normal(0, 0.3, (899 - cut, 2, 1)))
    changed = replace(broken, prices=late)
    for name, one in naive.items():
        before, after = parts_of(one.forecast(broken)), parts_of(one.forecast(changed))
        np.testing.assert_array_equal(before[: cut + 1], after[: cut + 1], err_msg=name)
        if kind == "noise" and (name in RULES or name.endswith("sign")):  # a jump at the gap is rightly not seen
            moved = ~np.isclose(before[cut + 1 :], after[cut + 1 :], equal_nan=True)
            assert moved.any(), f"{name} does not look at prices at all"


def test_what_is_fitted_knows_training_rows_and_their_labels_alone(broken):
    late = broken.prices.copy()
    late[600 + SHORT.reach :] *= np.exp(np.random.default_rng(0).normal(0, 0.3, (300 - SHORT.reach, 2, 1)))
    changed = replace(broken, prices=late)
    for name, one in fitted(broken, slice(0, 600)).items():
        other = fitted(changed, slice(0, 600))[name]
        np.testing.assert_array_equal(parts_of(one.forecast(broken)), parts_of(other.forecast(broken)), err_msg=name)
    late[600:] = broken.prices[600:] * 1.5
    moved = fitted(replace(broken, prices=late), slice(0, 600))["base rates"].forecast(broken)
    assert (moved.quantiles[300] != fitted(broken, slice(0, 600))["base rates"].forecast(broken).quantiles[300]).any()


def test_forecasts_are_where_a_decision_and_a_return_are(broken):
    wanted = np.zeros((900, 2), bool)
    wanted[30:400], wanted[401:] = True, True  # row 400 comes after the gap, and is what row 401 is measured from
    wanted[:200, 1] = False
    for name, one in fitted(broken, slice(0, 600)).items():
        np.testing.assert_array_equal(~np.isnan(one.forecast(broken).volatility), wanted, err_msg=name)


def test_no_return_is_taken_across_a_gap_or_from_another_market():
    returns = np.full(10, 0.01)
    market = market_of(returns, [[0, 4], [4, 10]])
    market.time[4:] += np.timedelta64(3, "h")
    found = returns_of(market)[:, 0]
    assert np.flatnonzero(np.isnan(found)).tolist() == [0, 4]
    np.testing.assert_allclose(found[[1, 3, 5, 9]], 0.01)
    # rows that lie outside every segment still follow one another; a segment passes a short gap over
    assert np.flatnonzero(np.isnan(returns_of(replace(market, segments=np.array([[6, 10]])))[:, 0])).tolist() == [0, 4]
    assert np.flatnonzero(np.isnan(returns_of(replace(market, segments=np.array([[0, 10]])))[:, 0])).tolist() == [0]
    joined = replace(market_of(returns, [[0, 7], [7, 10]]), begins=np.array([7]))
    assert np.flatnonzero(np.isnan(returns_of(joined)[:, 0])).tolist() == [0, 7]


def test_a_market_that_begins_knows_nothing_of_the_one_before():
    calm, wild = np.random.default_rng(0).normal(size=(2, 300)) * [[0.001], [0.05]]
    naive = fitted(market_of(calm), slice(2, 250))
    alone = market_of(calm)
    for first in (calm, wild):
        joined = replace(market_of(np.concatenate([first, calm]), [[0, 300], [300, 600]]), begins=np.array([300]))
        for name in RULES:
            np.testing.assert_allclose(naive[name].forecast(joined).volatility[300:],
                                       naive[name].forecast(alone).volatility, rtol=1e-9, err_msg=name)


def test_base_rates_by_hand():
    """Ten rows teach of each asset; the second moves three times as far, and its numbers are its own."""
    rng = np.random.default_rng(1)
    market = market_of(rng.normal(size=(200, 2)) * [0.01, 0.03])
    labels = labelled(market)
    rows = np.arange(50, 60)
    said = fit_naive(market, labels, rows, SHORT)["base rates"].forecast(market)
    for n in range(2):
        counts = np.bincount(labels.direction[rows, n], minlength=3) + 1
        np.testing.assert_allclose(said.direction[100, n], counts / 13)
        np.testing.assert_allclose(said.quantiles[100, n], np.quantile(labels.forward[rows, n], [0.1, 0.5, 0.9]))
        assert said.volatility[100, n] == pytest.approx(np.sqrt(np.mean(labels.volatility[rows, n] ** 2.0)))
    assert said.volatility[100, 1] > 1.5 * said.volatility[100, 0]


def test_an_asset_without_training_rows_takes_the_numbers_of_all():
    market = market_of(np.random.default_rng(1).normal(size=(400, 2)) * [0.01, 0.03])
    absent = np.zeros((400, 2), bool)
    absent[:250, 1] = True
    market = replace(market, absent=absent)
    said = fitted(market, slice(2, 200))
    for name in NAIVE:
        one = said[name].forecast(market)
        assert np.isnan(one.volatility[:250, 1]).all()
        assert np.isfinite(one.volatility[250:, 1]).all()
    rates = said["base rates"].forecast(market)
    np.testing.assert_array_equal(rates.quantiles[300, 0], rates.quantiles[300, 1])


def test_zero_return_is_the_same_on_both_sides():
    said = fitted(market_of(0.002 + varying(500, 0.9, 0.5)[:, 0]), slice(2, 400))["zero return"].forecast(
        market_of(np.zeros(20)))
    low, middle, high = said.quantiles[10, 0]
    assert (middle, low) == (0, -high)
    assert high > 0
    assert said.direction[10, 0, DOWN] == said.direction[10, 0, UP]


def test_a_rule_calls_what_it_says_and_pays_for_it():
    assert calling(np.array([0.2, 0.3, 0.5]), UP) == pytest.approx([0.2, 0.3, 0.5], abs=1e-5)
    assert calling(np.array([0.5, 0.4, 0.1]), UP) == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=1e-5)
    assert calling(np.array([0.6, 0.1, 0.3]), UP) == pytest.approx([0.45, 0.1, 0.45], abs=1e-5)
    assert calling(np.array([0.1, 0.6, 0.3]), UP) == pytest.approx([0.1, 0.45, 0.45], abs=1e-5)
    for chances in np.random.default_rng(0).dirichlet(np.ones(3), 50):
        for call in (DOWN, FLAT, UP):
            found = calling(chances, call)
            assert found.argmax() == call
            assert found.sum() == pytest.approx(1)


def test_signs_are_called_with_the_chances_they_had():
    """A market that bounces: after an up bar 70 % of the next are down."""
    rng = np.random.default_rng(0)
    signs = np.cumprod(np.where(rng.random(6000) < 0.7, -1, 1))
    config = LabelConfig(horizon=1, flat_band=0.0, volatility_window=24)
    market = market_of(0.01 * signs * rng.uniform(0.5, 1.5, 6000))
    said = {name: one.forecast(market) for name, one in fitted(market, slice(2, 3000), config).items()}
    last = np.where(signs > 0, UP, DOWN)[1:]
    np.testing.assert_array_equal(said["last sign"].direction[1:, 0].argmax(-1), last)
    np.testing.assert_array_equal(said["reversed sign"].direction[1:, 0].argmax(-1), UP - last)
    assert (said["always up"].direction[1:, 0].argmax(-1) == UP).all()
    reversed_sign = said["reversed sign"].direction[1:, 0]
    assert reversed_sign.max(axis=-1) == pytest.approx(0.7, abs=0.03)
    table = scored(market, 3000, config)
    assert table.score("reversed sign", "hit_rate").value == pytest.approx(0.7, abs=0.03)
    assert table.score("last sign", "hit_rate").value == pytest.approx(
        1 - table.score("reversed sign", "hit_rate").value)
    assert table.differences("log_loss", "base rates").loc["reversed sign", "high"] < -0.03
    assert table.score("last sign", "log_loss").value == pytest.approx(np.log(2), abs=0.02)  # it pays no more than that


def test_constant_volatility_is_forecast_to_the_digit():
    signs = np.where(np.random.default_rng(0).random(1500) < 0.5, -1, 1)
    market = market_of(0.01 * signs)
    for name in RULES:
        said = fitted(market, slice(2, 1000))[name].forecast(market)
        np.testing.assert_allclose(said.volatility[1:], 0.01, rtol=1e-6, err_msg=name)
    table = scored(market, 1000)
    assert table.score("har volatility", "qlike").value == pytest.approx(0, abs=1e-9)


def test_har_beats_the_rest_where_log_variance_is_an_autoregression():
    table = scored(market_of(varying(8000, 0.985, 1.2)), 5000)
    gaps = table.differences("qlike", "har volatility")
    assert (gaps.loc[["last volatility", "ewma volatility", "base rates"], "low"] > 0).all()
    assert (table.differences("pinball", "har volatility").loc[["last volatility", "base rates"], "low"] > 0).all()
    assert table.score("har volatility", "coverage").value == pytest.approx(0.8, abs=0.04)


def test_a_garch_market_is_read_by_all_three_and_best_by_long_memories():
    rng = np.random.default_rng(0)
    noise, returns, variance = rng.normal(size=8000), np.zeros(8000), 1e-4
    truth = np.zeros(8000)
    for t in range(8000):
        truth[t] = variance
        returns[t] = np.sqrt(variance) * noise[t]
        variance = 1e-6 + 0.08 * returns[t] ** 2 + 0.91 * variance  # the mean is 1e-4
    table = scored(market_of(returns), 5000)
    score = {name: table.score(name, "qlike").value for name in (*RULES, "base rates")}
    assert max(score["ewma volatility"], score["har volatility"]) < min(score["base rates"], score["last volatility"])
    ewma = fitted(market_of(returns), slice(2, 5000))["ewma volatility"]
    assert ewma.decay in (0.9, 0.94, 0.97)
    said = ewma.forecast(market_of(returns)).volatility[5000:, 0]
    assert np.corrcoef(np.log(said[:-1] ** 2), np.log(truth[5001:]))[0, 1] > 0.85


def test_what_is_fitted_has_the_level_of_training_rows():
    market = market_of(varying(3000, 0.95, 1.0, assets=2) * [1.0, 10.0])
    labels = labelled(market)
    rows = np.arange(50, 2900)
    said = fit_naive(market, labels, rows, SHORT)["har volatility"].forecast(market)
    ratio = labels.volatility[rows] ** 2.0 / said.volatility[rows] ** 2
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(ratio.mean(axis=0), 1, atol=0.1)  # of an asset that moves ten times as far, too


def test_the_better_form_of_the_regression_is_found():
    past = np.random.default_rng(0).uniform(0.1, 4, (500, 2))
    in_levels, in_logs = 0.2 + past @ [0.3, 0.5], np.exp(0.1 + np.log(past + 1e-3) @ [0.3, 0.5])
    for came, logs in ((in_levels, False), (in_logs, True)):
        exact = Regression.fit(past, came, logs).said(past)
        np.testing.assert_allclose(exact, came, rtol=0.01)
        assert np.abs(Regression.fit(past, came, not logs).said(past) - came).max() > 0.05
    steep = Regression.fit(np.array([[1.0], [2.0], [3.0]]), np.array([0.0, 0.0, 1.0]), logs=False)
    assert steep.said(np.array([[-9.0]])) > 0  # a line that leads below zero is not followed


def test_days_are_counted_by_the_market_and_short_labels_have_their_own_length():
    market = market_of(varying(900, 0.9, 0.5))
    daily = replace(market, bars_per_year=365.0, time=market.time[0] + np.arange(900) * np.timedelta64(1, "D"))
    long = LabelConfig(horizon=90, threshold=0.05, volatility_horizon=30)
    assert fitted(market, slice(2, 800))["har volatility"].bars == (4, 24, 168, 720)
    assert fitted(daily, slice(2, 800), long)["har volatility"].bars == (1, 7, 30)
    said = fitted(daily, slice(2, 800), long)
    assert said["last volatility"].bars == 30
    assert np.isfinite(parts_of(said["har volatility"].forecast(daily))[1:]).all()


def test_the_trailing_mean_starts_from_what_is_usual():
    squares = np.random.default_rng(0).random((50, 2))
    padded = np.concatenate([np.ones((7, 2)), squares])
    np.testing.assert_allclose(trailing_mean(squares, 7), [padded[t + 1 : t + 8].mean(axis=0) for t in range(50)])
    plain = np.ones(2)
    for square, found in zip(squares, smoothed(squares, 0.9)):
        plain = 0.9 * plain + 0.1 * square
        np.testing.assert_allclose(found, plain)


def test_rules_by_hand():
    """Last volatility of two bars: quantiles are those of return over volatility said, times the volatility now."""
    market = market_of(varying(300, 0.9, 1.0))
    config = LabelConfig(horizon=2, volatility_window=24)
    labels = labelled(market, config)
    rows = np.arange(30, 200)
    said = LastVolatility(Lessons.read(market, labels, rows, config)).forecast(market)
    r = returns_of(market)[:, 0]
    volatility = np.sqrt((r[1:] ** 2 + r[:-1] ** 2) / 2)  # of rows 1 on
    np.testing.assert_allclose(said.volatility[2:, 0], np.maximum(volatility[1:], said.volatility[2:, 0].min()))
    multiples = labels.forward[rows, 0] / said.volatility[rows, 0]
    np.testing.assert_allclose(said.quantiles[250, 0],
                               np.quantile(multiples, [0.1, 0.5, 0.9]) * said.volatility[250, 0])
    band = 0.25 * np.sqrt(np.mean(r[250 - 23 : 251] ** 2) * 2) / said.volatility[250, 0]
    counts = 1 + np.array([(multiples < -band).sum(), (np.abs(multiples) <= band).sum(), (multiples > band).sum()])
    np.testing.assert_allclose(said.direction[250, 0], counts / counts.sum())


def test_a_fixed_threshold_is_rarely_passed_in_a_calm():
    returns = np.random.default_rng(0).normal(size=2000) * np.repeat([0.002, 0.02, 0.002, 0.02], 500)
    market = market_of(returns)
    config = LabelConfig(horizon=4, threshold=0.02)
    for name in RULES:
        said = fitted(market, slice(2, 1000), config)[name].forecast(market)
        assert said.direction[1300:1450, 0, FLAT].mean() > 0.9
        assert said.direction[1800:1950, 0, FLAT].mean() < 0.5
    table = scored(market, 1000, config)
    assert table.differences("log_loss", "base rates").loc["har volatility", "high"] < -0.1


def test_a_market_that_never_moves_is_forecast_without_a_fuss():
    market = market_of(np.zeros(200))
    for one in fitted(market, slice(2, 150)).values():
        said = one.forecast(market)
        assert said.known[1:].all()
        np.testing.assert_allclose(said.volatility[1:], 0, atol=1e-7)


def test_the_decay_with_the_least_loss_is_taken():
    calm = market_of(np.random.default_rng(0).normal(size=3000) * 0.01)
    restless = market_of(varying(3000, 0.97, 2.0)[:, 0])
    assert fitted(calm, slice(2, 2900))["ewma volatility"].decay > 0.99
    assert fitted(restless, slice(2, 2900))["ewma volatility"].decay < 0.95


def test_refusals():
    market = market_of(varying(100, 0.9, 0.5))
    labels = labelled(market)
    with pytest.raises(UserError, match="none of 3 training rows has a label"):
        fit_naive(market, labels, np.array([97, 98, 99]), SHORT)
    other = replace(market, assets=("B",))
    for one in fit_naive(market, labels, np.arange(5, 80), SHORT).values():
        with pytest.raises(UserError, match="fitted on A, the market holds B"):
            one.forecast(other)


def test_the_table_names_them_all():
    market = market_of(varying(100, 0.9, 0.5))
    assert list(fitted(market, slice(2, 90))) == list(NAIVE)
    assert {LastVolatility, EwmaVolatility, HarVolatility} < set(NAIVE.values())
