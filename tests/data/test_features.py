"""Features by hand, within their declared reach, and with an answer where nothing moves."""

import numpy as np
import pandas as pd
import pytest

from data.features.base import BLOCK, Feature, compute_features, one, values_in
from data.features.moments import MOMENTS
from data.features.oscillators import OSCILLATORS
from data.features.ranges import RANGES
from data.features.returns import RETURNS
from data.features.stops import STOPS
from data.features.technical import TECHNICAL
from data.features.trend import TREND
from data.features.volumes import VOLUMES
from tests.data.feature_bars import BAR_FEATURES, simulated

ALL = {feature.name: feature for feature in BAR_FEATURES}
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def frame():
    return simulated(2_600, 1)


@pytest.fixture(scope="module")
def history():
    return simulated(3 * BLOCK + 100, 2)


def value(name, frame):
    return values_in(frame, ALL[name])[name].to_numpy()


def test_bar_features_need_bars_alone_and_not_too_many():
    columns = [column for feature in BAR_FEATURES for column in feature.columns]
    assert len(set(columns)) == len(columns)
    assert len(ALL) == len(BAR_FEATURES)
    assert max(feature.lookback for feature in BAR_FEATURES) <= 1_024
    assert all(set(feature.needs) <= {*PRICES, "volume", "time"} for feature in BAR_FEATURES)


def test_the_groups_of_old_presets_hold_what_they_held():
    assert sum(len(feature.columns) for feature in RETURNS) == 16
    assert sum(len(feature.columns) for feature in TECHNICAL) == 36
    assert {f.group for f in [*MOMENTS, *RANGES]} == {"returns_more"}
    assert {f.group for f in [*TREND, *STOPS, *OSCILLATORS, *VOLUMES]} == {"technical_more"}


