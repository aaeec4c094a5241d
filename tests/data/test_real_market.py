"""Real files, through the store, to a market: what is on file decides nothing before it was known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from configs.loader import parse, preset
from data.causality import audit_dataset
from data.dataset import DataConfig, build, load_dataset, load_raw
from data.importing import import_files
from data.schema import Key
from data.store import Store
from tests.data.real import real

FILES = ("hourly/spot_binance_BTCUSDT.parquet", "daily/onchain_btc.parquet", "daily/macro.parquet",
         "daily/fear_greed.parquet", "daily/funding_btcusdt.parquet")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    paths = [real(name) for name in FILES]
    found = Store(tmp_path_factory.mktemp("real") / "store")
    done = import_files(paths, found, on_bad="drop")
    assert not any(one.refusal for one in done)
    return found


@pytest.fixture(scope="module")
def config(store):
    settings = preset("data", "btc_hourly")
    whole = parse(DataConfig, [], settings)
    return replace(whole, store=replace(whole.store, folder=store.folder))


@pytest.fixture(scope="module")
def short(config):
    """A year and a half, to be built many times."""
    return replace(config, rolling=1_000, window=16, store=replace(config.store, start="2021-03-01", end="2021-10-01"))


def test_the_preset_shows_the_chain_the_world_the_mood_and_funding(config):
    data = load_dataset(config)
    assert data.dropped == ("cross_asset",)
    assert {"mvrv_log", "term_spread", "fear_greed_level", "funding_bps", "onchain_missing"} <= set(data.market.columns)
    inside = np.concatenate([np.arange(a, b) for a, b in data.market.segments])
    assert np.isfinite(data.market.features[inside]).all()
    assert len(inside) > 45_000
    # funding begins in September 2019: until then a column says that it is missing, and it is 0
    time = pd.DatetimeIndex(data.market.time)[inside]
    features = data.market.features[inside, 0]
    before = time < "2019-09-10"
    missing, level = (features[:, data.market.columns.index(name)] for name in ("funding_missing", "funding_bps"))
    assert (level[before] == 0).all()
    assert len(set(missing[before])) == 1
    assert set(missing[time > "2020-06-01"]) != set(missing[before])
    assert np.abs(level[time > "2020-06-01"]).mean() > 0.3


def test_a_day_of_the_chain_is_seen_when_the_source_had_finished_it(short, store):
    config = replace(short, features="", groups=("onchain",), missing="break", rolling=0)
    raw = load_raw(config)
    table = store.read(Key("onchain", "BTC", "1D"))
    finished = pd.to_datetime(table["day_completed"].to_numpy(), unit="s", utc=True)
    market = build(raw, config).market
    time = pd.DatetimeIndex(market.time, tz="UTC")
    level = market.features[:, 0, market.columns.index("exchange_share")]
    moved = time[np.flatnonzero(np.abs(np.diff(level)) > 0) + 1]
    during = finished[(finished > time[0]) & (finished <= time[-1])]
    assert len(moved) > 200
    assert set(moved) <= set(time[np.searchsorted(time, during)])  # the first close after it
    assert (finished - pd.DatetimeIndex(table["time"]))[-900:].min() > pd.Timedelta("2h")


def test_nothing_in_it_looks_ahead(short):
    raw = load_raw(short)
    data = build(raw, short)
    train = data.split.train.stop
    cuts = [int(data.market.segments[0, 0]) + 50, train - 1, train, len(data.market) - 5]
    assert audit_dataset(raw, short, cuts, kinds=("noise", "cut")).findings == []


def test_a_day_more_changes_nothing_before_it(short):
    raw = load_raw(short)
    shorter = replace(raw, bars={a: bars.iloc[:-24] for a, bars in raw.bars.items()},
                      carry={a: paid[:-24] for a, paid in raw.carry.items()})
    fixed = replace(short, borders=(3_000, 4_000))
    whole, part = build(raw, fixed).market, build(shorter, fixed).market
    np.testing.assert_array_equal(whole.features[:-24], part.features)
