"""Every check finds the defect planted for it, names its rows exactly, and is silent on the clean table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from configs.errors import UserError
from data.quality import CHECKS, check_table, report, save_report, worst
from data.quality.finding import Finding
from data.schema import OHLCV, Key

ROWS = 2_000
OWN = Key("spot_a", "BTC", "1h")
SECOND, THIRD = Key("spot_b", "BTC", "1h"), Key("spot_c", "BTC", "1h")
MARKETS, SENTIMENT, CHAIN = (Key(kind, asset, "1D") for kind, asset in
                             (("markets", "all"), ("sentiment", "BTC"), ("onchain", "BTC")))


def truth(seed: int, rows: int) -> tuple[np.ndarray, np.random.Generator]:
    """(rows,) log closes of a walk whose volatility comes in clusters, with fat tails."""
    rng = np.random.default_rng(seed)
    size = np.empty(rows)
    size[0] = 1.0
    shock = rng.standard_t(5, rows)
    for t in range(1, rows):
        size[t] = np.sqrt(0.03 + 0.87 * size[t - 1] ** 2 + 0.06 * (size[t - 1] * shock[t - 1]) ** 2)
    return np.log(8_000) + np.cumsum(0.005 * size * shock), rng


def bars(seed: int = 0, rows: int = ROWS, venue: int = 0, start: str = "2021-03-01 01:00") -> pd.DataFrame:
    """What one venue saw of that walk: its own noise, its own volume, a gap of nothing between close and open."""
    walk, _ = truth(seed, rows)
    rng = np.random.default_rng((seed, venue))
    close = np.exp(walk + rng.normal(0, 0.0008, rows))
    opened = np.concatenate([[close[0]], close[:-1]])
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    volume = np.exp(rng.normal(5, 0.8, rows))
    return pd.DataFrame({"time": pd.date_range(start, periods=rows, freq="1h", tz="UTC").as_unit("us"), "open": opened,
                         "high": top * (1 + rng.exponential(0.002, rows)),
                         "low": bottom * (1 - rng.exponential(0.002, rows)), "close": close, "volume": volume,
                         "quote_volume": volume * (opened + close) / 2})


def days(columns: dict[str, np.ndarray], start: str = "2021-01-02", freq: str = "1D") -> pd.DataFrame:
    """A daily table; `time` is the end of the day."""
    rows = len(next(iter(columns.values())))
    day = pd.date_range(start, periods=rows, freq=freq, tz="UTC").as_unit("us")
    return pd.DataFrame({"time": day + pd.Timedelta("1D"), **columns})


def world(seed: int = 0, rows: int = 400) -> pd.DataFrame:
    """Business days of the dollar, which the euro moves against, and of two others."""
    rng = np.random.default_rng(seed)
    dollar = 95 * np.exp(np.cumsum(rng.normal(0, 0.004, rows)))
    euro = 1.2 * np.exp(-np.log(dollar / 95) + rng.normal(0, 0.001, rows))
    return days({"dollar_index": dollar, "eurusd": euro, "vix": 20 * np.exp(rng.normal(0, 0.1, rows))}, freq="B")


def moods(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return days({"search_volume": rng.uniform(1, 90, rows), "stocktwits": rng.uniform(-1, 1, rows),
                 "stocktwits_posts": rng.integers(10, 500, rows).astype(float), "vcrix": rng.uniform(300, 900, rows)})


def closes_of(table: pd.DataFrame) -> pd.Series:
    return table[table["time"].dt.hour == 0].set_index("time")["close"]


@dataclass
class Planted:
    """A clean table and its companions, what is done to it, and what must then be said of which rows."""

    key: Key
    clean: pd.DataFrame
    spoil: Callable[[pd.DataFrame], pd.DataFrame]
    rows: range | list[int] | None  # None: the finding names no rows
    severity: str
    says: str
    references: dict[Key, pd.DataFrame] = field(default_factory=dict)


def set_rows(table: pd.DataFrame, rows: slice, **values: object) -> pd.DataFrame:
    table = table.copy()
    for name, value in values.items():
        table.iloc[rows, table.columns.get_loc(name)] = value
    return table


def doubled(table: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Row 100 comes twice, the second time with another close."""
    twin = table.iloc[[100]].assign(close=table["close"][100] * factor)
    return pd.concat([table[:101], twin, table[101:]], ignore_index=True)


