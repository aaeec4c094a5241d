"""Every layout is read for what it is; what was done about it is noted, and what two readings fit is asked for."""

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.schema import OHLCV, SCHEMAS, Key, schema_of
from data.sources.layouts import COIN_METRICS, LAYOUTS, named
from data.sources.readers import read_file
from tests.data.real import real

SPOT = ("ADA", "BNB", "BTC", "ETH", "LINK", "LTC", "MATIC", "SOL")
PERP = ("AAVE", "ADA", "ATOM", "BNB", "BTC", "DOT", "EOS", "ETC", "ETH", "FIL", "LINK", "LTC", "MATIC", "SOL", "TRX",
        "UNI")
REAL = {  # file -> the tables in it and their rows, as the description of the data counts them
    **{f"hourly/spot_binance_{asset}USDT.parquet": {Key("spot_binance", asset, "1h"): None} for asset in SPOT},
    **{f"hourly/perp_binance_{asset}USDT.parquet": {Key("perp_binance", asset, "1h"): 31_973} for asset in PERP},
    "hourly/spot_coinbase_BTCUSD.parquet": {Key("spot_coinbase", "BTC", "1h"): 20_111},
    "hourly/spot_bitstamp_BTCUSD.parquet": {Key("spot_bitstamp", "BTC", "1h"): 33_259},
    "hourly/dvol_deribit_BTC.parquet": {Key("implied_deribit", "BTC", "1h"): 27_806},
    "daily/onchain_btc.parquet": {Key("onchain", "BTC", "1D"): 5_658},
    "daily/onchain_btc_archive2020.parquet": {Key("onchain_archive2020", "BTC", "1D"): 4_224},
    "daily/onchain_eth_archive2020.parquet": {Key("onchain_archive2020", "ETH", "1D"): 1_825},
    "daily/macro.parquet": {Key("rates", "all", "1D"): 2_483, Key("markets", "all", "1D"): 2_477},
    "daily/fear_greed.parquet": {Key("fear_greed", "all", "1D"): 2_339},
    "daily/funding_btcusdt.parquet": {Key("funding", "BTC", "1D"): 1_756},
    "daily/sentiment_btc.parquet": {Key("sentiment", "BTC", "1D"): 2_303},
    "raw/Coinbase_BTCUSD_1h.csv": {Key("spot_cryptodatadownload", "BTC", "1h"): 20_111},
    "raw/bitstamp_(BTC,ETH,LTC)USD_d.csv": {Key("spot_bitstamp", "BTC", "1D"): 1_865,
                                            Key("spot_bitstamp", "ETH", "1D"): 788,
                                            Key("spot_bitstamp", "LTC", "1D"): 925},
    "raw/DXY.csv": {Key("markets_dxy", "all", "1D"): 1_185},
    "raw/vix.csv": {Key("markets_vix", "all", "1D"): 2_388},
    "raw/fng.csv": {Key("fear_greed", "all", "1D"): 2_339},
}


@pytest.mark.parametrize("name", REAL)
def test_every_real_file_gives_its_tables(name):
    readings = read_file(real(name))
    assert [reading.key for reading in readings] == list(REAL[name])
    for reading, rows in zip(readings, REAL[name].values()):
        table, schema = reading.table, reading.key.schema
        assert rows is None or len(table) == rows
        assert table.index.equals(pd.RangeIndex(len(table)))
        assert list(table.columns[:2]) == ["time", "known_at"]
        assert set(table.columns[2:]) <= set(schema.names)
        assert {str(table[c].dtype) for c in ("time", "known_at")} == {"datetime64[us, UTC]"}
        assert {str(dtype) for dtype in table.dtypes[2:]} == {"float64"}
        assert table["time"].is_monotonic_increasing
        assert table["time"].is_unique
        assert (table["known_at"] >= table["time"] - reading.key.period).all()
        assert reading.notes[0].startswith("layout: ")


def test_no_real_file_has_a_column_of_numbers_without_a_place_in_its_schema():
    left = {name: note for name in REAL for reading in read_file(real(name))
            for note in reading.notes if "unknown" in note}
    volume = "unknown columns left out: volume"  # 0 in every row of both
    assert left == {"raw/DXY.csv": volume, "raw/vix.csv": volume}


