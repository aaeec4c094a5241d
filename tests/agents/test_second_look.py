"""A second look: nobody judges rows that taught him, it is taken only in doubt, and what it finds is heeded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import seeds
from agents import train as train_module
from agents.arena.tournament import head_to_head
from agents.bundle import Bundle
from agents.config import ExtractorConfig
from agents.earned import Earned
from agents.experiment import ExperimentConfig, load_experiment
from agents.policy import WeightTable
from agents.second_look import halves, in_doubt, second_look
from agents.seeds import taught_sight, train_on, train_seeds
from agents.sight import Sight
from agents.train import train
from agents.watch.validation import Validation
from agents.weights import digest
from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from encoders.ensemble.config import EnsembleConfig
from envs.execution import CostConfig
from tests.agents.small import AGENT, DATA, ENV, PRETRAIN, WINDOW
from tests.agents.test_seeds import Here

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
        return replace(look, equity=np.ones_like(look.equity), metrics=replace(look.metrics, trades=0))


class Mixed(Idle):
    """One look that never left cash among others that may have earned something."""

    LOOKS = 0

    def run(self, policy):
        self.LOOKS += 1
        return super().run(policy) if self.LOOKS == 3 else Doubtful.run(self, policy)


class Clear(Doubtful):
    GROWTH = 1e-2


def bars_of(rows: np.ndarray) -> set[int]:
    """All that a row's window and labels tell of."""
    return set(np.add.outer(rows, np.arange(-WINDOW + 1, REACH + 1)).ravel().tolist())


def test_every_training_row_is_judged_and_none_by_whom_it_taught(simulated):
    train_rows = simulated.split.train
    judged = np.concatenate([np.r_[half.block] for half in halves(simulated, WINDOW, embargo=4)])
    np.testing.assert_array_equal(np.sort(judged), np.r_[train_rows])
    for half in halves(simulated, WINDOW, embargo=0):
        split, known = half.dataset.split, half.dataset.labels.known
        met = bars_of(np.r_[split.train]) & bars_of(np.r_[half.block])
        assert not met
        nearer = slice(split.train.start - 1, split.train.stop + 1)
        assert bars_of(np.r_[nearer][np.r_[nearer] >= 0]) & bars_of(np.r_[half.block]), "no row was left out in vain"
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


@pytest.fixture
def plainly(config) -> ExperimentConfig:
    """Without encoders."""
    return replace(config, encoder="none", agent=replace(config.agent, extractor=ExtractorConfig()))


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

    def look(bundle, data, embargo, block, learn, *others):
        learnt.extend(learn(half.dataset, str(number)) for number, half in enumerate(halves(data, WINDOW, embargo)))
        return bundle

    monkeypatch.setattr(seeds, "second_look", look)
    monkeypatch.setattr("agents.train.Validation", Doubtful)
    train_on(config, dataset, taught_sight(config, dataset, "cpu"), 0, "cpu", None)
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
    """It is turned round, but for what its last week's bars say of volatility; encoders and ensemble are pretrained
    anew: no weight moves."""
    half = halves(simulated, WINDOW, config.data.split.embargo)[which]
    learnt = taught_on_halves(config, simulated, monkeypatch)
    other = taught_on_halves(config, upside_down(simulated, half.block), monkeypatch)
    assert differing(learnt[which], other[which]) == []
    assert len(differing(learnt[1 - which], other[1 - which])) > 10, "the other one has learnt from it"
    assert len(differing(*learnt)) > 10
    assert learnt[0].trained["train"] != learnt[1].trained["train"]
    assert not any(bundle.stays_out for bundle in learnt)


@pytest.mark.parametrize(("looks", "asked"),
                         [(Clear, False), (Doubtful, True), (Hopeless, False), (Idle, False), (Mixed, True)])
