"""The store only grows: rows stay, reruns change no byte, damage is named, and a kill at any step costs nothing."""

import hashlib
import json
import os
import shutil
import threading
import time

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.schema import Key
from data.store import Appended, Store

BARS, DAYS = Key("spot_test", "BTC", "1h"), Key("markets", "all", "1D")


def bars(first=0, rows=20, **columns):
    hours = pd.date_range("2024-01-01", periods=first + rows, freq="h", tz="UTC").astype("datetime64[us, UTC]")[first:]
    price = np.arange(first, first + rows) + 100.25
    return pd.DataFrame({"time": hours, "known_at": hours, "open": price, "high": price + 1, "low": price - 1,
                         "close": price + 0.1, "volume": price * 2, **columns})


def days(**columns):
    time = pd.date_range("2024-01-01", periods=3, tz="UTC").astype("datetime64[us, UTC]")
    return pd.DataFrame({"time": time, "known_at": time + pd.Timedelta("1h"), **columns})


def content(folder):
    return {str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in sorted(folder.rglob("*")) if path.is_file()}


def hashes(folder):
    return {name: digest for name, (digest, _) in content(folder).items()}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_goes_in_comes_out_bit_for_bit(store):
    awkward = bars(quote_volume=np.nan)
    awkward.loc[3, "close"] = np.nextafter(1.0, 2.0)
    awkward.loc[4, "volume"] = np.nan
    store.append(BARS, awkward, {})
    pd.testing.assert_frame_equal(store.read(BARS), awkward, check_exact=True)
    assert store.keys() == [BARS]


def test_only_rows_that_are_new_are_written_and_old_files_stay(store):
    assert store.append(BARS, bars(10, 10), {"file": "middle"}) == Appended(10, 0)
    before = content(store.folder)
    assert store.append(BARS, bars(0, 30), {"file": "all"}) == Appended(20, 10)
    after = content(store.folder)
    assert {name: after[name] for name in before if name.endswith(".parquet")}.items() <= before.items()
    pd.testing.assert_frame_equal(store.read(BARS), bars(0, 30), check_exact=True)
    assert [part.origin["file"] for part in store.entry(BARS).parts] == ["middle", "all"]
    assert [part.rows for part in store.entry(BARS).parts] == [10, 20]
    assert store.entry(BARS).rows == 30


def test_a_rerun_leaves_every_byte_and_every_date_of_a_file_alone(store):
    store.append(BARS, bars(), {"file": "a"}, [{"check": "gaps"}])
    before = content(store.folder)
    assert store.append(BARS, bars(), {"file": "a"}) == Appended(0, 20)
    assert store.append(BARS, bars(5, 5), {"file": "b"}, [{"check": "other"}]) == Appended(0, 5)
    assert content(store.folder) == before


def test_a_row_that_differs_is_refused_with_the_first_one_named_or_kept_as_stored(store):
    store.append(BARS, bars(), {})
    changed = bars(0, 25)
    changed.loc[[4, 9], "close"] = [7.0, 8.0]
    before = content(store.folder)
    with pytest.raises(UserError, match=r"04:00:00.*close is stored as 104\.35 and is now 7\.0, as in 2 rows"):
        store.append(BARS, changed, {})
    assert content(store.folder) == before
    assert store.append(BARS, changed, {}, on_conflict="keep") == Appended(5, 20, kept=2)
    pd.testing.assert_frame_equal(store.read(BARS), bars(0, 25), check_exact=True)


def test_when_a_row_was_known_is_part_of_it(store):
    store.append(DAYS, days(vix=1.0), {})
    with pytest.raises(UserError, match="known_at is stored as"):
        store.append(DAYS, days(vix=1.0).assign(known_at=days()["time"]), {})


