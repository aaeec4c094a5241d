"""A tiny tournament from its command to its page: every part real, each cell done once."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from agents.arena.contest import auditing, learn, meetings, plan, training
from agents.arena.findings import find
from agents.arena.league import CELLS, asked, each, hold, told_again
from agents.arena.meeting import meet, rules_of
from agents.arena.rollout import Contestant, compete
from agents.arena.season import Season
from agents.arena.shaken import noisy
from agents.arena.tracks import load_tracks
from agents.bundle import Bundle
from agents.cells import NOTHING_MORE, paths_of
from agents.ledger import history_of, trials_of
from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from data.dataset import like, load_dataset, load_raw
from data.market import Market
from encoders.pretrained import sole
from envs.config import EnvConfig
from tests.envs.browser import Browser, chromium

TINY = """
algos: [ppo]
encoders: [none, lstm]
seeds: 2
jobs: 2
walk: {train: 800, valid: 250, test: 200, embargo: 4}
costs: [0, 10, 50]
delays: [1]
noise: [0.2]
experiment:
  data:
    groups: [returns, calendar]
    window: 8
    labels: {horizon: 4}
    simulator: {bars: 1500, edge: 0.9}
  pretrain: {epochs: 1, rows_per_epoch: 64, batch: 32}
  ensemble: {members: [forest]}
  bootstrap: {draws: 100, block: 12}
  agent: {steps: 320, accounts: 8, net: [8], validations: 2, second_look: false, stay_out: false}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("arena") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def words(file) -> list[str]:
    return ["--config", str(file), "--runs", str(file.parent / "runs"), "--agent.ppo.n_steps", "8",
            "--agent.ppo.batch", "32"]


@pytest.fixture(scope="module")
def held(words, file) -> tuple[Path, str]:
    """The tournament's folder, and what was said."""
    return file.parent / "runs" / "tiny", hold(words)


def test_everybody_meets_in_every_window(held, words):
    folder, said = held
    assert "Chosen" in said
    record = json.loads((folder / "run.json").read_text())
    assert record["finished"]
    assert record["windows"] == 2
    names = {"ppo + none", "ppo + none, seed 1", "ppo + lstm", "ppo + lstm, seed 1", "lstm signal",
             "forest signal", "supervised ensemble", "cash", "buy and hold", "momentum", "random"}
    for window in (1, 2):
        for file in ("tracks", "validation"):
            tracks = load_tracks(folder / f"window{window}" / f"{file}.parquet")
            assert {track.contestant for track in tracks} >= names
            assert {track.window for track in tracks} == {window}
        rules = pd.read_parquet(folder / f"window{window}" / "scenarios.parquet")["rule"].unique().tolist()
        assert rules == ["as it is", "0 bps", "10 bps", "50 bps", "1 bar late", "worst fills", "noise of 0.2"]
        forecasts = pd.read_parquet(folder / f"window{window}" / "forecasts.parquet")
        assert {*forecasts["forecaster"]} == {"lstm signal", "forest signal", "supervised ensemble"}
        assert forecasts[["down", "flat", "up"]].sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-5)
        assert {*forecasts["came"]} <= {0, 1, 2}
        assert not forecasts.duplicated(["forecaster", "time"]).any()
    config, settings, passed_on = asked(words)
    first = plan(config, settings, passed_on)[0].first
    assert record["trials"] == trials_of(config.runs, history_of(first.data)) == 8


def test_a_window_is_taught_on_its_own_rows_and_tested_on_later_ones(held, words):
    folder, _ = held
    config, settings, passed_on = asked(words)
    windows = plan(config, settings, passed_on)
    for window in windows:
        dataset = load_dataset(window.first.data)
        bundle = Bundle.load(folder / f"window{window.number}" / "ppo-lstm" / "seed1" / "bundle")
        assert bundle.market == dataset.market.fingerprint
        assert bundle.trained["train"][1] <= dataset.split.valid.start - (8 + 4 - 1) - 4
        assert bundle.trained["valid"][1] <= dataset.split.test.start - (8 + 4 - 1) - 4
        tested = load_tracks(folder / f"window{window.number}" / "tracks.parquet")[0]
        assert tested.rows == dataset.split.test
        assert len(dataset.market) == dataset.split.test.stop