@pytest.mark.parametrize("answer", [True, False])
def test_it_is_taken_only_in_doubt_and_heeded(looks, asked, answer, plainly, simulated, monkeypatch):
    given = []

    def look(bundle, *_):
        given.append(bundle)
        return replace(bundle, halves=Earned(1e-4, 1e-5), stays_out=not answer)

    monkeypatch.setattr("agents.train.Validation", looks)
    monkeypatch.setattr(seeds, "second_look", look)
    several = replace(plainly, agent=replace(plainly.agent, validations=4))
    bundle = train_on(several, simulated, Sight(), 0, "cpu", several.folder, lambda _: None)
    assert len(given) == asked
    assert bundle.stays_out == (looks is not Clear and not (asked and answer))
    kept = Bundle.load(several.folder / "bundle")
    assert (kept.stays_out, kept.halves, kept.validated) == (bundle.stays_out, bundle.halves, bundle.validated)
    assert (kept.halves is not None) == asked
    assert kept.validated.idle == (looks is Idle)
    assert all(one.stays_out and in_doubt(one) for one in given)


@pytest.mark.parametrize("refused", [{"stay_out": False}, {"second_look": False}])
def test_it_can_be_done_without(refused, plainly, simulated, monkeypatch):
    monkeypatch.setattr(seeds, "second_look", lambda *_: pytest.fail("nobody asked for it"))
    monkeypatch.setattr("agents.train.Validation", Doubtful)
    without = replace(plainly, agent=replace(plainly.agent, **refused))
    assert train_on(without, simulated, Sight(), 0, "cpu", None).stays_out == refused.get("stay_out", True)


class Trader:
    """Stands for a bundle whose policy holds these weights at each row."""

    env, window, name, validated = FREE, WINDOW, "a trader", Earned(0.0, 1e-4)

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


@pytest.fixture(scope="module")
def doubted(simulated) -> Bundle:
    """An agent that stays out."""
    found = train(simulated, FREE, AGENT, "ppo", WINDOW, progress=False)
    return replace(found, stays_out=True, validated=Earned(1e-5, 1e-4))


@pytest.mark.parametrize(("edge", "paid"), [(0.5, True), (0.0, False), (-0.5, False)])
def test_what_the_halves_earn_decides(edge, paid, doubted, simulated):
    said, asked = [], []

    def learn(part, name):
        asked.append((part.split.train, name))
        return Trader(held(simulated, edge))

    found = second_look(doubted, simulated, 4, 10.0, learn, "cpu", None, said.append)
    assert found.stays_out == (not paid)
    assert found.halves.clear == paid
    assert [name for _, name in asked] == ["late", "early"]
    assert asked[0][0].start > asked[1][0].stop
    assert "two more are trained" in said[0]
    assert f"ppo + none {'trades' if paid else 'stays out'}" in said[1]


def test_a_half_that_cannot_be_learnt_from_is_no_evidence(doubted, simulated):
    def learn(part, name):
        raise UserError("the policy's outputs are not numbers")

    said = []
    assert second_look(doubted, simulated, 4, 10.0, learn, "cpu", None, said.append) is doubted
    assert said[1] == "there is no second look: the policy's outputs are not numbers"


def test_too_few_rows_are_no_evidence(doubted, simulated):
    said = []
    few = replace(simulated, split=replace(simulated.split, train=slice(0, 2 * (WINDOW + REACH) - 1)))
    learn = lambda *_: pytest.fail("there is nothing to learn from")  # noqa: E731
    assert second_look(doubted, few, 0, 10.0, learn, "cpu", None, said.append) is doubted
    assert said[1].startswith("there is no second look: too few rows")


def test_what_is_earned_is_a_mean_and_its_error():
    found = Earned.of(np.array([1.0, 2.0, 3.0, 4.0]) * 1e-4)
    assert found == pytest.approx((2.5e-4, np.std([1, 2, 3, 4]) * 1e-4 / 2, False))
    assert found.score == pytest.approx(found.mean - found.error)
    assert (found.clear, Earned(1.6, 1.0).clear, Earned(0.0, 0.0).clear) == (True, False, False)
    assert (Earned(-1.7, 1.0).hopeless, Earned(-1.6, 1.0).hopeless) == (True, False)