def seams(table: pd.DataFrame) -> pd.DataFrame:
    """A hole of 7 hours after every 250."""
    return table[(table.index % 257) < 250].reset_index(drop=True)


def stale(table: pd.DataFrame) -> pd.DataFrame:
    price = table["close"][499]
    return set_rows(table, slice(500, 515), open=price, high=price, low=price, close=price, volume=0.0,
                    quote_volume=0.0)


def repeat(table: pd.DataFrame) -> pd.DataFrame:
    table = table.copy()
    table.iloc[710:716, 1:] = table.iloc[700:706, 1:].to_numpy()
    return table


def swap(table: pd.DataFrame) -> pd.DataFrame:
    volume, quote = (table[name].to_numpy()[300:900] for name in ("volume", "quote_volume"))
    return set_rows(table, slice(300, 900), volume=quote, quote_volume=volume)


def tick(table: pd.DataFrame, row: int = 1_000, size: float = 1.3) -> pd.DataFrame:
    """One close (and high) that never was; the next bar opens where the market is."""
    return set_rows(table, slice(row, row + 1), close=table["close"][row] * size, high=table["high"][row] * 1.4)


def mislabelled(table: pd.DataFrame, first: int = 600, stop: int = 1_100, hours: int = 4) -> pd.DataFrame:
    """Rows first .. stop - 1 hold what really happened `hours` later: their stamps are early."""
    table = table.copy()
    table.iloc[first:stop, 1:] = table.iloc[first + hours : stop + hours, 1:].to_numpy()
    return table


