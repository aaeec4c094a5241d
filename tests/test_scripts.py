"""The commands of the README, with tiny sizes, in this process; and bad input, each with one clear line."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import ALGOS
from agents.bundle import Bundle
from agents.experiment import ExperimentConfig, load_experiment
from configs.errors import run_script
from configs.loader import parse, read_yaml, sections
from data.dataset import load_dataset
from encoders.checkpoint import Checkpoint
from encoders.ensemble.ensemble import Ensemble

TINY = """
progress: false
device: cpu
ensemble: {members: [lstm]}
data:
  groups: [returns, calendar]
  window: 8
  labels: {horizon: 4}
  split: {embargo: 4}
  simulator: {bars: 1200, edge: 0.9}
env: {episode: 60}
net: {width: 8, layers: 1, heads: 2, ff: 8}
pretrain: {epochs: 2, rows_per_epoch: 64, batch: 32, lr: 0.01, threads: 1}
agent:
  steps: 320
  accounts: 8
  net: [8]
  validations: 3
  ppo: {n_steps: 8, batch: 32, epochs: 1}
  dqn: {buffer: 500, learning_starts: 32, batch: 16, gradient_steps: 1}
bootstrap: {draws: 100, block: 10}
"""
SCRIPTS = ("train_agent", "pretrain_encoder", "evaluate", "benchmark", "import_data", "check_data", "audit_leakage",
           "list_features", "list_encoders", "explain", "train_ensemble", "oracle", "replay", "pictures", "diagnose",
           "known_markets", "fair_game", "planted_edge")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def command(script: str, *argv: object) -> Ended:
    """`python scripts/<script>.py argv`, but for the new process."""
    main = importlib.import_module(f"scripts.{script}").main
    patch, out, err = pytest.MonkeyPatch(), StringIO(), StringIO()
    try:
        patch.setattr(sys, "argv", [f"scripts/{script}.py", *map(str, argv)])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        run_script(main)
        code = 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 0
    finally:
        patch.undo()
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the tiny config and two runs of it, PPO through an LSTM and DQN on bare features."""
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "tiny.yaml").write_text(TINY)
    shared = ("--config", folder / "tiny.yaml", "--runs", folder / "runs")
    for own in (("--algo", "ppo", "--encoder", "lstm"), ("--algo", "dqn", "--encoder", "none", "--seed", "1")):
        ended = command("train_agent", *shared, *own)
        assert (ended.code, ended.err) == (0, ""), ended.err
    return folder


@pytest.fixture(scope="module")
def run(place) -> Path:
    return place / "runs" / "ppo-lstm-seed0"


def test_training_writes_its_folder(run):
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert names >= {"config.yaml", "command.txt", "run.json", "table.md", "table.csv", "table.json", "equity.png",
                     "bundle/bundle.json", "bundle/policy.safetensors", "bundle/encoder/checkpoint.json",
                     "bundle/encoder/weights.safetensors"}
    assert not [name for name in names if name.endswith((".tmp", ".pkl", ".zip", ".pt", ".pth"))]
    assert (run / "equity.png").read_bytes().startswith(b"\x89PNG")


def test_the_record_says_what_was_done(run, place):
    config = parse(ExperimentConfig, [], read_yaml(run / "config.yaml"))
    assert (config.algo, config.encoder, config.seed, config.agent.steps) == ("ppo", "lstm", 0, 320)
    assert config == load_experiment(["--config", str(place / "tiny.yaml"), "--runs", str(place / "runs"),
                                      "--encoder", "lstm"])
    assert f"scripts/train_agent.py --config {place / 'tiny.yaml'}" in (run / "command.txt").read_text()
    record = json.loads((run / "run.json").read_text())
    assert record["seed"] == 0
    assert record["versions"]["torch"]
    assert len(record["market"]) == 16
    assert record["market"] == Bundle.load(run / "bundle").market
    assert record["device"] == "cpu"
    assert record["seconds"] > 0
    contestants = json.loads((run / "table.json").read_text())["contestants"]
    assert record["results"] == contestants


