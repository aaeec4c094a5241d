"""The whole way from a config to a dataset."""

from dataclasses import replace

import numpy as np
import pytest

from configs.errors import UserError
from configs.loader import parse, preset
from data.dataset import DataConfig, build, like, load_dataset, load_raw
from data.features import GROUPS
from data.labels import LabelConfig
from data.scaling import Scaler
from data.simulator import SimulatorConfig
from data.sources.base import RawData

SMALL = DataConfig(simulator=SimulatorConfig(bars=2_400), window=24, labels=LabelConfig(horizon=12))


@pytest.fixture(scope="module")
def data():
    return load_dataset(SMALL)


def without(raw, rows):
    """`raw` with some bars missing."""
    bars = {asset: frame.drop(index=rows).reset_index(drop=True) for asset, frame in raw.bars.items()}
    carry = {asset: np.delete(paid, rows) for asset, paid in raw.carry.items()}
    return RawData(bars, raw.context, carry, raw.bars_per_year)


def test_everything_fits_together(data):
    market = data.market
    assert market.features.shape == (2_400, 1, len(market.columns))
    assert market.features.dtype == np.float32
    assert data.dropped == ()
    assert data.labels.reach == 12
    assert data.truth.mean.shape == (2_400, 1)
    warm = int(market.segments[0, 0])
    assert market.segments.tolist() == [[warm, 2_400]]
    assert np.isnan(market.features[:warm]).all()
    assert np.isfinite(market.prices[:warm]).all()
    assert (data.labels.direction[:warm] == -1).all()


def test_it_is_the_same_twice(data):
    again = load_dataset(SMALL)
    assert again.market.fingerprint == data.market.fingerprint
    np.testing.assert_array_equal(again.labels.forward, data.labels.forward)


def test_the_scaler_has_seen_training_rows_alone(data):
    market, split = data.market, data.split
    rows = np.arange(market.segments[0, 0], split.train.stop)
    middle = np.median(market.features[rows], axis=(0, 1))
    np.testing.assert_allclose(middle, 0, atol=1e-5)


def test_gaps_become_segments_that_no_window_crosses():
    config = replace(SMALL, groups=("returns", "calendar"))
    raw = without(load_raw(SMALL), np.r_[700:703, 800:801, 1_500:1_560])
    data = build(raw, config)
    market = data.market
    hour = np.timedelta64(1, "h")
    gaps = np.flatnonzero(np.diff(market.time) != hour) + 1
    assert gaps.tolist() == [700, 797, 1_496]
    warm = 169
    assert market.segments.tolist() == [[warm - 1, 700], [797 + warm - 1, 1_496], [1_496 + warm - 1, 2_336]]
    for row in market.decision_rows(config.window):
        times = market.time[row - config.window + 1 : row + 1]
        assert (np.diff(times) == hour).all()
    assert data.truth is None


def test_a_short_gap_can_be_passed_over_and_a_long_one_cannot():
    config = replace(SMALL, groups=("returns", "calendar"), bridge=3)
    raw = without(load_raw(SMALL), np.r_[700:703, 1_500:1_504])
    market = build(raw, config).market
    assert market.segments.tolist() == [[168, 1_497], [1_497 + 168, 2_393]]
    step = market.columns.index("return_1")
    across = np.log(market.prices[700, 0, 3] / market.prices[699, 0, 3])
    others = market.features[800:1_490, 0, step]
    slope, start = np.polyfit(np.log(market.prices[800:1_490, 0, 3] / market.prices[799:1_489, 0, 3]), others, 1)
    assert market.features[700, 0, step] == pytest.approx(slope * across + start, rel=1e-3)


def test_context_that_goes_stale_ends_a_segment():
    raw = load_raw(SMALL)
    chain = raw.context["onchain_hourly", "BTC"].drop(index=range(1_000, 1_010)).reset_index(drop=True)
    market = build(replace(raw, context={**raw.context, ("onchain_hourly", "BTC"): chain}), SMALL).market
    # the row of bar 999 is known twenty minutes after its close and counts for six hours
    assert market.segments[0, 1] == 1_006
    assert len(market.segments) == 2


def test_what_training_rows_never_saw_stays_missing_however_often_it_comes_later():
    config = replace(SMALL, groups=("returns", "macro"), missing="mask")
    raw = load_raw(config)
    fear = raw.context["markets", "all"]
    late = fear[fear["known_at"] > raw.bars["BTC"]["time"][1_700]].reset_index(drop=True)
    raw = replace(raw, context={**raw.context, ("markets", "all"): late})
    data = build(raw, config)
    again = like(raw, config, Scaler.of(data.scaler.plain()))  # whoever was taught on these rows knows no more later on
    assert np.array_equal(again.features, data.market.features, equal_nan=True)
    columns, features = data.market.columns, data.market.features[:, 0]
    inside = np.isfinite(features).all(axis=1)
    assert inside.sum() > 2_000
    assert (features[inside, columns.index("vix_level")] == 0).all()
    assert (features[inside, columns.index("markets_missing")] == 1).all()
    assert "vix_level" in data.notes[0]
    assert np.abs(features[inside, columns.index("term_spread")]).max() > 0.5


def test_a_table_that_never_meets_the_bars_is_named_and_not_the_warm_up():
    config = replace(SMALL, groups=("returns", "macro"))
    raw = load_raw(config)
    old = raw.context["markets", "all"].iloc[:22]
    with pytest.raises(UserError, match=r"none has everything: .*markets on .*missing mask"):
        build(replace(raw, context={**raw.context, ("markets", "all"): old}),
              replace(config, simulator=SimulatorConfig(bars=2_400)))