def late_euro(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(eurusd=table["eurusd"].shift(1))


def not_the_dollar(table: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    return table.assign(dollar_index=1_000 * np.exp(np.cumsum(rng.normal(0, 0.02, len(table)))))


def plus(table: pd.DataFrame, rows: slice, factor: float) -> pd.DataFrame:
    """Prices times `factor` in some rows."""
    return set_rows(table, rows, **{name: table[name].to_numpy()[rows] * factor for name in OHLCV[:4]})


def with_weekends(table: pd.DataFrame) -> pd.DataFrame:
    """Row 4 is a Friday's; the Saturday after it is filled by one column."""
    friday = int(np.flatnonzero((table["time"] - pd.Timedelta("1D")).dt.day_of_week == 4)[0])
    saturday = table.iloc[[friday]].assign(time=table["time"][friday] + pd.Timedelta("1D"), dollar_index=np.nan)
    return pd.concat([table[: friday + 1], saturday, table[friday + 1 :]], ignore_index=True)


def finished(rows: int, bulk: int) -> pd.DataFrame:
    """On-chain days, each completed five hours after its end, but the first `bulk` all at once."""
    table = days({"tx_count": np.arange(rows) + 1.0})
    stamp = (table["time"] + pd.Timedelta("5h")).dt.tz_convert(None).astype("int64").to_numpy() / 1e6
    stamp[:bulk] = pd.Timestamp("2021-12-24 12:00").timestamp() + np.arange(bulk)
    return table.assign(day_completed=stamp)


TWO, THREE = {SECOND: bars(venue=1)}, {SECOND: bars(venue=1), THIRD: bars(venue=2)}
FRIDAY = int(np.flatnonzero((world()["time"] - pd.Timedelta("1D")).dt.day_of_week == 4)[0])
PLANTED: dict[str, Planted] = {
    "repeated_stamps": Planted(OWN, bars(), lambda t: doubled(t, 1.01), [100, 101], "refuse", "2 rows share 1 moment"),
    "off_grid": Planted(OWN, bars(), lambda t: t.assign(time=t["time"].where(t.index != 50,
                        t["time"] + pd.Timedelta("7min"))), [50], "flag", ":07:00"),
    "gaps": Planted(OWN, bars(), seams, None, "flag", "7 of the gaps last 7 hours and return every 10 days"),
    "weekend_rows": Planted(MARKETS, world(), with_weekends, [FRIDAY + 1], "flag", "from vix, eurusd"),
    "siblings": Planted(OWN, bars(), lambda t: t[:500].reset_index(drop=True), None, "note", "95 days before spot_b",
                        {SECOND: bars(rows=500 + 24 * 95 + 1, venue=1)}),
    "impossible_prices": Planted(OWN, bars(), lambda t: set_rows(t, slice(40, 42), low=9e4), [40, 41], "refuse",
                                 "2 bars"),
    "out_of_range": Planted(MARKETS, world(), lambda t: set_rows(t, slice(7, 8), vix=3_000.0), [7], "refuse",
                            "above 300"),
    "missing_values": Planted(MARKETS, world(), lambda t: set_rows(t, slice(0, 30), vix=np.nan), range(30), "note",
                              "values start 2021-02-"),
    "constant_columns": Planted(MARKETS, world(), lambda t: t.assign(vix=1.0), None, "note",
                                "vix is 1 in all 400 rows"),
    "own_maximum": Planted(SENTIMENT, moods(), lambda t: set_rows(t, slice(200, 201), search_volume=100.0), None,
                           "flag", "exactly 100"),
    "few_observations": Planted(SENTIMENT, moods(), lambda t: set_rows(t, slice(0, 60), stocktwits_posts=9.0),
                                range(60), "flag", "60 values of stocktwits rest on fewer than 10"),
    "completion_stamps": Planted(CHAIN, finished(400, 0), lambda t: finished(400, 300), range(300), "note",
                                 "300 on 2021-12-24"),
    "flat_candles": Planted(OWN, bars(), lambda t: t.assign(open=t["close"], high=t["close"], low=t["close"]), None,
                            "flag", "one value a period"),
    "stale_bars": Planted(OWN, bars(), stale, range(500, 515), "flag", "15 bars without a trade, at most 15 in a row"),
    "repeated_blocks": Planted(OWN, bars(), repeat, range(710, 716), "refuse", "6 rows repeat earlier ones exactly"),
    "volume_units": Planted(OWN, bars(), swap, range(300, 900), "refuse", "in one stretch"),
    "jumps": Planted(OWN, bars(), tick, [1_000], "refuse", "reverted at once", TWO),
    "wicks": Planted(OWN, bars(), lambda t: set_rows(t, slice(700, 701), low=1.0), [700], "flag", "far beyond open"),
    "second_source": Planted(OWN, bars(), lambda t: t, None, "note", "could not be checked", {}),
    "time_shifts": Planted(OWN, bars(), mislabelled, range(600, 1_100), "refuse", "4 h early (lag -4)", THREE),
    "day_shifts": Planted(MARKETS, world(), late_euro, range(1, 400), "refuse", "1 day late (lag +1)"),
    "identity": Planted(MARKETS, world(), not_the_dollar, range(400), "refuse", "not what it claims",
                        {Key("markets_b", "all", "1D"): world().drop(columns="vix")}),
    "departures": Planted(OWN, bars(), lambda t: plus(t, slice(900, 1_000), 0.93), range(900, 1_000), "flag",
                          "this table departs", THREE),
}


def of(check: str, found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.check == check]


def test_every_check_has_its_defect():
    assert set(PLANTED) == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_the_planted_defect_is_found_and_its_rows_named(name):
    case = PLANTED[name]
    spoilt = case.spoil(case.clean)
    found = of(name, check_table(case.key, spoilt, case.references))
    told = [finding for finding in found if finding.severity == case.severity and case.says in finding.message]
    assert len(told) == 1, [finding.message for finding in found]
    if case.rows is not None:
        assert told[0].bad is not None
        assert np.flatnonzero(told[0].bad).tolist() == list(case.rows)
        assert told[0].rows == len(case.rows)
        assert told[0].first == spoilt["time"][case.rows[0]]
        assert told[0].last == spoilt["time"][case.rows[-1]]


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "second_source"])
def test_the_clean_table_is_passed_over(name):
    case = PLANTED[name]
    if name == "siblings":
        assert of(name, check_table(case.key, case.clean, {SECOND: bars(rows=ROWS + 24, venue=1)})) == []
    else:
        assert of(name, check_table(case.key, case.clean, case.references)) == []