@pytest.mark.parametrize(("second", "refused"), [
    (days(vix=1.0), False),  # says nothing of gold
    (days(vix=1.0, gold=[5.0, np.nan, 5.0]), False),
    (days(vix=1.0, gold=5.0), True),  # a value where the store has none
    (days(vix=[1.0, np.nan, 1.0]), True),  # none where the store has one
    (days(vix=1.0, sp500=[np.nan, np.nan, 3.0]), True),  # a column the store lacks
    (days(vix=1.0, sp500=np.nan), False),
])
def test_missing_is_a_value_like_any_other(store, second, refused):
    store.append(DAYS, days(vix=1.0, gold=[5.0, np.nan, 5.0]), {})
    if refused:
        with pytest.raises(UserError, match="the store never changes a row"):
            store.append(DAYS, second, {})
    else:
        assert store.append(DAYS, second, {}) == Appended(0, 3)


def test_parts_of_other_columns_read_as_one_table(store):
    store.append(BARS, bars(0, 2), {})
    store.append(BARS, bars(2, 2, quote_volume=9.0), {})
    read = store.read(BARS)
    assert list(read.columns) == ["time", "known_at", "open", "high", "low", "close", "volume", "quote_volume"]
    np.testing.assert_array_equal(read["quote_volume"], [np.nan, np.nan, 9.0, 9.0])


def test_a_window_is_cut_and_opens_no_other_file(store):
    for first in (0, 10, 20):
        store.append(BARS, bars(first, 10), {})
    (store.folder / store.entry(BARS).parts[0].file).unlink()
    time = bars(0, 30)["time"]
    pd.testing.assert_frame_equal(store.read(BARS, time[12], time[24]), bars(12, 13), check_exact=True)
    assert len(store.read(BARS, start=time[29] + pd.Timedelta("1s"))) == 0
    assert dict(store.read(BARS, start=time[29] + pd.Timedelta("1s")).dtypes) == dict(bars().dtypes)
    with pytest.raises(UserError, match="has no time zone"):
        store.read(BARS, start=pd.Timestamp("2024-01-01"))


def test_duckdb_and_pandas_read_the_folders_as_they_stand(store):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    eth = Key("spot_test", "ETH", "1h")
    store.append(BARS, bars(0, 5), {})
    store.append(BARS, bars(5, 5, quote_volume=2.0), {})
    store.append(eth, bars(0, 7), {})
    store.append(DAYS, days(vix=1.0), {})
    query = "select asset, count(*), sum(close), sum(quote_volume) from read_parquet('{}/**/*.parquet', {}) {}"
    own = query.format(store.folder / "kind=spot_test", "hive_partitioning=true", "group by all order by asset")
    assert duckdb.sql(own).fetchall() == [("BTC", 10, pytest.approx(bars(0, 10)["close"].sum()), 10.0),
                                          ("ETH", 7, pytest.approx(bars(0, 7)["close"].sum()), None)]
    everything = query.format(store.folder, "hive_partitioning=true, union_by_name=true",
                              "where kind = 'markets' and frequency = '1D' group by all")
    assert duckdb.sql(everything).fetchall() == [("all", 3, None, None)]
    table = pd.read_parquet(store.folder / "kind=spot_test")
    assert table.groupby("asset", observed=True)["close"].count().to_dict() == {"BTC": 10, "ETH": 7}
    btc = table[table["asset"] == "BTC"].sort_values("time", ignore_index=True)
    pd.testing.assert_frame_equal(btc[store.read(BARS).columns], store.read(BARS), check_dtype=False)


def test_every_flipped_or_missing_byte_of_a_part_is_noticed_and_the_file_named(store):
    store.append(BARS, bars(), {})
    path = store.folder / store.entry(BARS).parts[0].file
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(UserError, match=f"{path.name} is damaged"):
            store.read(BARS)
        path.write_bytes(whole[:at])
        with pytest.raises(UserError, match=f"{path.name} is damaged"):
            store.read(BARS)
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name} is missing"):
        store.read(BARS)
    path.write_bytes(whole)
    assert len(store.read(BARS)) == 20