def test_the_table_holds_everybody_with_intervals(run):
    table = json.loads((run / "table.json").read_text())
    rows = {row["contestant"]: row for row in table["contestants"]}
    assert rows.keys() == {"ppo + lstm", "lstm signal", "cash", "buy and hold", "random", "momentum"}
    for row in rows.values():
        assert np.isfinite([row[name] for name in row if name not in ("contestant", "kind")]).all()
        assert row["total_return_low"] <= row["total_return_high"]
    assert rows["cash"]["total_return"] == 0
    with (run / "table.csv").open() as file:
        assert [line["contestant"] for line in csv.DictReader(file)] == list(rows)
    markdown = (run / "table.md").read_text()
    assert all(f"| {name} " in markdown for name in rows)


def test_tensorboard_reads_scalars_and_a_picture(run):
    [agent] = (run / "tensorboard").glob("ppo*")
    events = EventAccumulator(str(agent)).Reload()
    tags = events.Tags()
    assert {"valid/sharpe", "valid/growth_per_bar", "time/updates", "valid/max_drawdown"} <= set(tags["scalars"])
    assert "valid/equity" in tags["images"]
    growth = events.Scalars("valid/growth_per_bar")
    steps = [event.step for event in growth]
    assert len(growth) >= 3
    assert steps == sorted(steps)
    assert steps[-1] >= 320
    assert np.isfinite([event.value for event in growth]).all()
    assert events.Scalars("time/updates")[-1].value > 0
    assert events.Images("valid/equity")[-1].encoded_image_string.startswith(b"\x89PNG")
    encoder = EventAccumulator(str(run / "tensorboard" / "lstm")).Reload()
    assert {"valid/loss", "train/loss", "train/objective", "lr"} <= set(encoder.Tags()["scalars"])


def test_the_same_command_again_uses_the_cache_and_gives_the_same_table(run, place):
    before = {path.name: path.stat().st_mtime_ns for path in (place / "runs" / "cache").rglob("*") if path.is_file()}
    ended = command("train_agent", "--config", place / "tiny.yaml", "--runs", place / "runs", "--encoder", "lstm",
                    "--name", "again")
    assert ended.code == 0, ended.err
    again = place / "runs" / "again"
    assert (again / "table.json").read_bytes() == (run / "table.json").read_bytes()
    after = {path.name: path.stat().st_mtime_ns for path in (place / "runs" / "cache").rglob("*") if path.is_file()}
    assert after == before
    assert (run / "table.md").read_text() in ended.out


def test_a_saved_config_is_a_config_to_run_again(run, tmp_path):
    ended = command("train_agent", "--config", run / "config.yaml", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    again = tmp_path / "ppo-lstm-seed0" / "table.json"
    assert again.read_bytes() == (run / "table.json").read_bytes()


def test_two_saved_runs_head_to_head(place, run, tmp_path):
    other = place / "runs" / "dqn-none-seed1"
    ended = command("evaluate", run, other, "--out", tmp_path / "out")
    assert (ended.code, ended.err) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"table.md", "table.csv", "table.json", "equity.png"}
    together = {row["contestant"]: row for row in json.loads((tmp_path / "out" / "table.json").read_text())[
        "contestants"]}
    assert {"ppo + lstm", "dqn + none", "lstm signal", "cash"} <= together.keys()
    for folder, name in ((run, "ppo + lstm"), (other, "dqn + none")):
        alone = {row["contestant"]: row for row in json.loads((folder / "table.json").read_text())["contestants"]}
        assert together[name]["total_return"] == alone[name]["total_return"]
        assert together[name]["seed"] == alone[name]["seed"]


def test_pretraining_leaves_a_checkpoint_that_training_finds(place):
    ended = command("pretrain_encoder", "--config", place / "tiny.yaml", "--runs", place / "runs", "--encoder", "mamba",
                    "--net.state", "4")
    assert (ended.code, ended.err) == (0, "")
    folder = place / "runs" / "mamba-seed0"
    checkpoint = Checkpoint.load(folder / "encoder")
    assert checkpoint.encoder.name == "mamba"
    assert "accuracy" in ended.out
    record = json.loads((folder / "run.json").read_text())
    assert record["scores"] == checkpoint.scores
    assert {path.name.split("-")[0] for path in (place / "runs" / "cache").iterdir()} >= {"mamba", "lstm"}