@pytest.mark.parametrize("seed", range(12))
def test_clean_walks_with_clustered_volatility_are_never_refused_or_flagged(seed):
    references = {SECOND: bars(seed, venue=1), THIRD: bars(seed, venue=2)}
    for others in ({}, {SECOND: references[SECOND]}, references):
        assert worst(check_table(OWN, bars(seed), others)) in (None, "note")


def test_without_a_second_volume_the_unit_is_told_by_its_step():
    table = swap(bars()).drop(columns="quote_volume")
    told = of("volume_units", check_table(OWN, table))
    assert np.flatnonzero(told[0].bad).tolist() == list(range(300, 900))
    assert of("volume_units", check_table(OWN, bars().drop(columns="quote_volume"))) == []
    surge = set_rows(bars(), slice(300, 330), volume=bars()["volume"][300:330] * 8_000).drop(columns="quote_volume")
    assert of("volume_units", check_table(OWN, surge)) == []


def test_a_crash_that_a_second_source_saw_is_a_note_and_a_lone_one_a_flag():
    crash = plus(bars(), slice(1_000, None), 0.5)
    seen = {SECOND: plus(bars(venue=1), slice(1_000, None), 0.5)}
    assert [f.severity for f in of("jumps", check_table(OWN, crash, seen))] == ["note"]
    assert [f.severity for f in of("jumps", check_table(OWN, crash))] == ["flag"]
    assert [f.severity for f in of("jumps", check_table(OWN, crash, TWO))] == ["flag"]  # kept, so not a tick
    assert [f.severity for f in of("jumps", check_table(OWN, tick(bars())))] == ["flag"]


@pytest.mark.parametrize(("rows", "said"), [(slice(1_000, 1_001), "back at once"), (slice(1_000, None), "to stay")])
def test_what_no_market_does_is_refused_without_a_second_source(rows, said):
    broken = plus(bars(), rows, 10.0)
    [finding] = of("jumps", check_table(OWN, broken))
    assert (finding.severity, np.flatnonzero(finding.bad).tolist()) == ("refuse", [1_000])
    assert said in finding.message


def test_a_move_of_the_whole_venue_is_no_bad_tick():
    other = Key("spot_a", "ETH", "1h")
    found = check_table(OWN, tick(bars()), {**TWO, other: tick(bars(5))})
    assert [f.severity for f in of("jumps", found)] == ["flag"]


def test_the_innocent_side_of_a_shift_is_not_refused():
    late = {SECOND: mislabelled(bars(venue=1)), THIRD: bars(venue=2)}
    told = of("time_shifts", check_table(OWN, bars(), late))
    assert [f.severity for f in told] == ["note"]
    assert "spot_b/BTC/1h is stamped 4 h early" in told[0].message


def test_two_sources_are_told_apart_by_the_break_in_one_of_them_or_both_are_refused():
    shifted = mislabelled(bars())
    assert "its own prices" in of("time_shifts", check_table(OWN, shifted, TWO))[0].message
    assert [f.severity for f in of("time_shifts", check_table(SECOND, bars(venue=1), {OWN: shifted}))] == ["note"]
    whole = bars().assign(time=bars()["time"] + pd.Timedelta("3h"))
    for key, table, other in ((OWN, whole, TWO), (SECOND, bars(venue=1), {OWN: whole})):
        told = of("time_shifts", check_table(key, table, other))
        assert [f.severity for f in told] == ["refuse"]
        assert "no third source" in told[0].message


def test_a_change_of_lag_names_both_stretches_and_what_is_absent():
    table = mislabelled(bars(), 600, 850, 4)
    table.iloc[850:1_100, 1:] = bars().iloc[855:1_105, 1:].to_numpy()
    told = of("time_shifts", check_table(OWN, table, THREE))
    assert [(np.flatnonzero(f.bad)[[0, -1]].tolist(), f.message.split("(lag ")[1][:2]) for f in told] == [
        ([600, 849], "-4"), ([850, 1_099], "-5")]
    assert "4 real hours are absent" in told[0].message
    assert "1 real hour is absent" in told[1].message


