"""Files go into the store checked, each for itself; what is guilty is refused, left out or kept; kills cost nothing."""

import hashlib
import importlib
import json
import multiprocessing
import random
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import data.importing
from configs.errors import UserError
from data.importing import References, import_files
from data.quality.finding import Finding
from data.schema import Key
from data.simulator import SimulatorConfig
from data.simulator.simulate import simulate
from data.sources.readers import read_file
from data.store import Store
from tests.data.real import real

BTC, VIX = Key("spot_test", "BTC", "1h"), Key("markets_test", "all", "1D")


def bars(first=0, rows=12, seed=0):
    price = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, first + rows)))[first:]
    return pd.DataFrame({"time": pd.date_range("2024-01-01", periods=first + rows, freq="h", tz="UTC")[first:],
                         "open": price, "high": price * 1.01, "low": price * 0.99, "close": price * 1.001,
                         "volume": price / 7})


def closes(rows=12):
    return pd.DataFrame({"time": pd.date_range("2024-01-01", periods=rows, tz="UTC"), "vix": np.arange(rows) + 10.0,
                         "gold": np.arange(rows) + 2000.0})


@pytest.fixture
def files(tmp_path):
    """A folder of one table of bars, one of closes, and one that cannot be read."""
    folder = tmp_path / "files"
    folder.mkdir()
    bars().to_csv(folder / "spot_test_BTCUSD.csv", index=False)
    closes().to_parquet(folder / "markets_test_all.parquet")
    (folder / "broken.csv").write_text("what,ever\n1,2\n")
    return folder


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def found(monkeypatch):
    """What the checks are made to say, by key; and what each was shown."""
    said, shown = {}, {}

    def check(key, table, references):
        shown[key] = dict(references)
        return [replace(finding, key=key, first=table["time"].iloc[0], last=table["time"].iloc[-1])
                for finding in said.get(key, [])]

    monkeypatch.setattr(data.importing, "check_table", check)
    check.said, check.shown = said, shown
    return check


def finding(severity, rows=(), column="", total=12):
    bad = None if rows is None else np.isin(np.arange(total), rows)
    never = pd.Timestamp(0, tz="UTC")
    return Finding("planted", severity, BTC, column, never, never, 1, f"a {severity} is planted", bad)


def by_key(done):
    return {imported.key: imported for imported in done}


