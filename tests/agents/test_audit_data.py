"""The audit names every leak that is planted in features, tables, scaler, splits and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ta.trend import KSTIndicator, VortexIndicator

from agents.audit import audit
from data import dataset, lots
from data.causality import KINDS
from data.dataset import build, load_raw
from data.features import FEATURES
from data.features.base import Feature, one
from data.labels import LabelConfig
from data.leaks import early_stamps
from data.scaling import Scaler
from data.schema import schema_of
from data.simulator.config import SimulatorConfig
from data.splits import Split
from tests.agents.audited import CONFIG, HONEST, LAST, RAW, columns_of, names_of
from tests.agents.small import WINDOW


def log_close(frame: pd.DataFrame) -> pd.Series:
    return np.log(frame["close"])


def wavelet_energy(frame: pd.DataFrame) -> pd.Series:
    """Haar details of the whole series at scale 8, squared, as shares of all there is."""
    values = log_close(frame).to_numpy()
    blocks = np.arange(len(values)) // 8
    half = np.where(np.arange(len(values)) % 8 < 4, 1.0, -1.0)
    energy = np.bincount(blocks, weights=values * half)[blocks] ** 2
    return pd.Series(energy / max(energy.sum(), 1e-12), index=frame.index)


def vortex(frame: pd.DataFrame) -> pd.Series:
    return VortexIndicator(frame["high"], frame["low"], frame["close"], fillna=True).vortex_indicator_diff()


def kst(frame: pd.DataFrame) -> pd.Series:
    return KSTIndicator(frame["close"], fillna=True).kst()


FEATURE_FAULTS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "centred rolling": lambda f: f["close"].rolling(9, center=True, min_periods=1).mean() / f["close"],
    "shift from tomorrow": lambda f: log_close(f).shift(-1).ffill() - log_close(f),
    "back-fill": lambda f: log_close(f).diff().rolling(200).std().bfill(),
    "wrap around": lambda f: pd.Series(np.roll(log_close(f), 5)) - log_close(f),
    "fill with the mean": lambda f: log_close(f).diff(150).fillna(log_close(f).diff().mean()),
    "interpolation": lambda f: log_close(f).where(f.index % 4 == 0).interpolate().ffill(),
    "reversed average": lambda f: log_close(f)[::-1].ewm(span=5).mean()[::-1] - log_close(f),
    "whole-sample z-score": lambda f: (log_close(f) - log_close(f).mean()) / log_close(f).std(),
    "whole-series wavelet energy": wavelet_energy,
    "ta filled, vortex": vortex,
    "ta filled, kst": kst,
    "shifted label": lambda f: (log_close(f).shift(-4) - log_close(f)).fillna(0.0),
}


def plant(monkeypatch, name: str, compute: Callable[[pd.DataFrame], pd.Series]) -> None:
    planted = Feature("planted", "returns", 1, ("close", "high", "low"), name, one("planted", compute))
    monkeypatch.setattr(dataset, "FEATURES", [*(f for f in FEATURES if f.name == "return_1"), planted])


@pytest.mark.parametrize("fault", FEATURE_FAULTS)
def test_a_feature_that_knows_tomorrow_is_named(fault, monkeypatch):
    plant(monkeypatch, fault, FEATURE_FAULTS[fault])
    bare = replace(CONFIG, groups=("returns",))
    found = audit(RAW, bare, cuts=0)
    assert columns_of(found, "features") == {"planted"}
    assert columns_of(found, "scaled features") <= {"planted"}, "a robust scaler undoes the leak of a z-score"
    assert any(line.startswith("features column 'planted' at row") for line in found.lines())
    assert {finding.kind for finding in found.findings if finding.output == "features"} >= {"noise", "jump"}
    assert all(finding.time == HONEST.market.time[finding.row] for finding in found.findings)
    assert not found.clean
    face = [line for line in found.on_its_face if "'planted'" in line]
    if fault == "shifted label":
        assert "column 'planted' is the forward return label (1.0000 alike)" in face[0]
    elif fault == "shift from tomorrow":
        assert "is the next bar's return" in face[0]
    else:
        assert face == []


@pytest.mark.parametrize("disguise", [np.tanh, np.cbrt, lambda x: -3 * x + 7])
def test_an_answer_in_disguise_is_no_input(disguise, monkeypatch):
    plant(monkeypatch, "answer", lambda f: disguise(50 * FEATURE_FAULTS["shifted label"](f)))
    found = audit(RAW, replace(CONFIG, groups=("returns",)), cuts=[])
    assert len(found.on_its_face) == 1
    assert "column 'planted' is the forward return label" in found.on_its_face[0]
    assert "from row 3 on" in found.on_its_face[0]


WORLD = replace(CONFIG, groups=("returns", "macro"), simulator=SimulatorConfig(bars=1_200))


def test_a_daily_value_seen_from_its_first_hour_is_named(monkeypatch):
    honest = lots.known_at_join

    def joined_on_its_day(time, rows, max_age, age=False):
        return honest(time, rows.assign(known_at=rows["known_at"] - pd.Timedelta("1D")), max_age, age)

    monkeypatch.setattr(lots, "known_at_join", joined_on_its_day)
    raw = load_raw(WORLD)
    hours = pd.DatetimeIndex(build(raw, WORLD).market.time)
    tuesday_noon = int(np.flatnonzero((hours.day_of_week == 1) & (hours.hour == 12))[-1])
    found = audit(raw, WORLD, cuts=[tuesday_noon], kinds=("noise", "flip"))
    macro = {c for feature in FEATURES if feature.group == "macro" for c in feature.columns}
    assert columns_of(found, "features")
    assert columns_of(found, "features") <= macro
    assert all(finding.row <= tuesday_noon for finding in found.findings)


def test_a_stamp_before_the_end_of_its_day_is_named():
    """The perturbation believes `known_at`; that it is too good to be true must be seen on its face."""
    raw = load_raw(WORLD)
    for key, rows in raw.context.items():
        if "time" not in rows:
            continue
        early = {**raw.context, key: rows.assign(known_at=rows["time"] - pd.Timedelta("23h"))}
        found = audit(replace(raw, context=early), WORLD, cuts=[])
        assert [line.split(":")[0] for line in found.on_its_face] == [f"{key[0]} of {key[1]}"]
        assert f"{len(rows)} of {len(rows)} rows are known sooner" in found.on_its_face[0]
        assert "23:00:00 too soon" in found.on_its_face[0]
    assert audit(raw, WORLD, cuts=[]).clean


def test_a_stamp_that_falls_is_named():
    raw = load_raw(WORLD)
    key = next(key for key, rows in raw.context.items() if "time" in rows)
    stamps = raw.context[key]["known_at"].copy()
    stamps.iloc[5] = stamps.iloc[8]
    found = early_stamps(replace(raw, context={key: raw.context[key].assign(known_at=stamps)}))
    assert len(found) == 1
    assert "known_at falls at row 6" in found[0]


def test_a_value_published_at_the_start_of_its_day_may_be_known_then():
    days = pd.date_range("2024-01-02", periods=5, tz="UTC")
    index = pd.DataFrame({"time": days, "known_at": days - pd.Timedelta("23h"), "fear_greed": 50.0})
    assert early_stamps(replace(RAW, context={("fear_greed", "all"): index})) == []
    sooner = index.assign(known_at=days - pd.Timedelta("25h"))
    found = early_stamps(replace(RAW, context={("fear_greed", "all"): sooner}))
    assert len(found) == 1
    assert "known sooner than such a table can be; the first is row 0" in found[0]


@pytest.mark.parametrize(("kind", "column", "delay", "too_soon"), [
    ("funding", "funding_rate", "-23h", "16:00:00"),  # 16 hours before the day's last payment
    ("rates", "us10y", "0h", "22:00:00"),  # a Tuesday's, published on Wednesday evening
])
def test_a_value_known_sooner_than_its_kind_allows_is_named(kind, column, delay, too_soon):
    days = pd.date_range("2024-01-03", periods=3, tz="UTC")
    rows = pd.DataFrame({"time": days, "known_at": days + pd.Timedelta(delay), column: 0.01})
    [line] = early_stamps(replace(RAW, context={(kind, "all"): rows}))
    assert f"{too_soon} too soon" in line
    fair = rows.assign(known_at=schema_of(kind).known.moments(rows, pd.Timedelta("1D")))
    assert early_stamps(replace(RAW, context={(kind, "all"): fair})) == []


def test_a_scaler_on_all_rows_is_named(monkeypatch):
    def on_all_rows(made, rows, config):
        return Scaler.fit(made.values, made.columns, np.arange(made.segments[0, 0], len(made.time)), config.clip)

    monkeypatch.setattr(dataset, "fit_scaler", on_all_rows)
    found = audit(RAW, CONFIG, cuts=[LAST])
    assert names_of(found) == {"scaler center", "scaler scale", "scaled features"}
    assert {finding.kind for finding in found.findings} == set(KINDS)


@pytest.mark.parametrize("gap", [0, WINDOW, WINDOW + 4 - 2])
def test_a_missing_purge_is_named(gap, monkeypatch):
    monkeypatch.setattr(dataset, "split_rows", lambda rows, config: Split(
        slice(0, 500), slice(500 + gap, 700), slice(720, rows), gap))
    found = audit(RAW, CONFIG, cuts=[])
    assert len(found.on_its_face) == 1
    assert f"labels of the training rows reach row {499 + 4}" in found.on_its_face[0]
    assert f"purge {WINDOW + 3 - gap} more" in found.on_its_face[0]


def test_a_label_that_reaches_farther_than_the_split_knows_is_named(monkeypatch):
    far = replace(CONFIG, labels=LabelConfig(horizon=4, volatility_horizon=40))
    honest = dataset.split_rows
    monkeypatch.setattr(dataset, "split_rows", lambda rows, config: honest(rows, CONFIG))
    found = audit(RAW, far, cuts=[])
    assert len(found.on_its_face) == 2
    assert all("purge" in line for line in found.on_its_face)