@pytest.mark.parametrize(("text", "message"), [
    ("{", "is damaged"), ("[]", "is damaged"), ('{"format": 1}', "is damaged"), ('{"format": 9}', "of format 9"),
    ('{"format": 1, "tables": {"spot": [{}]}}', "is damaged"), (None, "is missing, yet"),
])
def test_a_manifest_that_is_damaged_or_gone_is_never_taken_for_an_empty_one(store, text, message):
    store.append(BARS, bars(), {})
    part = store.folder / store.entry(BARS).parts[0].file
    path = store.folder / "_manifest.json"
    path.unlink() if text is None else path.write_text(text)
    for use in (store.keys, lambda: store.append(BARS, bars(20), {})):
        with pytest.raises(UserError, match=message):
            use()
    assert part.exists()


def test_what_a_killed_process_left_is_cleared_and_what_others_put_there_stays(store):
    store.append(BARS, bars(), {})
    folder = (store.folder / store.entry(BARS).parts[0].file).parent
    for name in ("part-0123.parquet", ".part-4567.parquet.unfinished", "notes.txt", "mine.parquet"):
        (folder / name).write_text("x")
    (store.folder / "._manifest.json.unfinished").write_text("{")
    store.append(BARS, bars(), {})
    assert {path.name for path in folder.iterdir()} == {
        "notes.txt", "mine.parquet", store.entry(BARS).parts[0].file.split("/")[-1]}
    assert not (store.folder / "._manifest.json.unfinished").exists()


def test_a_second_writer_waits_and_then_says_so(store):
    other = Store(store.folder, patience=0.1)
    with store.alone():
        store.append(BARS, bars(), {})
        with pytest.raises(UserError, match=r"another process has been writing .* for 0\.1 seconds"):
            other.append(BARS, bars(20), {})
        assert len(other.read(BARS)) == 20  # reading waits for nobody
    patient, started = Store(store.folder, patience=30.0), threading.Event()
    done = []

    def late():
        started.set()
        done.append(patient.append(BARS, bars(20), {}))

    with store.alone():
        thread = threading.Thread(target=late)
        thread.start()
        started.wait()
        time.sleep(0.2)
        assert not done
    thread.join()
    assert done == [Appended(20, 0)]


@pytest.mark.parametrize(("table", "message"), [
    (bars().drop(columns="known_at"), "needs time, known_at and values"),
    (bars()[["time", "known_at"]], "needs time, known_at and values"),
    (bars().rename(columns={"close": "closing"}), "unknown column of spot_test/BTC/1h 'closing'"),
    (bars().assign(time=bars()["time"].dt.tz_localize(None)), "must be UTC times"),
    (bars().assign(known_at=pd.NaT), "must be UTC times"),
    (bars()[::-1], "must rise"),
    (bars().iloc[[0, 1, 1]], r"must rise .* in row 2"),
])
def test_a_table_that_breaks_the_form_is_not_stored(store, table, message):
    with pytest.raises(UserError, match=message):
        store.append(BARS, table, {})
    assert store.keys() == []


def test_a_wrong_import_can_be_taken_out_again(store):
    other = Key("spot_test", "ETH", "1h")
    for key in (BARS, other):
        store.append(key, bars(0, 10), {})
    assert store.forget(BARS) == 10
    assert store.keys() == [other]
    assert len(list(store.folder.rglob("part-*.parquet"))) == 1
    assert store.append(BARS, bars(3, 10), {}).new == len(bars(3, 10))
    with pytest.raises(UserError, match="no table"):
        store.forget(Key("spot_test", "DOGE", "1h"))


def test_unknown_tables_and_settings_are_named(store):
    with pytest.raises(UserError, match=r"no table spot_test/BTC/1h .* nothing yet"):
        store.read(BARS)
    with pytest.raises(UserError, match="unknown on_conflict 'overwrite'"):
        store.append(BARS, bars(), {}, on_conflict="overwrite")