def content(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_is_imported_and_what_cannot_be_read_stops_nothing(files, store, found):
    done = by_key(import_files([files], store))
    assert store.keys() == [VIX, BTC]
    assert {key: (imported.new, imported.known, imported.refusal) for key, imported in done.items() if key} == {
        BTC: (12, 0, ""), VIX: (12, 0, "")}
    assert "no column of times" in done[None].refusal
    assert done[None].path.name == "broken.csv"
    for key, name in ((BTC, "spot_test_BTCUSD.csv"), (VIX, "markets_test_all.parquet")):
        pd.testing.assert_frame_equal(store.read(key), read_file(files / name)[0].table, check_exact=True)
        [part] = store.entry(key).parts
        assert part.origin["file"] == str(files / name)
        assert part.origin["sha256"] == hashlib.sha256((files / name).read_bytes()).hexdigest()
        assert part.origin["notes"] == ["layout: plain"]


def test_a_rerun_changes_no_byte_and_a_longer_file_adds_its_new_rows(files, store, found):
    import_files([files], store)
    before = content(store.folder)
    assert by_key(import_files([files], store))[BTC].known == 12
    assert content(store.folder) == before
    bars(0, 20).to_csv(files / "spot_test_BTCUSD.csv", index=False)
    again = by_key(import_files([files / "spot_test_BTCUSD.csv"], store))[BTC]
    assert (again.new, again.known) == (8, 12)
    assert len(store.read(BTC)) == 20


def test_a_table_is_shown_the_rest_of_the_batch_and_of_the_store_but_not_twice(files, store, found):
    old = Key("perp_old", "BTC", "1h")
    import_files([files], store)
    bars().to_csv(files / "perp_old_BTCUSD.csv", index=False)
    import_files([files / "perp_old_BTCUSD.csv"], store)
    assert set(found.shown[old]) == {old, BTC, VIX}
    pd.testing.assert_frame_equal(found.shown[old][BTC], store.read(BTC))
    longer = bars(0, 15)
    longer.to_csv(files / "spot_test_BTCUSD.csv", index=False)
    import_files([files / "spot_test_BTCUSD.csv", files / "markets_test_all.parquet"], store)
    assert len(found.shown[VIX][BTC]) == 15  # the file at hand over what the store has of it
    assert len(found.shown[VIX][old]) == 12


def test_the_store_is_read_only_for_what_is_asked(files, store, found):
    import_files([files], store)
    (store.folder / store.entry(VIX).parts[0].file).unlink()
    references = References([], Store(store.folder))
    assert len(references) == 2
    assert len(references[BTC]) == 12
    with pytest.raises(UserError, match="is missing"):
        references[VIX]


def test_a_grave_finding_refuses_its_table_and_no_other(files, store, found):
    found.said[BTC] = [finding("refuse", [3]), finding("refuse", [4]), finding("flag", [5])]
    done = by_key(import_files([files], store))
    assert done[BTC].refusal.startswith("a refuse is planted (and 1 more); --on-bad drop")
    assert "--on-bad keep" in done[BTC].refusal
    assert (done[BTC].new, done[VIX].new) == (0, 12)
    assert store.keys() == [VIX]


def test_flags_and_notes_refuse_nothing_and_are_kept_with_the_rows(files, store, found):
    found.said[BTC] = [finding("flag", [3]), finding("note", None)]
    assert by_key(import_files([files], store, on_bad="drop"))[BTC].left_out == 0
    pd.testing.assert_frame_equal(store.read(BTC), read_file(files / "spot_test_BTCUSD.csv")[0].table)
    [part] = store.entry(BTC).parts
    assert [(f["check"], f["severity"], f["bad"]) for f in part.findings] == [
        ("planted", "flag", [[3, 3]]), ("planted", "note", None)]


def test_guilty_bars_are_left_out_whole_and_counted(files, store, found):
    found.said[BTC] = [finding("refuse", [3, 4], "volume"), finding("refuse", [4, 9]), finding("flag", [0])]
    done = by_key(import_files([files], store, on_bad="drop"))[BTC]
    whole = read_file(files / "spot_test_BTCUSD.csv")[0].table
    pd.testing.assert_frame_equal(store.read(BTC), whole.drop(index=[3, 4, 9]).reset_index(drop=True))
    assert (done.new, done.left_out, done.emptied) == (9, 3, 0)
    origin = store.entry(BTC).parts[0].origin
    assert (origin["on_bad"], origin["left_out"], origin["emptied"]) == ("drop", 3, 0)
    before = content(store.folder)
    assert by_key(import_files([files], store, on_bad="drop"))[BTC].known == 9
    assert content(store.folder) == before


def test_of_context_only_the_guilty_cells_go_missing(files, store, found):
    found.said[VIX] = [finding("refuse", [3, 4], "vix"), finding("refuse", [7])]
    done = by_key(import_files([files], store, on_bad="drop"))[VIX]
    table = store.read(VIX)
    assert (done.new, done.left_out, done.emptied) == (11, 1, 2)
    assert table.index[table["vix"].isna()].tolist() == [3, 4]
    assert table["gold"].tolist() == [2000.0 + day for day in range(12) if day != 7]


def test_what_is_wrong_with_a_table_as_a_whole_cannot_be_left_out(files, store, found):
    found.said[VIX] = [finding("refuse", None)]
    assert "that is the whole table" in by_key(import_files([files], store, on_bad="drop"))[VIX].refusal
    found.said[VIX] = [finding("refuse", range(12))]
    assert "every row is guilty" in by_key(import_files([files], store, on_bad="drop"))[VIX].refusal
    assert by_key(import_files([files], store, on_bad="keep"))[VIX].new == 12
    assert store.entry(VIX).parts[0].findings[0]["severity"] == "refuse"


def test_of_two_rows_for_one_moment_the_first_is_kept_if_they_are_to_be_kept(files, store):
    table = bars().iloc[[0, 1, 2, 2, 3, 4]].reset_index(drop=True)
    table.loc[3, "volume"] = 1.0
    table.to_csv(files / "spot_test_BTCUSD.csv", index=False)
    alone = [files / "spot_test_BTCUSD.csv"]
    [refused] = import_files(alone, store)
    assert "share 1 moment but differ" in refused.refusal
    [kept] = import_files(alone, store, on_bad="keep")
    assert (kept.new, kept.left_out) == (5, 1)
    np.testing.assert_array_equal(store.read(BTC)["volume"], bars()["volume"][:5])


def test_a_file_that_contradicts_the_store_is_refused_or_gives_its_new_rows(files, store, found):
    import_files([files], store)
    bars(0, 15).assign(volume=1.0).to_csv(files / "spot_test_BTCUSD.csv", index=False)
    assert "volume is stored as" in by_key(import_files([files], store))[BTC].refusal
    done = by_key(import_files([files], store, on_conflict="keep"))[BTC]
    assert (done.new, done.known, done.kept) == (3, 12, 12)


def test_a_store_among_the_files_is_not_imported_into_itself(files, found):
    store = Store(files / "store")
    import_files([files], store)
    assert len(import_files([files], store)) == 3
    with pytest.raises(UserError, match=r"holds no file that ends in \.parquet or \.csv"):
        import_files([store.folder], store)


def test_the_checks_find_for_themselves_what_is_wrong_with_a_file(files, store):
    table = bars(0, 60)
    table.loc[30, "high"] = 1.0
    table.to_csv(files / "spot_test_BTCUSD.csv", index=False)
    refused = by_key(import_files([files], store))[BTC]
    assert "low <= open, close <= high" in refused.refusal
    assert by_key(import_files([files], store, on_bad="drop"))[BTC].left_out == 1
    assert 31 not in store.read(BTC)["time"].dt.hour.to_list()[30:31]
    assert len(store.read(BTC)) == 59


@pytest.mark.parametrize("name", ["raw", "daily/macro.parquet"])
def test_real_files_are_imported_as_they_are_and_again_without_a_change(store, name):
    done = import_files([real(name)], store, on_bad="keep")
    assert [imported.refusal for imported in done] == [""] * len(done)
    rows = [store.entry(key).rows for key in set(imported.key for imported in done)]
    assert sum(rows) == sum(imported.new for imported in done) > 4_000
    before = content(store.folder)
    again = import_files([real(name)], store, on_bad="keep")
    assert sum(imported.new for imported in again) == 0
    assert [imported.known for imported in again] == [imported.new for imported in done]
    assert content(store.folder) == before


def command(*argv):
    main = importlib.import_module("scripts.import_data").main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["import_data.py", *map(str, argv)])
        main()


