"""The causal test passes the pipeline and catches what it must."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data import align, dataset
from data.causality import KINDS, Output, audit_dataset, compare, perturb
from data.dataset import DataConfig, build, load_raw
from data.features import FEATURES
from data.features.base import Feature, one
from data.labels import LabelConfig
from data.scaling import Scaler
from data.simulator import SimulatorConfig
from data.simulator.known import KnownConfig
from data.sources.base import EVERY_ASSET, OHLCV, values_of
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
    cuts = [*cuts_of(raw, CONFIG), in_the_gap.tz_convert(None).to_datetime64()]
    assert audit_dataset(raw, CONFIG, cuts) == []


def test_neither_does_a_known_market_nor_a_company_of_assets():
    known = replace(CONFIG, source="known", known=KnownConfig("regime_lead", bars=600))
    raw = load_raw(known)
    assert audit_dataset(raw, known, cuts_of(raw, known)) == []
    company = replace(BARE, groups=("returns", "onchain", "macro", "calendar"),
                      simulator=SimulatorConfig(bars=900, assets=("BTC", "ETH")))
    raw = load_raw(company)
    assert audit_dataset(raw, company, cuts_of(raw, company)[1:4], kinds=("noise", "cut")) == []


def log_close(frame):
    return np.log(frame["close"])


FAULTS = {
    "centred rolling": lambda f: f["close"].rolling(9, center=True, min_periods=1).mean() / f["close"],
    "shift from tomorrow": lambda f: log_close(f).shift(-1).ffill() - log_close(f),
    "shifted label": lambda f: (log_close(f).shift(-6) - log_close(f)).fillna(0.0),
    "back-fill": lambda f: log_close(f).diff().rolling(200).std().bfill(),
    "fill with the mean": lambda f: log_close(f).diff(150).fillna(log_close(f).diff().mean()),
    "wrap around": lambda f: pd.Series(np.roll(log_close(f), 5)) - log_close(f),
    "interpolation": lambda f: log_close(f).where(f.index % 4 == 0).interpolate().ffill(),
    "reversed average": lambda f: log_close(f)[::-1].ewm(span=5).mean()[::-1] - log_close(f),
    "whole-sample z-score": lambda f: (log_close(f) - log_close(f).mean()) / log_close(f).std(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_named(fault, monkeypatch):
    planted = Feature("planted", "returns", 1, ("close",), fault, one("planted", FAULTS[fault]))
    honest = next(feature for feature in FEATURES if feature.name == "return_1")
    monkeypatch.setattr(dataset, "FEATURES", [honest, planted])
    raw = load_raw(BARE)
    findings = audit_dataset(raw, BARE, cuts_of(raw, BARE))
    named = [finding for finding in findings if finding.output == "features"]
    assert named
    assert {finding.column for finding in named} == {"planted"}
    assert all(finding.row <= 600 for finding in named)
    assert "'planted' at row" in str(named[0])


def test_a_daily_value_seen_on_its_day_is_caught(monkeypatch):
    def joined_on_its_day(time, table, max_age):
        return align_join(time, table.assign(known_at=table["day"]) if "day" in table else table, max_age)

    align_join = align.known_at_join
    monkeypatch.setattr(align, "known_at_join", joined_on_its_day)
    config = replace(BARE, groups=("returns", "macro"), simulator=SimulatorConfig(bars=1_000))
    raw = load_raw(config)
    hours = pd.DatetimeIndex(build(raw, config).market.time)
    tuesday_noon = int(np.flatnonzero((hours.day_of_week == 1) & (hours.hour == 12))[-1])
    findings = audit_dataset(raw, config, [tuesday_noon], kinds=("noise",))
    assert "features" in {finding.output for finding in findings}
    assert findings[0].row <= tuesday_noon
    assert findings[0].column.removesuffix("_week") in {"dollar_index", "us10y", "term_spread"}


def test_a_scaler_on_all_rows_is_caught(monkeypatch):
    def on_all_rows(table, split, config):
        rows = np.arange(table.segments[0, 0], len(table.time))
        return Scaler.fit(table.values, table.columns, rows, config.clip)

    monkeypatch.setattr(dataset, "fit_scaler", on_all_rows)
    raw = load_raw(BARE)
    border = build(raw, BARE).split.train.stop - 1
    findings = audit_dataset(raw, BARE, [border])
    assert {finding.kind for finding in findings} == set(KINDS)
    assert {finding.output for finding in findings} == {"scaler center", "scaler scale", "scaled features"}


@pytest.mark.parametrize("purged", [True, False])
def test_further_outputs_are_watched_and_a_missing_purge_is_caught(purged):
    def weights(data):
        stop = data.split.train.stop if purged else data.split.valid.start
        taught = np.nanmean(data.labels.forward[:stop])
        yield "weights", np.array([taught]), data.split.train.stop - 1 + data.labels.horizon
        rows = np.arange(len(data.market))
        yield "observation", data.market.features[:, 0, :2] * 2, np.maximum(rows, data.split.train.stop - 1), ("a", "b")

    raw = load_raw(BARE)
    split = build(raw, BARE).split
    findings = audit_dataset(raw, BARE, [split.train.stop - 1 + 6], extra=weights)
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
    assert ("macro", EVERY_ASSET) in changed.context


def test_comparison_is_to_the_bit_but_for_sums_over_other_lengths():
    cut = np.datetime64("2024-01-01")
    before = Output("x", np.array([[1.0, np.nan], [2.0, 3.0]]), np.arange(2), ("a", "b"))
    nudged = before._replace(values=before.values * (1 + 1e-12))
    assert compare(before, before, 1, "noise", cut) is None
    finding = compare(before, nudged, 1, "noise", cut)
    assert (finding.row, finding.column) == (0, "a")
    assert compare(before, nudged, 1, "cut", cut) is None
    assert compare(before, before._replace(values=before.values * 1.001), 1, "cut", cut) is not None
    shorter = before._replace(values=before.values[:1])
    assert compare(before, shorter, 0, "cut", cut) is None
    assert compare(before, shorter, 1, "cut", cut).row == 1