def test_hours_are_stamped_at_their_open_and_stored_at_their_close():
    path = real("hourly/spot_binance_BTCUSDT.parquet")
    found, [reading] = pd.read_parquet(path), read_file(path)
    assert reading.table["time"][0] == pd.Timestamp("2017-08-17 05:00", tz="UTC")
    assert (reading.table["known_at"] == reading.table["time"]).all()
    np.testing.assert_array_equal(reading.table[list(OHLCV)], found[list(OHLCV)])


def test_coin_metrics_names_all_lead_to_a_column_of_their_own_and_keep_their_values():
    found, [reading] = (path := real("daily/onchain_btc.parquet")) and pd.read_parquet(path), read_file(path)
    assert set(COIN_METRICS.values()) <= set(SCHEMAS["onchain"].names)
    for theirs in found:
        np.testing.assert_array_equal(reading.table[COIN_METRICS[theirs]], found[theirs])
    assert reading.table["time"].iloc[-1] == pd.Timestamp("2024-07-01", tz="UTC")
    finished = pd.to_datetime(found["AssetEODCompletionTime"].iloc[-1], unit="s", utc=True)
    assert reading.table["known_at"].iloc[-1] == finished  # measured, not a rule


def test_rates_and_markets_are_cut_apart_and_keep_their_holes():
    found = pd.read_parquet(path := real("daily/macro.parquet"))
    rates, markets = (reading.table for reading in read_file(path))
    for table, names in ((rates, {"us2y": "dgs2", "us10y": "dgs10", "us10y_real": "dfii10",
                                  "high_yield_spread": "hy_oas"}),
                         (markets, {"vix": "vix_close", "dollar_index": "dxy_close", "gold": "gold_close",
                                    "sp500": "sp500_close", "eurusd": "eurusd_close"})):
        theirs = found[list(names.values())].dropna(how="all")
        np.testing.assert_array_equal(table[list(names)], theirs)
        np.testing.assert_array_equal(table["time"] - pd.Timedelta("1D"), theirs.index)
    assert rates["us2y"].isna().any()
    thursday = rates[rates["time"] == pd.Timestamp("2024-05-24", tz="UTC")]  # the end of the 23rd
    assert thursday["known_at"].item() == pd.Timestamp("2024-05-24 22:00", tz="UTC")


@pytest.mark.parametrize(("raw", "tidy"), [("raw/Coinbase_BTCUSD_1h.csv", "hourly/spot_coinbase_BTCUSD.parquet"),
                                           ("raw/fng.csv", "daily/fear_greed.parquet")])
def test_a_raw_csv_gives_the_same_numbers_as_its_tidied_copy(raw, tidy):
    [one], [other] = read_file(real(raw)), read_file(real(tidy))
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)


def test_what_is_odd_about_the_raw_files_is_noted():
    names = ("Coinbase_BTCUSD_1h.csv", "fng.csv", "vix.csv")
    notes = {name: read_file(real(f"raw/{name}"))[0].notes[1:] for name in names}
    assert notes["Coinbase_BTCUSD_1h.csv"] == (
        "1 line(s) before the header left out", "newest first, turned round",
        "5 rows out of order, among rows 16897 to 16905, sorted", "text left out: symbol")
    assert notes["fng.csv"] == ("dates read as %d-%m-%Y", "newest first, turned round",
                                "text left out: fng_classification")
    assert notes["vix.csv"] == ("second header left out: ^VIX", "unknown columns left out: volume")


def test_the_columns_of_the_vix_are_taken_by_name_and_not_by_place():
    table = read_file(real("raw/vix.csv"))[0].table
    assert table["time"][0] == pd.Timestamp("2015-01-03", tz="UTC")
    first = table.loc[0, ["vix_open", "vix_high", "vix_low", "vix"]].tolist()
    assert first == [17.760000228881836, 20.139999389648438, 17.049999237060547, 17.790000915527344]


def test_assets_side_by_side_keep_to_the_days_they_have():
    btc, eth, _ = (reading.table for reading in read_file(real("raw/bitstamp_(BTC,ETH,LTC)USD_d.csv")))
    assert btc.loc[0, list(OHLCV)].tolist() == [363.59, 381.34, 360.57, 376.28, 8617.15]
    assert eth["time"][0] == pd.Timestamp("2017-11-10", tz="UTC")
    assert eth.notna().all(axis=None)


