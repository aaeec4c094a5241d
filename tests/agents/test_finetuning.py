"""An encoder that learns on: it begins as it was pretrained, moves at its own rate, and not before its time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from stable_baselines3.common.utils import update_learning_rate

from agents import ALGOS
from agents.algos import recipe
from agents.algos.recipe import Task, make_model
from agents.bundle import Bundle
from agents.config import ExtractorConfig, WarmConfig
from agents.feature_table import publish
from agents.finetuning import EncoderLookup, freeze, lookups, optimisers
from agents.sb3_env import AccountsVecEnv
from agents.sight import Sight, table_for
from agents.train import train
from agents.warm import Leash, clone, teacher_of
from configs.errors import UserError
from tests.agents.small import AGENT, ENV, WINDOW, env_of

SHARE = 0.25
LEARNS_ON = replace(AGENT, steps=160, validations=1, extractor=ExtractorConfig(finetune=True, encoder_lr=SHARE))


def model_of(algo: str, dataset, checkpoint, agent=LEARNS_ON):
    rows = dataset.market.decision_rows(WINDOW, dataset.split.train)
    table = table_for(dataset.market, checkpoint, agent, "cpu", None, rows)
    accounts = AccountsVecEnv(dataset.market, env_of(algo), 8, WINDOW, dataset.split.train)
    return make_model(algo, Task(agent, env_of(algo), 8, dataset.market.assets), accounts, publish(table))


def weights_of(policy) -> list[torch.Tensor]:
    """Of every encoder in a policy."""
    return [weight.detach().clone() for lookup in lookups(policy) for weight in lookup.encoder.parameters()]


@pytest.mark.parametrize("algo", ALGOS)
def test_every_policy_begins_with_the_pretrained_encoder(algo, simulated, encoder_of):
    """SB3's actor-critic policies draw all linear layers of an extractor anew."""
    checkpoint = encoder_of("transformer")
    found = lookups(model_of(algo, simulated, checkpoint).policy)
    assert found
    for lookup in found:
        for name, weight in lookup.encoder.state_dict().items():
            assert torch.equal(weight, checkpoint.weights[f"encoder.{name}"]), name


@pytest.mark.parametrize("algo", ALGOS)
def test_every_optimiser_moves_encoders_at_their_share_of_the_rate(algo, simulated, encoder_of):
    """Adam's first step is as long as its rate, whatever the gradient; and SB3 sets all groups to one value."""
    policy = model_of(algo, simulated, encoder_of("lstm")).policy
    taught = {id(weight) for lookup in lookups(policy) for weight in lookup.encoder.parameters()}
    met = set()
    for optimiser in optimisers(policy):
        update_learning_rate(optimiser, 0.02)
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        assert len({id(weight) for weight in weights}) == len(weights)
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.grad = torch.full_like(weight, 100.0)
        optimiser.step()
        for weight, old in zip(weights, before):
            rate = 0.02 * SHARE if id(weight) in taught else 0.02
            torch.testing.assert_close(old - weight.detach(), torch.full_like(old, rate), rtol=1e-3, atol=1e-6)
            met.add(id(weight))
    assert met & taught


@pytest.mark.parametrize("fewest", [100, recipe.FEWEST_ROWS])
@pytest.mark.parametrize("algo", ALGOS)
def test_weights_decay_by_how_few_rows_there_are_and_encoders_do_not(algo, fewest, simulated, encoder_of, monkeypatch):
    """Adam leaves a weight without a gradient where it is; what goes is decay."""
    monkeypatch.setattr(recipe, "FEWEST_ROWS", fewest)
    policy = model_of(algo, simulated, encoder_of("lstm"), replace(LEARNS_ON, weight_decay=0.01)).policy
    rows = max(len(simulated.market.decision_rows(WINDOW, simulated.split.train)), fewest)
    taught = {id(weight) for lookup in lookups(policy) for weight in lookup.encoder.parameters()}
    for optimiser in optimisers(policy):
        update_learning_rate(optimiser, 0.02)
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimiser.step()
        for weight, old in zip(weights, before):
            left = 1.0 if id(weight) in taught else 1 - 0.02 * 0.01 * 100_000 / rows
            torch.testing.assert_close(weight.detach(), old * left)


@pytest.mark.parametrize("algo", ALGOS)
def test_every_algorithm_moves_the_encoder(algo, simulated, encoder_of, ever_better):
    checkpoint = encoder_of("lstm")
    bundle = train(simulated, env_of(algo), LEARNS_ON, algo, WINDOW, checkpoint, progress=False)
    moved = [name for name, value in bundle.weights.items() if "lookup.encoder." in name
             and not torch.equal(value, checkpoint.weights["encoder." + name.split("lookup.encoder.", 1)[1]])]
    assert moved


@pytest.mark.parametrize("encoder", ["transformer", "bilstm", "mamba_mhsa"])
def test_trpo_differentiates_attention_twice(encoder, simulated, encoder_of):
    train(simulated, ENV, replace(LEARNS_ON, steps=64), "trpo", WINDOW, encoder_of(encoder), progress=False)


