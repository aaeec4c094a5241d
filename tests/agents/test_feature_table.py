"""What is looked up by row: the row only indexes, and the table never travels with the policy."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.algos.recipe import Task, network_of, recipe_of
from agents.extractors import RowExtractor
from agents.feature_table import PUBLISHED, encoder_block, make_table, market_block, publish, side_by_side
from agents.sight import table_for
from agents.train import train
from configs.errors import UserError
from encoders.embed import embed
from envs.observations import account_names
from tests.agents.small import AGENT, ENV, WINDOW

SPACE = spaces.Dict({"row": spaces.Box(0, 1_499, (1,), np.int32), "account": spaces.Box(-20, 20, (7,), np.float32)})


def observed(rows: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    account = np.random.default_rng(seed).uniform(-1, 1, (len(rows), 8)).astype(np.float32)
    return {"row": rows.astype(np.int32)[:, None], "account": account}


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("encoder", ["none", "transformer"])
def test_the_row_may_only_index(algo, encoder, simulated, encoder_of):
    """Rows and table are moved together by one permutation: every action stays."""
    checkpoint = None if encoder == "none" else encoder_of(encoder)
    bundle = train(simulated, ENV, AGENT, algo, WINDOW, checkpoint, progress=False)
    policy = bundle.policy(simulated.market)
    rows = simulated.market.decision_rows(WINDOW, simulated.split.test)
    moved = np.random.default_rng(1).permutation(len(simulated.market))
    networks = [policy.q_net, policy.q_net_target] if algo == "dqn" else [policy]
    before = logits(policy, algo, observed(rows))
    assert not torch.equal(before, logits(policy, algo, observed(rows - 1))), "the table does matter"
    for network in networks:
        lookup = network.features_extractor.lookup
        table = torch.full_like(lookup.table, torch.nan)
        table[torch.from_numpy(moved)] = lookup.table  # row r now stands at moved[r]
        lookup.table = table
    after = logits(policy, algo, observed(moved[rows]))
    assert torch.equal(before, after)


def logits(policy, algo: str, observation) -> torch.Tensor:
    """What the actions are chosen by; finer than the actions."""
    tensors = {name: torch.from_numpy(value) for name, value in observation.items()}
    with torch.no_grad():
        return policy.q_net(tensors) if algo == "dqn" else policy.get_distribution(tensors).distribution.logits


def test_the_table_stands_in_policy_kwargs_by_its_key_alone(simulated, encoder_of):
    rows = simulated.market.decision_rows(WINDOW, simulated.split.train)
    table = table_for(simulated.market, encoder_of("transformer"), AGENT, "cpu", None, rows)
    task = Task(AGENT, ENV, 1, simulated.market.assets)
    kwargs = network_of(recipe_of("ppo", task), task, publish(table))
    assert kwargs["features_extractor_kwargs"]["table"] == table.key
    assert len(pickle.dumps(kwargs)) < 2_000 < table.values.nbytes


def test_the_table_is_no_part_of_the_weights(simulated):
    bundle = train(simulated, ENV, AGENT, "ppo", WINDOW, progress=False)
    assert max(value.numel() for value in bundle.weights.values()) < len(simulated.market)
    assert not [name for name in bundle.weights if "table" in name]


def test_the_key_tells_tables_apart(simulated):
    rows = np.arange(200, 600)
    table = make_table(simulated.market, None, rows)
    same = make_table(simulated.market, None, rows)
    features = simulated.market.features.copy()
    features[700, 0, 0] += 1e-3
    other = make_table(replace(simulated.market, features=features), None, rows)
    assert table.key == same.key != other.key
    assert PUBLISHED[publish(table)] is table


def test_an_unknown_key_is_refused(simulated):
    with pytest.raises(UserError, match=r"no table nowhere in this process.*Bundle"):
        RowExtractor(SPACE, "nowhere", (0,))


def test_the_policy_sees_the_numbers_of_the_account_that_were_asked_for(simulated):
    names = account_names(simulated.market.assets)
    table = make_table(simulated.market, None, np.arange(200, 600))
    task = Task(replace(AGENT, account=("weight", "remaining")), ENV, 1, simulated.market.assets)
    kwargs = network_of(recipe_of("ppo", task), task, publish(table))
    chosen = kwargs["features_extractor_kwargs"]["account"]
    assert [names[i] for i in chosen] == ["weight:BTC", "remaining"]
    extractor = RowExtractor(SPACE, table.key, chosen)
    rows = np.array([300, 301])
    account = np.arange(2 * len(names), dtype=np.float32).reshape(2, -1)
    found = extractor({"row": torch.from_numpy(rows)[:, None].float(), "account": torch.from_numpy(account)})
    np.testing.assert_array_equal(found[:, :-2], table.values[rows])
    np.testing.assert_array_equal(found[:, -2:], account[:, [0, 7]])


def test_a_table_is_scaled_on_training_rows_alone(simulated):
    rows = simulated.market.decision_rows(WINDOW, simulated.split.train)
    before = make_table(simulated.market, None, rows)
    features = simulated.market.features.copy()
    features[simulated.split.train.stop :] *= 3
    after = make_table(replace(simulated.market, features=features), None, rows)
    np.testing.assert_array_equal(before.scaler.center, after.scaler.center)
    np.testing.assert_array_equal(before.scaler.scale, after.scaler.scale)
    np.testing.assert_array_equal(before.values[rows], after.values[rows])
    with pytest.raises(UserError, match="needs training rows"):
        make_table(simulated.market, None)


def test_rows_without_a_window_are_nan_and_the_others_are_not(simulated, encoder_of):
    rows = simulated.market.decision_rows(WINDOW, simulated.split.train)
    table = table_for(simulated.market, encoder_of("lstm"), AGENT, "cpu", None, rows)
    inside = np.isin(np.arange(len(simulated.market)), simulated.market.decision_rows(WINDOW))
    assert np.isnan(table.values[~inside]).all()
    assert np.isfinite(table.values[inside]).all()


def test_an_encoder_hands_over_embedding_and_forecast(pair, encoder_of, simulated):
    embeddings = embed(encoder_of("lstm"), simulated.market)
    values, names = side_by_side(simulated.market, [encoder_block(embeddings)])
    assert values.shape == (len(simulated.market), 1, len(names))
    assert len(names) == embeddings.dim + 1 + 3 + 1
    at = int(simulated.market.decision_rows(WINDOW)[50])
    said = embeddings.forecast
    assert values[at, 0, names.index("score:BTC")] == said.direction[at, 0, 2] - said.direction[at, 0, 0]
    assert values[at, 0, names.index("volatility:BTC")] == said.volatility[at, 0]
    _, alone = side_by_side(simulated.market, [encoder_block(embeddings, forecast=False)])
    assert len(alone) == embeddings.dim
    _, both = side_by_side(pair.market, [market_block(pair.market)])
    assert both == tuple(f"{column}:{asset}" for asset in ("BTC", "ETH") for column in pair.market.columns)


def test_an_agent_is_not_scaled_with_columns_it_does_not_know(simulated, encoder_of):
    rows = simulated.market.decision_rows(WINDOW, simulated.split.train)
    scaler = make_table(simulated.market, None, rows).scaler
    with pytest.raises(UserError, match="this agent was trained on"):
        make_table(simulated.market, [encoder_block(embed(encoder_of("lstm"), simulated.market))], scaler=scaler)