def test_the_command_says_what_it_took_and_why_it_did_not(files, store, capsys):
    with pytest.raises(UserError, match=r"1 of 3 tables refused.*broken\.csv"):
        command(files, "--store", store.folder)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("plain tables of a time and named columns")
    assert "12 new       0 known  2024-01-" in lines[1]
    assert lines[3] == f"2 of 3 tables taken into {store.folder}: 24 rows new, 0 known"
    (files / "broken.csv").unlink()
    command(files, "--store", store.folder)
    said = capsys.readouterr().out.splitlines()
    assert said[-2].endswith("nothing new, 24 rows were there already")
    assert "check_data.py --store" in said[-1]
    mine = files / "mine.csv"
    bars().assign(time=bars()["time"].astype("int64") // 10**6).to_csv(mine, index=False)
    command(mine, "--store", store.folder, "--kind", "spot_mine", "--asset", "ETH", "--date-format", "s",
            "--stamp", "end")
    assert Store(store.folder).read(Key("spot_mine", "ETH", "1h"))["time"][0] == pd.Timestamp("2024-01-01", tz="UTC")
    with pytest.raises(UserError, match="no file or folder at nowhere"):
        command("nowhere")
    with pytest.raises(UserError, match="name files or folders"):
        command()
    command("--store", store.folder, "--forget", "spot_mine/ETH/1h")
    assert "spot_mine/ETH/1h: 12 rows taken out" in capsys.readouterr().out
    assert Key("spot_mine", "ETH", "1h") not in Store(store.folder).keys()  # noqa: SIM118
    with pytest.raises(UserError, match="kind/asset/frequency"):
        command("--store", store.folder, "--forget", "spot_mine")


KILLS, PARTS, ROWS = 50, 5, 8


def test_an_import_killed_fifty_times_loses_nothing_and_then_completes(tmp_path):
    """Real processes, killed for good at random moments; each goes on where the one before was killed."""
    files = [tmp_path / f"{part:02d}.csv" for part in range(PARTS)]
    for part, path in enumerate(files):
        bars(part * ROWS, ROWS).to_csv(path, index=False)
    how = {"kind": "spot_test", "asset": "BTC", "on_bad": "keep"}
    import_files(files, Store(tmp_path / "whole"), **how)
    whole = Store(tmp_path / "whole").read(BTC)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "data.importing"])  # so that a process is at work within milliseconds

    def begin(folder):
        process = context.Process(target=import_files, args=(files, Store(folder)), kwargs=how)
        process.start()
        return process

    def survived(folder):
        store = Store(folder)
        table = store.read(BTC) if store.keys() else whole[:0]
        pd.testing.assert_frame_equal(table, whole[: len(table)], check_exact=True)
        return len(table)

    begin(tmp_path / "first").join()  # starts the server
    started = time.perf_counter()
    begin(tmp_path / "second").join()
    usual = time.perf_counter() - started
    rng, killed, completed, seen, folder = random.Random(0), 0, 0, set(), tmp_path / "store-0"
    while killed < KILLS:
        had = survived(folder)
        process = begin(folder)
        process.join(rng.uniform(0, usual))
        process.kill()
        process.join()
        rows = survived(folder)
        assert rows >= had
        seen.add(rows)
        if process.exitcode == -9:
            killed += 1
        else:
            assert (process.exitcode, rows) == (0, PARTS * ROWS)
        if rows == PARTS * ROWS:
            completed += 1
            folder = tmp_path / f"store-{completed}"
    import_files(files, Store(folder), **how)
    assert content(folder) == content(tmp_path / "whole")
    assert seen - {0, PARTS * ROWS}, "no kill fell between the first and the last file"
    assert json.loads((folder / "_manifest.json").read_text())["format"] == 1


