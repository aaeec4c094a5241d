"""The lean PPO and A2C against SB3's own: the same rollouts, the same weights, the same files."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from agents.algos.lean import LeanA2C, LeanPPO
from agents.algos.recipe import Task, make_model, network_of, recipe_of
from agents.algos.swift import QuickTanh, Swift, head_of
from agents.config import ExtractorConfig
from agents.feature_table import publish
from agents.finetuning import own_rate
from agents.sb3_env import AccountsVecEnv
from agents.sight import Sight, table_for
from agents.train import train
from configs.errors import UserError
from tests.agents.small import AGENT, ENV, WINDOW, tiny_encoder

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
SHORT = replace(ENV, episode=15)  # episodes that end within a rollout
ACCOUNTS, STEPS = 6, 20
# 120 decisions in minibatches of 32: the last one of a pass is shorter
MINE = replace(AGENT, accounts=ACCOUNTS, lr=3e-3, net=(16, 16), gamma=0.9, account=("weight", "drawdown"))
PPO_OF = {"n_steps": STEPS, "batch_size": 32, "n_epochs": 3, "gae_lambda": 0.8, "clip_range": 0.1, "ent_coef": 0.02}
A2C_OF = {"n_steps": STEPS, "gae_lambda": 0.8, "ent_coef": 0.02, "use_rms_prop": False}
CASES = {  # assets, what differs in the agent and in the environment
    "levels": (1, {}, {}),
    "levels of two": (2, {}, {}),
    "weights": (1, {}, {"action": "weights"}),
    "weights of two": (2, {}, {"action": "weights"}),
    "relu": (1, {"activation": "relu"}, {}),
    "shared": (2, {"extractor": ExtractorConfig(shared=True)}, {}),
    "shared weights": (2, {"extractor": ExtractorConfig(shared=True)}, {"action": "weights"}),
    "gated": (1, {"extractor": ExtractorConfig(join="gated", beside=("tcn",))}, {}),
    "finetuned": (1, {"extractor": ExtractorConfig(finetune=True)}, {}),
}


@pytest.fixture(scope="module")
def built(simulated, pair, encoder_of):
    """A model of the given class on one of the cases, everything else equal."""
    eyes = {1: encoder_of("attention_lstm"), 2: tiny_encoder(pair, "transformer")}

    def build(cls, case: str = "levels", **settings):
        assets, agent_has, env_has = CASES[case]
        dataset, agent, env = (simulated, pair)[assets - 1], replace(MINE, **agent_has), replace(SHORT, **env_has)
        market, rows = dataset.market, dataset.split.train
        sight = Sight.of(eyes[assets])
        if agent.extractor.beside:
            sight = replace(sight, beside=(encoder_of("tcn"),))
        table = publish(table_for(market, sight, agent, "cpu", None, market.decision_rows(WINDOW, rows)))
        task = Task(agent, env, ACCOUNTS, market.assets)
        recipe = recipe_of("ppo", task)
        accounts = AccountsVecEnv(market, env, ACCOUNTS, WINDOW, rows, seed=5)
        given = {**(PPO_OF if issubclass(cls, PPO) else A2C_OF), **settings}
        model = cls(recipe.policy, accounts, learning_rate=agent.schedule, gamma=agent.gamma, seed=0,
                    policy_kwargs=network_of(replace(recipe, network={}), task, table), **given)
        if agent.extractor.finetune:
            own_rate(model.policy, agent.extractor.encoder_lr)
        return model

    return build


def collected(model) -> None:
    total, callback = model._setup_learn(10**6, None, reset_num_timesteps=model._last_obs is None)
    callback.on_training_start({}, {})
    torch.manual_seed(1)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    model._update_current_progress_remaining(model.num_timesteps, total)


def hand_over(lean, plain) -> None:
    """What the lean model has seen and done, into SB3's buffer; advantages are for SB3 to work out."""
    mine, buffer = lean.rollout_buffer, plain.rollout_buffer
    for name in mine.observations:
        buffer.observations[name] = mine.observations[name].astype(buffer.observations[name].dtype)
    for name in ("actions", "values", "log_probs", "rewards", "episode_starts"):
        setattr(buffer, name, np.array(getattr(mine, name), getattr(buffer, name).dtype))
    with torch.no_grad():
        last = plain.policy.predict_values(plain.policy.obs_to_tensor(lean._last_obs)[0])
    buffer.compute_returns_and_advantage(last, lean._last_episode_starts)
    buffer.full = True


