import dataclasses

import numpy as np
import pytest

from data.labels import LabelConfig, make_labels
from data.market import CLOSE, Market
from encoders.batches import in_units
from encoders.scale import DAYS, TargetScale, trailing
from tests.envs.markets import random_market

LABELS = LabelConfig(horizon=4)


def changing(rows: int = 6000, seed: int = 0, assets: int = 1) -> Market:
    """Volatility that stays for days: an AR(1) of its log, half-life 60 bars."""
    rng = np.random.default_rng(seed)
    logs = np.zeros(rows)
    for t in range(1, rows):
        logs[t] = 0.9885 * logs[t - 1] + 0.1 * rng.normal()
    market = random_market(rows, assets)
    returns = 0.01 * np.exp(logs)[:, None] * rng.normal(size=(rows, assets))
    close = 100 * np.exp(np.cumsum(returns, axis=0))
    return dataclasses.replace(market, prices=np.repeat(close[:, :, None], 5, axis=2))


def fit(market: Market, rows: np.ndarray) -> tuple[TargetScale, np.ndarray, np.ndarray]:
    labels = make_labels(market.prices, market.segments, LABELS)
    scale = TargetScale.fit(market, labels, rows)
    _, forward, volatility = in_units(market, labels, scale)
    return scale, forward, volatility


def test_targets_are_of_size_one_on_training_rows_and_later_ones_stay_near_it() -> None:
    market, rows = changing(), np.arange(200, 4000)
    scale, forward, volatility = fit(market, rows)
    assert forward[rows].std() == pytest.approx(1, abs=1e-3)
    assert np.sqrt(np.mean(volatility[rows] ** 2)) == pytest.approx(1, abs=1e-3)
    later = np.arange(4000, 5990)
    raw = make_labels(market.prices, market.segments, LABELS).volatility
    assert np.log(volatility[later]).std() < 0.8 * np.log(raw[later]).std()
    assert sum(scale.weights) == pytest.approx(1)


def test_a_market_twice_as_volatile_has_the_same_targets() -> None:
    market, rows = changing(), np.arange(200, 4000)
    close = market.prices[:, :, CLOSE]
    wilder = dataclasses.replace(market, prices=np.repeat((close**2 / close[0])[:, :, None], 5, axis=2))
    scale, forward, _ = fit(market, rows)
    _, other, _ = in_units(wilder, make_labels(wilder.prices, wilder.segments, LABELS), scale)
    # the first rows have no return yet, and count as usual for the market that was fitted
    np.testing.assert_allclose(other[1000:5000], forward[1000:5000], rtol=1e-4)


def test_what_comes_later_changes_nothing_to_the_bit() -> None:
    market = changing(assets=2)
    scale, _, _ = fit(market, np.arange(200, 4000))
    prices = market.prices.copy()
    prices[3000:] *= np.exp(np.random.default_rng(1).normal(0, 0.3, (len(prices) - 3000, 2, 1)))
    changed = dataclasses.replace(market, prices=prices)
    assert np.array_equal(scale.expected(market)[:3000], scale.expected(changed)[:3000])
    assert not np.array_equal(scale.expected(market)[3000:], scale.expected(changed)[3000:])


def test_trailing_variance_is_that_of_a_plain_loop() -> None:
    market = changing(400, assets=2)
    prices = market.prices.copy()
    prices[100:110, 0] = np.nan
    absent = np.zeros((400, 2), bool)
    absent[100:110, 0] = True
    features = np.where(absent[..., None], np.float32(0), market.features)
    market = dataclasses.replace(market, prices=prices, absent=absent, features=features)
    (found,) = trailing(market, (24,), usual=7e-5)
    log = np.log(prices[:, :, CLOSE])
    squares = np.diff(log, axis=0, prepend=np.nan) ** 2
    for n in range(2):
        for t in range(400):
            seen = squares[max(t - 23, 0) : t + 1, n]
            seen = seen[np.isfinite(seen)]
            assert found[t, n] == pytest.approx(seen.mean() if len(seen) else 7e-5, rel=1e-9)


def test_few_rows_make_no_rule_of_a_month() -> None:
    market = changing(900)
    scale, _, _ = fit(market, np.arange(100, 500))
    assert len(scale.bars) < len(DAYS)
    assert max(scale.bars) <= 40
    few, _, _ = fit(market, np.arange(100, 112))
    assert few.bars == ()


def test_a_market_that_never_moves_has_a_unit_all_the_same() -> None:
    market = Market.flat(2000)
    scale, forward, _ = fit(market, np.arange(200, 1500))
    assert (scale.forward, scale.volatility, scale.bars) == (1.0, 1.0, ())
    assert (forward[200:1500] == 0).all()