def test_a_fault_that_shows_only_across_the_seam_is_found(tmp_path):
    store = Store(tmp_path / "store")
    coins = simulated_bars(2_000)
    coins.iloc[:1_500].to_csv(tmp_path / "spot_first_BTCUSD.csv", index=False)
    first = import_files([tmp_path / "spot_first_BTCUSD.csv"], store, kind="spot_one", asset="BTC")
    assert not first[0].refusal
    money = coins.iloc[1_500:].assign(volume=lambda f: f["volume"] * f["close"])
    money.to_csv(tmp_path / "spot_second_BTCUSD.csv", index=False)
    [second] = import_files([tmp_path / "spot_second_BTCUSD.csv"], store, kind="spot_one", asset="BTC")
    assert "volume" in second.refusal
    repeated = coins.iloc[1_300:1_500].assign(timestamp=coins["timestamp"].iloc[1_500:1_700].to_numpy())
    repeated.to_csv(tmp_path / "spot_third_BTCUSD.csv", index=False)
    [third] = import_files([tmp_path / "spot_third_BTCUSD.csv"], store, kind="spot_one", asset="BTC")
    assert "repeat" in third.refusal
    coins.iloc[1_500:].to_csv(tmp_path / "spot_fourth_BTCUSD.csv", index=False)
    [fourth] = import_files([tmp_path / "spot_fourth_BTCUSD.csv"], store, kind="spot_one", asset="BTC")
    assert fourth.new == 500
    assert not any(finding.severity == "refuse" for finding in fourth.findings)


def simulated_bars(rows):
    bars = simulate(SimulatorConfig(bars=rows)).bars["BTC"]
    stamps = (bars["time"] - pd.Timedelta("1h")).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    prices = bars.drop(columns="time").round(4)
    prices["high"], prices["low"] = prices.iloc[:, :4].max(axis=1), prices.iloc[:, :4].min(axis=1)
    return pd.concat([stamps.rename("timestamp"), prices], axis=1)
