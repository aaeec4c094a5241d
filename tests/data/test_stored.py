"""A market out of the store: what is asked for, as of when it was known, and a clear word where it is not there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.dataset import DataConfig, load_dataset
from data.labels import LabelConfig
from data.schema import OHLCV, Key
from data.simulator import SimulatorConfig
from data.simulator.simulate import simulate
from data.splits import SplitConfig
from data.store import Store
from data.stored import StoreConfig, days_of, stored_raw

RAW = simulate(SimulatorConfig(bars=2_000, assets=("BTC", "ETH")))
SHORT = LabelConfig(horizon=6)


@pytest.fixture
def filled(tmp_path):
    store = Store(tmp_path / "store")
    for asset, bars in RAW.bars.items():
        for kind in ("spot_binance", "perp_binance"):
            store.append(Key(kind, asset, "1h"), bars.assign(known_at=bars["time"]), {})
    days = pd.date_range("2019-06-01", periods=400, freq="D", tz="UTC")
    rates = {"funding_rate": np.linspace(1e-4, 4e-4, 400)}
    store.append(Key("funding", "BTC", "1D"),
                 pd.DataFrame({"time": days, "known_at": days - pd.Timedelta("7h"), **rates}), {})
    mood = 50 + 30 * np.sin(np.arange(400) / 9)
    store.append(Key("fear_greed", "all", "1D"),
                 pd.DataFrame({"time": days, "known_at": days - pd.Timedelta("23h"), "fear_greed": mood}), {})
    return StoreConfig(folder=tmp_path / "store", context=("fear_greed", "funding"))


def test_bars_and_context_come_as_they_were_stored(filled):
    raw = stored_raw(filled)
    pd.testing.assert_frame_equal(raw.bars["BTC"], RAW.bars["BTC"])
    assert set(raw.context) == {("fear_greed", "all"), ("funding", "BTC")}
    assert raw.bars_per_year == 8760.0
    assert (raw.carry["BTC"] == 0).all()


def test_days_asked_for_and_context_from_before_them(filled):
    raw = stored_raw(replace(filled, start="2020-02-01", end="2020-02-03"))
    assert raw.bars["BTC"]["time"].iloc[[0, -1]].tolist() == [pd.Timestamp("2020-02-01 01:00", tz="UTC"),
                                                              pd.Timestamp("2020-02-03 00:00", tz="UTC")]
    assert raw.context["fear_greed", "all"]["time"].iloc[0] == pd.Timestamp("2019-06-01", tz="UTC")


def test_a_future_pays_its_funding_when_it_is_known_and_what_pays_none_is_named(filled):
    raw = stored_raw(replace(filled, bars="perp_binance", assets=("BTC", "ETH")))
    funding = raw.context["funding", "BTC"]
    time = RAW.bars["BTC"]["time"]
    day = time[777].ceil("D")
    rate = funding["funding_rate"][funding["time"] == day].iloc[0]
    of_day = raw.carry["BTC"][time.dt.ceil("D") == day]
    assert np.flatnonzero(of_day).tolist() == [16]  # known at 17:00, and paid on the bar that closes then
    assert of_day.sum() == pytest.approx(3 * rate)
    assert (raw.carry["ETH"] == 0).all()
    assert raw.notes == ("no funding on file for ETH: positions in them cost and earn none",)


def test_days_are_made_of_hours_and_a_day_of_few_hours_is_none(filled):
    daily = stored_raw(replace(filled, frequency="1D"))
    hours = RAW.bars["BTC"]
    inside = (hours["time"] > "2020-01-10") & (hours["time"] <= "2020-01-11")
    day = daily.bars["BTC"].set_index("time").loc[pd.Timestamp("2020-01-11", tz="UTC")]
    expected = (hours["open"][inside].iloc[0], hours["high"][inside].max(), hours["low"][inside].min(),
                hours["close"][inside].iloc[-1], hours["volume"][inside].sum())
    assert tuple(day[list(OHLCV)]) == pytest.approx(expected)
    assert daily.bars_per_year == 365.0
    assert len(days_of(hours.iloc[:30])) == 1


@pytest.mark.parametrize("hours", [24 + 6, 24 + 13, 24 + 23])
def test_a_day_that_has_not_closed_is_no_day(hours):
    assert len(days_of(RAW.bars["BTC"].iloc[:hours])) == 1
    assert len(days_of(RAW.bars["BTC"].iloc[:48])) == 2
    outage = RAW.bars["BTC"].drop(index=range(40, 50))  # its last hours never came, but the next day did
    assert len(days_of(outage.iloc[:60])) == 2


def test_the_whole_way_to_a_dataset_with_watched_assets(filled):
    config = DataConfig(source="store", store=replace(filled, peers=("ETH",)), missing="mask", window=16, labels=SHORT,
                        groups=("returns", "sentiment", "funding", "cross_asset", "social"),
                        split=SplitConfig(embargo=4))
    data = load_dataset(config)
    assert data.market.assets == ("BTC",)
    assert data.dropped == ("social",)
    assert {"fear_greed_missing", "funding_missing"} <= set(data.market.columns)
    assert not any(column.endswith(":ETH") for column in data.market.columns)


def test_no_knowledge_before_its_time(filled):
    config = DataConfig(source="store", store=filled, window=16, labels=SHORT, groups=("returns", "sentiment"),
                        split=SplitConfig(embargo=4))
    data = load_dataset(config)
    level = data.market.features[:, 0, data.market.columns.index("fear_greed_level")]
    time = pd.DatetimeIndex(data.market.time)
    moved = np.flatnonzero(np.abs(np.diff(level)) > 0) + 1  # NaN while the bars warm up is no move
    assert set(time[moved].hour) == {1}  # the day's value is published at its start, and counted an hour later


def test_a_kind_that_is_not_on_file_is_left_out_and_said(filled):
    raw = stored_raw(replace(filled, context=("onchain", "funding", "rates")))
    assert set(raw.context) == {("funding", "BTC")}
    assert any("onchain, rates" in note for note in raw.notes)


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="unknown kind 'fear_and_greed'"):
        StoreConfig(context=("fear_and_greed",))


def test_rows_that_were_left_out_on_import_are_told(filled):
    store = Store(filled.folder)
    late = RAW.bars["BTC"].assign(time=RAW.bars["BTC"]["time"] + pd.Timedelta("365D"))
    store.append(Key("spot_binance", "BTC", "1h"), late.assign(known_at=late["time"]), {"left_out": 5, "emptied": 0})
    assert any("5 rows and 0 values were left out on import" in note for note in stored_raw(filled).notes)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"assets": ("BCT",)}, "no bars spot_binance/BCT/1h; of spot_binance it holds BTC, ETH; did you mean 'BTC'"),
    ({"bars": "spot_kraken"}, "take other bars: --data.store.bars perp_binance --data.store.assets BTC or"),
    ({"folder": Path("nowhere")}, "no store at nowhere yet: fill one"),
    ({"assets": ("btc",)}, "did you mean 'BTC'"),
    ({"start": "2031-01-01"}, "it spans 2020-01-01"),
])
def test_what_is_not_there_is_said_with_what_is(filled, wrong, message):
    with pytest.raises(UserError, match=message):
        stored_raw(replace(filled, **wrong))


@pytest.mark.parametrize("wrong", [{"bars": "rates"}, {"context": ("perp_binance",)}, {"leader": "DOGE"},
                                   {"frequency": "5m"}, {"assets": ()}, {"start": "tomorrow"},
                                   {"assets": ("BTC",), "peers": ("BTC",)}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=r"store\."):
        StoreConfig(**wrong)