@pytest.mark.parametrize(("rows", "form"), [(slice(-12, None), "%d-%m-%Y"), (slice(-40, None), "%d-%m-%Y")])
def test_the_order_of_day_and_month_is_found_where_both_can_be_read(tmp_path, rows, form):
    """The last twelve rows, 1 to 12 February, are dates in both orders; only one of them is a day apart."""
    lines = real("raw/fng.csv").read_text().splitlines()
    (tmp_path / "any.csv").write_text("\n".join([lines[0], *lines[1:][rows]]))
    [reading] = read_file(tmp_path / "any.csv")
    assert f"dates read as {form}" in reading.notes
    assert reading.table["time"][0] == pd.Timestamp("2018-02-02", tz="UTC")
    assert reading.table["time"].diff().iloc[1:].eq(pd.Timedelta("1D")).all()


def stored(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


GREED = "date,fng_value\n"


@pytest.mark.parametrize(("dates", "first"), [
    (("13/02/2018", "14/02/2018"), "2018-02-13"),
    (("02/13/2018", "02/14/2018"), "2018-02-13"),
    (("01.02.2018", "02.02.2018"), "2018-02-01"),
    (("02/01/2018", "02/02/2018", "02/03/2018"), "2018-02-01"),  # American
    (("2018-02-01", "2018-02-02"), "2018-02-01"),
    (("2018-02-01T00:00:00Z", "2018-02-02T00:00:00Z"), "2018-02-01"),
    (("2018-02-01 02:00:00+02:00", "2018-02-02 02:00:00+02:00"), "2018-02-01"),
])
def test_dates_are_read_where_one_reading_is_left(tmp_path, dates, first):
    path = stored(tmp_path, "any.csv", GREED + "\n".join(f"{date},{i}" for i, date in enumerate(dates)))
    [reading] = read_file(path)
    assert reading.table["time"][0] == pd.Timestamp(first, tz="UTC") + pd.Timedelta("1D")
    assert reading.table["fear_greed"].tolist() == list(range(len(dates)))


@pytest.mark.parametrize("dates", [
    ("01/01/2018", "02/02/2018", "03/03/2018"),  # the same in both orders
    ("01/02/2018",),
    # read either way, one half is days in a row and the other months apart
    (*(f"{day:02d}/01/2019" for day in range(1, 13)), *(f"01/{day:02d}/2020" for day in range(1, 13))),
])
def test_dates_that_two_readings_fit_are_refused_until_their_form_is_said(tmp_path, dates):
    path = stored(tmp_path, "any.csv", GREED + "\n".join(f"{date},5" for date in dates))
    with pytest.raises(UserError, match="--date-format %d-%m-%Y") as refusal:
        read_file(path)
    assert str(path) in str(refusal.value)
    if len(dates) == 1:
        [row] = read_file(path, date_format="%d/%m/%Y")[0].table["time"]
        assert row == pd.Timestamp("2018-02-02", tz="UTC")


def bars(rows=5, start="2024-01-01", freq="h"):
    price = np.arange(rows) + 10.0
    return pd.DataFrame({"Date": pd.date_range(start, periods=rows, freq=freq, tz="UTC"), "Open": price,
                         "High": price + 1, "Low": price - 1, "Close": price + 0.5, "Volume": price * 7})


@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet", "indexed.parquet"])
def test_a_users_own_bars_need_two_flags(tmp_path, name):
    table = bars().set_index("Date") if name.startswith("indexed") else bars()
    path = tmp_path / name
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    [reading] = read_file(path, kind="spot_kraken", asset="BTC")
    assert reading.key == Key("spot_kraken", "BTC", "1h")
    np.testing.assert_array_equal(reading.table[list(OHLCV)], bars()[[name.title() for name in OHLCV]])
    assert reading.table["time"].tolist() == (bars()["Date"] + pd.Timedelta("1h")).tolist()
    closes = read_file(path, kind="spot_kraken", asset="BTC", stamp="end")[0].table
    assert closes["time"].tolist() == bars()["Date"].tolist()
    with pytest.raises(UserError, match="--kind spot_kraken --asset BTC"):
        read_file(path)
    with pytest.raises(UserError, match="add --asset BTC"):
        read_file(path, kind="spot_kraken")


def test_a_file_named_for_what_it_is_needs_none(tmp_path):
    bars(freq="D").to_csv(path := tmp_path / "spot_kraken_ethusd.csv", index=False)
    assert read_file(path)[0].key == Key("spot_kraken", "ETH", "1D")
    assert read_file(path, kind="perp_kraken", asset="X")[0].key == Key("perp_kraken", "X", "1D")


def test_numbers_since_1970_need_their_unit(tmp_path):
    seconds = bars().assign(Date=bars()["Date"].dt.as_unit("s").astype("int64"))
    seconds.to_csv(path := tmp_path / "spot_kraken_BTCUSD.csv", index=False)
    with pytest.raises(UserError, match="--date-format with one of s, ms"):
        read_file(path)
    assert read_file(path, date_format="s")[0].table["time"][0] == pd.Timestamp("2024-01-01 01:00", tz="UTC")


def test_hours_without_a_zone_need_a_word_and_days_do_not(tmp_path):
    naive = bars().assign(Date=bars()["Date"].dt.tz_localize(None))
    naive.to_csv(path := tmp_path / "spot_kraken_BTCUSD.csv", index=False)
    with pytest.raises(UserError, match="say --assume-utc True"):
        read_file(path)
    assert len(read_file(path, assume_utc=True)[0].table) == 5
    naive["Date"] = pd.date_range("2024-01-01", periods=5)
    naive.to_parquet(path := tmp_path / "spot_kraken_BTCUSD.parquet")
    assert read_file(path)[0].key.frequency == "1D"


def test_rows_are_sorted_and_copies_left_out_but_two_truths_stay(tmp_path):
    table = bars().iloc[[0, 1, 3, 2, 2, 4, 4]].reset_index(drop=True)
    table.loc[6, "Close"] = 99.0
    table.to_csv(path := tmp_path / "spot_kraken_BTCUSD.csv", index=False)
    [reading] = read_file(path)
    assert reading.table["close"].tolist() == [10.5, 11.5, 12.5, 13.5, 14.5, 99.0]
    assert reading.notes[1] == "2 rows out of order, among rows 3 to 4, sorted"
    assert reading.notes[2].startswith("1 rows repeated another in every value")


def test_a_vix_without_a_second_header_loses_no_row(tmp_path):
    text = "date,vix_close,High,Low,Open,Volume\n2024-01-02,1,2,3,4,0\n2024-01-03,5,6,7,8,0\n"
    [reading] = read_file(stored(tmp_path, "vix.csv", text))
    assert reading.table["vix"].tolist() == [1.0, 5.0]


def test_one_table_of_several_can_be_asked_for(tmp_path):
    text = "date,dgs10,vix_close\n2024-01-02,4.0,.\n2024-01-03,,13.5\n2024-01-04,4.1,14\n"
    path = stored(tmp_path, "any.csv", text)
    rates, markets = read_file(path)
    assert (rates.table["us10y"].tolist(), markets.table["vix"].tolist()) == ([4.0, 4.1], [13.5, 14.0])
    [alone] = read_file(path, kind="markets_mine")
    assert alone.key == Key("markets_mine", "all", "1D")


BARS = "time,open,high,low,close,volume\n"


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.csv", "", "is empty"),
    ("a.csv", BARS, "has no rows"),
    ("a.txt", BARS, "must end in .parquet or .csv"),
    ("a.parquet", "no parquet", "not readable as parquet"),
    ("a.csv", "price,size\n1,2\n3,4\n", "no column of times .* among price, size; known layouts are Coin Metrics"),
    ("a.csv", BARS + "2024-01-01,1,1,1,1,1\n2024-01-02,1,1,1,1,1\n", "not what they are; say --kind"),
    ("spot_x_BTC.csv", "time,open,high,low,close\n2024-01-01,1,1,1,1\n", "no column 'volume' for spot"),
    ("spot_x_BTC.csv", BARS + "2024-01-01,1,1,1,1,\"1,000\"\n", "must be a number, found '1,000' in row 0"),
    ("spot_x_BTC.csv", BARS + "2024-01-01,1,1,1,1,1\n2024-01-08,1,1,1,1,1\n", "7 days .* spot is stored at 1h or 1D"),
    ("spot_x_BTC.csv", BARS + "2024-01-01,1,1,1,1,1\n", "fewer than two"),
    ("spot_x_BTC.csv", BARS + "2024-01-01,1,1,1,1,1\n,1,1,1,1,1\n", "time is missing in row 1"),
    ("spot_x_BTC.csv", BARS + "2024-01-01,1,1,1,1,1\n2024-13-01,1,1,1,1,1\n", "'2024-13-01' in row 1 is no date"),
    ("funding_x_BTC.csv", "time,funding_rate\n2024-01-01,0\n2024-02-01,0\n", "31 days .* funding is stored at 1D"),
    ("spot_x_BTC.csv", BARS + "noon,1,1,1,1,1\n", "as no date that is known"),
    ("spot_x_BTC.csv", BARS + "2024-01-01 01:00Z,1,1,1,1,1\n2024-01-01 02:00,1,1,1,1,1\n", "none in row 1"),
    ("spot_x_BTC.csv", "time,open,high,low,close,volume,volume_usd,quote_volume\n2024-01-01,1,1,1,1,1,1,1\n",
     "both 'volume_usd' and 'quote_volume' are quote_volume"),
    ("onchain_x_BTC.csv", "time,spam\n2024-01-01,1\n", "none of the columns of onchain"),
    ("spot_gate_btc.csv", BARS + "2024-01-01,1,1,1,1,1\n", "not what they are"),  # gate, too, could be a coin
])
def test_what_cannot_be_read_is_refused_in_one_helpful_line(tmp_path, name, text, message):
    path = stored(tmp_path, name, text)
    with pytest.raises(UserError, match=message) as refusal:
        read_file(path)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_file_that_is_not_there_and_a_kind_that_is_none_are_named(tmp_path):
    with pytest.raises(UserError, match="no file at"):
        read_file(tmp_path / "none.csv")
    path = stored(tmp_path, "a.csv", BARS + "2024-01-01,1,1,1,1,1\n")
    with pytest.raises(UserError, match="unknown kind 'spto_kraken'"):
        read_file(path, kind="spto_kraken", asset="BTC")


