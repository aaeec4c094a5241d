"""A file is taken as it is or refused in one line that says where and why; nothing is repaired in silence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.dataset import DataConfig, build, load_raw
from data.sources.files import FileConfig, FileSource, read_bars

REAL = Path(__file__).parents[3] / "shared" / "data" / "hourly"


def good(rows=30):
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
    opened = np.concatenate([[100.0], close[:-1]])
    return pd.DataFrame({
        "timestamp": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
        "open": opened,
        "high": np.maximum(opened, close) * 1.001,
        "low": np.minimum(opened, close) * 0.999,
        "close": close,
        "volume": rng.uniform(1, 2, rows),
    })


def stored(folder, table, name="BTC.parquet"):
    path = folder / name
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


def test_opens_become_closes_unless_they_are_closes(tmp_path):
    path = stored(tmp_path, good())
    assert read_bars(path, FileConfig())["time"][0] == pd.Timestamp("2024-01-01 01:00", tz="UTC")
    assert read_bars(path, FileConfig(stamp="close"))["time"][0] == pd.Timestamp("2024-01-01 00:00", tz="UTC")


def test_csv_and_parquet_and_an_index_of_times_read_the_same(tmp_path):
    bars = read_bars(stored(tmp_path, good()), FileConfig())
    pd.testing.assert_frame_equal(bars, read_bars(stored(tmp_path, good(), "BTC.csv"), FileConfig()))
    indexed = good().set_index("timestamp").rename(columns=str.title)
    pd.testing.assert_frame_equal(bars, read_bars(stored(tmp_path, indexed, "ETH.parquet"), FileConfig()))


def test_the_asset_is_named_by_the_file_or_the_config(tmp_path):
    path = stored(tmp_path, good(), "SOL.parquet")
    assert FileSource(path).raw().assets == ("SOL",)
    assert FileSource(path, FileConfig(asset="X")).raw().assets == ("X",)
    with pytest.raises(UserError, match="unknown asset 'BTC'"):
        FileSource(path).fetch("BTC")


def test_fetch_cuts_by_close(tmp_path):
    source = FileSource(stored(tmp_path, good()))
    start, end = pd.Timestamp("2024-01-01 05:00", tz="UTC"), pd.Timestamp("2024-01-01 07:00", tz="UTC")
    assert source.fetch("BTC", start, end)["time"].dt.hour.tolist() == [5, 6, 7]


def test_missing_hours_are_kept_as_a_gap(tmp_path):
    path = stored(tmp_path, good().drop(index=[10, 11, 12]))
    raw = load_raw(DataConfig(path=path))
    assert len(raw.bars["BTC"]) == 27
    assert raw.bars["BTC"]["time"].diff().max() == pd.Timedelta("4h")


def test_other_bars_have_another_year(tmp_path):
    table = good().assign(timestamp=pd.date_range("2024-01-01", periods=30, freq="15min", tz="UTC"))
    path = stored(tmp_path, table)
    assert FileSource(path, FileConfig(bar_minutes=15)).raw().bars_per_year == 35_040
    with pytest.raises(UserError, match="15 minutes apart, not 60"):
        read_bars(path, FileConfig())


def test_naive_times_need_a_word(tmp_path):
    path = stored(tmp_path, good().assign(timestamp=good()["timestamp"].dt.tz_localize(None)))
    with pytest.raises(UserError, match="assume_utc"):
        read_bars(path, FileConfig())
    assert read_bars(path, FileConfig(assume_utc=True))["time"].dt.tz is not None


def swapped(table, a, b):
    order = table.index.to_numpy().copy()
    order[[a, b]] = order[[b, a]]
    return table.loc[order].reset_index(drop=True)


def with_cell(row, column, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return change


FAULTS = {
    "no volume": (lambda t: t.drop(columns="volume"), "no column 'volume'"),
    "close misspelt": (lambda t: t.rename(columns={"close": "closes"}), "did you mean 'closes'"),
    "no times": (lambda t: t.drop(columns="timestamp"), "no column of times"),
    "numbers for times": (lambda t: t.assign(timestamp=range(30)), "unit is not guessed"),
    "words for times": (lambda t: t.assign(timestamp="noon"), "no ISO times"),
    "words for prices": (lambda t: t.assign(close="high"), "must be numbers"),
    "a time missing": (with_cell(4, "timestamp", pd.NaT), "missing in row 4"),
    "another zone": (lambda t: t.assign(timestamp=t["timestamp"].dt.tz_convert("Asia/Tokyo")), "not UTC"),
    "unordered": (lambda t: swapped(t, 5, 6), "row 6 is earlier"),
    "double": (lambda t: t.loc[[*range(8), *range(7, 30)]].reset_index(drop=True), "row 8 comes twice"),
    "half an hour off": (with_cell(9, "timestamp", pd.Timestamp("2024-01-01 09:30", tz="UTC")), "row 9 .* no multiple"),
    "one row": (lambda t: t[:1], "has 1 rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_refused_in_one_line(tmp_path, fault):
    spoil, message = FAULTS[fault]
    path = stored(tmp_path, spoil(good()))
    with pytest.raises(UserError, match=message) as refusal:
        read_bars(path, FileConfig())
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(("column", "value"), [
    *((name, value) for name in ("open", "high", "low", "close") for value in (np.nan, np.inf, 0.0, -1.0)),
    ("volume", np.nan), ("volume", -1.0), ("high", 50.0), ("low", 500.0), ("open", 500.0), ("close", 50.0),
])
def test_every_spoilt_cell_is_refused_with_its_row(tmp_path, column, value):
    path = stored(tmp_path, with_cell(7, column, value)(good()))
    with pytest.raises(UserError, match=r"row 7 \(2024-01-01 07:00:00"):
        read_bars(path, FileConfig())


@pytest.mark.parametrize(("name", "content", "message"), [
    ("none.parquet", None, "no file of bars"),
    ("bars.xlsx", b"x", "must end in .parquet or .csv"),
    ("broken.parquet", b"not parquet", "not readable as parquet"),
    ("empty.csv", b"", "not readable as csv"),
])
def test_what_is_no_table_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_bars(path, FileConfig())


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real data are absent: no folder {REAL}")
@pytest.mark.parametrize("name", ["spot_binance_BTCUSDT", "spot_coinbase_BTCUSD", "perp_binance_ETHUSDT"])
def test_real_files_are_read_with_their_gaps(name):
    path = REAL / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"the real data are absent: no file {path}")
    config = DataConfig(path=path, groups=("returns", "calendar"))
    raw = load_raw(config)
    data = build(raw, config)
    stored_rows = pd.read_parquet(path)
    assert len(data.market) == len(stored_rows)
    np.testing.assert_array_equal(data.market.prices[:, 0, 3], stored_rows["close"])
    time = raw.bars[name]["time"]
    assert time.iloc[0] == stored_rows.index[0] + pd.Timedelta("1h")
    runs = int((time.diff().iloc[1:] != pd.Timedelta("1h")).sum()) + 1
    assert 1 <= len(data.market.segments) <= runs
