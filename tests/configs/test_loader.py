"""Settings: flags over the file over the preset over defaults, and every slip answered in one line."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml

from agents import ALGOS
from agents.arena.contest import INSTEAD
from agents.arena.league import asked
from agents.cells import experiment_of
from agents.config import AgentConfig
from agents.experiment import PRESETS, ExperimentConfig, load_experiment
from configs import loader
from configs.errors import UserError
from configs.loader import flags, known_flags, parse, preset, read_yaml, sections, unknown_key
from configs.run import plain
from data.dataset import DataConfig
from encoders import ENCODERS
from encoders.config import EncoderConfig
from encoders.ensemble.config import EnsembleConfig
from encoders.training.config import PretrainConfig
from encoders.trees import TREES
from encoders.trees.config import TreeConfig
from envs.config import EnvConfig
from envs.execution import CostConfig

CONFIG_OF = {"agent": AgentConfig, "env": EnvConfig, "data": DataConfig, "encoder": EncoderConfig,
             "pretrain": PretrainConfig, "ensemble": EnsembleConfig, "trees": TreeConfig}
TOURNAMENTS = sorted(loader.PRESETS.glob("arena/*.yaml"))
YAMLS = sorted({*loader.PRESETS.glob("*/*.yaml")} - {*TOURNAMENTS})
EVERY_CHOICE = [*((algo, "lstm", size) for algo in ALGOS for size in PRESETS),
                *(("ppo", encoder, size) for encoder in (*ENCODERS, "none") for size in PRESETS)]


@dataclass(frozen=True)
class Engine:
    power: float = 1.0
    gears: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Car:
    colour: str = "red"
    doors: int = 4
    fast: bool = False
    path: Path | None = None
    engine: Engine = field(default_factory=Engine)


def complaint(work, *args) -> str:
    with pytest.raises(UserError) as caught:
        work(*args)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) < 500
    return message


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_nested_settings_become_flags_and_come_back():
    car = Car("blue", 2, True, Path("a b"), Engine(-2.5e-7, ()))
    assert parse(Car, flags(plain(car))) == car
    assert parse(Car, [], plain(Car())) == Car()
    assert parse(Car, ["--doors", "3"], {"doors": 2, "engine": {"power": -1e-5}}) == Car(doors=3, engine=Engine(-1e-5))


def test_the_same_flag_can_be_written_with_hyphens_and_equals_signs():
    assert parse(Car, ["--engine.power=3"]) == parse(Car, ["--engine.power", "3"])
    small = load_experiment(["--env.costs.fee-bps", "7"])
    assert small == load_experiment(["--env.costs.fee_bps=7"])
    assert small.env.costs.fee_bps == 7.0


def test_flags_stand_over_the_file_over_the_preset_over_the_defaults(tmp_path):
    default = ExperimentConfig()
    from_preset = load_experiment([])
    assert from_preset.net != default.net
    assert from_preset.net == EncoderConfig(**preset("encoder", "transformer.small"))
    file = written(tmp_path, "net: {layers: 3, dropout: 0.25}\nseed: 5\n")
    from_file = load_experiment(["--config", str(file)])
    assert from_file.net == replace(from_preset.net, layers=3, dropout=0.25)
    assert from_file.seed == 5
    over = load_experiment(["--net.layers", "1", "--config", str(file), "--seed", "6"])
    assert over.net == replace(from_preset.net, layers=1, dropout=0.25)
    assert over.seed == 6


def test_the_file_may_choose_algorithm_encoder_and_preset_and_flags_overrule_it(tmp_path):
    file = written(tmp_path, "algo: dqn\nencoder: mamba\npreset: full\n")
    chosen = load_experiment(["--config", str(file)])
    assert (chosen.algo, chosen.encoder, chosen.preset) == ("dqn", "mamba", "full")
    assert chosen.net == EncoderConfig(**preset("encoder", "mamba.full"))
    assert chosen.data.window == preset("data", "full")["window"]
    over = load_experiment(["--config", str(file), "--encoder", "lstm", "--preset", "small"])
    assert (over.algo, over.net) == ("dqn", EncoderConfig(**preset("encoder", "lstm.small")))


@pytest.mark.parametrize(("argv", "said"), [
    (["--colours", "red"], ("'colours'", "choose from colour, doors, fast, path, engine", "did you mean 'colour'")),
    (["--engine.powr", "2"], ("'engine.powr'", "engine.power, engine.gears", "did you mean 'engine.power'")),
    (["--power", "2"], ("'power'", "colour, doors", "did you mean 'engine.power'")),
    (["--engine", "2"], ("engine is a section", "engine.power, engine.gears")),
    (["--doors", "four"], ("--doors", "'four'")),
    (["--doors", "2.5"], ("--doors", "'2.5'")),
    (["--fast", "maybe"], ("--fast", "'maybe'", "True", "False")),
    (["--engine.gears", "1", "x"], ("--engine.gears", "x")),
    (["--doors"], ("--doors", "Missing value")),
    (["stray"], ("stray", "Unrecognized")),
])
def test_a_slip_in_a_flag_is_one_line_that_names_it(argv, said):
    message = complaint(parse, Car, argv)
    assert [part for part in said if part not in message] == []


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_line_is_the_same_on_a_terminal_without_unicode(encoding, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    messages = [complaint(parse, Car, argv) for argv in (["--doors", "x"], ["--colours", "x"], ["--fast", "x"])]
    assert messages == ["Error parsing --doors: invalid literal for int() with base 10: 'x' (see --help)",
                        "unknown setting 'colours': choose from colour, doors, fast, path, engine; did you mean "
                        "'colour'? (see --help)",
                        "invalid choice 'x' for argument '--fast'. Expected one of ('True', 'False'). (see --help)"]


@pytest.mark.parametrize(("argv", "said"), [
    (["--algo", "ppoo"], ("unknown algo 'ppoo'", "ppo, a2c, dqn", "did you mean 'ppo'?")),
    (["--encoder=transformers"], ("unknown encoder 'transformers'", "lstm, attention_lstm", "mean 'transformer'?")),
    (["--preset", "smaller"], ("unknown preset 'smaller'", "small, full", "did you mean 'small'?")),
    (["--device", "cpus"], ("unknown device 'cpus'", "auto, cpu, cuda", "did you mean 'cpu'?")),
    (["--ensemble.members", "lstm", "mambo"], ("unknown member 'mambo'", "did you mean 'mamba'?")),
    (["--data.groups", "return"], ("unknown feature group 'return'", "did you mean 'returns'?")),
    (["--data.source", "simulate"], ("'simulate'", "'known'", "did you mean 'simulated'?")),
    (["--data.known.market", "ou"], ("unknown market 'ou'", "ou_easy")),
    (["--env.action", "weight"], ("unknown env.action 'weight'", "did you mean 'weights'?")),
    (["--env.costs.fee", "5"], ("'env.costs.fee'", "env.costs.spread_bps", "did you mean 'env.costs.fee_bps'?")),
    (["--env.costs.fee_bps", "-5"], ("fee_bps", "-5")),
    (["--agent.activation", "tan"], ("unknown agent.activation 'tan'", "did you mean 'tanh'?")),
    (["--agent.account", "weights"], ("unknown agent.account number 'weights'", "did you mean 'weight'?")),
    (["--net.heads", "5"], ("multiple of 2 x heads = 10", "--net.heads")),
    (["--config", "nowhere.yaml"], ("no such config file: nowhere.yaml",)),
    (["--algo", "all_q", "--env.risk.stop_loss", "0.05"], ("cannot teach all here (stops)", "another --algo")),
    (["--algo", "all_q", "--env.latency", "1"], ("(env.latency)",)),
    (["--algo", "all_q", "--env.action", "steps"], ("(env.action other than levels)",)),
    (["--encoder", "none", "--agent.warm.teacher", "signal"], ("agent.warm.teacher signal", "--encoder", "foresight")),
    (["--env.action", "steps", "--agent.warm.teacher", "foresight"], ("a teacher names weights", "'steps'")),
    (["--algo", "dqn", "--agent.extractor.shared", "True"], ("dqn has no network", "td3 or tqc")),
    (["--algo", "recurrent_ppo", "--agent.extractor.shared", "True"], ("recurrent_ppo has no network",)),
    (["--algo", "all_q", "--agent.curriculum.costs", "0"], ("agent.curriculum", "all_q steps none")),
    (["--algo", "all_q", "--agent.all_q.fees", "5"], ("agent.all_q.fees 5", "env.episodes.cost_scale", "0.5 2.0")),
    (["--algo", "maskable_ppo", "--agent.ppo.compile", "True"], ("agent.ppo.compile is for ppo alone",)),
    (["--algo", "recurrent_ppo", "--agent.ppo.compile", "True"], ("agent.ppo.compile is for ppo alone",)),
    (["--env.episodes.band", "0", "0.5", "--agent.curriculum.volatility", "0.5", "1"], ("env.episodes.band out",)),
    (["--agent.ppo.gae_lambda", "7"], ("agent.ppo.gae_lambda", "from 0 to 1", "7.0")),
    (["--agent.ppo.ent_coef", "nan"], ("agent.ppo.ent_coef", "finite", "nan")),
    (["--agent.ppo.clip_range", "nan"], ("clip_range > 0", "nan")),
    (["--agent.a2c.gae_lambda", "-3"], ("agent.a2c.gae_lambda", "-3.0")),
    (["--agent.a2c.ent_coef", "-1"], ("agent.a2c.ent_coef", "-1.0")),
    (["--agent.trpo.gae_lambda", "nan"], ("agent.trpo.gae_lambda", "nan")),
    (["--agent.trpo.target_kl", "nan"], ("target_kl > 0", "nan")),
    (["--agent.dqn.learning_starts", "-4"], ("learning_starts", "at least 0", "-4")),
    (["--agent.actor_critic.learning_starts", "-4"], ("learning_starts", "-4")),
    (["--agent.actor_critic.noise", "nan"], ("noise and entropy >= 0", "nan")),
    (["--agent.save_every", "-5"], ("agent.save_every", "at least 0", "-5")),
    (["--agent.save_every", "nan"], ("agent.save_every", "nan")),
    (["--agent.weight_decay", "-1"], ("agent.weight_decay", "at least 0", "-1")),
    (["--agent.lr", "inf"], ("lr > 0", "inf")),
    (["--agent.warm.kl", "nan"], ("agent.warm", "nan")),
])
def test_a_slip_in_an_experiment_stops_before_any_work(argv, said):
    message = complaint(load_experiment, argv)
    assert [part for part in said if part not in message] == []


@pytest.mark.parametrize("argv", [
    ["--encoder", "none", "--agent.warm.teacher", "signal", "--agent.extractor.ensemble", "True"],  # its forecast
    ["--encoder", "none", "--agent.warm.teacher", "foresight"],
    ["--algo", "all_q", "--agent.all_q.fees", "5", "--env.episodes.cost_scale", "0.5", "2"],
    ["--agent.curriculum.volatility", "0.5", "1", "--env.episodes.band_bars", "24"],
    ["--algo", "td3", "--agent.extractor.shared", "True"],
    ["--agent.save_every", "0"],
])
def test_what_looks_like_a_slip_and_is_none(argv):
    load_experiment(argv)


@pytest.mark.parametrize(("text", "said"), [
    ("members: 1", ("unknown setting 'members'", "did you mean 'ensemble.members'?")),
    ("env: {costs: {fees_bps: 1}}", ("unknown setting 'env.costs.fees_bps'", "did you mean 'env.costs.fee_bps'?")),
    ("env: 5", ("env is a section", "env.costs")),
    ("env: null", ("env is a section",)),
    ("seed: one", ("--seed", "'one'")),
    ("algo: dqnn", ("unknown algo 'dqnn'", "did you mean 'dqn'?")),
    ("- seed", ("must hold 'key: value' lines", "list")),
    ("seed: [1", ("not readable YAML",)),
    ("a\x00b", ("not readable YAML",)),
])
def test_a_slip_in_a_file_is_answered_like_one_in_a_flag(tmp_path, text, said):
    message = complaint(load_experiment, ["--config", str(written(tmp_path, text))])
    assert [part for part in said if part not in message] == []


def test_a_saved_section_that_is_no_section_is_refused():
    assert "key: value" in complaint(parse, Car, [], 5)
    assert "key: value" in complaint(parse, Car, [], ["doors"])


def test_a_folder_is_no_config_file(tmp_path):
    assert "not readable YAML" in complaint(read_yaml, tmp_path)


def test_an_empty_file_changes_nothing(tmp_path):
    file = written(tmp_path, "# nothing yet\n")
    assert replace(load_experiment(["--config", str(file)]), config=None) == load_experiment([])


def test_an_unknown_preset_lists_those_there_are():
    message = complaint(preset, "encoder", "lstm.tiny")
    assert "'lstm.tiny'" in message
    assert "choose from" in message
    assert "lstm.small" in message


def test_help_is_no_error(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(Car, ["--help"])
    assert not stopped.value.code
    assert "--engine.power" in capsys.readouterr().out


def test_only_the_flags_of_the_first_look_are_picked_out():
    @dataclass(frozen=True)
    class First:
        doors: int = 4
        fast: bool = False

    line = ["--engine.power", "-1", "--doors", "-2", "--colour", "doors", "--fast=True", "--engine.doors", "9"]
    assert known_flags(First, line) == First(doors=-2, fast=True)


def test_sections_are_named_by_their_path():
    assert sections(Car) == {"": ["colour", "doors", "fast", "path", "engine"],
                             "engine": ["engine.power", "engine.gears"]}
    assert "'engine.oil'" in unknown_key(Car, "engine.oil")
    assert "engine.gears" in unknown_key(Car, "engine.oil.brand")


@pytest.mark.parametrize(("algo", "encoder", "size"), EVERY_CHOICE)
def test_a_saved_config_parses_back_to_itself(algo, encoder, size):
    config = load_experiment(["--algo", algo, "--encoder", encoder, "--preset", size])
    saved = yaml.safe_load(yaml.safe_dump(plain(config), sort_keys=False))
    assert parse(ExperimentConfig, [], saved) == config


def test_a_saved_config_keeps_what_was_changed(tmp_path):
    changed = load_experiment(["--name", "2020", "--data.borders", "500", "700", "--ensemble.members", "--env.levels",
                               "0", "1",
                               "--data.path", str(tmp_path / "bars of mine.csv"), "--progress", "False",
                               "--agent.lr", "1e-7", "--runs", str(tmp_path)])
    saved = yaml.safe_load(yaml.safe_dump(plain(changed), sort_keys=False))
    assert parse(ExperimentConfig, [], saved) == changed
    assert (changed.ensemble.members, changed.data.source, changed.folder) == ((), "file", tmp_path / "2020")


def test_where_a_stream_is_asked_for_members_without_a_state_read_windows():
    config = load_experiment(["--encoder", "gru", "--pretrain.context", "stream", "--pretrain.lr", "0.005"])
    found = {name: config.pretrain_of(name) for name in ("gru", "mamba", "transformer")}
    assert {name: pretrain.context for name, pretrain in found.items()} == {
        "gru": "stream", "mamba": "stream", "transformer": "window"}
    assert {pretrain.lr for pretrain in found.values()} == {0.005}
    with pytest.raises(UserError, match=r"tft reads windows: choose one of lstm, gru"):
        load_experiment(["--encoder", "tft", "--pretrain.context", "stream"])


def test_each_encoder_is_trained_by_its_own_preset():
    config = load_experiment(["--encoder", "deep_lstm", "--preset", "full"])
    assert (config.pretrain.lr, config.pretrain_of("lstm").lr, config.pretrain_of("mamba_mhsa").weight_decay) == (
        1e-3, 1e-4, 3e-2)


def test_every_group_of_presets_has_files():
    assert {path.parent.name for path in (*YAMLS, *TOURNAMENTS)} == {*CONFIG_OF, "arena"}


@pytest.mark.parametrize("path", TOURNAMENTS, ids=lambda path: path.stem)
def test_every_tournament_can_be_held(path):
    """Its own settings, and those of each of its trainings."""
    config, settings, passed_on = asked(["--config", str(path)])
    for algo, encoder in config.agents:
        experiment_of({**settings, "algo": algo, "encoder": encoder}, INSTEAD, passed_on)


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_preset_sets_its_dataclass(path):
    settings = read_yaml(path)
    parsed = parse(CONFIG_OF[path.parent.name], [], settings)
    mine = plain(parsed)
    assert settings.keys() <= mine.keys()
    if path.parent.name in ("encoder", "trees"):
        assert parsed.name == path.stem.split(".")[0]


@pytest.mark.parametrize("size", PRESETS)
def test_every_choice_has_its_presets(size):
    for name in ALGOS:
        preset("agent", f"{name}.{size}")
    for name in ENCODERS:
        preset("encoder", f"{name}.{size}")
    for kind in TREES:
        preset("trees", f"{kind}.{size}")
    for group in ("data", "env", "pretrain", "ensemble"):
        preset(group, size)


def test_settings_that_hold_pairs_and_rows_survive_a_file():
    costs = CostConfig(lot={"all": 0.1, "BTC": 1e-5}, borrow_of={"ETH": 0.2},
                       tiers=((0.0, 5.0, 2.0), (1e6, 4.0, 1.0)))
    for config in (EnvConfig(costs=costs), EnvConfig()):
        assert parse(EnvConfig, [], plain(config)) == config


def test_named_costs_stand_over_the_preset_and_under_the_flags():
    config = load_experiment(["--costs", "perp", "--env.costs.fee_bps", "3"]).env.costs
    assert (config.fee_bps, config.maker_bps, config.borrow_apr) == (3.0, 1.8, 0.0)
