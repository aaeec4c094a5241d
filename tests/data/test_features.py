"""Features by hand, within their declared reach, and with an answer where nothing moves."""

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.align import aligned
from data.features import FEATURES, GROUPS
from data.features.base import choose, compute_features, values_in
from data.simulator import SimulatorConfig
from data.simulator.simulate import simulate

ALL = {feature.name: feature for feature in FEATURES}


@pytest.fixture(scope="module")
def frame():
    return aligned(simulate(SimulatorConfig(bars=1_400)))["BTC"].iloc[1:].reset_index(drop=True)


def value(name, frame):
    return values_in(frame, ALL[name])[name].to_numpy()


def test_names_and_columns_are_their_own():
    columns = [column for feature in FEATURES for column in feature.columns]
    assert len(set(columns)) == len(columns)
    assert len(ALL) == len(FEATURES)
    assert GROUPS == ("returns", "technical", "onchain", "macro", "calendar")
    assert max(feature.lookback for feature in FEATURES) <= 340


@pytest.mark.parametrize("name", ALL)
def test_a_value_depends_on_no_more_than_its_lookback(name, frame):
    feature = ALL[name]
    whole = values_in(frame, feature)
    assert whole.iloc[: feature.lookback - 1].isna().all().all()
    assert np.isfinite(whole.iloc[feature.lookback - 1 :]).all().all()
    size = whole.std()
    for end in (feature.lookback, 700, 1_111, len(frame)):
        part = values_in(frame.iloc[end - feature.lookback : end].reset_index(drop=True), feature).iloc[-1]
        away = (part - whole.iloc[end - 1]).abs() / np.maximum(whole.iloc[end - 1].abs(), size)
        assert away.max() < 1e-6


@pytest.mark.parametrize("name", [f.name for f in FEATURES if f.group in ("returns", "technical", "onchain", "macro")])
@pytest.mark.parametrize("volume", [0.0, 5.0])
def test_where_nothing_moves_there_is_still_an_answer(name, volume, frame):
    calm = frame.iloc[:800].copy()
    calm.loc[350:, [c for c in frame if c != "time"]] = calm.loc[350, [c for c in frame if c != "time"]].to_numpy(float)
    calm.loc[350:, ["open", "high", "low"]] = calm.loc[350, "close"]
    calm.loc[350:, "volume"] = volume
    feature = ALL[name]
    for rows in (calm, calm.iloc[350:].reset_index(drop=True)):
        values = values_in(rows, feature)
        assert np.isfinite(values.iloc[feature.lookback - 1 :]).all().all()
    # after a whole lookback of it the past is forgotten
    still = values_in(calm.iloc[350:].reset_index(drop=True), feature).iloc[-1]
    np.testing.assert_allclose(values_in(calm, feature).iloc[-1], still, atol=1e-5)


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


def test_chain_world_and_clock_by_hand(frame):
    t = 600
    flows = np.log(frame["exchange_outflow"] / frame["exchange_inflow"]).to_numpy()
    assert value("netflow", frame)[t] == pytest.approx(flows[t])
    week = flows[t - 167 : t + 1]
    assert value("netflow_z", frame)[t] == pytest.approx((flows[t] - week.mean()) / week.std())
    assert value("term_spread", frame)[t] == pytest.approx(frame["us10y"][t] - frame["us2y"][t])
    hours = values_in(frame, ALL["hour"])
    assert hours["hour_sin"][t] == pytest.approx(np.sin(2 * np.pi * frame["time"][t].hour / 24))


def test_a_group_without_its_columns_is_dropped_whole_and_named(frame):
    columns = [c for c in frame if c not in ("fees", "vix")]
    chosen, dropped = choose(FEATURES, GROUPS, columns)
    assert dropped == ("onchain", "macro")
    assert {feature.group for feature in chosen} == {"returns", "technical", "calendar"}
    with pytest.raises(UserError, match="did you mean 'onchain'"):
        choose(FEATURES, ("on-chain",), columns)


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
