"""The causal test passes the pipeline; what it must catch is planted in tests/agents/test_audit.py."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.causality import KINDS, Audit, Finding, Output, audit_dataset, audit_feature, compare, perturb
from data.dataset import DataConfig, build, load_raw
from data.features import FEATURES
from data.features.base import Feature, one
from data.labels import LabelConfig
from data.schema import OHLCV
from data.simulator import SimulatorConfig
from data.simulator.known import KnownConfig
from data.sources.base import values_of
from data.splits import SplitConfig

CONFIG = DataConfig(simulator=SimulatorConfig(bars=1_600), window=16,
                    labels=LabelConfig(horizon=6), split=SplitConfig(embargo=4))
BARE = replace(CONFIG, groups=("returns",), simulator=SimulatorConfig(bars=600))


def holey(raw):
    """Two days missing from the bars, context going on."""
    kept = np.r_[0:500, 548 : len(raw.bars["BTC"])]
    return replace(raw, bars={"BTC": raw.bars["BTC"].iloc[kept].reset_index(drop=True)},
                   carry={"BTC": raw.carry["BTC"][kept]}, truth=None)


def cuts_of(raw, config):
    data = build(raw, config)
    train, valid = data.split.train.stop, data.split.valid.stop
    return [100, train - 1, train, valid + 20, len(data.market) - 3]


def test_the_pipeline_knows_nothing_of_the_future():
    raw = holey(load_raw(CONFIG))
    in_the_gap = raw.bars["BTC"]["time"][499] + pd.Timedelta("20h30min")
    early, last, _, later, _ = cuts_of(raw, CONFIG)  # the other two are tried in tests/agents/test_audit.py
    cuts = [early, last, later, in_the_gap.tz_convert(None).to_datetime64()]
    found = audit_dataset(raw, CONFIG, cuts)
    assert found.findings == []
    assert {"features", "scaled features", "scaler center", "volatility labels", "segments"} <= set(found.outputs)


def test_neither_does_a_known_market_nor_a_company_of_assets():
    known = replace(CONFIG, source="known", known=KnownConfig("regime_lead", bars=600))
    raw = load_raw(known)
    assert audit_dataset(raw, known, cuts_of(raw, known)).clean
    company = replace(BARE, groups=("returns", "onchain_hourly", "macro", "calendar"),
                      simulator=SimulatorConfig(bars=900, assets=("BTC", "ETH")))
    raw = load_raw(company)
    assert audit_dataset(raw, company, cuts_of(raw, company)[1:4], kinds=("noise", "cut")).clean


@pytest.mark.parametrize("purged", [True, False])
def test_further_outputs_are_watched_and_a_missing_purge_is_caught(purged):
    def weights(data, rows):
        stop = data.split.train.stop if purged else data.split.valid.start
        taught = np.nanmean(data.labels.forward[:stop])
        yield "weights", np.array([taught]), data.split.train.stop - 1 + data.labels.reach
        rows = np.arange(len(data.market))
        yield "observation", data.market.features[:, 0, :2] * 2, np.maximum(rows, data.split.train.stop - 1), ("a", "b")

    raw = load_raw(BARE)
    split = build(raw, BARE).split
    findings = audit_dataset(raw, BARE, [split.train.stop - 1 + 6], extra=weights).findings
    assert ({finding.output for finding in findings} == set()) if purged else (
        {finding.output for finding in findings} == {"weights"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_perturbation_changes_all_that_comes_after_and_nothing_before(kind):
    raw = load_raw(replace(CONFIG, simulator=SimulatorConfig(bars=300, carry=0.0)))
    moment = raw.bars["BTC"]["time"][150]
    changed = perturb(raw, moment, kind)
    tables = [("time", list(OHLCV), raw.bars["BTC"], changed.bars["BTC"])]
    tables += [("known_at", values_of(table), table, changed.context[key]) for key, table in raw.context.items()]
    for stamp, columns, before, after in tables:
        early = before[stamp] <= moment
        pd.testing.assert_frame_equal(before[early], after[: early.sum()], check_exact=True)
        if kind == "cut":
            assert len(after) == early.sum()
            continue
        assert np.isfinite(after[columns]).all().all()
        late = ~early
        moved = (before.loc[late, columns] != after.loc[late, columns]).mean()
        assert moved.min() > 0.9
    bars = changed.bars["BTC"]
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
    assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
    assert (bars[list(OHLCV)] > 0).all().all()
    assert (changed.carry["BTC"][151:] != 0).all()
    if kind == "jump":
        np.testing.assert_array_equal(bars["close"][151:], 5 * raw.bars["BTC"]["close"][151:])
    assert changed.context.keys() == raw.context.keys()
    assert len(raw.context) > 1


def places(findings):
    return [(finding.row, finding.column) for finding in findings]


def test_comparison_is_to_the_bit_but_for_sums_over_other_lengths():
    cut = np.datetime64("2024-01-01")
    before = Output("x", np.array([[1.0, np.nan], [2.0, 3.0]]), np.arange(2), ("a", "b"))
    nudged = before._replace(values=before.values * (1 + 1e-12))
    assert compare(before, before, 1, "noise", cut) == []
    assert places(compare(before, nudged, 1, "noise", cut)) == [(0, "a"), (1, "b")]
    assert compare(before, nudged, 1, "cut", cut) == []
    off = before._replace(values=before.values * 1.001)
    assert places(compare(before, off, 1, "cut", cut)) == [(0, "a"), (1, "b")]
    shorter = before._replace(values=before.values[:1])
    assert compare(before, shorter, 0, "cut", cut) == []
    assert places(compare(before, shorter, 1, "cut", cut)) == [(1, "")]


def test_slack_is_by_the_size_of_the_column_and_for_a_cut_alone():
    """A sum of large numbers that nearly cancel is off by more than its own billionth."""
    cut = np.datetime64("2024-01-01")
    values = np.array([[1e6, 1.0], [1e-6, 1.0]])
    before, stamps = Output("x", values, np.arange(2), ("large", "small")), np.arange(2)
    off = values + np.array([[0, 0], [1e-5, 1e-8]])
    assert places(compare(before, Output("x", off, stamps), 1, "cut", cut)) == [(1, "small")]
    assert places(compare(before, Output("x", off, stamps), 1, "flip", cut)) == [(1, "large"), (1, "small")]


def test_a_finding_tells_its_own_row_whatever_the_output_is_made_of():
    cut = np.datetime64("2024-01-01")
    windows = Output("window", np.zeros((3, 4, 2)), np.array([7, 8, 9]), ("a", "b"), rows=np.array([5, 8, 9]))
    moved = windows.values.copy()
    moved[1:, 2, 1] = 1.0
    assert places(compare(windows, windows._replace(values=moved), 9, "noise", cut)) == [(8, "b")]
    assert compare(windows, windows._replace(values=moved), 7, "noise", cut) == []
    fitted = Output("scaler", np.zeros((1, 2)), 40, ("a", "b"))
    [finding] = compare(fitted, fitted._replace(values=np.array([[1.0, 0.0]])), 41, "noise", cut)
    assert (finding.row, finding.column) == (40, "a")
    assert "scaler column 'a' at row 40" in str(finding)


def test_a_report_has_one_line_for_each_guilty_column():
    cut, later = np.datetime64("2024-01-01"), np.datetime64("2024-02-01")
    findings = [Finding("noise", later, "window", 90, "x", 0.0, 1.0), Finding("noise", cut, "features", 31, "x", 0, 1),
                Finding("jump", later, "features", 12, "x", 2.0, 3.0, np.datetime64("2023-12-01T05:00")),
                Finding("jump", later, "features", 12, "y", 2.0, 3.0)]
    audit = Audit(findings, ("features", "window"), 2, 5, 4, ("a table",))
    assert not audit.clean
    assert audit.lines() == [
        "a table",
        "features column 'x' at row 12 (2023-12-01 05:00) looks past 2024-02-01 00:00: 2 became 3 when only later data "
        "changed (jump); seen with noise, jump at 2 of 5 cuts",
        "features column 'y' at row 12 looks past 2024-02-01 00:00: 2 became 3 when only later data changed (jump)",
        "window column 'x' at row 90 looks past 2024-02-01 00:00: 0 became 1 when only later data changed (noise)",
    ]


def test_an_output_that_goes_missing_is_a_finding():
    raw = load_raw(BARE)
    first = build(raw, BARE).market.fingerprint

    def shy(data, rows):
        if data.market.fingerprint == first:
            yield "shy", np.zeros(4), 3

    [finding] = audit_dataset(raw, BARE, [400], ("noise",), shy).findings
    assert (finding.output, finding.row) == ("shy", 3)


def test_what_is_near_a_cut_is_asked_for_alone():
    raw, spans = load_raw(BARE), []

    def asked(data, rows):
        spans.append((rows.start, min(rows.stop, len(data.market))))
        return ()

    audit_dataset(raw, BARE, [20, 400, 590], ("noise", "cut"), asked, near=100)
    assert spans == [(300, 501), (300, 501), (300, 401), (490, 600), (490, 600), (490, 591)], "none in the warm-up"


RISING = Feature("rising", "own", 3, ("close",), "", one("rising", lambda f: f["close"].diff(2)))


@pytest.mark.parametrize("planted", [
    lambda f: f["close"].shift(-1), lambda f: f["close"] - f["close"].mean(), lambda f: f["close"].diff(30).bfill(),
    lambda f: f["close"].rolling(50).std().bfill(), lambda f: f["close"].rolling(9, center=True).mean(),
])
def test_one_feature_alone_is_cheap_to_try(planted):
    bars = load_raw(BARE).bars["BTC"]
    assert audit_feature(RISING, bars) == []
    found = audit_feature(replace(RISING, compute=one("rising", planted)), bars)
    assert {finding.column for finding in found} == {"rising"}
    assert {finding.kind for finding in found} >= {"noise", "jump"}


def test_every_feature_of_the_suite_that_bars_feed_stands_alone():
    bars = load_raw(BARE).bars["BTC"]
    fed = [feature for feature in FEATURES if feature.on == "bars" and set(feature.needs) <= set(bars)]
    assert len(fed) > 40
    late = (feature for feature in fed if feature.lookback < 500)
    assert [finding for feature in late for finding in audit_feature(feature, bars, [550], ("noise", "jump"))] == []
