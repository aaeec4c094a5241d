"""Assets that are listed late or missing for hours: rows of any asset, each on its own bars."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from configs.loader import parse, preset
from data.causality import audit_dataset
from data.dataset import DataConfig, build, load_dataset, load_raw, tabulate
from data.features.base import Feature, one
from data.importing import import_files
from data.labels import UNKNOWN, LabelConfig, make_labels
from data.market import CLOSE
from data.simulator import SimulatorConfig
from data.simulator.simulate import simulate
from data.splits import SplitConfig
from data.store import Store
from data.table import table_of
from tests.data.real import real

RETURN = Feature("return_1", "returns", 2, ("close",), "", one("return_1", lambda f: np.log(f["close"]).diff()))
SMOOTH = Feature("smooth", "returns", 20, ("close",), "",
                 one("smooth", lambda f: f["close"].rolling(20).mean() / f["close"]))
AHEAD = Feature("ahead", "cross_asset", 3, ("close", "company"), "",
                one("ahead", lambda f: f["close"].pct_change(2) - f["close:ETH"].pct_change(2)))
APART = DataConfig(groups=("returns",), assets_together=False, window=8, labels=LabelConfig(horizon=6),
                   split=SplitConfig(embargo=5))
COINS = ("BTC", "ETH", "BNB", "LTC", "ADA", "LINK", "MATIC", "SOL")
FILES = [*(f"hourly/spot_binance_{name}USDT.parquet" for name in COINS), "daily/macro.parquet",
         "daily/fear_greed.parquet"]


def kept(raw, rows):
    """Only those bars of each asset."""
    bars = {asset: frame.iloc[rows[asset]].reset_index(drop=True) for asset, frame in raw.bars.items()}
    return replace(raw, bars=bars, carry={asset: paid[rows[asset]] for asset, paid in raw.carry.items()}, truth=None)


def staggered(bars=600, extra=()):
    """BTC from the start, ETH from 200 on, SOL with 5 bars missing from 400 on; none of any at `extra`."""
    raw = simulate(SimulatorConfig(bars=bars, assets=("BTC", "ETH", "SOL")))
    rows = np.setdiff1d(np.arange(bars), list(extra))
    return kept(raw, {"BTC": rows, "ETH": rows[rows >= 200], "SOL": rows[(rows < 400) | (rows >= 405)]})


def test_each_asset_is_what_it_is_alone_and_absent_elsewhere():
    raw = staggered()
    made = table_of(raw, [RETURN, SMOOTH], together=False)
    time = pd.DatetimeIndex(made.time, tz="UTC")
    expected = np.zeros((600, 3), bool)  # twenty bars to warm up, after each listing and each gap
    expected[:19] = True
    expected[:219, 1] = expected[400:424, 2] = True
    np.testing.assert_array_equal(made.absent, expected)
    assert made.segments.tolist() == [[19, 600]]
    for n, (asset, bars) in enumerate(raw.bars.items()):
        alone = table_of(replace(raw, bars={asset: bars}, context={}), [RETURN, SMOOTH])
        place = time.searchsorted(bars["time"])
        np.testing.assert_array_equal(made.values[place, n], alone.values[:, 0])
        np.testing.assert_array_equal(made.prices[place, n], alone.prices[:, 0])
        np.testing.assert_array_equal(made.carry[place, n], alone.carry[:, 0])
        others = np.setdiff1d(np.arange(600), place)
        assert np.isnan(made.prices[others, n]).all()
        assert (made.carry[others, n] == 0).all()
    assert np.isnan(made.values[made.absent]).all()
    assert np.isfinite(made.values[~made.absent]).all()


def test_together_is_what_it_was():
    raw = staggered()
    made = table_of(raw, [RETURN, SMOOTH])
    assert made.absent is None
    assert made.segments.tolist() == [[19, 200], [219, 395]]  # rows that all three share begin with 200
    config = replace(APART, assets_together=True)
    assert build(raw, config).market.absent is None
    whole = simulate(SimulatorConfig(bars=600, assets=("BTC", "ETH", "SOL")))
    apart, together = (build(whole, replace(APART, assets_together=way)).market for way in (False, True))
    inside = slice(*together.segments[0])
    np.testing.assert_array_equal(apart.features[inside], together.features[inside])
    assert not apart.absent[inside].any()


def test_a_gap_of_all_ends_the_segment_and_a_bridged_one_of_one_asset_costs_only_itself():
    made = table_of(staggered(extra=range(300, 310)), [RETURN, SMOOTH], together=False)
    assert made.segments.tolist() == [[19, 300], [319, 590]]
    bridged = table_of(staggered(), [RETURN, SMOOTH], together=False, bridge=5)
    expected = np.zeros((600, 3), bool)
    expected[:19] = expected[:219, 1] = expected[400:405, 2] = True
    np.testing.assert_array_equal(bridged.absent, expected)


def test_what_needs_all_the_others_waits_for_them_or_says_that_it_is_missing():
    raw = staggered()
    waiting = table_of(raw, [RETURN, AHEAD], together=False)
    assert (~waiting.absent).any(axis=1).argmax() == 202  # the third bar of ETH
    assert waiting.absent[400:405].all()  # SOL is of the company
    masked = table_of(raw, [RETURN, AHEAD], "mask", together=False)
    assert masked.columns == ("return_1", "ahead", "peer_missing")
    assert masked.segments.tolist() == [[1, 600]]
    flag = masked.values[:, 0, 2]
    assert (flag[1:202] == 1).all()
    assert (flag[202:400] == 0).all()
    assert (flag[400:407] == 1).all()
    assert (flag[407:] == 0).all()
    np.testing.assert_array_equal(np.isnan(masked.values[1:, 0, 1]), flag[1:] == 1)


@pytest.mark.parametrize("wrong", [{}, {"missing": "mask"}])
def test_the_market_shows_zeros_and_is_scaled_on_what_was_there(wrong):
    raw, config = staggered(), replace(APART, **wrong)
    data, table = build(raw, config), tabulate(raw, config)
    market = data.market
    inside = np.concatenate([np.arange(*segment) for segment in market.segments])
    assert (market.features[inside][market.absent[inside]] == 0).all()
    assert np.isfinite(market.features[inside]).all()
    np.testing.assert_array_equal(market.absent, table.absent)
    assert np.isnan(market.prices[:200, 1]).all()
    assert np.isfinite(market.prices[200:219, 1]).all()  # bars, but features that still warm up
    rows = inside[inside < data.split.train.stop]
    present = table.values[rows][~table.absent[rows]]
    np.testing.assert_allclose(data.scaler.center, np.median(present, axis=0))
    # a million in place of what is not there would have moved them
    assert data.scaler.center.max() < 1


def test_labels_end_where_the_bars_do_and_the_others_keep_theirs():
    made = table_of(staggered(), [RETURN, SMOOTH], together=False)
    labels = make_labels(made.prices, made.segments, APART.labels, made.absent)
    known = labels.direction != UNKNOWN
    expected = ~made.absent
    expected[594:] = False
    expected[:21] = False  # a usual size takes two bars of the segment
    expected[394:400, 2] = False  # six bars ahead of 394 is the first that is missing
    np.testing.assert_array_equal(known, expected)
    for values in (labels.forward, labels.volatility):
        np.testing.assert_array_equal(np.isfinite(values), expected)
    close = made.prices[:, 2, CLOSE]
    np.testing.assert_allclose(labels.forward[424:594, 2], np.log(close[430:] / close[424:594]), rtol=1e-5)
    alone = make_labels(made.prices[:, :1], made.segments, APART.labels)
    np.testing.assert_array_equal(labels.forward[:, 0], alone.forward[:, 0])


def test_assets_on_different_grids_are_refused():
    raw = staggered()
    moved = raw.bars["ETH"].assign(time=raw.bars["ETH"]["time"] + pd.Timedelta("20min"))
    with pytest.raises(UserError, match="close at different moments"):
        table_of(replace(raw, bars={**raw.bars, "ETH": moved}), [RETURN], together=False)


@pytest.mark.parametrize("changes", [{}, {"rolling": 120, "missing": "mask"},
                                     {"groups": ("returns", "cross_asset"), "missing": "mask", "bridge": 5}])
def test_nothing_in_it_looks_ahead(changes):
    raw = staggered(1_000, extra=range(700, 706))
    config = replace(APART, **changes)
    data = build(raw, config)
    assert data.market.absent.any()
    end = data.split.train.stop
    cuts = [199, 200, 402, end - 1, end, 900]  # about a listing and an outage, the end of training, and late
    assert audit_dataset(raw, config, cuts, kinds=("noise", "cut")).findings == []


def test_a_listing_to_come_is_not_known_before():
    raw = staggered()
    without = replace(raw, bars={**raw.bars, "ETH": raw.bars["ETH"].iloc[:0]},
                      carry={**raw.carry, "ETH": raw.carry["ETH"][:0]})
    before, after = (table_of(one, [RETURN, SMOOTH], together=False) for one in (without, raw))
    for name in ("time", "prices", "values", "carry", "absent"):
        np.testing.assert_array_equal(getattr(before, name)[:200], getattr(after, name)[:200])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    paths = [real(name) for name in FILES]
    found = Store(tmp_path_factory.mktemp("eight") / "store")
    assert not any(done.refusal for done in import_files(paths, found, on_bad="drop"))
    return found


@pytest.fixture(scope="module")
def eight(store):
    config = parse(DataConfig, [], preset("data", "spot8_hourly"))
    assert config.features == "hourly"  # all of them take a minute
    return replace(config, features="", groups=("returns", "cross_asset", "macro"),
                   store=replace(config.store, folder=store.folder))


def test_eight_coins_come_as_they_were_listed(eight):
    data = load_dataset(eight)
    market, raw = data.market, load_raw(eight)
    assert market.assets == COINS
    (start, stop), *more = market.segments.tolist()
    assert not more
    assert stop == len(market)
    assert np.isfinite(market.features[start:stop]).all()
    assert {"term_spread", "vix_level", "peer_missing"} <= set(market.columns)
    for n, coin in enumerate(COINS):
        gone = market.absent[start:stop, n]
        came = np.argmax(~gone)  # three weeks after its first bar at the latest, then there but for outages
        listed = np.datetime64(raw.bars[coin]["time"].iloc[0].tz_localize(None))
        assert came == 0 or market.time[start + came] - listed <= np.timedelta64(22, "D")
        assert gone[came:].mean() < 0.001
    share = market.absent[start:stop].mean(axis=0)
    assert (share[:5] < 0.001).all()
    assert 0.03 < share[5] < share[6] < share[7] < 0.6
    flag = market.features[start:stop, 0, market.columns.index("peer_missing")]
    sol = np.isfinite(market.prices[start:stop, 7, CLOSE])
    assert flag[~sol].all()
    assert flag[np.argmax(sol) + 1_000:].mean() < 0.1
    assert data.labels.known[: data.split.train.stop].sum() > 2_000


def test_what_is_seen_of_the_eight_was_known(eight):
    short = replace(eight, rolling=500, window=16, store=replace(eight.store, start="2020-07-25", end="2020-10-01"))
    raw = load_raw(short)
    data = build(raw, short)
    assert data.market.absent[:, -1].any()
    sol = int(np.argmax(np.isfinite(data.market.prices[:, -1, CLOSE])))
    cuts = [sol - 1, sol, sol + 30, data.split.train.stop - 1]
    assert audit_dataset(raw, short, cuts, kinds=("noise", "cut")).findings == []
