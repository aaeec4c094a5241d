"""One network for all assets: permute the assets, and the actions are permuted, the values are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import ALGOS, LEVELS, WEIGHTS
from agents.algos.recipe import Task, make_policy
from agents.bundle import Bundle
from agents.config import ExtractorConfig
from agents.feature_table import publish
from agents.sight import Sight, table_for
from agents.train import train
from configs.errors import UserError
from data.dataset import Dataset, load_dataset
from data.market import Market
from data.simulator.config import SimulatorConfig
from encoders.checkpoint import Checkpoint
from envs.engine import Engine
from envs.observations import PER_ACCOUNT, PER_ASSET, account_names, observation_space
from tests.agents.small import AGENT, DATA, ENV, WINDOW, tiny_encoder

SHARED = replace(AGENT, net=(8, 8), account=("weight", "held", "drawdown"),
                 extractor=ExtractorConfig(shared=True, width=6))
MOVED = [2, 0, 1]  # no order that is its own inverse, or a mix-up of the two would pass
ABLE = [(algo, kind) for algo in ALGOS for kind, chooses in (("levels", LEVELS), ("weights", WEIGHTS))
        if chooses in ALGOS[algo].chooses and algo != "recurrent_ppo"]


@pytest.fixture(scope="module")
def trio() -> Dataset:
    return load_dataset(replace(DATA, simulator=SimulatorConfig(bars=1_000, edge=0.9, assets=("BTC", "ETH", "SOL"))))


@pytest.fixture(scope="module")
def eyes(trio) -> dict[str, Checkpoint]:
    return {name: tiny_encoder(trio, name) for name in ("lstm", "transformer")}


def permuted(market: Market) -> Market:
    """The same market with its assets in another order."""
    return replace(market, assets=tuple(market.assets[n] for n in MOVED), prices=market.prices[:, MOVED],
                   features=market.features[:, MOVED], carry=market.carry[:, MOVED])


def accounts(count: int, assets: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, len(PER_ASSET) * assets + len(PER_ACCOUNT))
                                               ).astype(np.float32)


def moved_accounts(account: np.ndarray) -> np.ndarray:
    """The same accounts of the permuted market."""
    of_assets = account[:, : 3 * len(PER_ASSET)].reshape(len(account), len(PER_ASSET), 3)[:, :, MOVED]
    return np.concatenate([of_assets.reshape(len(account), -1), account[:, 3 * len(PER_ASSET) :]], axis=1)


def policy_on(market: Market, sight: Sight, agent, algo: str, env, rows: np.ndarray, weights=None):
    table = table_for(market, sight, agent, "cpu", None, rows)
    torch.manual_seed(0)
    policy = make_policy(algo, Task(agent, env, 1, market.assets), publish(table),
                         observation_space(Engine(market, env, 1, WINDOW), "row"), env.actions(3).space)
    if weights is None:  # farther from zero than SB3 starts, or all actions were the same and nothing shown
        weights = {name: value + 0.5 * torch.randn_like(value) for name, value in policy.state_dict().items()}
    policy.load_state_dict(weights)
    policy.set_training_mode(False)
    return policy


@torch.no_grad()
def said(policy, algo: str, observation: dict[str, np.ndarray], actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each asset's action is drawn from (B, N, L), and values (B, V) of the state or of `actions` in it."""
    seen = {name: torch.from_numpy(value) for name, value in observation.items()}
    if algo in ("sac", "tqc"):
        mean, deviation, _ = policy.actor.get_action_dist_params(seen)
        drawn = torch.stack([mean, deviation], dim=2)
    elif algo == "td3":
        drawn = policy.actor(seen)[..., None]
    else:
        raw = policy.action_net(policy.mlp_extractor.forward_actor(policy.extract_features(seen)))
        drawn = raw.unflatten(1, (3, -1))
        return drawn.numpy(), policy.predict_values(seen).numpy()
    values = policy.critic(seen, torch.from_numpy(actions))
    values = values if isinstance(values, torch.Tensor) else torch.stack(values, dim=1)
    return drawn.numpy(), values.flatten(1).numpy()