@pytest.mark.parametrize("algo", ["ppo", "dqn", "all_q", "trpo", "sac"])
def test_until_its_time_an_encoder_neither_moves_nor_computes(algo, simulated, encoder_of, monkeypatch):
    """Nothing goes through it in the first half of the training, neither forwards nor backwards."""
    agent = replace(LEARNS_ON, steps=320, extractor=replace(LEARNS_ON.extractor, unfreeze=0.5),
                    all_q=replace(AGENT.all_q, batch=32))
    seen: list[tuple[int, bool, bool]] = []
    models = []
    looked_up = EncoderLookup.forward

    def watched(self, rows):
        model = models[-1] if models else None
        # targets are averaged with what they copy, and end a rounding away
        still = all(torch.allclose(weight, encoder_of("lstm").weights[f"encoder.{name}"], rtol=1e-5, atol=1e-6)
                    for name, weight in self.encoder.named_parameters())
        if model is not None:
            seen.append((model.num_timesteps, self.frozen, still))
        found = looked_up(self, rows)
        assert not (self.frozen and found.requires_grad)
        return found

    monkeypatch.setattr(EncoderLookup, "forward", watched)
    monkeypatch.setattr("agents.train.make_model", lambda *args: models.append(make_model(*args)) or models[-1])
    train(simulated, env_of(algo), agent, algo, WINDOW, encoder_of("lstm"), progress=False)
    early, late = ([look for look in seen if (look[0] < 160) is first] for first in (True, False))
    assert early
    assert all(frozen and still for _, frozen, still in early)
    assert any(not frozen for _, frozen, _ in late)
    assert not late[-1][2], "it has moved by the end"


def test_cloning_leaves_the_encoder_where_it_was_and_the_leash_sees_through_the_same(simulated, encoder_of):
    """Else the policy would be cloned through one encoder, act through another while that is frozen, and be held to a
    third."""
    model = model_of("ppo", simulated, encoder_of("lstm"))
    before, head = weights_of(model.policy), model.policy.action_net.weight.detach().clone()
    config = WarmConfig("foresight", updates=20, batch=64)
    clone(model, teacher_of("foresight", simulated, ENV, WINDOW, Sight(), "cpu", None), config)
    assert all(torch.equal(old, new) for old, new in zip(before, weights_of(model.policy)))
    assert not torch.equal(head, model.policy.action_net.weight)
    leash = Leash(model.policy, config, LEARNS_ON.steps)
    seen = {name: torch.as_tensor(value) for name, value in model.env.reset().items()}
    actions = torch.zeros(len(seen["row"]))
    for frozen in (True, False):
        freeze(model.policy, frozen)
        for own, held in zip(model.policy.evaluate_actions(seen, actions), leash.clone.evaluate_actions(seen, actions)):
            torch.testing.assert_close(own, held, rtol=0, atol=1e-5)


def test_a_frozen_encoder_says_what_it_says_when_it_is_asked(simulated, encoder_of):
    rows = simulated.market.decision_rows(WINDOW, simulated.split.train)
    table = table_for(simulated.market, encoder_of("transformer"), LEARNS_ON, "cpu", None, rows)
    lookup, asked = EncoderLookup(table), torch.from_numpy(rows[:50])
    spoken = lookup(asked).detach()
    lookup.frozen = True
    torch.testing.assert_close(lookup(asked), spoken, rtol=0, atol=2e-5)


def test_fine_tuned_beside_frozen_encoders(simulated, encoder_of, ever_better, tmp_path):
    """Only the chosen one learns; those beside it are looked up."""
    agent = replace(LEARNS_ON, extractor=replace(LEARNS_ON.extractor, beside=("transformer",), join="gated", width=6))
    bundle = train(simulated, ENV, agent, "ppo", WINDOW, Sight(encoder_of("lstm"), (encoder_of("transformer"),)),
                   progress=False)
    assert bundle.name == "ppo + lstm+transformer"
    [lookup] = lookups(bundle.policy(simulated.market))
    assert type(lookup.encoder).__name__ == "LSTM"
    rows = torch.from_numpy(simulated.market.decision_rows(WINDOW, simulated.split.test))
    torch.testing.assert_close(lookup(rows)[:, lookup.own :], lookup.table[rows][:, lookup.own :], rtol=0, atol=0)
    assert not torch.allclose(lookup(rows)[:, : lookup.own], lookup.table[rows][:, : lookup.own], atol=1e-4)
    bundle.save(tmp_path)
    again = lookups(Bundle.load(tmp_path).policy(simulated.market))[0]
    assert torch.equal(again(rows), lookup(rows))


@pytest.mark.parametrize(("wrong", "said"), [
    ({"encoder_lr": 0.0}, "encoder_lr > 0"), ({"width": 0}, "width >= 1"),
    ({"finetune": True, "unfreeze": 1.0}, "0 <= unfreeze < 1"),
])
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(UserError, match=said):
        ExtractorConfig(**wrong)