def test_who_was_taught_a_window_before_trades_the_next_one_on_the_scale_it_knows(held, words):
    folder, _ = held
    first, second = plan(*asked(words))
    data = replace(first.first.data, span=second.first.data.span)
    dataset = load_dataset(first.first.data)
    market, rows = like(load_raw(data), data, dataset.scaler), load_dataset(second.first.data).split.test
    seen = dataset.market.decision_rows(8)
    assert np.array_equal(market.features[seen], dataset.market.features[seen])
    bundle = Bundle.load(folder / "window1" / "ppo-lstm" / "seed1" / "bundle")
    mine = {"mine": Contestant(bundle.trader(market), bundle.env.actions(1))}
    [track] = compete(mine, market, first.first.env, 8, rows)
    table = pd.read_parquet(folder / "window1" / "scenarios.parquet").query("age == 1")
    assert {*table["window"]} == {2}
    assert {*table["rule"]} == {"as it is"}
    old = table.set_index("contestant")["total_return"]
    assert old["ppo + lstm, seed 1"] == pytest.approx(track.metrics.total_return, rel=1e-9)
    fresh = pd.read_parquet(folder / "window2" / "scenarios.parquet").query("age == 0 and rule == 'as it is'")
    fresh = fresh.set_index("contestant")["total_return"]
    assert old["buy and hold"] == pytest.approx(fresh["buy and hold"], rel=1e-12)
    assert old["ppo + lstm, seed 1"] != pytest.approx(fresh["ppo + lstm, seed 1"], rel=1e-3)
    assert not pd.read_parquet(folder / "window2" / "scenarios.parquet")["age"].any()
    curves = {one.name: one for one in find(Season.load(folder), BootstrapConfig(draws=100, block=12)).curves}
    assert [*curves["ppo + lstm"].old] == [2]


def test_noise_leaves_what_is_missing_and_who_is_absent_as_they_are():
    rng, shape = np.random.default_rng(0), (400, 2)
    absent = rng.random(shape) < 0.2
    flag = (rng.random(shape) < 0.3) & ~absent
    value = np.where(flag | absent, 0.0, rng.normal(0, 1, shape))
    prices = np.where(absent[..., None], np.nan, 100.0) * np.ones(5)
    market = replace(Market.flat(400, ("A", "B")), prices=prices, absent=absent, columns=("x", "onchain_missing"),
                     features=np.stack([value, flag], axis=-1).astype(np.float32), segments=np.array([[10, 390]]))
    found = noisy(market, 0.5)
    assert np.array_equal(found.features[..., 1], market.features[..., 1])
    moved = found.features[..., 0] != market.features[..., 0]
    inside = np.zeros(shape, bool)
    inside[10:390] = True
    assert np.array_equal(moved, inside & ~absent & ~flag)
    assert (found.features - market.features)[moved, 0].std() == pytest.approx(0.5, rel=0.1)


def test_noise_changes_what_is_seen_and_no_fill(held):
    folder, _ = held
    table = pd.read_parquet(folder / "window1" / "scenarios.parquet").query("age == 0")
    made = table.pivot_table(index="contestant", columns="rule", values="total_return")
    assert made.loc["buy and hold", "noise of 0.2"] == made.loc["buy and hold", "as it is"]
    assert made.loc["ppo + none", "noise of 0.2"] != made.loc["ppo + none", "as it is"]


def test_a_tournament_that_was_held_does_nothing_twice(held, words):
    folder, said = held
    before = {path: path.stat().st_mtime_ns for path in folder.glob("window*/**/bundle/*")}
    before |= {path: path.stat().st_mtime_ns for path in (folder / CELLS).iterdir()}
    assert hold(words) == said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len([*(folder / CELLS).iterdir()]) == 1 + 2 + 8 + 2