@pytest.mark.parametrize(("algo", "kind"), ABLE)
def test_to_permute_the_assets_permutes_the_actions(algo, kind, trio):
    env = replace(ENV, action=kind)
    rows = trio.market.decision_rows(WINDOW, trio.split.train)
    one = policy_on(trio.market, Sight(), SHARED, algo, env, rows)
    other = policy_on(permuted(trio.market), Sight(), SHARED, algo, env, rows, one.state_dict())
    seen = {"row": rows[:200].astype(np.int32)[:, None], "account": accounts(200)}
    moved = {**seen, "account": moved_accounts(seen["account"])}
    actions = np.random.default_rng(1).uniform(-1, 1, (200, 3)).astype(np.float32)
    drawn, values = said(one, algo, seen, actions)
    drawn_moved, values_moved = said(other, algo, moved, actions[:, MOVED])
    assert np.median(np.ptp(drawn, axis=1)) > 0.01, "assets are told apart"
    assert np.ptp(values, axis=0).max() > 1e-3, "and states too"
    np.testing.assert_allclose(drawn_moved, drawn[:, MOVED], rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(values_moved, values, rtol=1e-4, atol=2e-5)
    acted, acted_moved = (policy.predict(observation, deterministic=True)[0]
                          for policy, observation in ((one, seen), (other, moved)))
    np.testing.assert_allclose(acted_moved, acted[:, MOVED], rtol=1e-4, atol=2e-5)
    assert len(np.unique(acted)) > 1


@pytest.mark.parametrize("extractor", [
    {}, {"finetune": True}, {"beside": ("transformer",)}, {"beside": ("transformer",), "join": "gated"},
])
def test_whatever_it_sees_through(extractor, trio, eyes):
    agent = replace(SHARED, extractor=replace(SHARED.extractor, **extractor))
    sight = Sight(eyes["lstm"], tuple(eyes[name] for name in agent.extractor.beside))
    rows = trio.market.decision_rows(WINDOW, trio.split.train)
    one = policy_on(trio.market, sight, agent, "ppo", ENV, rows)
    other = policy_on(permuted(trio.market), sight, agent, "ppo", ENV, rows, one.state_dict())
    seen = {"row": rows[:100].astype(np.int32)[:, None], "account": accounts(100)}
    drawn, values = said(one, "ppo", seen, np.zeros((100, 3)))
    drawn_moved, values_moved = said(other, "ppo", {**seen, "account": moved_accounts(seen["account"])},
                                     np.zeros((100, 3)))
    np.testing.assert_allclose(drawn_moved, drawn[:, MOVED], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(values_moved, values, rtol=1e-3, atol=1e-4)


def test_a_network_over_all_columns_knows_their_places(trio):
    """Or the tests above would pass on anything."""
    agent = replace(SHARED, extractor=ExtractorConfig())
    rows = trio.market.decision_rows(WINDOW, trio.split.train)
    one = policy_on(trio.market, Sight(), agent, "ppo", ENV, rows)
    other = policy_on(permuted(trio.market), Sight(), agent, "ppo", ENV, rows, one.state_dict())
    seen = {"row": rows[:100].astype(np.int32)[:, None], "account": accounts(100)}
    drawn, _ = said(one, "ppo", seen, np.zeros((100, 3)))
    drawn_moved, _ = said(other, "ppo", {**seen, "account": moved_accounts(seen["account"])}, np.zeros((100, 3)))
    assert np.abs(drawn_moved - drawn[:, MOVED]).max() > 0.1


@pytest.mark.parametrize(("algo", "kind"), ABLE)
def test_it_trains_and_comes_back_and_minds_no_order(algo, kind, trio, eyes, tmp_path):
    """A bundle acts on the same market in another order, and does there what it does here."""
    env, agent = replace(ENV, action=kind), replace(SHARED, steps=160, validations=1, lr=0.03)
    bundle = train(trio, env, agent, algo, WINDOW, eyes["lstm"], progress=False)
    bundle.save(tmp_path)
    again = Bundle.load(tmp_path)
    rows = trio.market.decision_rows(WINDOW, trio.split.test)
    seen = {"row": rows.astype(np.int32)[:, None], "account": accounts(len(rows))}
    first, _ = bundle.policy(trio.market).predict(seen, deterministic=True)
    second, _ = again.policy(trio.market).predict(seen, deterministic=True)
    np.testing.assert_array_equal(first, second)
    moved, _ = again.policy(permuted(trio.market)).predict({**seen, "account": moved_accounts(seen["account"])},
                                                           deterministic=True)
    np.testing.assert_allclose(moved, first[:, MOVED], rtol=1e-4, atol=2e-5)


def test_its_size_does_not_grow_with_the_assets(trio, pair):
    sizes = []
    for data in (pair, trio):
        bundle = train(data, ENV, replace(SHARED, steps=64, validations=1), "ppo", WINDOW, progress=False)
        sizes.append({name: tuple(value.shape) for name, value in bundle.weights.items()})
    assert sizes[0] == sizes[1]


def test_numbers_of_an_asset_are_shown_to_its_own_network(trio):
    """An asset's weight moves its own logits more than by the mean over assets, and a drawdown those of all."""
    rows = trio.market.decision_rows(WINDOW, trio.split.train)
    policy = policy_on(trio.market, Sight(), SHARED, "ppo", ENV, rows)
    names = account_names(trio.market.assets)
    seen = {"row": rows[:1].astype(np.int32)[:, None], "account": accounts(1)}
    features = policy.features_extractor
    width = SHARED.extractor.width

    def own(account: np.ndarray) -> np.ndarray:
        """(N, W) without the mean beside it."""
        observation = {"row": torch.from_numpy(seen["row"]), "account": torch.from_numpy(account)}
        return features(observation).detach().reshape(3, 2 * width)[:, :width].numpy()

    for number, whose in (("weight:ETH", [False, True, False]), ("held:SOL", [False, False, True]),
                          ("drawdown", [True, True, True]), ("turnover", [False, False, False])):
        changed = seen["account"].copy()
        changed[0, names.index(number)] += 0.5
        assert (np.abs(own(changed) - own(seen["account"])).max(axis=1) > 0).tolist() == whose, number


def test_what_has_no_network_to_share_is_refused(trio, simulated):
    with pytest.raises(UserError, match="recurrent_ppo has no network that assets could share"):
        train(trio, ENV, SHARED, "recurrent_ppo", WINDOW, progress=False)
    with pytest.raises(UserError, match="shared is for several assets, and BTC is alone"):
        train(simulated, ENV, SHARED, "ppo", WINDOW, progress=False)