@pytest.mark.parametrize(("stem", "kind", "asset"), [
    ("perp_binance_1000SHIBUSDT", "perp_binance", "1000SHIB"), ("spot_BTC-USD", "spot", "BTC"),
    ("fear_greed", "fear_greed", ""), ("sentiment_btc", "sentiment", "BTC"),
    ("spot_kraken_BTCUSD_1h", "spot_kraken", "BTC"), ("Coinbase_BTCUSD_1h", "", "BTC"),
    ("data", "", ""), ("spot_okx_eth", "", ""), ("spotty_x_BTC", "", ""), ("rates_fred_all", "rates_fred", "all"),
])
def test_names_say_kind_and_asset_or_nothing(stem, kind, asset):
    assert named(stem) == (kind, asset)


def test_every_name_in_the_table_of_layouts_is_one_of_its_schema():
    for layout in LAYOUTS:
        for part in layout.parts:
            known = schema_of(part.kind).names if part.kind else SCHEMAS["spot"].names
            assert set(part.rename.values()) <= set(known), layout.name
    assert LAYOUTS[-1].columns == ()  # the last takes what no other does


def test_dates_written_as_numbers_are_read_in_the_form_that_is_said(tmp_path):
    path = tmp_path / "days.csv"
    table = pd.DataFrame({"date": [20240130, 20240131, 20240201], "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5,
                          "volume": 3.0})
    table.to_csv(path, index=False)
    [reading] = read_file(path, kind="spot_kraken", asset="btc", date_format="%Y%m%d")
    assert reading.key == Key("spot_kraken", "BTC", "1D")
    assert reading.table["time"].iloc[-1] == pd.Timestamp("2024-02-02", tz="UTC")
    with pytest.raises(UserError, match="%Y%m%d"):
        read_file(path, kind="spot_kraken", asset="BTC")