def test_one_that_was_stopped_goes_on_and_ends_the_same(held, words, capsys):
    folder, said = held
    gone = [next((folder / CELLS).glob(pattern)) for pattern in ("window2-ppo-none-seed1-*", "window2-meeting-*")]
    for mark in gone:
        mark.unlink()
    shutil.rmtree(folder / "window2" / "ppo-none" / "seed1")
    tables = (folder / "table.csv").read_bytes()
    assert hold(words) == said
    assert (folder / "table.csv").read_bytes() == tables
    told = capsys.readouterr().err
    assert "window2-ppo-none-seed1" in told
    assert told.count("agents: ") == 1
    assert told.count("meetings: ") == 1


def test_the_report_is_made_of_the_tracks_alone(held, tmp_path):
    folder, said = held
    copy = tmp_path / "tiny"
    kept = [folder / "run.json", folder / "config.yaml", *folder.glob("window*/*.parquet")]
    for path in kept:
        place = copy / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    assert told_again(copy).replace(str(copy), str(folder)) == said
    for name in ("findings.json", "table.csv", "windows.csv"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), name
    text = (copy / "report.md").read_text()
    assert f"--from {copy}\n" in text, "where it lies now"
    assert text.replace(f"--from {copy}\n", f"--from {folder}\n") == (folder / "report.md").read_text()
    tracks = pd.read_parquet(copy / "window1" / "tracks.parquet")
    tracks.loc[tracks["contestant"] == "buy and hold", "equity"] *= np.linspace(1, 2, (
        tracks["contestant"] == "buy and hold").sum())
    tracks.to_parquet(copy / "window1" / "tracks.parquet")
    told_again(copy)
    assert (copy / "table.csv").read_bytes() != (folder / "table.csv").read_bytes()


def test_a_number_of_the_report_can_be_traced(held):
    folder, _ = held
    table = pd.read_csv(folder / "table.csv").set_index("contestant")
    worth = 1.0
    for window in (1, 2):
        tracks = pd.read_parquet(folder / f"window{window}" / "tracks.parquet")
        equity = tracks.loc[tracks["contestant"] == "momentum", "equity"].to_numpy()
        worth *= equity[-1] / equity[0]
    assert table.loc["momentum", "total_return"] == pytest.approx(worth - 1, rel=1e-12)
    text = (folder / "report.md").read_text()
    assert f"{worth - 1:+.1%}" in text
    assert {"| ppo + none, seed 0 ", "| ppo + none, 2 seeds "} <= {*re.findall(r"\| ppo \+ none, \w+ \w+ ", text)}
    for picture in re.findall(r"\]\((\w+\.png)\)", text):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_what_the_meeting_is_made_of_makes_it_another(words, monkeypatch):
    """Other data, or agents that were taught otherwise: whoever has met before has to meet again."""
    config, settings, passed_on = asked(words)
    marks = [*paths_of(meet, meetings(config, plan(config, settings, passed_on)), Path()).values()]
    windows = plan(config, settings, passed_on)
    kind = ("ppo", "lstm")
    for window in windows:
        window.kinds[kind] = replace(window.kinds[kind], agent=replace(window.kinds[kind].agent, lr=0.5))
    assert not {*paths_of(meet, meetings(config, windows), Path()).values()} & {*marks}
    windows = plan(config, settings, passed_on)
    windows[-1].__dict__["market"] = "repaired"  # the first window's contestants trade there too
    assert not {*paths_of(meet, meetings(config, windows), Path()).values()} & {*marks}
    again = plan(config, settings, passed_on)
    assert [*paths_of(meet, meetings(config, again), Path()).values()] == marks


def test_more_seeds_and_encoders_leave_what_is_trained_as_it_is(words):
    def marks(*more: str) -> set[Path]:
        config, settings, passed_on = asked([*words, *more])
        return {*paths_of(learn, training(config, plan(config, settings, passed_on)), Path()).values()}

    assert marks() < marks("--seeds", "3")
    assert marks() < marks("--encoders", "none", "lstm", "gru")
    assert not marks() & marks("--agent.lr", "0.5")


