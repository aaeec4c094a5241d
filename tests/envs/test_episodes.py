"""Where episodes may start: by hand, and by what must hold whatever the market."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from data.market import CLOSE, Market
from envs.episodes import EpisodeConfig, allowed_starts, curriculum, one_after_another, trailing
from tests.envs.markets import market_of, random_market


def of_returns(returns, **others):
    closes = 100 * np.exp(np.cumsum(np.asarray(returns, float)))[:, None]
    return market_of(closes, closes, **others)


def starts_of(market, length, config=EpisodeConfig(), spans=(slice(None),), window=5):  # noqa: B008  frozen
    rows = market.decision_rows(window)
    return rows, allowed_starts(market, rows, length, config, spans)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 12), st.integers(1, 8), st.data())
def test_an_episode_stays_in_its_span_and_none_that_fits_is_left_out(lengths, length, window, data):
    borders = np.cumsum([0, *lengths])
    spans = [slice(int(a), int(b)) for a, b in pairwise(borders)]
    gap = data.draw(st.integers(0, int(borders[-1]) - 1))
    market = replace(Market.flat(int(borders[-1])), segments=np.array([[0, gap], [gap + 1, int(borders[-1])]]))
    rows = market.decision_rows(window)
    expected = [k for k in range(len(rows) - length)
                if any(span.start <= rows[k] and rows[k + length] < span.stop for span in spans)]
    if not expected:
        with pytest.raises(UserError, match=f"no episode of {length} steps fits"):
            allowed_starts(market, rows, length, EpisodeConfig(), spans)
        return
    starts = allowed_starts(market, rows, length, EpisodeConfig(), spans)
    assert starts.tolist() == expected
    assert starts.dtype == np.int64
    in_turn = one_after_another(starts, length)
    assert set(in_turn) <= set(starts)
    assert (np.diff(in_turn) >= length).all()


def test_a_band_keeps_the_calm_or_the_wild_starts_and_its_share_of_them():
    rng = np.random.default_rng(0)
    size = np.repeat([0.001, 0.01], 500)
    market = of_returns(rng.normal(0, 1, 1_000) * size)
    everywhere = replace(EpisodeConfig(), band=(0.0, 0.999999), band_bars=50)
    rows, known = starts_of(market, 20, everywhere)
    assert rows[known].min() == 50  # 50 returns, and no fewer, stand behind it
    _, calm = starts_of(market, 20, replace(everywhere, band=(0.0, 0.3)))
    _, wild = starts_of(market, 20, replace(everywhere, band=(0.7, 1.0)))
    assert rows[calm].max() < 520  # the calm half ends at 500; a few bars of the storm do not yet show
    assert rows[wild].min() > 500
    assert len(calm) == pytest.approx(0.3 * len(known), abs=2)
    assert len(wild) == pytest.approx(0.3 * len(known), abs=2)


def test_bands_that_follow_one_another_leave_nothing_out():
    market = random_market(600, assets=3)
    parts = [starts_of(market, 10, EpisodeConfig(band=band, band_bars=40))[1]
             for band in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0))]
    rows = market.decision_rows(5)
    assert np.unique(np.concatenate(parts)).tolist() == [k for k in range(len(rows) - 10) if rows[k] >= 40]


def test_a_regime_is_where_the_trend_is():
    up, flat, down = np.full(200, 0.001), np.zeros(200), np.full(200, -0.001)
    noise = np.resize([0.002, -0.002], 600)  # sums to nothing, so that the trend decides
    market = of_returns(np.concatenate([up, flat, down]) + noise)
    found = {regime: market.decision_rows(5)[starts_of(market, 10, EpisodeConfig(regime=regime, regime_bars=100))[1]]
             for regime in ("bull", "sideways", "bear")}
    # trend of 100 bars of 0.001 +- 0.002: 0.1 / (sqrt(0.001^2 + 0.002^2) * 10) = 4.47; 0.5 of it is reached by 11 bars
    assert found["bull"].min() == 100
    assert 280 < found["bull"].max() < 300
    assert (min(found["sideways"]), max(found["sideways"])) == (found["bull"].max() + 1, found["bear"].min() - 1)
    assert found["bear"].max() == len(market) - 11
    assert trailing(market, [slice(None)], 100)[1][150] == pytest.approx(0.1 / (np.sqrt(5e-6) * 10), rel=1e-6)


def test_both_asked_for_means_both():
    market = random_market(800)
    band, regime = EpisodeConfig(band=(0.0, 0.5), band_bars=50), EpisodeConfig(regime="bear", regime_bars=80)
    both = replace(band, regime="bear", regime_bars=80)
    sets = [set(starts_of(market, 10, config)[1].tolist()) for config in (band, regime, both)]
    assert sets[0] & sets[1] == sets[2] != set()


def test_trailing_numbers_know_neither_the_future_nor_another_span():
    market = random_market(300, assets=2)
    before = trailing(market, [slice(0, 150), slice(150, 300)], 30)
    prices = market.prices.copy()
    prices[200:] *= np.random.default_rng(1).uniform(0.5, 2, (100, 1, 1))
    after = trailing(replace(market, prices=prices), [slice(0, 150), slice(150, 300)], 30)
    for old, new in zip(before, after):
        np.testing.assert_array_equal(old[:200], new[:200])
        assert not np.array_equal(old[230:], new[230:])
        assert np.isnan(old[150:180]).all()
        assert np.isfinite(old[180:]).all()
    prices = market.prices.copy()
    prices[:150] *= np.random.default_rng(2).uniform(0.5, 2, (150, 1, 1))
    other = trailing(replace(market, prices=prices), [slice(0, 150), slice(150, 300)], 30)
    np.testing.assert_array_equal(before[0][150:], other[0][150:])


def test_a_gap_makes_no_storm_and_an_asset_not_yet_listed_none_either():
    returns = np.resize([0.01, -0.01], 100)
    returns[50] = 0.04  # over 16 hours at once: as usual as 0.01 in one
    gap = of_returns(returns).time + np.where(np.arange(100) >= 50, np.timedelta64(15, "h"), np.timedelta64(0, "h"))
    volatility, _ = trailing(of_returns(returns, time=gap), [slice(None)], 20)
    np.testing.assert_allclose(volatility[20:], 0.01)
    market = random_market(100, assets=2)
    prices, absent = market.prices.copy(), np.zeros((100, 2), bool)
    prices[:40, 1], absent[:40, 1] = np.nan, True
    prices[60:63, 1], absent[60:63, 1] = np.nan, True
    features = np.where(absent[:, :, None], np.float32(0), market.features)
    late = replace(market, prices=prices, absent=absent, features=features)
    alone = replace(market, prices=market.prices[:, :1], features=market.features[:, :1], carry=market.carry[:, :1],
                    assets=("A0",))
    np.testing.assert_array_equal(trailing(late, [slice(None)], 10)[0][:41], trailing(alone, [slice(None)], 10)[0][:41])
    np.testing.assert_allclose(trailing(late, [slice(None)], 10)[0][80:], trailing(market, [slice(None)], 10)[0][80:])


def test_a_market_that_stands_still_has_no_trend():
    market = Market.flat(100)
    volatility, trend = trailing(market, [slice(None)], 10)
    assert (volatility[10:] == 0).all()
    assert (trend[10:] == 0).all()
    assert market.prices[0, 0, CLOSE] == 100
    rows, starts = starts_of(market, 5, EpisodeConfig(regime="sideways", regime_bars=10))
    assert rows[starts].tolist() == list(range(10, 95))


def test_what_leaves_nothing_is_refused_in_words():
    market = Market.flat(100)
    with pytest.raises(UserError, match="of 91 possible starts none has a bull trend over 10 bars"):
        starts_of(market, 5, EpisodeConfig(regime="bull", regime_bars=10))
    with pytest.raises(UserError, match=r"none has volatility in the band 0 to 0\.3 over 168 bars"):
        starts_of(market, 5, EpisodeConfig(band=(0.0, 0.3)))
    with pytest.raises(UserError, match="no episode of 200 steps fits: 96 decisions in 1 spans"):
        starts_of(market, 200)
    with pytest.raises(UserError, match="no episode of 5 steps fits"):
        starts_of(market, 5, spans=[])


@pytest.mark.parametrize(("wrong", "message"), [
    ({"order": "randon"}, "random"), ({"regime": "bul"}, "bull"), ({"band": (0.5, 0.5)}, "band"),
    ({"band": (-0.1, 0.5)}, "band"), ({"band": (0.0, 1.1)}, "band"), ({"band_bars": 1}, "band_bars"),
    ({"regime_bars": 1}, "regime_bars"), ({"regime_trend": -1.0}, "regime_trend"),
    ({"cost_scale": (2.0, 1.0)}, "scale"), ({"cost_scale": (-1.0, 1.0)}, "scale"),
    ({"cost_scale": (1.0, np.inf)}, "scale"), ({"cost_scale": (1.0, np.nan)}, "scale"),
])
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        EpisodeConfig(**wrong)


def test_a_curriculum_widens_and_never_narrows():
    band = curriculum((0.3, 0.6, 1.0, 1.0))
    seen = [band(progress) for progress in np.linspace(0, 1, 101)]
    assert seen[0] == (0.0, 0.3)
    assert seen[-1] == (0.0, 1.0)
    assert all(a[1] <= b[1] for a, b in pairwise(seen))
    for stage in seen:
        assert EpisodeConfig(band=stage).selective == (stage[1] < 1)
    for wrong in ((), (0.3, 1.2), (0.0, 1.0)):
        with pytest.raises(UserError, match="stages"):
            curriculum(wrong)
