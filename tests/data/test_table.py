"""Context on its own rows, what is missing and what becomes of it, and blocks that need not be computed twice."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.features.base import BLOCK, Feature, one
from data.features.cache import BlockCache
from data.features.own import OWN
from data.lots import fed_columns
from data.schema import EVERY_ASSET
from data.simulator import SimulatorConfig
from data.simulator.simulate import simulate
from data.sources.base import RawData
from data.table import table_of

BARS = 500
RETURN = Feature("return_1", "returns", 2, ("close",), "", one("return_1", lambda f: np.log(f["close"]).diff()))
SMOOTH = Feature("smooth", "returns", 200, ("close",), "",
                 one("smooth", lambda f: f["close"].ewm(span=20, adjust=False).mean() / f["close"]))
MEAN_3 = Feature("mean_3", "chain", 3, ("x",), "", one("mean_3", lambda f: f["x"].rolling(3).mean()), on="onchain")


def market(bars=BARS, **tables):
    raw = simulate(SimulatorConfig(bars=bars))
    return RawData(raw.bars, {(kind, EVERY_ASSET): table for kind, table in tables.items()}, raw.carry, 8760.0)


def daily(raw, days=40, before=10, delay="6h", skip=()):
    """A table of one column, `x` counting the days, from `before` days before the first bar."""
    start = raw.bars["BTC"]["time"][0].normalize() - pd.Timedelta(days=before)
    time = pd.date_range(start, periods=days, freq="D")
    table = pd.DataFrame({"time": time, "known_at": time + pd.Timedelta(delay), "x": np.arange(float(days))})
    return table.drop(index=list(skip)).reset_index(drop=True)


def test_a_daily_feature_warms_up_before_the_first_bar_and_is_seen_when_known():
    raw = market()
    table = daily(raw)
    made = table_of(replace(raw, context={("onchain", "BTC"): table}), [RETURN, MEAN_3])
    time = pd.DatetimeIndex(made.time, tz="UTC")
    assert made.segments.tolist() == [[1, BARS]]
    expected = [table["x"][table["known_at"] <= close].iloc[-1] - 1 for close in time[1:]]
    np.testing.assert_array_equal(made.values[1:, 0, 1], expected)


def test_a_row_that_was_finished_late_holds_back_what_rests_on_it():
    raw = market()
    table = daily(raw)
    table.loc[20, "known_at"] += pd.Timedelta("30h")  # after day 21 was known
    made = table_of(replace(raw, context={("onchain", "BTC"): table.assign(known_at=table["known_at"].cummax())}),
                    [MEAN_3])
    time = pd.DatetimeIndex(made.time, tz="UTC")
    while_waiting = (time >= table["known_at"][19]) & (time < table["known_at"].cummax()[20])
    assert while_waiting.sum() == 54
    assert (made.values[while_waiting, 0, 0] == 18.0).all()


def test_rows_that_lack_a_value_are_no_rows():
    raw = market()
    table = daily(raw)
    table.loc[15, "x"] = np.nan
    made = table_of(replace(raw, context={("onchain", "BTC"): table}), [MEAN_3])
    close = np.flatnonzero(pd.DatetimeIndex(made.time, tz="UTC") == table["known_at"][16])[0]
    assert made.values[close, 0, 0] == pytest.approx((13 + 14 + 16) / 3)


def hole(raw):
    """Eight days without a row: longer than an on-chain value may be held."""
    return replace(raw, context={("onchain", "BTC"): daily(raw, skip=range(15, 23))})


def test_where_a_table_falls_silent_the_segment_ends():
    raw = hole(market())
    made = table_of(raw, [RETURN, MEAN_3], "break")
    assert made.columns == ("return_1", "mean_3")
    assert len(made.segments) == 2
    silent = made.segments[1, 0] - made.segments[0, 1]
    assert silent == (9 - 3) * 24 - 1  # nine days between two rows, three of which the first may be held
    assert not made.masked.any()


def test_or_the_row_is_kept_and_a_column_says_so():
    raw = hole(market())
    made = table_of(raw, [RETURN, MEAN_3], "mask")
    assert made.columns == ("return_1", "mean_3", "onchain_missing")
    assert made.masked.tolist() == [False, True, False]
    assert made.segments.tolist() == [[1, BARS]]
    gone = np.isnan(made.values[1:, 0, 1])
    np.testing.assert_array_equal(made.values[1:, 0, 2], gone)
    assert gone.sum() == (9 - 3) * 24 - 1


def test_or_the_last_value_is_held_and_a_column_says_how_old():
    raw = hole(market())
    made = table_of(raw, [RETURN, MEAN_3], "age")
    assert made.columns == ("return_1", "mean_3", "onchain_age")
    assert made.segments.tolist() == [[1, BARS]]
    age = made.values[1:, 0, 2]
    assert age.max() == pytest.approx(9 - 1 / 24)
    assert np.diff(age).max() == pytest.approx(1 / 24)


def test_a_table_of_one_asset_is_no_news_for_another():
    raw = simulate(SimulatorConfig(bars=60, assets=("BTC", "ETH")))
    raw = replace(raw, context={("onchain", "BTC"): daily(raw)}, truth=None)
    assert "onchain" not in fed_columns(raw)
    assert {"x"} <= fed_columns(replace(raw, context={("onchain", EVERY_ASSET): daily(raw)}))["onchain"][0]


def test_watched_assets_stand_beside_the_traded_one_and_are_not_traded():
    raw = simulate(SimulatorConfig(bars=60, assets=("BTC", "ETH")))
    peer = raw.bars["ETH"][["close", "volume"]].assign(known_at=raw.bars["ETH"]["time"])
    alone = RawData({"BTC": raw.bars["BTC"]}, {("peer", "ETH"): peer}, {"BTC": raw.carry["BTC"]}, 8760.0)
    ratio = Feature("ratio", "cross", 1, ("company", "close"), "",
                    one("ratio", lambda f: f["close:ETH"] / f["close:BTC"]))
    made = table_of(alone, [ratio])
    assert made.assets == ("BTC",)
    np.testing.assert_allclose(made.values[:, 0, 0], raw.bars["ETH"]["close"] / raw.bars["BTC"]["close"])
    late = peer.drop(index=range(30, 40)).reset_index(drop=True)
    made = table_of(replace(alone, context={("peer", "ETH"): late}), [ratio])
    assert made.segments.tolist() == [[0, 30], [40, 60]]


def shortened(raw, rows):
    return replace(raw, bars={a: bars.iloc[:rows].reset_index(drop=True) for a, bars in raw.bars.items()},
                   carry={a: paid[:rows] for a, paid in raw.carry.items()}, truth=None)


def test_a_day_more_computes_the_last_block_alone_and_gives_the_same_numbers(tmp_path):
    bars = 4 * BLOCK + 500
    raw = market(bars)
    features = [RETURN, SMOOTH]
    whole = table_of(raw, features)
    table_of(shortened(raw, bars - 24), features, cache=tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    grown = table_of(raw, features, cache=tmp_path)
    new = {path.name for path in tmp_path.iterdir()} - files
    assert len(files) >= 4
    assert len(new) == 1
    np.testing.assert_array_equal(grown.values, whole.values)


def test_where_history_begins_makes_no_difference_once_a_block_is_whole():
    bars = 3 * BLOCK
    raw = market(bars)
    later = replace(raw, bars={a: frame.iloc[700:].reset_index(drop=True) for a, frame in raw.bars.items()},
                    carry={a: paid[700:] for a, paid in raw.carry.items()}, truth=None)
    whole, part = table_of(raw, [SMOOTH]).values[700:], table_of(later, [SMOOTH]).values
    np.testing.assert_allclose(whole[200:], part[200:], rtol=1e-6)
    np.testing.assert_array_equal(whole[BLOCK:], part[BLOCK:])


@pytest.mark.parametrize("change", ["inputs", "feature"])
def test_another_input_another_block(change, tmp_path):
    frame = pd.DataFrame({"close": [1.0, 2.0, 3.0]})
    key = BlockCache(tmp_path).key(frame, [RETURN], 3)
    assert key == BlockCache(tmp_path).key(frame.assign(volume=1.0), [RETURN], 3)  # which it is not shown
    clock = replace(RETURN, needs=("time",))
    timed = [pd.DataFrame({"time": pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")}) for _ in range(2)]
    assert len({BlockCache(tmp_path).key(each, [clock], 3) for each in timed}) == 1
    other = {"inputs": lambda: BlockCache(tmp_path).key(frame * 2, [RETURN], 3),
             "feature": lambda: BlockCache(tmp_path).key(frame, [replace(RETURN, lookback=3)], 3)}
    assert other[change]() != key


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: data[:-8] + b"12345678", lambda data: b""])
def test_a_damaged_block_is_computed_again(damage, tmp_path):
    raw = market()
    whole = table_of(raw, [RETURN], cache=tmp_path).values
    for path in tmp_path.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(table_of(raw, [RETURN], cache=tmp_path).values, whole)


def test_a_feature_is_shown_what_it_needs_and_nothing_else():
    sly = replace(RETURN, needs=("time",))
    with pytest.raises(KeyError, match="close"):
        table_of(market(), [sly])


def test_ones_own_features_are_never_taken_from_the_cache(tmp_path):
    factor = {"is": 1.0}  # what a hash of the feature cannot see
    mine = replace(RETURN, name="mine", group=OWN, compute=one("mine", lambda f: f["close"] * factor["is"]))
    raw = market()
    before = table_of(raw, [RETURN, mine], cache=tmp_path)
    factor["is"] = 2.0
    after = table_of(raw, [RETURN, mine], cache=tmp_path)
    np.testing.assert_array_equal(after.values[1:, 0, 1], 2 * before.values[1:, 0, 1])


def test_a_feature_without_a_value_takes_none_from_its_neighbours():
    raw = market()
    table = daily(raw)
    level = replace(MEAN_3, name="level", lookback=1, compute=one("level", lambda f: f["x"]))
    shy = replace(level, name="shy", compute=one("shy", lambda f: f["x"].where(f["x"] != 20.0)))
    raw = replace(raw, context={("onchain", "BTC"): table})
    alone, beside = table_of(raw, [RETURN, level], "mask"), table_of(raw, [RETURN, level, shy, MEAN_3], "mask")
    np.testing.assert_array_equal(alone.values[:, 0, 1], beside.values[:, 0, 1])
    missing = np.isnan(beside.values[1:, 0, 2])
    np.testing.assert_array_equal(missing, alone.values[1:, 0, 1] == 20.0)


def test_what_hangs_on_a_table_beside_the_bars_is_held_too_and_its_age_told():
    raw = market()
    hourly = pd.DataFrame({"known_at": raw.bars["BTC"]["time"], "implied_close": 50.0}).drop(index=range(100, 130))
    ratio = Feature("ratio", "implied", 1, ("close", "implied_close"), "",
                    one("ratio", lambda f: f["implied_close"] / f["close"]))
    raw = replace(raw, context={("implied", "BTC"): hourly.reset_index(drop=True)})
    held = table_of(raw, [RETURN, ratio], "age")
    assert held.columns == ("return_1", "ratio", "implied_age")
    assert held.segments.tolist() == [[1, BARS]]
    assert held.values[129, 0, 2] == pytest.approx(30 / 24)
    assert len(table_of(raw, [RETURN, ratio], "break").segments) == 2


def test_the_leader_is_the_one_that_is_named():
    raw = simulate(SimulatorConfig(bars=60, assets=("BTC", "ETH")))
    first = Feature("first", "cross", 1, ("company", "close"), "",
                    one("first", lambda f: f[next(c for c in f if c.startswith("close:"))]))
    for leader in ("BTC", "ETH"):
        made = table_of(replace(raw, context={}, leader=leader), [first])
        np.testing.assert_array_equal(made.values[:, 0, 0], raw.bars[leader]["close"])


def test_no_bar_in_common():
    raw = simulate(SimulatorConfig(bars=60, assets=("BTC", "ETH")))
    moved = raw.bars["ETH"].assign(time=raw.bars["ETH"]["time"] + pd.Timedelta("90D"))
    with pytest.raises(UserError, match="no bar is shared"):
        table_of(replace(raw, bars={"BTC": raw.bars["BTC"], "ETH": moved}), [RETURN])
