"""Every algorithm with every encoder: trains, is saved, comes back, and repeats its actions exactly."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import ALGOS
from agents.arena.rollout import Contestant, compete
from agents.bundle import Bundle
from agents.config import ExtractorConfig
from agents.feature_table import TableLookup
from agents.finetuning import EncoderLookup
from agents.sight import table_for
from agents.train import train
from agents.watch.validation import Validation
from configs.errors import UserError
from encoders import ENCODERS
from envs.observations import ACCOUNT_BOUND, account_names
from tests.agents.small import AGENT, ENV, WINDOW, env_of, tiny_encoder

LEARNS_ON = replace(AGENT, extractor=ExtractorConfig(finetune=True))


def observations(market, rows: slice, seed: int = 0):
    """Every decision row of a span, each with some account."""
    found = market.decision_rows(WINDOW, rows)
    numbers = len(account_names(market.assets))
    accounts = np.random.default_rng(seed).uniform(-1, 1, (len(found), numbers)).astype(np.float32)
    assert abs(accounts).max() <= ACCOUNT_BOUND
    return {"row": found.astype(np.int32)[:, None], "account": accounts}


def assert_comes_back(bundle: Bundle, dataset, tmp_path) -> None:
    bundle.save(tmp_path / "bundle")
    again = Bundle.load(tmp_path / "bundle")
    seen = observations(dataset.market, dataset.split.test)
    first, _ = bundle.policy(dataset.market).predict(seen, deterministic=True)
    second, _ = again.policy(dataset.market).predict(seen, deterministic=True)
    np.testing.assert_array_equal(first, second)
    weights = [b.policy(dataset.market).state_dict() for b in (bundle, again)]  # finer than actions, which are levels
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert (again.name, again.trained, again.market) == (bundle.name, bundle.trained, bundle.market)
    assert (again.agent, again.env, again.window, again.seed) == (bundle.agent, bundle.env, bundle.window, bundle.seed)
    [track] = compete({again.name: Contestant(again.policy(dataset.market), again.env.actions(len(again.assets)))},
                      dataset.market, again.env, again.window, dataset.split.test)
    assert np.isfinite(track.equity).all()


# an algorithm does not know what it sees through: each encoder with three of them, each algorithm with one
COMBINATIONS = [*itertools.product(("ppo", "a2c", "dqn"), (*ENCODERS, "none")),
                *((algo, "lstm") for algo in ALGOS if algo not in ("ppo", "a2c", "dqn"))]


@pytest.mark.parametrize(("algo", "encoder"), COMBINATIONS)
def test_every_combination_trains_and_comes_back(algo, encoder, simulated, encoder_of, tmp_path):
    checkpoint = None if encoder == "none" else encoder_of(encoder)
    bundle = train(simulated, env_of(algo), AGENT, algo, WINDOW, checkpoint, progress=False)
    assert bundle.name == f"{algo} + {encoder}"
    assert bundle.weights
    assert_comes_back(bundle, simulated, tmp_path)


@pytest.mark.parametrize(("algo", "encoder"), [("ppo", "transformer"), ("a2c", "mamba"), ("dqn", "lstm")])
def test_finetuning_changes_the_encoder_and_comes_back(algo, encoder, simulated, encoder_of, tmp_path, monkeypatch):
    looks = itertools.count(1)
    measured = Validation.run

    def ever_better(self, policy):  # or the untrained weights may stay the best ones
        look = measured(self, policy)
        return replace(look, equity=np.exp(next(looks) * 1e-3 * np.arange(len(look.equity))))

    monkeypatch.setattr(Validation, "run", ever_better)
    checkpoint = encoder_of(encoder)
    before = {name: value.clone() for name, value in checkpoint.weights.items()}
    agent = replace(LEARNS_ON, steps=160, validations=1, lr=1e-2)
    bundle = train(simulated, ENV, agent, algo, WINDOW, checkpoint, progress=False, folder=tmp_path / "run")
    learnt = {name: value for name, value in bundle.weights.items() if "encoder." in name}
    assert learnt, "the encoder is part of the policy's weights"
    moved = [name for name, value in learnt.items()
             if not torch.equal(value, before["encoder." + name.split("encoder.", 1)[1]])]
    assert moved
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.weights.items())
    assert_comes_back(bundle, simulated, tmp_path)


def test_a_finetuned_policy_starts_where_the_frozen_embedding_stands(simulated, encoder_of):
    rows = torch.from_numpy(simulated.market.decision_rows(WINDOW, simulated.split.valid))
    trained = simulated.market.decision_rows(WINDOW, simulated.split.train)
    table = table_for(simulated.market, encoder_of("transformer"), LEARNS_ON, "cpu", None, trained)
    with torch.no_grad():
        torch.testing.assert_close(EncoderLookup(table)(rows), TableLookup(table)(rows), rtol=0, atol=2e-5)


def test_finetuning_without_an_encoder_is_refused(simulated):
    with pytest.raises(UserError, match="finetune needs an encoder"):
        train(simulated, ENV, LEARNS_ON, "ppo", WINDOW, progress=False)


@pytest.mark.parametrize("algo", ["ppo", "a2c", "sac"])
def test_continuous_weights(algo, simulated, encoder_of, tmp_path):
    bundle = train(simulated, replace(ENV, action="weights", low=-0.5), AGENT, algo, WINDOW, encoder_of("lstm"),
                   progress=False)
    assert_comes_back(bundle, simulated, tmp_path)
    actions, _ = bundle.policy(simulated.market).predict(observations(simulated.market, simulated.split.test))
    assert actions.shape[1:] == (1,)
    assert actions.min() >= -0.5
    assert len(np.unique(actions)) > 10


@pytest.mark.parametrize("action", ["levels", "weights"])
def test_two_assets(action, pair, tmp_path):
    checkpoint = tiny_encoder(pair, "transformer")
    bundle = train(pair, replace(ENV, action=action), AGENT, "ppo", WINDOW, checkpoint, progress=False)
    assert_comes_back(bundle, pair, tmp_path)


def test_dqn_says_what_it_cannot_do(simulated, pair):
    for dataset, env in ((simulated, replace(ENV, action="weights")), (pair, ENV)):
        with pytest.raises(UserError, match="dqn does not choose"):
            train(dataset, env, AGENT, "dqn", WINDOW, progress=False)


def test_every_number_of_the_account_can_be_shown(simulated):
    kinds = tuple(dict.fromkeys(name.split(":")[0] for name in account_names(simulated.market.assets)))
    bundle = train(simulated, ENV, replace(AGENT, account=kinds, steps=64, validations=1), "ppo", WINDOW,
                   progress=False)
    policy = bundle.policy(simulated.market)
    assert policy.features_extractor.features_dim == len(simulated.market.columns) + len(kinds)


def test_the_best_weights_on_validation_are_kept(simulated, tmp_path, monkeypatch):
    """What is handed back, and what is on disk, is the best of several looks: highest growth less a standard error."""
    looks: list[np.ndarray] = []
    measured = Validation.run

    def remembered(self, policy):
        looks.append(measured(self, policy).equity)
        return measured(self, policy)

    monkeypatch.setattr(Validation, "run", remembered)
    agent = replace(AGENT, steps=640, validations=5, lr=0.02)
    bundle = train(simulated, ENV, agent, "ppo", WINDOW, progress=False, folder=tmp_path)
    monkeypatch.undo()
    growths = [np.diff(np.log(equity)) for equity in looks]
    scores = [growth.mean() - growth.std(ddof=1) / np.sqrt(len(growth)) for growth in growths]
    assert len(scores) >= 5
    assert min(scores) < scores[-1]
    best = looks[int(np.argmax(scores))]
    look = Validation(simulated.market, ENV, WINDOW, simulated.split.valid).run(bundle.policy(simulated.market))
    np.testing.assert_array_equal(look.equity, best)
    on_disk = Bundle.load(tmp_path / "bundle")
    assert on_disk.weights.keys() == bundle.weights.keys()
    assert all(torch.equal(bundle.weights[name], value) for name, value in on_disk.weights.items())


def test_a_stop_half_way_leaves_a_bundle_that_acts(simulated, tmp_path, monkeypatch):
    looks = itertools.count()
    measured = Validation.run

    def stopped(self, policy):
        if next(looks) == 2:
            raise KeyboardInterrupt
        return measured(self, policy)

    monkeypatch.setattr(Validation, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(simulated, ENV, replace(AGENT, validations=5), "ppo", WINDOW, progress=False, folder=tmp_path)
    rows = observations(simulated.market, simulated.split.test)
    actions, _ = Bundle.load(tmp_path / "bundle").policy(simulated.market).predict(rows, deterministic=True)
    assert len(actions) == len(rows["row"])


def test_finetuning_starts_from_ratios_of_one(simulated, encoder_of):
    """No dropout between rollout and update: before any step the policy that acts is the policy that learns."""
    table = table_for(simulated.market, encoder_of("transformer"), LEARNS_ON, "cpu", None,
                      simulated.market.decision_rows(WINDOW, simulated.split.train))
    lookup = EncoderLookup(table)
    rows = torch.from_numpy(simulated.market.decision_rows(WINDOW)[:16])
    acting = lookup.eval()(rows)
    assert torch.equal(lookup.train()(rows), acting)
    assert acting.requires_grad