def test_missing_context_drops_its_groups_by_name():
    raw = load_raw(SMALL)
    data = build(replace(raw, context={}), SMALL)
    assert data.dropped == ("onchain_hourly", "macro")
    with pytest.raises(UserError, match="none of the feature groups onchain_hourly"):
        build(replace(raw, context={}), replace(SMALL, groups=("onchain_hourly",)))


def test_several_assets_share_their_columns():
    data = load_dataset(replace(SMALL, simulator=SimulatorConfig(bars=2_400, assets=("BTC", "ETH", "SOL"))))
    assert data.market.features.shape[1] == data.labels.forward.shape[1] == data.truth.mean.shape[1] == 3
    assert data.market.assets == ("BTC", "ETH", "SOL")
    assert not np.allclose(data.market.features[-1, 0], data.market.features[-1, 1])


def test_one_assets_gap_is_a_gap_for_all():
    raw = load_raw(replace(SMALL, simulator=SimulatorConfig(bars=2_400, assets=("BTC", "ETH"))))
    holey = without(raw, [1_200])
    mixed = replace(raw, bars={**raw.bars, "ETH": holey.bars["ETH"]}, carry={**raw.carry, "ETH": holey.carry["ETH"]},
                    truth=None)
    market = build(mixed, replace(SMALL, groups=("returns",))).market
    assert len(market) == 2_399
    assert market.segments.tolist() == [[168, 1_200], [1_368, 2_399]]


def test_borders_hold_whatever_the_length(data):
    split = build(load_raw(SMALL), replace(SMALL, borders=(1_000, 1_700))).split
    gap = 12 + 24 + 24
    assert (split.train.stop, split.valid.start, split.valid.stop, split.test.start) == (1_000, 1_000 + gap, 1_700,
                                                                                         1_700 + gap)


@pytest.fixture(scope="module")
def window():
    """A stretch in the midst of the same history, with training rows of its own."""
    return replace(SMALL, span=(400, 2_000), borders=(1_200, 1_700))


def test_a_span_is_all_that_there_is(data, window):
    part = load_dataset(window)
    gap = part.split.gap
    assert (part.split.train, part.split.valid, part.split.test) == (
        slice(400, 1_200), slice(1_200 + gap, 1_700), slice(1_700 + gap, 2_000))
    assert len(part.market) == len(part.truth.mean) == len(part.labels.known) == 2_000
    np.testing.assert_array_equal(part.market.prices, data.market.prices[:2_000])
    known = part.labels.known
    assert known[1_999 - 12]
    assert not known[2_000 - 12 :].any(), "labels would tell of bars beyond the end"
    np.testing.assert_array_equal(part.labels.direction[:1_988], data.labels.direction[:1_988])
    taught = part.market.features[400:1_200].reshape(-1, len(part.market.columns))
    np.testing.assert_allclose(np.median(taught, axis=0)[:5], 0, atol=1e-5, err_msg="scaled on its own training rows")
    shares = load_dataset(replace(SMALL, span=(400, 2_000))).split
    assert (shares.train.start, shares.train.stop, shares.test.stop) == (400, 400 + 960, 2_000)


def test_a_span_knows_nothing_of_what_comes_after_it(window):
    """Every bar and every value from its end on is another: nothing of it moves."""
    raw = load_raw(window)
    close = raw.bars["BTC"]["time"].iloc[1_999]
    later = {asset: frame.assign(**{name: frame[name].where(frame["time"] <= close, 3 * frame[name])
                                    for name in ("open", "high", "low", "close", "volume")})
             for asset, frame in raw.bars.items()}
    told = {key: table.assign(**{name: table[name].where(table["known_at"] <= close, -7.0)
                                 for name in table.select_dtypes("number").columns})
            for key, table in raw.context.items()}
    one, other = build(raw, window), build(replace(raw, bars=later, context=told), window)
    assert one.market.fingerprint == other.market.fingerprint
    assert one.scaler.plain() == other.scaler.plain()
    for name in ("direction", "forward", "volatility"):
        np.testing.assert_array_equal(getattr(one.labels, name), getattr(other.labels, name))


@pytest.mark.parametrize("span", [(0, 2_401), (5, 5), (-1, 100)])
def test_a_span_that_is_not_there_is_refused(span):
    with pytest.raises(UserError, match="span"):
        load_dataset(replace(SMALL, span=span))


def test_too_short_a_history_is_refused_in_one_line():
    with pytest.raises(UserError, match="300 bars without a gap"):
        load_dataset(replace(SMALL, simulator=SimulatorConfig(bars=200)))
    with pytest.raises(UserError, match="too few rows"):
        load_dataset(replace(SMALL, simulator=SimulatorConfig(bars=400), window=168))


def test_a_path_makes_the_file_the_source(tmp_path):
    assert DataConfig(path=tmp_path / "x.parquet").source == "file"
    with pytest.raises(UserError, match="needs a path"):
        DataConfig(source="file")


@pytest.mark.parametrize("wrong", [
    {"window": 0}, {"clip": 0.0}, {"groups": ()}, {"groups": ("technicals",)}, {"source": "exchange"},
    {"bridge": -1}, {"rolling": 50}, {"missing": "fill"}, {"features": "weekly"}, {"borders": (5, 5)},
    {"borders": (0, 5)},
])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError):
        DataConfig(**wrong)


@pytest.mark.parametrize(("name", "window", "least"), [("small", 48, 30_000), ("full", 168, 50_000)])
def test_presets_are_what_they_are_called(name, window, least):
    config = parse(DataConfig, [], preset("data", name))
    assert config.window == window
    assert config.labels.horizon == 24
    assert config.simulator.bars >= least
    assert set(config.groups) <= set(GROUPS)