@contextmanager
def same_orders():
    """Both are shuffled alike; SB3 counts account by account, a `Rollout` step by step."""
    with pytest.MonkeyPatch.context() as patched:
        drawn = np.random.default_rng(7)
        patched.setattr(np.random, "permutation", lambda n: drawn.permutation(n))
        again = np.random.default_rng(7)

        def permuted(n: int, device=None) -> torch.Tensor:
            order = again.permutation(n)
            return torch.from_numpy(order % STEPS * ACCOUNTS + order // STEPS)

        patched.setattr(torch, "randperm", permuted)
        yield


def assert_same_weights(first, second, moved_from, closely: float = 2e-5) -> None:
    one, other = first.policy.state_dict(), second.policy.state_dict()
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=closely, msg=lambda said, name=name: name + said)
    assert max(float((one[name] - moved_from[name]).abs().max()) for name in one) > 100 * closely


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("lean", "plain"), [(LeanPPO, PPO), (LeanA2C, A2C)])
def test_an_update_leads_where_that_of_sb3_leads(lean, plain, case, built):
    lean, plain = built(lean, case), built(plain, case)
    before = {name: value.clone() for name, value in lean.policy.state_dict().items()}
    plain.policy.load_state_dict(before)
    for _ in range(2 if isinstance(plain, PPO) else 4):  # the second with what Adam remembers of the first
        collected(lean)
        collected(plain)
        hand_over(lean, plain)
        for name in ("advantages", "returns"):
            np.testing.assert_allclose(getattr(lean.rollout_buffer, name), getattr(plain.rollout_buffer, name),
                                       rtol=1e-4, atol=1e-5)
        with same_orders():
            plain.train()
            lean.train()
        assert lean._n_updates == plain._n_updates
    assert_same_weights(lean, plain, before)
    said, meant = lean.logger.name_to_value, plain.logger.name_to_value
    told = {name for name in meant if name.startswith("train/")}
    assert {name for name in said if name.startswith("train/")} == told
    assert {name: said[name] for name in told} == pytest.approx({name: float(meant[name]) for name in told},
                                                               rel=2e-3, abs=2e-5)


@pytest.mark.parametrize("settings", [{"normalize_advantage": False}, {"ent_coef": 0.0, "vf_coef": 0.1},
                                      {"max_grad_norm": 0.01}, {"clip_range": lambda left: 0.05 * left},
                                      {"batch_size": 17}, {"batch_size": 120}])
def test_settings_mean_what_they_mean_to_sb3(settings, built):
    lean, plain = built(LeanPPO, **settings), built(PPO, **settings)
    before = {name: value.clone() for name, value in lean.policy.state_dict().items()}
    collected(lean)
    collected(plain)
    hand_over(lean, plain)
    with same_orders():
        plain.train()
        lean.train()
    assert_same_weights(lean, plain, before)


class HalfRuined(AccountsVecEnv):
    """Every second episode that ends counts as ruined."""

    ended = 0

    def step_wait(self):
        seen, reward, done, infos = super().step_wait()
        for b in np.flatnonzero(done):
            self.ended += 1
            infos[b]["TimeLimit.truncated"] = self.ended % 2 == 0
        return seen, reward, done, infos