class Killed(BaseException):
    """No `except` of ours catches it, so what is on the disk is what a kill would leave."""


class Steps:
    """Counts what the store asks of the system, and dies before or after, or in the middle of, one of these calls."""

    def __init__(self, monkeypatch, at=-1, when="before"):
        self.at, self.when, self.done = at, when, []
        for name in ("mkdir", "write", "fsync", "replace", "unlink"):
            monkeypatch.setattr(os, name, self.counted(getattr(os, name), name))

    def counted(self, call, name):
        def step(*arguments, **named):
            self.done.append(name)
            if len(self.done) - 1 != self.at:
                return call(*arguments, **named)
            if self.when == "after":
                call(*arguments, **named)
            elif self.when == "amid":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise Killed

        return step


@pytest.mark.parametrize("begun", [False, True])
def test_dying_at_any_step_of_an_append_loses_nothing_and_a_rerun_completes(tmp_path, begun):
    before = tmp_path / "before"
    if begun:
        Store(before).append(DAYS, days(vix=1.0), {"file": "days"})
        Store(before).append(BARS, bars(0, 10), {"file": "first"})
        (before / "kind=markets" / "asset=all" / "frequency=1D" / "part-0.parquet").write_text("left by a kill")

    def append(folder):
        Store(folder).append(BARS, bars(0, 20), {"file": "second"})

    def copied(name):
        return shutil.copytree(before, tmp_path / name) if begun else tmp_path / name

    whole = copied("whole")
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(patch)
        append(whole)
    wanted, outcomes = hashes(whole), set()
    assert len(steps.done) >= 9
    for at, name in enumerate(steps.done):
        for when in ("before", "after", *(["amid"] if name == "write" else [])):
            folder = copied(f"killed-{at}-{when}")
            with pytest.MonkeyPatch.context() as patch:
                Steps(patch, at, when)
                with pytest.raises(Killed):
                    append(folder)
            keys = Store(folder).keys()
            survived = {key: Store(folder).read(key) for key in keys}
            rows = len(survived.get(BARS, ()))
            assert rows == 0 or survived[BARS].equals(bars(0, rows))
            if begun:
                assert survived[DAYS].equals(days(vix=1.0))
            outcomes.add(rows)
            append(folder)
            assert hashes(folder) == wanted
            shutil.rmtree(folder)
    assert outcomes == {10 if begun else 0, 20}


def test_a_file_is_on_the_disk_before_it_gets_its_name_and_the_manifest_comes_last(store, monkeypatch):
    store.append(BARS, bars(), {})
    calls = []
    for name in ("write", "fsync", "replace"):
        system = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, system=system, name=name: (
            calls.append(given[1].name if name == "replace" else name), system(*given))[1])
    store.append(BARS, bars(20), {})
    part = store.entry(BARS).parts[-1].file.split("/")[-1]
    assert calls == ["write", "fsync", part, "fsync", "write", "fsync", "_manifest.json", "fsync"]


def test_the_manifest_is_plain_json_that_says_where_each_row_came_from(store):
    store.append(BARS, bars(), {"file": "a.csv"}, [{"check": "gaps", "rows": 3}])
    [part] = json.loads((store.folder / "_manifest.json").read_text())["tables"]["spot_test/BTC/1h"]
    data = (store.folder / part["file"]).read_bytes()
    assert part["sha256"] == hashlib.sha256(data).hexdigest()
    assert part["file"] == f"kind=spot_test/asset=BTC/frequency=1h/part-{part['sha256'][:16]}.parquet"
    assert (part["first"], part["last"]) == ("2024-01-01T00:00:00+00:00", "2024-01-01T19:00:00+00:00")
    assert (part["origin"], part["findings"]) == ({"file": "a.csv"}, [{"check": "gaps", "rows": 3}])