@pytest.mark.parametrize("name", ALL)
def test_a_value_depends_on_no_more_than_its_lookback(name, frame):
    feature = ALL[name]
    whole = values_in(frame, feature)
    assert whole.iloc[: feature.lookback - 1].isna().all().all()
    assert np.isfinite(whole.iloc[feature.lookback - 1 :]).all().all()
    size = whole.std()
    for end in (feature.lookback, 1_100, 1_777, len(frame)):
        part = values_in(frame.iloc[end - feature.lookback : end].reset_index(drop=True), feature).iloc[-1]
        away = (part - whole.iloc[end - 1]).abs() / np.maximum(whole.iloc[end - 1].abs(), size)
        assert away.max() < 1e-6


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("volume", [0.0, 5.0, 0.1])
def test_where_nothing_moves_there_is_still_an_answer(name, volume, frame):
    calm = frame.copy()
    calm.loc[1_200:, PRICES] = calm.loc[1_200, "close"]
    calm.loc[1_200:, "volume"] = volume
    feature = ALL[name]
    for rows in (calm, calm.iloc[1_200:].reset_index(drop=True)):
        values = values_in(rows, feature)
        assert np.isfinite(values.iloc[feature.lookback - 1 :]).all().all()
    # after a whole lookback of it the past is forgotten
    still = values_in(calm.iloc[1_200:].reset_index(drop=True), feature).iloc[-1]
    np.testing.assert_allclose(values_in(calm, feature).iloc[-1], still, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_extreme_bars_still_have_values(name, frame):
    """A crash to a thousandth within a bar, a market that stops to trade, prices that only rise, and tiny prices."""
    rows = frame.copy()
    rows.loc[1_100:, PRICES] *= 1e-3
    rows.loc[1_300:1_340, "volume"] = 0.0
    rows.loc[1_400:1_800, PRICES] = np.outer(rows.loc[1_400, "close"] * 1.001 ** np.arange(401), np.ones(4))
    rows.loc[1_801:, PRICES] *= 1e-9
    feature = ALL[name]
    assert np.isfinite(values_in(rows, feature).iloc[feature.lookback - 1 :]).all().all()


def changed_after(frame, row):
    """`frame` with every bar after `row` another one."""
    noise = np.exp(np.random.default_rng(row).normal(0, 0.3, (len(frame) - row - 1, 5)))
    changed = frame.copy()
    changed.loc[row + 1 :, [*PRICES, "volume"]] *= noise
    changed.loc[row + 1 :, "high"] = changed.loc[row + 1 :, PRICES].max(axis=1)
    changed.loc[row + 1 :, "low"] = changed.loc[row + 1 :, PRICES].min(axis=1)
    return changed


def first_leak(frame, feature):
    """The first row whose value is another number, by a single bit, when what comes after is cut off or changed."""
    whole = values_in(frame, feature).to_numpy()
    for row in (feature.lookback - 1, feature.lookback, 1_500, 1_501, 2_222):
        for rows in (frame.iloc[: row + 1], changed_after(frame, row)):
            seen = values_in(rows, feature).to_numpy()[: row + 1]
            same = (seen == whole[: row + 1]) | (np.isnan(seen) & np.isnan(whole[: row + 1]))
            if not same.all():
                return int(np.argwhere(~same)[0][0])
    return None


@pytest.mark.parametrize("name", ALL)
def test_what_comes_after_changes_no_bit(name, frame):
    assert first_leak(frame, ALL[name]) is None


@pytest.mark.parametrize("leak", [lambda f: f["close"].rolling(3, center=True).mean(),
                                  lambda f: f["close"] / f["close"].mean(),
                                  lambda f: f["close"] * (1 + 1e-15 * np.sign(f["close"].iloc[-1] - 1e4))])
def test_that_test_finds_a_leak(leak, frame):
    assert first_leak(frame, Feature("leak", "returns", 3, ("close",), "", one("leak", leak))) is not None


def test_blocks_give_the_same_values_wherever_the_rows_begin(history):
    whole = compute_features(history, BAR_FEATURES, np.array([[0, len(history)]]))
    reach = max(feature.lookback for feature in BAR_FEATURES)
    scale = whole.abs().clip(lower=whole.std(), axis=1)
    for start in (1, 700, BLOCK - 3):
        rows = history.iloc[start:].reset_index(drop=True)
        part = compute_features(rows, BAR_FEATURES, np.array([[0, len(rows)]]), np.arange(start, len(history)))
        part.index = history.index[start:]
        block = BLOCK * -(-(start + reach - 1) // BLOCK)  # the first that has all the past it may look at
        assert block < len(history) - 50
        pd.testing.assert_frame_equal(part.loc[block:], whole.loc[block:], check_exact=True)
        warm = start + reach - 1
        assert ((part - whole).abs() / scale).loc[warm:].max().max() < 1e-6


def test_returns_and_means_by_hand(frame):
    close = frame["close"].to_numpy()
    t = 500
    assert value("return_24", frame)[t] == pytest.approx(np.log(close[t] / close[t - 24]))
    r = np.diff(np.log(close[t - 168 : t + 1]))
    assert value("volatility_168", frame)[t] == pytest.approx(np.sqrt(np.mean(r**2)))
    assert value("move_6", frame)[t] == pytest.approx(r[-6:].sum() / np.sqrt(6 * np.mean(r**2)))
    assert value("sma_24", frame)[t] == pytest.approx(close[t - 23 : t + 1].mean() / close[t] - 1)
    band = close[t - 19 : t + 1]
    place = (close[t] - band.mean() + 2 * band.std()) / (4 * band.std()) - 0.5
    assert value("bollinger_place", frame)[t] == pytest.approx(place)


def wilder(values, window):
    out = values[0]
    for x in values[1:]:
        out += (x - out) / window
    return out


def test_rsi_and_atr_by_hand(frame):
    rows = frame.iloc[:600]
    close, high, low = (rows[c].to_numpy() for c in ("close", "high", "low"))
    moves = np.diff(close)
    up, down = wilder(np.maximum(moves, 0), 14), wilder(np.maximum(-moves, 0), 14)
    assert value("rsi", rows)[-1] == pytest.approx((up - down) / (up + down), rel=1e-6)
    true_range = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    assert value("atr", rows)[-1] == pytest.approx(wilder(true_range, 14) / close[-1], rel=1e-6)


def test_segments_do_not_see_one_another(frame):
    chosen = [ALL["return_4"], ALL["rsi"]]
    segments = np.array([[0, 500], [500, 503], [503, 1_000]])
    values = compute_features(frame, chosen, segments)
    changed = frame.copy()
    changed.loc[:502, ["open", "high", "low", "close"]] *= 3.0
    pd.testing.assert_frame_equal(values.iloc[503:], compute_features(changed, chosen, segments).iloc[503:])
    assert values["return_4"].iloc[500:507].isna().all()
    assert values["rsi"].iloc[503:712].isna().all()
    assert values["rsi"].iloc[712:1_000].notna().all()
    assert values.iloc[1_000:].isna().all().all()


def test_no_segment_is_long_enough():
    values = compute_features(pd.DataFrame({"close": [1.0, 2.0]}), [ALL["rsi"]], np.array([[0, 2]]))
    assert values.shape == (2, 1)
    assert values.isna().all().all()