def test_a_daily_column_is_held_against_the_closes_of_the_bars():
    hourly = bars(rows=24 * 400)
    closes = closes_of(hourly)
    cap = pd.DataFrame({"time": closes.index, "market_cap": 19e6 * closes.to_numpy()})
    references = {OWN: hourly}
    assert of("day_shifts", check_table(SENTIMENT, cap, references)) == []
    turned = cap.assign(market_cap=cap["market_cap"].where(cap.index < 200, cap["market_cap"].shift(1)))
    told = of("day_shifts", check_table(SENTIMENT, turned, references))
    assert [f.severity for f in told] == ["refuse"]
    assert "the convention changes within the file" in told[0].message
    border = int(np.flatnonzero(told[0].bad)[0])
    assert 199 <= border <= 201
    assert told[0].bad[border:].all()


def test_a_copy_confirms_nothing():
    found = check_table(OWN, mislabelled(bars()), {SECOND: mislabelled(bars())})
    assert of("time_shifts", found) == []
    assert "a copy confirms nothing" in " ".join(f.message for f in of("second_source", found))


def test_identical_rows_of_one_moment_are_only_flagged():
    found = of("repeated_stamps", check_table(OWN, doubled(bars(), 1.0)))
    assert [(f.severity, np.flatnonzero(f.bad).tolist()) for f in found] == [("flag", [101])]


def test_the_other_tables_gaps_say_that_the_venue_was_out():
    def holed(asset_seed):
        return bars(asset_seed).drop(index=range(300, 310)).reset_index(drop=True)

    found = of("gaps", check_table(OWN, holed(0), {Key("spot_a", "ETH", "1h"): holed(5)}))
    assert found[0].rows == 10
    assert "absent in spot_a/ETH/1h too" in found[0].message


def test_what_cannot_be_checked_is_refused_in_one_line():
    with pytest.raises(UserError, match="not in order"):
        check_table(OWN, bars()[::-1])
    with pytest.raises(UserError, match="column time"):
        check_table(OWN, bars().drop(columns="time"))
    assert check_table(OWN, bars()[:0]) == []


@pytest.mark.parametrize("rows", [1, 2, 3, 30])
def test_short_tables_pass(rows):
    assert worst(check_table(OWN, bars(rows=rows), {SECOND: bars(rows=rows, venue=1)})) in (None, "note")


def test_the_report_says_it_in_markdown_and_json(tmp_path):
    table = repeat(bars())
    findings = {OWN: check_table(OWN, table), SECOND: []}
    tables = {OWN: table, SECOND: bars(venue=1)}
    page = report(findings, tables)
    assert page.index("| spot_a/BTC/1h | 2,000 |") < page.index("| spot_b/BTC/1h | 2,000 |")
    assert "- **refuse** repeated_blocks: 6 rows" in page
    save_report(tmp_path / "deep" / "quality.md", findings, tables)
    assert (tmp_path / "deep" / "quality.md").read_text() == page
    kept = json.loads((tmp_path / "deep" / "quality.json").read_text())
    assert kept["spot_a/BTC/1h"]["worst"] == "refuse"
    assert kept["spot_a/BTC/1h"]["findings"][0]["bad"] == [[710, 715]]
    assert kept["spot_b/BTC/1h"] == {"rows": 2_000, "worst": None, "findings": []}


def test_the_script_says_what_is_wrong_and_ends_with_1(tmp_path, monkeypatch, capsys):
    from scripts.check_data import main

    def run(table):
        file = tmp_path / "spot_a_BTCUSD.parquet"
        table.to_parquet(file)
        monkeypatch.setattr(sys, "argv", ["check_data.py", str(file), "--store", str(tmp_path / "none"), "--out",
                                          str(tmp_path / "quality.md")])
        main()

    run(bars())
    assert "spot_a/BTC/1h" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        run(repeat(bars()))
    assert stop.value.code == 1
    assert "repeated_blocks: 6 rows" in capsys.readouterr().out
    assert json.loads((tmp_path / "quality.json").read_text())["spot_a/BTC/1h"]["worst"] == "refuse"
    monkeypatch.setattr(sys, "argv", ["check_data.py", "--store", str(tmp_path / "none")])
    with pytest.raises(UserError, match="nothing to check"):
        main()