def test_the_ensemble_is_trained_scored_and_stored(place):
    ended = command("train_ensemble", "--config", place / "tiny.yaml", "--runs", place / "runs", "--ensemble.members",
                    "lstm", "boosting")
    assert (ended.code, ended.err) == (0, "")
    folder = place / "runs" / "ensemble-seed0"
    scores = pd.read_csv(folder / "scores.csv", index_col="forecast")
    assert {"best possible", "lstm", "boosting", "ensemble", "base rates", "har volatility"} <= set(scores.index)
    assert scores.loc["best possible", "log_loss"] < scores.loc["ensemble", "log_loss"]
    assert scores.loc["ensemble", "log_loss"] < scores.loc["base rates", "log_loss"]
    assert (folder / "scores.md").read_text().strip() in ended.out
    for said in ("log_loss minus ", "qlike minus ", "Share of what could be known", "combiner: weights", "(chosen)"):
        assert said in ended.out
    ensemble = Ensemble.load(folder / "ensemble")
    assert list(ensemble.members) == ["lstm", "boosting"]
    dataset = load_dataset(parse(ExperimentConfig, [], read_yaml(folder / "config.yaml")).data)
    rows = dataset.market.decision_rows(8)
    assert ensemble.forecast(dataset.market)[rows].known.all()


def test_sizes_of_no_encoder_are_one_line(place):
    refused(command("train_ensemble", "--config", place / "tiny.yaml", "--net.width", "64"),
            "--net sets the one encoder")


def test_an_encoder_is_explained_on_a_page(place):
    ended = command("explain", "--config", place / "tiny.yaml", "--runs", place / "runs", "--encoder", "lstm")
    assert (ended.code, ended.err) == (0, "")
    folder = place / "runs" / "explain-lstm-seed0"
    assert "validation rows" in ended.out
    assert (folder / "explain.html").read_text().startswith("<!doctype html>")
    assert json.loads((folder / "explain.json").read_text())
    refused(command("explain", "--config", place / "tiny.yaml", "--runs", place / "runs", "--encoder", "none"),
            "nothing to explain")


def test_an_agent_is_diagnosed_in_its_folder(run):
    ended = command("diagnose", run, "--device", "cpu", "--diagnosis.draws", "1")
    assert (ended.code, ended.err) == (0, "")
    folder = run / "diagnosis"
    assert {path.name for path in folder.iterdir()} == {"report.md", "diagnosis.json", "ablation.png", "band.png",
                                                        "regimes.png", "costs.png", "equity.png"}
    assert (folder / "report.md").read_text() in ended.out
    groups = {one["name"] for one in json.loads((folder / "diagnosis.json").read_text())["ablation"]["groups"]}
    assert groups == {"returns", "calendar", "all market columns", "weight"}


def test_what_cannot_be_diagnosed_is_one_line(run, tmp_path):
    refused(command("diagnose", tmp_path / "nowhere"), "no bundle in", "train_agent.py")
    refused(command("diagnose", run, "--diagnosis.costs", "5", "1"), "diagnosis costs must rise from 0")
    edited = copied(run, tmp_path / "edited", simulator={"bars": 1100, "edge": 0.9})
    refused(command("diagnose", edited), "config.yaml now gives", "train again")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_mentions_every_section(script):
    ended = command(script, "--help")
    assert (ended.code, ended.err) == (0, "")
    if script in ("train_agent", "pretrain_encoder", "train_ensemble", "explain", "audit_leakage"):
        tree = sections(ExperimentConfig)
        wanted = {f"--{name}." for name in tree if name}
        wanted |= {f"--{field.name}" for field in fields(ExperimentConfig) if field.name not in tree} | {*ALGOS}
    else:
        wanted = {"evaluate": {"--out", "--device", "--config", "--from", "PATH"}, "benchmark": {"--parts", "--rounds"},
                  "import_data": {"PATH", "--store", "--kind", "--asset", "--on-bad", "--date-format"},
                  "check_data": {"PATH", "--store", "--out"}, "list_features": {"--out"}, "list_encoders": {"--out"},
                  "oracle": {"--fees", "--positions"}, "replay": {"--span", "--out"},
                  "pictures": {"--out", "--steps", "--report"}, "fair_game": {"--algos", "--games", "--jobs"},
                  "planted_edge": {"--kinds", "--tournaments", "--edge", "--algos", "--jobs"},
                  "known_markets": {"--algos", "--markets", "--encoders", "--seed", "--seeds", "--years", "--jobs"},
                  "diagnose": {"PATH", "--out", "--device", "--diagnosis.draws", "--diagnosis.costs"}}[script]
    assert {word for word in wanted if word.replace("_", "-") not in ended.out and word not in ended.out} == set()


