"""The cockpit: every tag that the README names is read back from event files, and what the numbers say is so."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from agents import ALGOS
from agents.algos.config import ActorCriticConfig, AllQConfig
from agents.algos.recipe import Task, make_model
from agents.callbacks import Watch
from agents.config import AgentConfig
from agents.feature_table import make_table, publish
from agents.plots import drawdown_figure, position_figure
from agents.policy import WeightTable
from agents.sb3_env import AccountsVecEnv
from agents.train import train
from agents.watch.critic import calibration, returns_of, values_of
from agents.watch.training import Tally
from agents.watch.validation import Look, Validation
from configs.errors import UserError
from envs.config import EnvConfig
from envs.execution import CostConfig
from envs.layout import CARRY, EQUITY, FEES, INTEREST, SLIPPAGE, START, TURNOVER
from envs.metrics import returns_of as simple_returns
from envs.metrics import sharpe
from envs.rewards import RewardConfig
from tests.agents.small import AGENT, ENV, WINDOW, env_of
from tests.envs.markets import closing_at, random_market

README = (Path(__file__).parents[2] / "README.md").read_text()
SHORT = replace(ENV, episode=15)  # episodes that end within a tiny training
QUICK = replace(AGENT, validations=1, all_q=AllQConfig(batch=32), trpo=replace(AGENT.trpo, n_steps=8, batch=32),
                actor_critic=ActorCriticConfig(buffer=500, learning_starts=32, batch=16, gradient_steps=1))
KINDS = ("scalars", "images", "histograms", "tensors")


def promised() -> dict[str, set[str]]:
    """What the README says there is of each algorithm."""
    found: dict[str, set[str]] = {algo: set() for algo in ALGOS}
    passage = re.search(r"is\s+the\s+cockpit.*?(?=\n## )", README, re.DOTALL)
    assert passage
    bullets = re.split(r"\n- ", passage.group())[1:]
    assert bullets
    for bullet in bullets:
        who, what = bullet.split(":", 1)
        named = {algo for algo in ALGOS if re.search(rf"\b{algo}\b", who)}
        if who.startswith("every agent"):
            named = set(ALGOS) - named
        tags = {f"{group}/{name}" for group, names in re.findall(r"`(\w+)/(\w+|\{[\w,]+\})`", what)
                for name in names.strip("{}").split(",")}
        assert named, f"of whom are {tags}?"
        assert tags, f"nothing is said of {who}"
        for algo in named:
            found[algo] |= tags
    return found


def read(folder: Path) -> EventAccumulator:
    [logs] = (folder / "tensorboard").iterdir()
    return EventAccumulator(str(logs)).Reload()


@pytest.fixture(scope="module")
def events_of(simulated, tmp_path_factory) -> Callable[[str], EventAccumulator]:
    """Event files of a tiny training by algorithm, each made once."""
    def made(algo: str) -> EventAccumulator:
        folder = tmp_path_factory.mktemp(algo)
        train(simulated, env_of(algo, SHORT), QUICK, algo, WINDOW, progress=False, folder=folder)
        return read(folder)

    return cache(made)


def tags_in(events: EventAccumulator) -> set[str]:
    return {tag.removesuffix("/text_summary") for kind in KINDS for tag in events.Tags()[kind]}


@pytest.mark.parametrize("algo", ALGOS)
def test_every_tag_that_the_readme_names_is_there(algo, events_of):
    events, said = events_of(algo), promised()[algo]
    there = tags_in(events)
    assert said - there == set()
    ours = {tag for tag in there if tag.split("/")[0] in ("valid", "best", "run")}
    assert ours - said == set()
    for tag in events.Tags()["scalars"]:
        assert np.isfinite([event.value for event in events.Scalars(tag)]).all(), tag
    if algo == "all_q":
        assert not {"train/growth_per_bar", "train/costs", "valid/value_bias"} & there


def test_pictures_and_the_histogram_hold_what_was_seen(events_of):
    events = events_of("ppo")
    for name in ("equity", "position", "drawdown"):
        for picture in events.Images(f"valid/{name}"):
            assert picture.encoded_image_string.startswith(b"\x89PNG")
            assert picture.width > 500
    histogram = events.Histograms("valid/actions")[-1].histogram_value
    assert (histogram.min, histogram.max) == pytest.approx((min(ENV.levels), max(ENV.levels)), abs=1.0)
    assert histogram.num > 200  # a weight for each decision
    assert len(events.Scalars("train/growth_per_bar")) > 10
    assert events.Scalars("time/updates")[-1].value > 0
    assert events.Scalars("time/steps_per_second")[-1].value > 0


def parameters(events: EventAccumulator, tag: str) -> HParamsPluginData:
    return HParamsPluginData.FromString(events.summary_metadata[f"_hparams_/{tag}"].plugin_data.content)


@pytest.mark.parametrize("algo", ["recurrent_ppo", "all_q"])
def test_the_hparams_tab_has_settings_beside_what_came_of_them(algo, events_of):
    events = events_of(algo)
    settings = parameters(events, "session_start_info").session_start_info.hparams
    assert settings["algo"].string_value == algo
    assert settings["lr"].number_value == QUICK.lr
    assert settings["net"].string_value == "8"
    assert settings["steps"].number_value == QUICK.steps
    own = {"recurrent_ppo": {"ppo.n_steps", "lstm.width"}, "all_q": {"all_q.batch"}}
    assert own[algo] <= set(settings)
    assert not {"actor_critic.tau", *own["all_q" if algo != "all_q" else "recurrent_ppo"]} & set(settings)
    metrics = {info.name.tag for info in parameters(events, "experiment").experiment.metric_infos}
    assert {"best/growth_per_bar", "best/sharpe", "best/max_drawdown", "best/step"} <= metrics
    assert metrics <= set(events.Tags()["scalars"])


def test_what_is_best_is_what_one_look_has_seen(events_of):
    events = events_of("dqn")
    step = events.Scalars("best/step")[-1].value
    seen = {event.value for event in events.Scalars("valid/growth_per_bar") if event.step == step}
    assert events.Scalars("best/growth_per_bar")[-1].value in seen


def text_of(events: EventAccumulator, tag: str) -> str:
    return events.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()


def test_a_page_has_the_config_and_the_command(events_of, simulated, tmp_path):
    events = events_of("a2c")
    config = yaml.safe_load(text_of(events, "run/config").replace("\n    ", "\n").removeprefix("    "))
    assert config["algo"] == "a2c"
    assert config["agent"]["lr"] == QUICK.lr
    assert shlex.join(sys.argv[1:]) in text_of(events, "run/command")
    (tmp_path / "config.yaml").write_text("whole: config\n")  # as a run has written it
    train(simulated, SHORT, replace(QUICK, steps=16), "a2c", WINDOW, progress=False, folder=tmp_path)
    assert "whole: config" in text_of(read(tmp_path), "run/config")


def test_every_algorithm_names_its_own_settings():
    parts = {name for name, value in vars(AgentConfig()).items() if hasattr(value, "__dataclass_fields__")}
    for algo, entry in ALGOS.items():
        assert entry.settings, algo
        assert set(entry.settings) <= parts


def say(monkeypatch, growth: Callable[[int], float]) -> None:
    """Every look says that equity grew by `growth(number of the look)` a bar, whatever was done."""
    measured, looks = Validation.run, count()

    def said(self: Validation, policy: Any) -> Look:
        look = measured(self, policy)
        return replace(look, equity=np.exp(growth(next(looks)) * np.arange(len(look.equity))))

    monkeypatch.setattr(Validation, "run", said)


@pytest.mark.parametrize("algo", ["ppo", "recurrent_ppo", "dqn", "sac", "all_q"])
def test_looking_more_often_changes_no_weight(algo, simulated, monkeypatch, tmp_path):
    say(monkeypatch, lambda k: 1e-4 * k)  # so that the last weights are the best ones
    seldom, often = (train(simulated, env_of(algo, SHORT), replace(QUICK, steps=160, validations=times), algo, WINDOW,
                           progress=False, folder=tmp_path / str(times) if algo == "ppo" else None).weights
                     for times in (1, 5))
    assert seldom.keys() == often.keys()
    assert all(torch.equal(seldom[name], value) for name, value in often.items())


def watched(simulated, agent: AgentConfig, algo: str = "ppo", env: EnvConfig = SHORT) -> Watch:
    torch.set_num_threads(1)
    table = make_table(simulated.market, None, simulated.market.decision_rows(WINDOW, simulated.split.train))
    accounts = AccountsVecEnv(simulated.market, env, agent.accounts, WINDOW, simulated.split.train, seed=0)
    model = make_model(algo, Task(agent, env, agent.accounts, simulated.market.assets), accounts, publish(table))
    watch = Watch(Validation(simulated.market, env, WINDOW, simulated.split.valid), agent, lambda weights: None, False)
    model.learn(agent.steps, callback=watch)
    return watch


@pytest.mark.parametrize(("patience", "steps"), [(0, 640), (2, 5 * 64), (9, 640)])
def test_patience_ends_a_training_that_finds_nothing_better(patience, steps, simulated, monkeypatch):
    growths = [0.0, 2e-4, 1e-4, 3e-4, 2e-4]  # of the first looks, at steps 8, 64, 128, 192, 256; then ever less
    say(monkeypatch, lambda k: growths[k] if k < len(growths) else -1e-5 * k)
    watch = watched(simulated, replace(QUICK, steps=640, validations=10, patience=patience))
    assert watch.num_timesteps == steps
    assert watch.stopped == (steps < 640)
    assert watch.best_step == 192


@pytest.mark.parametrize(("teacher", "best"), [("", 128), ("foresight", 8)])
def test_what_has_been_taught_nothing_is_not_chosen(teacher, best, simulated, monkeypatch):
    """A policy that nobody has taught was the luckiest of all; a clone has been taught."""
    growths = [9e-4, 1e-4, 3e-4]
    say(monkeypatch, lambda k: growths[k] if k < len(growths) else -1e-5 * k)
    agent = replace(QUICK, steps=640, validations=10, warm=replace(QUICK.warm, teacher=teacher))
    assert watched(simulated, agent).best_step == best


def test_patience_counts_from_zero():
    with pytest.raises(UserError, match=r"agent\.patience must be at least 0"):
        replace(QUICK, patience=-1)


def test_patience_stops_an_agent_that_steps_no_account(simulated, monkeypatch):
    say(monkeypatch, lambda k: -1e-4 * k)
    assert watched(simulated, replace(QUICK, steps=640, validations=10, patience=1), "all_q").num_timesteps < 640


def test_the_tally_agrees_with_accounts_followed_one_by_one(pair):
    env = replace(SHORT, action="weights", gross=2.0)
    accounts = AccountsVecEnv(pair.market, env, 5, WINDOW, pair.split.train, seed=3)
    engine, rng = accounts.engine, np.random.default_rng(0)
    accounts.reset()
    tally = Tally(engine)
    curves: list[list[float]] = [[engine.config.capital] for _ in range(5)]
    returns, turnover, exposure, costs, drawdowns = [], [], [], [], []
    paid = np.zeros(5)
    for _ in range(40):
        accounts.step_async(rng.uniform(-1, 1, (5, 2)).astype(np.float32))
        _, _, done, _ = accounts.step_wait()
        tally.step()
        for b in range(5):
            money = engine.final[b] if done[b] else engine.state[b]
            shown = engine.final_observed[b] if done[b] else engine.observed[b]
            curves[b].append(money[EQUITY])
            returns.append(curves[b][-1] / curves[b][-2] - 1)
            turnover.append(money[TURNOVER])
            exposure.append(abs(float(shown[0])) + abs(float(shown[1])))
            now = money[FEES] + money[SLIPPAGE] + money[CARRY] + money[INTEREST]
            costs.append((now - paid[b]) / money[START])
            paid[b] = 0.0 if done[b] else now
            if done[b]:
                curve = np.array(curves[b])
                drawdowns.append(np.max(1 - curve / np.maximum.accumulate(curve)))
                curves[b] = [engine.config.capital]
    found, year = tally.take(), pair.market.bars_per_year
    assert len(drawdowns) == 10
    assert found == pytest.approx({
        "growth_per_bar": np.log1p(returns).mean(), "sharpe": float(sharpe(np.array(returns), year)),
        "turnover": np.mean(turnover) * year, "exposure": np.mean(exposure), "costs": np.mean(costs) * year,
        "max_drawdown": np.mean(drawdowns)}, rel=1e-9)
    assert tally.take() == {}


@pytest.fixture(scope="module")
def models(simulated) -> Callable[[str], Any]:
    """Untrained models by algorithm."""
    def made(algo: str) -> Any:
        env = env_of(algo, SHORT)
        table = make_table(simulated.market, None, simulated.market.decision_rows(WINDOW, simulated.split.train))
        accounts = AccountsVecEnv(simulated.market, env, 8, WINDOW, simulated.split.train, seed=0)
        return make_model(algo, Task(QUICK, env, 8, simulated.market.assets), accounts, publish(table))

    return cache(made)


def look_of(simulated, policy: Any, env: EnvConfig) -> Look:
    return Validation(simulated.market, env, WINDOW, simulated.split.valid).run(policy)


@pytest.mark.parametrize("algo", ALGOS)
def test_every_algorithm_has_a_critic_that_is_asked(algo, simulated, models):
    policy = models(algo).policy
    look = look_of(simulated, policy, env_of(algo, SHORT))
    values = values_of(policy, look)
    assert values is not None
    assert values.shape == look.rewards.shape
    assert np.isfinite(values).all()
    assert values.std() > 0
    place = len(values) // 2 if look.parts == 1 else len(values) // look.parts + 3
    if algo != "recurrent_ppo":  # the value of one state, asked for by itself
        alone = replace(look, parts=1, rewards=look.rewards[:1],
                        seen={name: value[place : place + 1] for name, value in look.seen.items()})
        np.testing.assert_allclose(values_of(policy, alone), values[place : place + 1], rtol=1e-4, atol=1e-6)


def test_a_recurrent_critic_is_carried_from_bar_to_bar(simulated, models):
    policy = models("recurrent_ppo").policy
    look = look_of(simulated, policy, SHORT)
    steps = len(look.rewards) // look.parts
    part = look.parts - 1
    layers, _, width = policy.lstm_hidden_state_shape
    state = (torch.zeros(layers, 1, width), torch.zeros(layers, 1, width))
    said = []
    with torch.no_grad():
        for k in range(part * steps, (part + 1) * steps):
            seen, _ = policy.obs_to_tensor({name: value[k : k + 1] for name, value in look.seen.items()})
            features = policy.extract_features(seen, policy.vf_features_extractor)
            out, state = policy.lstm_critic(features[None], state)
            said.append(policy.value_net(policy.mlp_extractor.forward_critic(out[0])).item())
    np.testing.assert_allclose(values_of(policy, look)[part * steps :], said, rtol=1e-4, atol=1e-6)


def test_a_recurrent_policy_gets_its_own_state_back(simulated, models):
    policy, handed, given = models("recurrent_ppo").policy, [], []

    class Spy:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            given.append((state, episode_start, deterministic))
            action, after = policy.predict(observation, state, episode_start, deterministic)
            handed.append(after)
            return action, after

    look_of(simulated, Spy(), SHORT)
    assert given[0][0] is None
    assert given[0][1].all()
    for (state, start, deterministic), before in zip(given[1:], handed):
        assert state is before
        assert not start.any()
        assert deterministic


def look_with(rewards: list[float], ruined: int | None = None, alive: list[bool] | None = None) -> Any:
    steps = len(rewards)
    ends = np.zeros(steps, bool)
    if ruined is not None:
        ends[ruined] = True
    return SimpleNamespace(rewards=np.array(rewards), ruined=ends,
                           alive=np.ones(steps, bool) if alive is None else np.array(alive))


def test_returns_that_followed_worked_out_by_hand():
    np.testing.assert_allclose(returns_of(look_with([1, 2, 3, 4]), 0.5, 10.0, last=100.0),
                               [10 + 20 / 2 + 30 / 4 + 100 / 8, 20 + 30 / 2 + 100 / 4, 30 + 100 / 2, 100])
    np.testing.assert_allclose(returns_of(look_with([1, -2, 0, 4], ruined=1), 0.5, 1.0, last=8.0), [0, -2, 4, 8])


@pytest.mark.parametrize(("off", "factor", "bias", "correlation"), [
    (0.0, 1.0, 0.0, 1.0), (3.0, 1.0, 3.0, 1.0), (0.0, -1.0, None, -1.0), (2.0, 0.0, None, 0.0)])
def test_calibration_of_critics_that_are_known(off, factor, bias, correlation, monkeypatch):
    rng = np.random.default_rng(0)
    look = look_with(list(rng.normal(size=50)), ruined=20, alive=[not 20 < k < 30 for k in range(50)])
    truth = returns_of(look, 0.9, 5.0, last=7.0)
    said = truth * factor + off
    said[-1] = 7.0
    said[21:30] = 1e6  # what a critic says of an account that is ruined is not asked
    monkeypatch.setattr("agents.watch.critic.values_of", lambda policy, seen: said)
    found = calibration(object(), look, 0.9, 5.0)
    assert found["value_correlation"] == pytest.approx(correlation, abs=1e-9)
    if bias is not None:
        assert found["value_bias"] == pytest.approx(bias, abs=1e-9)


def test_a_policy_without_a_critic_has_no_calibration(simulated):
    class Cash:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.full(len(observation["row"]), 1), state

    look = look_of(simulated, Cash(), SHORT)
    assert calibration(Cash(), look, 0.97, 100.0) == {}
    assert (look.equity == 1).all()
    assert look.numbers["max_drawdown"] == look.numbers["turnover"] == 0


def test_equity_is_money_whatever_the_reward_is(simulated, models):
    policy = models("ppo").policy
    usual = look_of(simulated, policy, SHORT)
    other = look_of(simulated, policy, replace(SHORT, reward=RewardConfig(log_growth=0.0, sharpe=1.0)))
    np.testing.assert_array_equal(usual.equity, other.equity)
    assert usual.numbers == other.numbers
    np.testing.assert_allclose(usual.growths, usual.rewards, atol=1e-12)
    assert np.abs(other.rewards - usual.rewards).max() > 0.01


def test_a_look_adds_up(simulated, models):
    look = look_of(simulated, models("ppo").policy, SHORT)
    steps, numbers, year = len(look.rewards), look.numbers, simulated.market.bars_per_year
    assert len(look.time) == len(look.equity) == steps + 1
    assert set(np.unique(look.chosen)) <= set(ENV.levels)
    assert numbers["growth_per_bar"] * year == pytest.approx(numbers["growth_per_year"])
    assert numbers["sharpe"] == pytest.approx(float(sharpe(simple_returns(look.equity), year)))
    assert numbers["costs"] * steps / year == pytest.approx(look.metrics.costs)
    held = look.weights[:-1, 0] != 0
    moves = np.log(look.prices[1:, 0] / look.prices[:-1, 0])[held]
    assert np.corrcoef(moves, look.growths[:-1][held] / look.weights[:-1, 0][held])[0, 1] > 0.9


@pytest.mark.parametrize("delay", [0, 1, 5])
@pytest.mark.parametrize("segments", [[[0, 700]], [[0, 230], [230, 441], [441, 700]]])
def test_a_look_takes_every_decision_however_late_the_view_is(delay, segments):
    market = replace(random_market(700), segments=np.array(segments))
    env = EnvConfig(action="weights", observation_delay=delay)
    weights = np.random.default_rng(1).uniform(-1, 1, (700, 1))
    for last in range(660, 700):  # so that the decisions come out even, and not
        look = Validation(market, env, 8, slice(20, last), parts=4).run(WeightTable(weights))
        decisions = market.decision_rows(8 + delay, slice(20, last))[:-1]
        assert len(decisions) - 4 < len(look.rows) <= len(decisions)
        assert look.rows.tolist() == decisions[: len(look.rows)].tolist()
        np.testing.assert_array_equal(look.seen["row"][:, 0], look.rows - delay)
        np.testing.assert_array_equal(look.chosen, weights[look.rows - delay])


@pytest.mark.parametrize("latency", [0, 2])
def test_a_step_is_opened_with_what_its_orders_made_of_the_account(latency):
    rng = np.random.default_rng(0)
    market = closing_at(*100 * np.exp(rng.normal(0, 0.01, 300).cumsum()))
    free = EnvConfig(action="weights", costs=CostConfig.named("free"), latency=latency)
    look = Validation(market, free, 1, slice(None), parts=1).run(WeightTable(rng.uniform(-1, 1, (300, 1))))
    moves = np.diff(market.prices[:, 0, 3]) / market.prices[:-1, 0, 3]
    np.testing.assert_allclose(np.expm1(look.growths), look.opened[:, 0] * moves[look.rows], atol=1e-12)
    assert (look.opened[:latency] == 0).all()
    assert np.abs(look.opened[latency:] - look.chosen[: 299 - latency]).max() < 0.02  # smaller orders are not sent


@pytest.mark.parametrize("assets", [("BTC",), ("BTC", "ETH", "late")])
def test_pictures_are_drawn_for_one_asset_and_for_many(assets):
    rng, steps = np.random.default_rng(0), 60
    time = np.datetime64("2024-01-01T00:00") + np.arange(steps + 1) * np.timedelta64(1, "h")
    weights = rng.choice([-1.0, 0.0, 1.0], (steps, len(assets)))
    prices = 100 * np.exp(rng.normal(0, 0.01, (steps, len(assets))).cumsum(axis=0))
    prices[:20, 1:] = np.nan  # listed late
    equity = np.exp(np.append(0, rng.normal(0, 0.01, steps)).cumsum())
    for figure in (position_figure(time, weights, prices, assets, "here"), drawdown_figure(time, equity, "here")):
        figure.canvas.draw()
        drawn = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20
    [fall] = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert fall == f"largest {np.max(1 - equity / np.maximum.accumulate(equity)):.1%}"