def test_bars_that_resemble_their_neighbours_say_less():
    news = np.random.default_rng(0).normal(0, 1e-4, 40_000)
    slow = np.repeat(news, 10)
    assert Earned.of(slow, block=100).error == pytest.approx(Earned.of(news).error, rel=0.1)
    assert Earned.of(slow).error == pytest.approx(Earned.of(news).error / np.sqrt(10), rel=0.1)


def test_by_luck_a_half_is_clear_once_in_twenty_times():
    rng = np.random.default_rng(1)
    clear = sum(Earned.of(rng.normal(0, 1e-3, 2_000), block=20).clear for _ in range(2_000))
    assert clear / 2_000 == pytest.approx(0.05, abs=0.015)


def test_a_killed_second_look_trains_nothing_twice(plainly, simulated, monkeypatch):
    """Killed as its second half begins: what had ended is taken as it is, and the outcome is as if nothing had been."""
    monkeypatch.setattr("agents.train.Validation", Doubtful)
    whole = train_on(plainly, simulated, Sight(), 0, "cpu", plainly.folder.with_name("whole"), lambda _: None)
    learn, begun = train_module.make_model, []

    def counted(*given, **more):
        begun.append(given[0])
        if len(begun) == 3:
            raise KeyboardInterrupt
        return learn(*given, **more)

    monkeypatch.setattr(train_module, "make_model", counted)
    with pytest.raises(KeyboardInterrupt):
        train_on(plainly, simulated, Sight(), 0, "cpu", plainly.folder, lambda _: None)
    again = train_on(plainly, simulated, Sight(), 0, "cpu", plainly.folder, lambda _: None)
    assert len(begun) == 4, "one of the agent, one of a half, one that was killed, and that one again"
    assert again.halves == whole.halves
    assert digest(again.weights) == digest(whole.weights)
    assert again.stays_out == whole.stays_out
    without = replace(plainly, agent=replace(plainly.agent, second_look=False))
    assert train_on(without, simulated, Sight(), 0, "cpu", plainly.folder, lambda _: None).halves is None
    assert len(begun) == 4, "and who does without it trains nothing anew"


def test_halves_of_every_seed_leave_their_curves(config, simulated, monkeypatch, capsys):
    monkeypatch.setattr("agents.cells.ProcessPoolExecutor", Here)
    monkeypatch.setattr("agents.train.Validation", Doubtful)
    two = replace(config, seeds=2, jobs=1, ensemble=EnsembleConfig(members=()),
                  agent=replace(config.agent, extractor=ExtractorConfig()))
    bundles = train_seeds(two, simulated, Sight(), "cpu")
    said = capsys.readouterr().out
    for seed, bundle in enumerate(bundles):
        for half in ("late", "early"):
            folder = two.folder / f"seed{seed}" / "halves" / half / "tensorboard"
            assert len(list((folder / "ppo").glob("events.*"))) == 1
            assert len(list((folder / "lstm").glob("events.*"))) == 1
        assert f"seed{seed}: the halves earned" in said
        assert bundle.halves is not None
    assert not list(two.folder.rglob("training.safetensors"))


@pytest.mark.parametrize("out", [True, False])
def test_who_is_let_in_is_named_above_the_table(out, doubted, simulated, tmp_path):
    bundle = replace(doubted, stays_out=out, halves=Earned(1e-4, 1e-5))
    quick = BootstrapConfig(draws=100, block=10)
    report, _ = head_to_head([bundle], {}, None, simulated, FREE, WINDOW, quick, tmp_path)
    said = "Let in by a second look, on halves of the training rows (agent.second_look): ppo + none."
    assert report.about.endswith(said) == (not out)