@pytest.mark.parametrize("inside", [{"seed": 3}, {"data": {"borders": [1, 2]}}, {"algo": "ppo"}, {"runs": "x"}])
def test_what_a_tournament_sets_itself_has_no_place_in_its_experiment(words, inside):
    config, settings, passed_on = asked(words)
    with pytest.raises(UserError, match="is not for a tournament's file"):
        plan(config, {**settings, **inside}, passed_on)


@pytest.mark.parametrize("size", [(1280, 900, False), (390, 844, True)], ids=["desk", "phone"])
def test_the_page_needs_nothing_but_itself(held, size):
    chromium()
    width, height, mobile = size
    page = held[0] / "report.html"
    with Browser(width, height, mobile) as browser:
        browser.open(page, "document.querySelectorAll('svg').length > 5")
        assert browser.requests == [page.as_uri()]
        assert browser.errors == []
        assert browser.ask("performance.getEntriesByType('resource').length") == 0
        assert browser.ask("document.documentElement.scrollWidth") <= width  # tables scroll within themselves
        assert "Chosen" in browser.ask("document.querySelector('.verdict').innerText")
        assert browser.ask("document.querySelectorAll('h2').length") >= 9
        column = ("[...document.querySelectorAll('table')[0].tBodies[0].rows]"
                  ".map(row => parseFloat(row.cells[3].innerText))")
        browser.ask("document.querySelectorAll('table')[0].tHead.rows[0].cells[3].click()")
        assert browser.ask(column) == sorted(browser.ask(column))


def test_rules_change_one_thing_at_a_time():
    env = EnvConfig(latency=1)
    rules = rules_of(env, (0.0, 10.0), (1, 2))
    assert rules["as it is"] == env
    assert rules["10 bps"].costs.per_unit == pytest.approx(1e-3)
    assert [rules[name].latency for name in ("1 bar late", "2 bars late", "10 bps")] == [2, 3, 1]
    assert rules["worst fills"].fill == "worst"
    assert rules["worst fills"].costs == env.costs


@pytest.mark.parametrize(("more", "said"), [
    (["--algos", "ppoo"], "did you mean 'ppo'"), (["--algos", "ppo", "ppo"], "--algos names each once"),
    (["--algo", "ppo"], "did you mean --algos"), (["--net.width", "4"], "net. is about one encoder"),
    (["--costs", "0"], "two of them at least"), (["--costs", "5", "10"], "rise from 0"),
    (["--costs", "0", "6000"], "sensible, found 6000"), (["--delays", "0"], "at least 1"),
    (["--on", "mars"], "here, ray"), (["--noise", "0"], "deviations above 0"),
    (["--seeds", "0"], "--seeds must be at least 1, found 0"), (["--algos"], "names nobody"),
    (["--seedz", "3"], "did you mean 'seed"), (["--wlak.train", "3"], "unknown setting"),
    (["--data.span", "0", "900"], "--walk.train"), (["--walk.train", "9000"], "too few rows to walk"),
    (["--walk.step", "90"], "twice"), (["--agent.step", "3"], "did you mean 'agent.steps'"),
    (["--name", "cache"], "take another"), (["--name", "/x"], "take another"),
    (["--seed", str(2**32 - 2), "--seeds", "3"], "seeds end at"), (["--walk.train", "0"], "found 0, 250, 200"),
    (["--encoders", "none", "--ensemble.members"], "nobody to be compared with"),
])
def test_what_is_wrong_is_said_before_any_work(words, more, said):
    with pytest.raises(UserError, match=re.escape(said)):
        plan(*asked([*words, *more]))


def test_a_folder_without_a_tournament_is_no_tournament(tmp_path, held):
    with pytest.raises(UserError, match="no run"):
        told_again(tmp_path)
    shutil.copytree(held[0], tmp_path / "half")
    record = json.loads((tmp_path / "half" / "run.json").read_text())
    del record["meetings"]
    (tmp_path / "half" / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="stopped before its end"):
        told_again(tmp_path / "half")