@pytest.mark.parametrize("case", ["levels", "finetuned"])
def test_rollouts_are_those_of_sb3(case, built):
    """Of one asset's levels even the random numbers are the same; time's end is bootstrapped, ruin is not."""
    models = [built(LeanPPO, case), built(PPO, case)]
    for model in models:
        model.env.__class__ = HalfRuined
        for _ in range(2):  # the second begins in the midst of episodes
            collected(model)
        assert model.env.ended == ACCOUNTS * (2 * STEPS // 15)
    mine, theirs = (model.rollout_buffer for model in models)
    assert theirs.episode_starts.sum() >= ACCOUNTS
    for name in ("actions", "episode_starts"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    for name, value in theirs.observations.items():
        np.testing.assert_array_equal(mine.observations[name], value)
    for name in ("values", "log_probs", "rewards", "advantages", "returns"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-4, atol=1e-5)
    assert models[0].num_timesteps == models[1].num_timesteps
    assert list(models[0].ep_info_buffer) == list(models[1].ep_info_buffer)
    assert len(models[0].ep_info_buffer) > 0


@pytest.mark.parametrize("case", CASES)
def test_a_policy_is_judged_as_it_judges_itself(case, built):
    model = built(LeanPPO, case)
    collected(model)
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    batch = model.rollout_buffer.whole()
    actions = batch.actions.flatten() if case in ("levels", "relu", "gated", "finetuned") else batch.actions
    values, said, entropy = model.policy.evaluate_actions(batch.seen, actions)
    own = model.swift().judge(batch.seen, batch.actions)
    for found, meant in zip(own, (values[:, 0], said, entropy)):
        torch.testing.assert_close(found, meant, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chosen", [spaces.Discrete(3), spaces.MultiDiscrete([3, 3]), spaces.Box(-1, 1, (2,))])
def test_actions_are_drawn_as_often_as_they_are_probable(chosen):
    torch.manual_seed(0)
    policy = MultiInputActorCriticPolicy(spaces.Dict(x=spaces.Box(-1, 1, (4,))), chosen, lambda left: 1e-3, [8])
    with torch.no_grad():
        policy.action_net.bias.copy_(torch.linspace(0, 2, len(policy.action_net.bias)))
        if isinstance(chosen, spaces.Box):
            policy.log_std.copy_(torch.tensor([-1.0, 0.0]))
    swift = Swift(policy, head_of(policy))
    draws = 40_000
    seen = {"x": torch.rand(1, 4).expand(draws, 4)}
    actions, _, said = swift.act(seen)
    law = policy.get_distribution({"x": seen["x"][:1]}).distribution
    torch.testing.assert_close(swift.judge(seen, actions.reshape(draws, -1))[1], said)
    if isinstance(chosen, spaces.Box):
        assert actions.mean(dim=0).numpy() == pytest.approx(law.mean[0].detach().numpy(), abs=4 * draws**-0.5)
        assert actions.std(dim=0).numpy() == pytest.approx(law.stddev[0].detach().numpy(), abs=4 * draws**-0.5)
        return
    laws = law if isinstance(law, list) else [law]
    for column, one in zip(actions.reshape(draws, -1).T, laws):
        often = torch.bincount(column, minlength=3) / draws
        assert one.probs[0].max() - one.probs[0].min() > 0.1
        assert often.numpy() == pytest.approx(one.probs[0].detach().numpy(), abs=4 * (0.25 / draws) ** 0.5)


def test_the_quick_tanh_is_tanh():
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.tensor([0.0, 1e-8, 1e30, -1e30])]).requires_grad_()
    QuickTanh.apply(x).sum().backward()
    quick, x.grad = x.grad, None
    torch.tanh(x).sum().backward()
    torch.testing.assert_close(QuickTanh.apply(x), torch.tanh(x), rtol=0, atol=3e-7)
    torch.testing.assert_close(quick, x.grad, rtol=0, atol=1e-6)


def test_nothing_of_it_stays_in_the_policy(built, monkeypatch):
    model = built(LeanPPO)
    tanhs = [part for part in model.policy.modules() if isinstance(part, nn.Tanh)]
    meanwhile, calls = [], 0

    class Looking(BaseCallback):
        def _on_step(self) -> bool:
            meanwhile.extend("forward" in vars(part) for part in tanhs)
            return True

    forward = QuickTanh.forward

    def counted(ctx, x):
        nonlocal calls
        calls += 1
        return forward(ctx, x)

    monkeypatch.setattr(QuickTanh, "forward", staticmethod(counted))
    model.learn(2 * ACCOUNTS * STEPS, callback=Looking())
    assert calls > 2 * STEPS * len(tanhs)
    assert meanwhile
    assert not any(meanwhile)
    assert not any("forward" in vars(part) for part in tanhs)


@pytest.mark.parametrize(("lean", "plain"), [(LeanPPO, PPO), (LeanA2C, A2C)])
def test_its_file_is_one_of_sb3s(lean, plain, built, tmp_path):
    model = built(lean)
    model.learn(4 * ACCOUNTS * STEPS)
    model.save(tmp_path / "model.zip")
    again = plain.load(tmp_path / "model.zip")
    assert type(again) is plain
    assert type(again.rollout_buffer) is DictRolloutBuffer
    seen = model.env.reset()
    for deterministic in (True, False):
        said = []
        for one in (model, again):
            torch.manual_seed(0)
            said.append(one.predict(seen, deterministic=deterministic)[0])
        np.testing.assert_array_equal(*said)
    again.set_env(model.env)
    again.learn(ACCOUNTS * STEPS, reset_num_timesteps=False)
    assert again.num_timesteps == 5 * ACCOUNTS * STEPS
    back = lean.load(tmp_path / "model.zip", env=model.env)
    back.learn(ACCOUNTS * STEPS, reset_num_timesteps=False)
    assert back.num_timesteps == again.num_timesteps


def test_the_recipes_take_it_with_the_faster_adam(built):
    for algo, cls, plain in (("ppo", LeanPPO, PPO), ("a2c", LeanA2C, A2C)):
        other = built(plain)
        table = other.policy_kwargs["features_extractor_kwargs"]["table"]
        agent = replace(MINE, ppo=replace(MINE.ppo, compile=True))
        model = make_model(algo, Task(agent, SHORT, ACCOUNTS, ("BTC",)), other.env, table)
        assert type(model) is cls
        assert getattr(model, "compile", True)
        [own], [usual] = model.policy.optimizer.param_groups, other.policy.optimizer.param_groups
        assert type(model.policy.optimizer) is type(other.policy.optimizer)
        assert {name for name, value in usual.items() if name != "params" and value != own[name]} == {"fused"}


def test_the_loss_is_one_graph_that_can_be_compiled(built):
    """As it is on a GPU, where nothing takes the quick tanh; each update asks through a `Swift` of its own."""
    model = built(LeanPPO)
    collected(model)
    with torch._dynamo.config.patch(error_on_recompile=True):
        compiled = torch.compile(model.loss, backend="aot_eager", fullgraph=True, dynamic=False)
        found = {}
        for name, loss_of in (("compiled", compiled), ("plain", model.loss)):
            torch.manual_seed(0)
            gradients = []
            for _ in range(2):
                swift = model.swift()
                swift.tanhs = []
                for batch in model.rollout_buffer.minibatches(60):
                    model.policy.zero_grad()
                    loss, told = loss_of(swift, batch, 0.1)
                    loss.backward()
                    gradients += [told, *(weight.grad for weight in model.policy.parameters())]
            found[name] = gradients
    for one, other in zip(found["compiled"], found["plain"]):
        torch.testing.assert_close(one, other)


def test_a_cpu_leaves_the_loss_uncompiled(built):
    model = built(LeanPPO, compile=True)
    assert model.loss_of() == model.loss
    model.device = torch.device("cuda")
    assert model.loss_of() != model.loss
    assert model.loss_of() is model.loss_of()


def test_weights_that_are_no_numbers_end_the_training_with_a_word_on_the_rate(simulated):
    for algo in ("ppo", "a2c"):
        with pytest.raises(UserError, match=r"lower agent\.lr"):
            train(simulated, ENV, replace(AGENT, lr=1e38), algo, WINDOW, progress=False)


class Uneven(gymnasium.Env):
    """Two actions of unlike size."""

    observation_space = spaces.Dict(x=spaces.Box(-1, 1, (2,)))
    action_space = spaces.MultiDiscrete([2, 3])


@pytest.mark.parametrize(("settings", "said"), [
    ({"target_kl": 0.01}, "no target_kl"), ({"clip_range_vf": 0.2}, "no clip_range_vf"), ({"use_sde": True}, "noise")])
def test_what_it_does_not_do_is_refused(settings, said, built):
    with pytest.raises(UserError, match=said):
        built(LeanPPO, "weights", **settings)


def test_other_spaces_are_left_to_sb3():
    with pytest.raises(UserError, match="as many of each asset"):
        LeanPPO("MultiInputPolicy", DummyVecEnv([Uneven]))
    with pytest.raises(UserError, match="dictionaries of numbers"):
        LeanA2C("MlpPolicy", gymnasium.make("CartPole-v1"))
