"""A second look: nobody judges rows that taught him, it is taken only in doubt, and what it finds is heeded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import seeds
from agents.bundle import Bundle
from agents.config import ExtractorConfig
from agents.experiment import ExperimentConfig, load_experiment
from agents.policy import WeightTable
from agents.second_look import Earned, halves, pays
from agents.seeds import train_on
from agents.sight import Sight
from agents.supervised import ensemble_of, sight_of
from agents.train import train
from agents.watch.validation import Validation
from encoders.ensemble.config import EnsembleConfig
from envs.execution import CostConfig
from tests.agents.small import AGENT, DATA, ENV, PRETRAIN, WINDOW

REACH = DATA.labels.horizon
FREE = replace(ENV, costs=CostConfig.flat_fee(0.0), action="weights", levels=(-1, 0, 1))


class Doubtful(Validation):
    """Looks that may have earned something, or lost."""

    GROWTH = -1e-6

    def run(self, policy):
        look = super().run(policy)
        growths = np.where(np.arange(len(look.equity) - 1) % 2, 1e-3, -1e-3) + self.GROWTH
        return replace(look, equity=np.exp(np.append(0.0, growths.cumsum())))


class Hopeless(Doubtful):
    GROWTH = -1e-3


class Idle(Doubtful):
    """Looks that never left cash."""

    def run(self, policy):
        look = super().run(policy)
        return replace(look, equity=np.ones_like(look.equity))


class Clear(Doubtful):
    GROWTH = 1e-2


def test_every_training_row_is_judged_and_none_by_whom_it_taught(simulated):
    train_rows = simulated.split.train
    judged = np.concatenate([np.arange(*half.judging.indices(len(simulated.market)))
                             for half in halves(simulated, WINDOW, embargo=4)])
    np.testing.assert_array_equal(np.sort(judged), np.arange(train_rows.start, train_rows.stop))
    for half in halves(simulated, WINDOW, embargo=4):
        split, known = half.dataset.split, half.dataset.labels.known
        taught = np.arange(split.train.start, split.train.stop)
        seen = np.union1d(taught - WINDOW + 1, taught + REACH)  # first bar of a window, last bar of a label
        for row in (half.judging.start, half.judging.stop - 1):
            assert not ((seen.min() <= row) & (row + REACH <= seen.max()))
            assert not ((seen.min() <= row - WINDOW + 1) & (row <= seen.max()))
        inside = np.zeros(len(known), bool)
        inside[train_rows] = True
        inside[split.train] = False
        assert not known[inside].any()
        np.testing.assert_array_equal(known[split.train], simulated.labels.known[split.train])
        assert (split.valid, split.test) == (simulated.split.valid, simulated.split.test)


@pytest.fixture
def config(tmp_path) -> ExperimentConfig:
    asked = load_experiment(["--encoder", "lstm", "--runs", str(tmp_path), "--progress", "False", "--name", "asked",
                             "--pretrain.epochs", "1", "--net.width", "8", "--net.layers", "1"])
    agent = replace(AGENT, stay_out=True, steps=64, validations=1,
                    extractor=ExtractorConfig(beside=("gru",), ensemble=True))
    pretrain = replace(PRETRAIN, epochs=1)
    return replace(asked, data=DATA, env=ENV, agent=agent, pretrain=pretrain,
                   ensemble=EnsembleConfig(members=("gru",)))


def upside_down(dataset, rows: slice):
    """Other features, other bars and other labels in these rows; but for the bars of their last week, over which later
    rows look back to tell how much the market moves."""
    inside = np.zeros(len(dataset.market), bool)
    inside[rows] = True
    market, labels = dataset.market, dataset.labels
    waves = np.exp(0.1 * np.sin(np.arange(len(market))))
    bars = inside & (np.arange(len(market)) < rows.stop - 168)
    prices = np.where(bars[:, None, None], market.prices * waves[:, None, None], market.prices)
    features = np.where(inside[:, None, None], -market.features, market.features)
    turned = np.where(inside[:, None] & (labels.direction >= 0), 2 - labels.direction, labels.direction)
    return replace(dataset, market=replace(market, prices=prices, features=features),
                   labels=replace(labels, direction=turned,
                                  forward=np.where(inside[:, None], -labels.forward, labels.forward)))


def taught_on_halves(config, dataset, monkeypatch) -> list[Bundle]:
    """Those who are trained for a second look at an agent; what they would judge is not looked at."""
    learnt: list[Bundle] = []

    def look(bundle, data, embargo, learn, *others):
        learnt.extend(learn(half.dataset, str(number)) for number, half in enumerate(halves(data, WINDOW, embargo)))
        return False

    monkeypatch.setattr(seeds, "pays", look)
    monkeypatch.setattr("agents.train.Validation", Doubtful)
    ensemble = ensemble_of(config, dataset, "cpu")[0]
    train_on(config, dataset, sight_of(config, dataset, "cpu", ensemble), 0, "cpu", None)
    return learnt


def numbers_of(bundle: Bundle) -> dict[str, torch.Tensor]:
    """Of all that was taught: the agent, its encoders, the members of its ensemble."""
    sight = bundle.sight
    found = {f"agent.{name}": value for name, value in bundle.weights.items()}
    nets = [checkpoint for member in sight.ensemble.members.values() for checkpoint in member.checkpoints]
    for place, checkpoint in enumerate([sight.checkpoint, *sight.beside, *nets]):
        found |= {f"{place}.{name}": value for name, value in checkpoint.weights.items()}
    return found


def differing(one: Bundle, other: Bundle) -> list[str]:
    first, second = numbers_of(one), numbers_of(other)
    assert first.keys() == second.keys()
    return [name for name, value in first.items() if not torch.equal(value, second[name])]


@pytest.mark.parametrize("which", [0, 1])
def test_what_judges_a_half_knows_nothing_of_it(which, config, simulated, monkeypatch):
    """All that can be known of it is turned round, encoders and ensemble are pretrained anew: no weight moves."""
    half = halves(simulated, WINDOW, config.data.split.embargo)[which]
    learnt = taught_on_halves(config, simulated, monkeypatch)
    other = taught_on_halves(config, upside_down(simulated, half.judging), monkeypatch)
    assert differing(learnt[which], other[which]) == []
    assert len(differing(learnt[1 - which], other[1 - which])) > 10, "the other one has learnt from it"
    assert len(differing(*learnt)) > 10
    assert learnt[0].trained["train"] != learnt[1].trained["train"]
    assert not any(bundle.stays_out for bundle in learnt)


@pytest.mark.parametrize(("looks", "asked"), [(Clear, False), (Doubtful, True), (Hopeless, False), (Idle, False)])
@pytest.mark.parametrize("answer", [True, False])
def test_it_is_taken_only_in_doubt_and_heeded(looks, asked, answer, simulated, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.train.Validation", looks)
    given = []
    bundle = train(simulated, ENV, replace(AGENT, stay_out=True), "ppo", WINDOW, folder=tmp_path, progress=False,
                   second_look=lambda bundle: given.append(bundle) or answer)
    assert len(given) == asked
    assert bundle.stays_out == (looks is not Clear and not (asked and answer))
    assert Bundle.load(tmp_path / "bundle").stays_out == bundle.stays_out
    assert all(one.stays_out for one in given)


@pytest.mark.parametrize("refused", [{"stay_out": False}, {"second_look": False}])
def test_it_can_be_done_without(refused, config, simulated, monkeypatch):
    monkeypatch.setattr(seeds, "pays", lambda *_: pytest.fail("nobody asked for it"))
    monkeypatch.setattr("agents.train.Validation", Doubtful)
    plain = replace(config, encoder="none", agent=replace(config.agent, extractor=ExtractorConfig(), **refused))
    assert train_on(plain, simulated, Sight(), 0, "cpu", None).stays_out == refused.get("stay_out", True)


class Trader:
    """Stands for a bundle whose policy holds these weights at each row."""

    env, window, name = FREE, WINDOW, "a trader"

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def policy(self, *_):
        return WeightTable(self.weights)


def held(dataset, share: float) -> np.ndarray:
    """Weights that know the next bar in so many of a hundred cases more than not."""
    close = dataset.market.prices[:, :, 3]
    up = np.sign(np.diff(np.log(close), axis=0, append=np.log(close[-1:])))
    lucky = np.random.default_rng(3).random(up.shape) < (1 + share) / 2
    return np.where(lucky, up, -up)


@pytest.mark.parametrize(("edge", "paid"), [(0.5, True), (0.0, False), (-0.5, False)])
def test_what_the_halves_earn_decides(edge, paid, simulated):
    """An agent that earned nothing on the validation rows; those trained for the second look have an edge, or none."""
    said, asked = [], []
    nothing = Trader(np.zeros((len(simulated.market), 1)))

    def learn(part, name):
        asked.append((part.split.train, name))
        return Trader(held(simulated, edge))

    assert pays(nothing, simulated, 4, learn, "cpu", None, said.append) == paid
    assert [name for _, name in asked] == ["late", "early"]
    assert asked[0][0].start > asked[1][0].stop
    assert "two more are trained" in said[0]
    assert ("it trades" in said[1]) == paid


def test_what_is_earned_is_a_mean_and_its_error():
    found = Earned.of(np.array([1.0, 2.0, 3.0, 4.0]) * 1e-4)
    assert found.mean == pytest.approx(2.5e-4)
    assert found.error == pytest.approx(np.std([1, 2, 3, 4]) * 1e-4 / 2)
    assert found.clear
    assert str(found) == "+2.50 bps a bar, give or take 0.56"
    assert not Earned(1.6, 1.0).clear
    assert not Earned(0.0, 0.0).clear


def test_too_few_rows_are_no_evidence(simulated):
    said = []
    few = replace(simulated, split=replace(simulated.split, train=slice(0, 2 * (WINDOW + REACH) - 1)))
    alone = Trader(np.zeros((len(simulated.market), 1)))
    assert not pays(alone, few, 0, lambda *_: pytest.fail("there is nothing to learn from"), "cpu", None, said.append)
    assert said[0].startswith("no second look at a trader: ")


def test_halves_leave_their_curves_and_nothing_to_go_on_from(config, simulated, monkeypatch):
    monkeypatch.setattr("agents.train.Validation", Doubtful)
    alone = replace(config, encoder="none", agent=replace(config.agent, extractor=ExtractorConfig()))
    said = []
    train_on(alone, simulated, Sight(), 0, "cpu", alone.folder, said.append)
    assert {path.name for path in (alone.folder / "halves").iterdir()} == {"late", "early"}
    assert not list(alone.folder.rglob("training.safetensors"))
    assert sum("two more are trained" in line for line in said) == 1
    assert (alone.folder / "bundle").exists()