@pytest.mark.parametrize(("cut", "said"), [
    (lambda table: table[(table["contestant"] != "cash") | (table.index % 2 == 0)], "not everybody has as many rows"),
    (lambda table: table.assign(equity=table["equity"].where(table.index != 7)), "a number is missing"),
    (lambda table: table.assign(seed=table["seed"].where(table.index != 7)), "a number is missing"),
    (lambda table: table.drop(columns="costs"), "no costs"),
])
def test_a_table_that_is_cut_is_called_damaged(held, tmp_path, cut, said):
    shutil.copytree(held[0], tmp_path / "cut", ignore=shutil.ignore_patterns("bundle"))
    path = tmp_path / "cut" / "window2" / "tracks.parquet"
    cut(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(UserError, match=f"tracks.parquet is damaged .{said}.*command again"):
        told_again(tmp_path / "cut")


def test_a_table_that_is_gone_is_made_again_by_the_same_command(held, words, capsys):
    folder, said = held
    (folder / "window2" / "bars.parquet").unlink()
    with pytest.raises(UserError, match=r"bars\.parquet is missing: give the tournament's command again"):
        told_again(folder)
    capsys.readouterr()
    assert hold(words) == said
    told = capsys.readouterr().err
    assert "meetings: 2 of 2, window2-meeting" in told
    assert "agents: " not in told


def test_another_tournament_of_the_same_name_leaves_the_finished_one_beside_it(held, words, tmp_path, monkeypatch):
    shutil.copytree(held[0], tmp_path / "tiny", ignore=shutil.ignore_patterns("bundle"))
    monkeypatch.setattr("agents.arena.league.side_by_side", begun := Mock(side_effect=UserError("begun")))
    with pytest.raises(UserError, match="begun"):
        hold([*words, "--runs", str(tmp_path), "--agent.lr", "0.5"])
    assert begun.called
    before = tmp_path / "tiny.before"
    assert (before / "report.md").read_bytes() == (held[0] / "report.md").read_bytes()
    assert told_again(before)
    assert f"--from {before}\n" in (before / "report.md").read_text()
    assert not (tmp_path / "tiny" / "report.md").exists()


def test_two_do_not_hold_one_tournament_at_once(words, file):
    with sole(file.parent / "runs" / "tiny"), pytest.raises(UserError, match="another process may be holding"):
        hold(words)


def test_the_causal_test_watches_all_nets_that_forecast(words):
    [watched] = auditing(plan(*asked([*words, "--encoders", "none", "lstm", "gru"]))).values()
    assert (watched.config.encoder, watched.config.ensemble.members) == ("lstm", ("lstm", "gru", "forest"))


def test_a_cell_is_the_same_on_a_cluster(words):
    config, settings, passed_on = asked(words)
    there = replace(config, on="ray")
    assert paths_of(learn, training(config, plan(config, settings, passed_on)), Path()) == paths_of(
        learn, training(there, plan(there, settings, passed_on)), Path())


def test_an_empty_file_is_no_tournament(tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(UserError, match=r"empty\.yaml is empty"):
        hold(["--config", str(tmp_path / "empty.yaml")])


def test_cells_are_named_for_what_they_are(words):
    config, settings, passed_on = asked(words)
    windows = plan(config, settings, passed_on)
    names = [*training(config, windows)]
    assert len(names) == 2 * 2 * 2
    assert names[:2] == ["window1-ppo-none-seed0", "window1-ppo-lstm-seed0"]
    assert [*meetings(config, windows)] == ["window1-meeting", "window2-meeting"]


def test_other_settings_under_the_same_name_do_not_vouch_for_what_they_wrote_over(held, words):
    """As if a tournament of other settings had been stopped after its first agents."""
    folder, _ = held
    config, settings, passed_on = asked([*words, "--agent.lr", "0.5"])
    cells = training(config, plan(config, settings, passed_on))
    some = {name: cell for name, cell in cells.items() if name.startswith("window1-")}
    each(learn, some, config, NOTHING_MORE, "agents")
    assert len([*(folder / CELLS).glob("window1-ppo-lstm-seed0-*")]) == 1
    tables = (folder / "table.csv").read_bytes()
    assert "After 12 trainings" in hold(words)
    assert (folder / "table.csv").read_bytes() == tables