def refused(ended: Ended, *said: str) -> None:
    """Exit status 2, one line, nothing else, no traceback."""
    assert ended.code == 2, ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.endswith("\n")
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err
    assert [part for part in said if part not in ended.err] == [], ended.err


@pytest.mark.parametrize(("argv", "said"), [
    (["--algo", "ppoo"], ("unknown algo 'ppoo'", "ppo, a2c, dqn", "did you mean 'ppo'?")),
    (["--market", "btc_hourli"], ("unknown market 'btc_hourli'", "bundled", "did you mean 'btc_hourly'?")),
    (["--market", "btc_hourly", "--data.path", "bars.csv"], ("--market btc_hourly", "'store'", "'file'", "leave one")),
    (["--name", "cache"], ("--name", "'cache'", "take another")),
    (["--name", "known/mine"], ("--name", "'known/mine'")),
    (["--name", "../mine"], ("--name", "'../mine'")),
    (["--name", "/mine"], ("--name", "'/mine'")),
    (["--encoder", "transformers"], ("unknown encoder 'transformers'", "did you mean 'transformer'?")),
    (["--agent.step", "9"], ("'agent.step'", "agent.steps", "did you mean 'agent.steps'?")),
    (["--agent.steps", "many"], ("--agent.steps", "'many'")),
    (["--data.path", "nowhere.csv"], ("nowhere.csv", "--data.path")),
    (["--config", "nowhere.yaml"], ("no such config file: nowhere.yaml",)),
    (["--data.simulator.bars", "150"], ("bars", "150")),
    (["--data.simulator.bars", "260"], ("give more data",)),
    (["--data.window", "600"], ("too few rows", "600")),
])
@pytest.mark.parametrize("script", ["train_agent", "pretrain_encoder"])
def test_bad_input_is_one_line(script, argv, said, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared = () if "--config" in argv else ("--config", place / "tiny.yaml")
    refused(command(script, *shared, "--runs", tmp_path / "runs", "--encoder", "lstm", *argv), *said)
    kept = {path.name for path in (tmp_path / "runs" / "cache").glob("*")}
    assert kept <= {"features"}, "nothing was pretrained before the refusal"


@pytest.mark.parametrize(("text", "said"), [
    ("agents: {steps: 5}", ("unknown setting 'agents.steps'", "did you mean 'agent.steps'?")),
    ("seed: zero", ("--seed", "'zero'")),
    ("[]\n- 1", ("not readable YAML",)),
    ("agent: {net: [0]}", ("agent.steps, accounts, validations, threads and net must be at least 1",)),
])
def test_a_bad_config_file_is_one_line(text, said, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    refused(command("train_agent", "--config", tmp_path / "mine.yaml"), *said)


def bars_file(path: Path, rows: int = 300, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
    table = pd.DataFrame({"timestamp": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"), "open": close,
                          "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 1.0})
    table.assign(**changes).to_csv(path, index=False)
    return path


def test_a_file_with_wrong_columns_is_one_line(place, tmp_path):
    path = bars_file(tmp_path / "bars.csv")
    table = pd.read_csv(path).rename(columns={"close": "closing"})
    table.to_csv(path, index=False)
    refused(command("train_agent", "--config", place / "tiny.yaml", "--runs", tmp_path, "--data.path", path),
            "no column 'close'", "did you mean 'closing'?")


def test_a_hole_in_a_file_is_one_line(place, tmp_path):
    path = bars_file(tmp_path / "bars.csv", volume=[1.0] * 99 + [np.nan] + [1.0] * 200)
    refused(command("train_agent", "--config", place / "tiny.yaml", "--runs", tmp_path, "--data.path", path),
            "row 99", "missing or infinite")


def test_a_folder_without_a_run_is_one_line(tmp_path):
    refused(command("evaluate", tmp_path / "nowhere"), "no bundle in", "train_agent.py")
    refused(command("evaluate"), "at least one run")


def test_a_run_whose_config_is_gone_is_one_line(run, tmp_path):
    Bundle.load(run / "bundle").save(tmp_path / "half" / "bundle")
    refused(command("evaluate", tmp_path / "half", "--out", tmp_path / "out"), "config.yaml")


def copied(run: Path, to: Path, **data: object) -> Path:
    """A run's bundle beside a config that was edited afterwards."""
    Bundle.load(run / "bundle").save(to / "bundle")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"].update(data)
    (to / "config.yaml").write_text(yaml.safe_dump(config))
    return to


def test_a_bundle_for_other_columns_is_one_line(run, tmp_path):
    edited = copied(run, tmp_path / "edited", groups=["returns"])
    ended = command("evaluate", edited, "--out", tmp_path / "out")
    refused(ended, "trained on")


def test_bundles_of_two_markets_are_not_compared(place, run, tmp_path):
    other = copied(run, tmp_path / "other", simulator={"bars": 1100, "edge": 0.9})
    refused(command("evaluate", other, run, "--out", tmp_path / "out"), "market")
    refused(command("evaluate", run, run, "--out", tmp_path / "out"), "given twice")


def test_there_is_nothing_to_pretrain_without_an_encoder(place, tmp_path):
    refused(command("pretrain_encoder", "--config", place / "tiny.yaml", "--runs", tmp_path, "--encoder", "none"),
            "nothing to pretrain")


def test_what_dqn_cannot_do_is_said_before_any_work(place, tmp_path):
    refused(command("train_agent", "--config", place / "tiny.yaml", "--runs", tmp_path, "--algo", "dqn", "--encoder",
                    "lstm", "--env.action", "weights"), "dqn does not choose weights")
    assert not (tmp_path / "cache").exists(), "nothing was pretrained before the refusal"


def test_what_the_market_refuses_leaves_a_finished_run_where_it_is(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    refused(command("train_agent", "--config", run / "config.yaml", "--agent.extractor.shared", "True"),
            "is for several assets, and BTC is alone")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert list(run.parent.glob("*.before*")) == []


@pytest.mark.parametrize(("argv", "name"), [
    ((), "ppo-lstm-seed0"), (("--market", "btc_daily"), "ppo-lstm-btc_daily-seed0"),
    (("--data.path", "mine/eth.csv"), "ppo-lstm-eth-seed0"), (("--name", "mine"), "mine"),
    (("--data.source", "known", "--data.known.market", "sine", "--seeds", 3), "ppo-lstm-sine-seeds0-2")])
def test_a_run_is_called_by_what_it_is_trained_on(argv, name):
    assert load_experiment(["--encoder", "lstm", *map(str, argv)]).folder == Path("runs") / name


def test_finetuning_nothing_is_said_before_any_work(place, tmp_path):
    refused(command("train_agent", "--config", place / "tiny.yaml", "--runs", tmp_path, "--encoder", "none",
                    "--agent.extractor.finetune", "True"), "finetune needs an encoder")
    assert not (tmp_path / "cache").exists(), "nothing was pretrained before the refusal"


def test_known_markets_are_judged_and_nothing_is_done_twice(tmp_path):
    argv = ("--algos", "all_q", "--markets", "ou_easy", "random_walk", "--seeds", 1, "--years", 2, "--jobs", 1,
            "--folder", tmp_path / "known", "--runs", tmp_path, "--data.known.bars", 4000, "--agent.steps", 2_048_000,
            "--agent.validations", 2)
    ended = command("known_markets", *argv)
    assert ended.code == 0, ended.err
    said = " ".join(ended.out.split())
    assert "| ou_easy | all_q | 1 | " in said
    assert "| random_walk | all_q | 1 | nothing to capture |" in said
    found = pd.read_csv(tmp_path / "known" / "table.csv").set_index("market")
    assert 0.7 < found.loc["ou_easy", "captured"] < 1.1
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "known").glob("*.json")}
    assert len(before) == 2
    assert command("known_markets", *argv).out == ended.out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "known").glob("*.json")} == before


def test_candles_hide_the_belief_and_are_judged_through_features(tmp_path):
    ended = command("known_markets", "--algos", "all_q", "--markets", "regime_lead", "--seeds", 1, "--years", 1,
                    "--jobs", 1, "--folder", tmp_path / "known", "--runs", tmp_path, "--data.known.bars", 3000,
                    "--data.known.candles", True, "--data.window", 8, "--agent.steps", 40960)
    assert ended.code == 0, ended.err
    assert "| regime_lead | all_q | 1 | " in " ".join(ended.out.split())


def test_games_are_counted_by_algorithm():
    from agents.arena.fair_game import Game, counted

    found = counted([Game("ppo", "none", 0, 0.3, 0.1, 0.5, 9), Game("ppo", "none", 1, -0.1, -0.2, 0.1, 9),
                     Game("dqn", "none", 0, 0.0, 0.0, 0.0, 0)])
    assert list(found.index) == ["ppo", "dqn"]
    assert found.loc["ppo"].tolist() == [2, "1 (50.0%)", "0 (0.0%)", 0, "+0.100"]
    assert found.loc["dqn"].tolist() == [1, "0 (0.0%)", "0 (0.0%)", 1, "+0.000"]


@pytest.mark.parametrize(("argv", "said"), [
    (["--algo", "dqn"], "did you mean --algos?"), (["--seeds", 3], "did you mean --games?"),
    (["--data.simulator.seed=4"], "did you mean --games?"), (["--data.simulator.edge", 0.5], "leave it out"),
    (["--market", "btc_hourly"], "leave it out"), (["--data.source", "known"], "leave --data.source"),
])
def test_a_game_is_fair_and_called_what_it_is(argv, said, tmp_path):
    refused(command("fair_game", "--folder", tmp_path, *argv), said)
    assert list(tmp_path.iterdir()) == []


def test_fair_games_are_counted(tmp_path):
    ended = command("fair_game", "--algos", "all_q", "--games", 2, "--jobs", 1, "--folder", tmp_path / "games",
                    "--runs", tmp_path, "--data.simulator.bars", 2000, "--agent.steps", 40960)
    assert ended.code == 0, ended.err
    assert "| all_q | 2 | " in " ".join(ended.out.split())


@pytest.mark.parametrize(("argv", "said"), [
    (["--kinds", "everybody"], "unknown kind 'everybody'"), (["--tournaments", 0], "at least 1"),
    (["--data.simulator.edge", 0.5], "did you mean --edge?"), (["--kinds", "agents", "agents"], "names each once"),
    (["--edge", 2], "--edge must be between 0 and 1"), (["--jobs", 0], "at least 1"),
    (["--market", "btc_hourly"], "leave it out"), (["--seeds", 3], "leave it out"),
    (["--agent.step", 3], "agent.steps"), (["--algos", "ppoo"], "unknown algo"),
])
def test_a_planted_tournament_is_what_it_is_called(argv, said, tmp_path):
    refused(command("planted_edge", "--folder", tmp_path, *argv), said)


def test_planted_tournaments_are_held_and_counted(tmp_path):
    ended = command("planted_edge", "--kinds", "signals", "nobody", "--tournaments", 1, "--jobs", 1, "--folder",
                    tmp_path, "--data.simulator.bars", 10_300, "--agent.steps", 1024, "--pretrain.epochs", 1,
                    "--pretrain.rows_per_epoch", 64, "--bootstrap.draws", 100)
    assert ended.code == 0, ended.err
    lines = " ".join(ended.out.split())
    assert "| signals | 1 | " in lines
    assert "| nobody | 1 | 1 of 1 | 0 | 1 | " in lines


def test_known_winners_are_counted():
    from agents.arena.config import KNOWN_WINNERS
    from agents.arena.planted import KINDS, Judgement, counted

    assert tuple(KINDS) == KNOWN_WINNERS
    found = counted([Judgement("agents", 0, "chosen agents", 2.0, 1.0, 3.0, 1.5, 9.0),
                     Judgement("agents", 1, "chosen signals", -2.0, -3.0, -1.0, 1.5, 9.0),
                     Judgement("agents", 2, "", 0.5, -1.0, 2.0, 1.0, 9.0),
                     Judgement("nobody", 0, "", 0.0, -1.0, 1.0, 0.0, 9.0),
                     Judgement("nobody", 1, "chosen agents", 2.0, 1.0, 3.0, 0.0, 9.0)])
    assert found.loc["agents"].tolist() == [3, "1 of 3", 1, 1, "3 of 3", "+0.17", "+1.33", "2 of 3", "9"]
    assert found.loc["nobody"].tolist() == [2, "1 of 2", 1, 1, "", "+1.00", "+0.00", "1 of 2", "9"]


@pytest.mark.parametrize("script", ["known_markets", "fair_game"])
def test_what_is_wrong_is_said_before_any_cell_is_done(script, tmp_path):
    refused(command(script, "--algos", "ppoo", "--folder", tmp_path), "unknown algo 'ppoo'")
    refused(command(script, "--algos", "ppo", "--agent.step", 3, "--folder", tmp_path), "agent.step")
    refused(command(script, "--algo", "dqn", "--seed", 7, "--folder", tmp_path), "did you mean --algos?")
    assert list(tmp_path.iterdir()) == []


def test_several_seeds_stand_in_one_table(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    ended = command("train_agent", "--config", tmp_path / "tiny.yaml", "--encoder", "none", "--seeds", 2, "--jobs", 1,
                    "--runs", tmp_path / "runs")
    assert ended.code == 0, ended.err
    assert "ppo + none, 2 seeds" in ended.out
    folder = tmp_path / "runs" / "ppo-none-seeds0-1"
    out = [name for name, seed in (("ppo + none", 0), ("ppo + none, seed 1", 1))
           if Bundle.load(folder / f"seed{seed}" / "bundle").stays_out]
    remark = f"In cash, for nothing on the validation rows spoke for trading (agent.stay_out): {'; '.join(out)}."
    assert (remark in (folder / "table.md").read_text()) == bool(out)
    assert ("agent.stay_out" in ended.out) == bool(out)
    assert {path.name for path in folder.glob("seed*")} == {"seed0", "seed1"}
    again = command("evaluate", folder, "--out", tmp_path / "out")
    assert "ppo + none, 2 seeds" in again.out
    other = ("--config", tmp_path / "tiny.yaml", "--algo", "dqn", "--encoder", "none", "--runs", tmp_path / "runs")
    assert command("train_agent", *other).code == 0
    both = command("evaluate", tmp_path / "runs" / "dqn-none-seed0", folder, "--out", tmp_path / "both")
    assert "ppo + none, 2 seeds" in both.out, both.err
    assert "| dqn + none" in both.out
    alone = command("evaluate", folder / "seed1", "--out", tmp_path / "alone")
    assert "| ppo + none" in alone.out, alone.err
    assert "2 seeds" not in alone.out
    for script, written in (("replay", "replay.html"), ("diagnose", "diagnosis/report.md")):
        refused(command(script, folder), "holds 2 agents: name one of them", "seed0")
        ended = command(script, folder / "seed1", "--device", "cpu")
        assert (ended.code, ended.err) == (0, ""), ended.err
        assert (folder / "seed1" / written).exists()
