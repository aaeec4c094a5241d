"""Several encoders at once, and the ensemble's forecast beside them: what is seen, learnt, stored and refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import ALGOS, LEVEL
from agents.algos.recipe import Task, make_policy
from agents.audit import Watched, audit, newborn, watched_in
from agents.bundle import SETTINGS, Bundle
from agents.config import ExtractorConfig
from agents.experiment import load_experiment
from agents.extractors import Gate, RowExtractor
from agents.feature_table import ensemble_block, publish
from agents.sight import BESIDE, ENSEMBLE, Sight, table_for
from agents.supervised import ensemble_of, sight_of
from agents.train import train
from configs.errors import UserError
from data.dataset import Dataset, load_dataset
from encoders.ensemble.config import EnsembleConfig, FusionConfig
from encoders.ensemble.ensemble import Ensemble
from encoders.ensemble.heldout import held_out, without_block
from encoders.ensemble.train import train_ensemble
from encoders.forecast import Forecast
from encoders.trees.config import TreeConfig
from encoders.trees.fit import fit_trees
from envs.engine import Engine
from envs.observations import observation_space
from tests.agents.audited import CONFIG, HONEST, LATER, RAW
from tests.agents.small import AGENT, DATA, ENV, NET, WINDOW, tiny_encoder
from tests.agents.test_combinations import assert_comes_back, observations

PLAIN = FusionConfig(combiner="equal", direction="none", volatility="none", interval="none")


def seeing(**extractor):
    return replace(AGENT, extractor=ExtractorConfig(**extractor))


def fused(dataset: Dataset, members: tuple[str, ...] = ("lstm", "forest"), fusion: FusionConfig = PLAIN
          ) -> tuple[Ensemble, dict[str, Forecast]]:
    """A small ensemble of a dataset; its forest has leaves enough to remember what it was shown."""
    return train_ensemble(
        dataset, DATA.labels, WINDOW, EnsembleConfig(members=members, fusion=fusion), 0,
        net_of=lambda name, seed: tiny_encoder(dataset, name, seed),
        trees_of=lambda kind: fit_trees(dataset.market, dataset.labels, dataset.split, dataset.scaler, WINDOW,
                                        TreeConfig(name=kind, trees=20, leaves=64, least=1, columns=0.5),
                                        progress=False))


@pytest.fixture(scope="module")
def ensemble(simulated) -> Ensemble:
    return fused(simulated)[0]


def table_of(dataset: Dataset, sight, agent):
    return table_for(dataset.market, sight, agent, "cpu", None, dataset.market.decision_rows(WINDOW,
                                                                                            dataset.split.train))


@pytest.mark.parametrize(("algo", "join"), [*((algo, "gated") for algo in ALGOS), ("ppo", "concat"), ("dqn", "concat")])
def test_several_encoders_train_and_come_back(algo, join, simulated, encoder_of, tmp_path):
    env = ENV if LEVEL in ALGOS[algo].chooses else replace(ENV, action="weights")
    sight = Sight(encoder_of("lstm"), (encoder_of("transformer"), encoder_of("tcn")))
    bundle = train(simulated, env, seeing(beside=("transformer", "tcn"), join=join, width=5), algo, WINDOW, sight,
                   progress=False)
    assert bundle.name == f"{algo} + lstm+transformer+tcn"
    assert_comes_back(bundle, simulated, tmp_path)
    assert {path.name for path in (tmp_path / "bundle" / BESIDE).iterdir()} == {"transformer", "tcn"}
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def test_encoders_stand_side_by_side_in_the_table(simulated, encoder_of):
    alone = {name: table_of(simulated, encoder_of(name), AGENT) for name in ("lstm", "transformer")}
    both = table_of(simulated, Sight(encoder_of("lstm"), (encoder_of("transformer"),)), seeing(beside=("transformer",)))
    np.testing.assert_array_equal(both.values, np.hstack([alone["lstm"].values, alone["transformer"].values]))
    assert both.blocks == (alone["lstm"].dim, alone["transformer"].dim)
    assert "score:BTC" in both.scaler.columns
    assert "transformer.score:BTC" in both.scaler.columns


def test_features_may_stand_beside_an_encoder(simulated, encoder_of):
    table = table_of(simulated, Sight(beside=(encoder_of("lstm"),)), seeing(beside=("lstm",)))
    assert table.blocks[0] == len(simulated.market.columns)
    assert table.dim == table.blocks[0] + table_of(simulated, encoder_of("lstm"), AGENT).dim


def test_assets_keep_their_columns_together(pair):
    checkpoints = [tiny_encoder(pair, name) for name in ("lstm", "gru")]
    table = table_of(pair, Sight(checkpoints[0], (checkpoints[1],)), seeing(beside=("gru",)))
    assert [name.split(":")[1] for name in table.scaler.columns] == ["BTC"] * table.each + ["ETH"] * table.each
    assert table.values.shape[1] == 2 * sum(table.blocks)


def test_a_gate_begins_as_a_mean_and_learns_whom_to_believe(simulated, encoder_of, ensemble):
    """The target is one encoder's number on rows where a third says so, and another's elsewhere."""
    sight = Sight(encoder_of("lstm"), (encoder_of("transformer"),), ensemble)
    table = table_of(simulated, sight, seeing(beside=("transformer",), join="gated", ensemble=True))
    torch.manual_seed(0)
    gate = Gate(table, width=1)
    rows = simulated.market.decision_rows(WINDOW, simulated.split.train)
    seen = torch.from_numpy(table.values[rows]).unflatten(1, (1, -1))
    first, second = seen.split([*table.blocks, gate.rest], dim=2)[:2]
    views = torch.cat([gate.views[0](first), gate.views[1](second)], dim=2)
    torch.testing.assert_close(gate(seen)[..., 0], views.mean(dim=2))
    assert torch.equal(gate(seen)[..., 1:], seen[..., sum(table.blocks) :]), "the ensemble's view is passed on"

    decides = seen[..., -1] > seen[..., -1].median()  # what its members disagree on
    target = torch.where(decides, first[..., 0], second[..., 0])
    learner = torch.optim.Adam(gate.parameters(), lr=0.05)
    for _ in range(300):
        loss = (gate(seen)[..., 0] - target).square().mean()
        learner.zero_grad()
        loss.backward()
        learner.step()
    weights = torch.softmax(gate.weigh(seen), dim=2)[..., 0]
    assert weights[decides].mean() > 0.8 > 0.2 > weights[~decides].mean()


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_policy_begins_with_equal_weights_and_moves_them(algo, simulated, encoder_of, ever_better):
    agent = seeing(beside=("transformer",), join="gated")
    sight = Sight(encoder_of("lstm"), (encoder_of("transformer"),))
    table = table_of(simulated, sight, agent)
    policy = make_policy(algo, Task(agent, ENV, 1, simulated.market.assets), publish(table),
                         observation_space(Engine(simulated.market, ENV, 1, WINDOW), "row"), ENV.actions(1).space)
    gates = [part for part in policy.modules() if isinstance(part, Gate)]
    assert gates
    assert not any(gate.weigh.weight.any() for gate in gates), "SB3 draws the linear layers of extractors anew"
    weights = train(simulated, ENV, agent, algo, WINDOW, sight, progress=False).weights
    moved = [value.abs().max() for name, value in weights.items() if "gate.weigh" in name]
    assert max(moved) > 0


def test_rows_only_index_a_gate_too(simulated, encoder_of):
    sight = Sight(encoder_of("lstm"), (encoder_of("transformer"),))
    table = table_of(simulated, sight, seeing(beside=("transformer",), join="gated"))
    engine = Engine(simulated.market, ENV, 1, WINDOW)
    extractor = RowExtractor(observation_space(engine, "row"), publish(table), (0,), gated=7)
    assert extractor.features_dim == 7 + 1
    seen = {name: torch.from_numpy(value)
            for name, value in observations(simulated.market, simulated.split.test).items()}
    before, moved = extractor(seen), torch.randperm(len(simulated.market))
    shuffled = torch.full_like(extractor.lookup.table, torch.nan)
    shuffled[moved] = extractor.lookup.table
    extractor.lookup.table = shuffled
    assert torch.equal(extractor({**seen, "row": moved[seen["row"].long()]}), before)


def test_networks_read_one_table(simulated, encoder_of):
    table = table_of(simulated, encoder_of("lstm"), AGENT)
    task = Task(AGENT, replace(ENV, action="weights"), 1, simulated.market.assets)
    engine = Engine(simulated.market, task.env, 1, WINDOW)
    policy = make_policy("sac", task, publish(table), observation_space(engine, "row"), task.env.actions(1).space)
    places = {part.table.data_ptr() for part in policy.modules() if hasattr(part, "table")}
    assert places == {table.values.__array_interface__["data"][0]}
    assert sum(hasattr(part, "table") for part in policy.modules()) == 3, "actor, critics and their target"


def test_the_ensembles_forecast_is_seen_whole(simulated, encoder_of, ensemble):
    table = table_of(simulated, Sight(encoder_of("lstm"), (), ensemble), seeing(ensemble=True))
    alone = table_of(simulated, encoder_of("lstm"), AGENT)
    names = [name.split(":")[0] for name in table.scaler.columns[alone.dim :]]
    assert names == [f"ensemble.{name}" for name in ("down", "flat", "up", "quantile_0", "quantile_1", "quantile_2",
                                                     "volatility", "epistemic")]
    said = ensemble.forecast(simulated.market)
    rows = simulated.market.decision_rows(WINDOW)
    wanted = np.concatenate([said.direction[:, 0], said.quantiles[:, 0], said.volatility, said.epistemic], axis=1)
    back = table.values[:, alone.dim :] * table.scaler.scale[alone.dim :] + table.scaler.center[alone.dim :]
    inside = np.abs(table.values[rows, alone.dim :]) < table.scaler.clip
    assert inside.mean() > 0.95
    np.testing.assert_allclose(back[rows][inside], wanted[rows][inside], rtol=1e-4, atol=1e-6)
    assert np.ptp(said.epistemic[rows]) > 0


def test_an_agent_keeps_its_ensemble(simulated, encoder_of, ensemble, tmp_path):
    said = ensemble.forecast(simulated.market)
    bundle = train(simulated, ENV, seeing(ensemble=True), "ppo", WINDOW, Sight(encoder_of("lstm"), (), ensemble, said),
                   progress=False, folder=tmp_path / "run")
    assert bundle.name == "ppo + lstm+ensemble"
    assert bundle.sight.said is None, "on another market the ensemble speaks for itself"
    assert_comes_back(bundle, simulated, tmp_path)
    later = simulated.market.slice(slice(900, 1_500))  # whose forecasts it has to make by itself
    Bundle.load(tmp_path / "run" / "bundle").policy(later).predict(observations(later, slice(100, 200)))


def log_loss(said: Forecast, dataset: Dataset, rows: np.ndarray) -> float:
    rows = rows[dataset.labels.known[rows]]
    return -float(np.log(np.take_along_axis(said.direction[rows], dataset.labels.direction[rows][..., None], 2)).mean())


def test_held_out_forecasts_do_not_flatter(simulated):
    """A forest that remembers what it was shown is all but certain of the rows that taught it. What is said of rows
    held out looks as it will look on rows to come."""
    taught = fused(simulated, ("forest",))[0].forecast(simulated.market)
    said = held_out(taught, simulated, WINDOW, 3, 4, lambda part, fold: fused(part, ("forest",)))
    past, to_come = (simulated.market.decision_rows(WINDOW, span)
                     for span in (simulated.split.train, simulated.split.test))
    later = log_loss(taught, simulated, to_come)
    assert log_loss(taught, simulated, past) < 0.5 * later
    assert 0.85 * later < log_loss(said, simulated, past) < 1.15 * later
    for name in ("direction", "quantiles", "volatility", "epistemic"):
        np.testing.assert_array_equal(getattr(said, name)[simulated.split.train.stop :],
                                      getattr(taught, name)[simulated.split.train.stop :])


def test_a_block_is_forecast_by_those_who_know_none_of_its_labels(simulated):
    """Its labels are turned round: what is said of it stays, to the bit."""
    part, block, _ = without_block(simulated, WINDOW, 3, 4)[1]
    labels = simulated.labels
    inside = np.zeros((len(simulated.market), 1), bool)
    inside[block.start - labels.reach : block.stop] = True  # labels before it tell of its bars
    turned = replace(simulated, labels=replace(
        labels, forward=np.where(inside, -labels.forward, labels.forward),
        direction=np.where(inside & (labels.direction >= 0), 2 - labels.direction, labels.direction)))
    whole = fused(simulated, ("forest",))[0].forecast(simulated.market)
    said, other = (held_out(whole, data, WINDOW, 3, 4, lambda part, fold: fused(part, ("forest",)))
                   for data in (simulated, turned))
    np.testing.assert_array_equal(said.direction[block], other.direction[block])
    before = slice(WINDOW, block.start - labels.reach)
    assert not np.array_equal(said.direction[before], other.direction[before]), "the other blocks learn from it"
    assert part.labels.known[block].sum() == 0


def test_an_experiment_gives_what_its_agent_asks_for(tmp_path):
    config = load_experiment([
        "--runs", str(tmp_path), "--progress", "False", "--encoder", "lstm", "--agent.extractor.beside", "gru",
        "--agent.extractor.join", "gated", "--agent.extractor.ensemble", "True", "--agent.extractor.folds", "2",
        "--ensemble.members", "gru", "--ensemble.fusion.combiner", "equal", "--data.simulator.bars", "1200",
        "--data.groups", "returns", "--data.window", str(WINDOW), "--data.labels.horizon", "4", "--pretrain.epochs",
        "1", "--pretrain.rows_per_epoch", "64", "--net.width", "8",
    ])
    dataset = load_dataset(config.data)
    ensemble, _ = ensemble_of(config, dataset, "cpu")
    sight = sight_of(config, dataset, "cpu", ensemble)
    assert sight.name == "lstm+gru+ensemble"
    assert config.folder.name == "ppo-lstm+gru-seed0"
    assert len(list((tmp_path / "cache").glob("gru-*"))) == 3, "the ensemble's own, and one of each fold"
    whole = ensemble.forecast(dataset.market)
    inside, outside = dataset.split.train, slice(dataset.split.train.stop, None)
    assert not np.array_equal(sight.said.direction[inside], whole.direction[inside], equal_nan=True)
    np.testing.assert_array_equal(sight.said.direction[outside], whole.direction[outside])
    sight.check(config.agent.extractor)


def test_an_audit_watches_all_of_it():
    config = load_experiment(["--encoder", "lstm", "--agent.extractor.beside", "gru", "--agent.extractor.ensemble",
                              "True", "--agent.extractor.join", "gated", "--ensemble.members", "gru", "tcn", "forest"])
    config = replace(config, data=CONFIG, env=ENV, net=replace(NET, name="lstm"))
    watched = watched_in(config, HONEST)
    found = audit(RAW, CONFIG, watched, [LATER], kinds=("noise",))
    assert found.lines() == []
    assert {"embeddings of gru", "actions of ppo + lstm+gru+ensemble", "values of ppo + lstm+gru+ensemble"} <= set(
        found.outputs)


def test_an_audit_finds_an_ensemble_that_reads_ahead(monkeypatch):
    """A planted fault: each row shows what the ensemble will say of the next."""
    config = load_experiment(["--encoder", "none", "--agent.extractor.ensemble", "True", "--ensemble.members", "gru"])
    config = replace(config, data=CONFIG, env=ENV)
    watched = watched_in(config, HONEST)
    [bundle] = watched.bundles.values()
    honest = Ensemble.forecast

    def one_ahead(self, market):
        said = honest(self, market)
        return said[np.minimum(np.arange(len(market)) + 1, len(market) - 1)]

    monkeypatch.setattr(Ensemble, "forecast", one_ahead)
    found = audit(RAW, CONFIG, Watched(ENV, WINDOW, {}, {"agent": bundle}), [LATER], kinds=("noise",))
    assert "values of agent" in {finding.output for finding in found.findings}


def test_newborns_may_be_given_a_lone_checkpoint(encoder_of, simulated):
    config = replace(load_experiment(["--encoder", "lstm"]), data=DATA, env=ENV)
    assert newborn(simulated, config, encoder_of("lstm")).name == "ppo + lstm"


@pytest.mark.parametrize(("extractor", "sight", "said"), [
    ({"beside": ("gru",)}, lambda eye: Sight(eye("lstm")), "beside asks for gru, given none"),
    ({}, lambda eye: Sight(eye("lstm"), (eye("gru"),)), "beside asks for no encoder, given gru"),
    ({"beside": ("lstm",)}, lambda eye: Sight(eye("lstm"), (eye("lstm"),)), "cannot stand beside itself"),
    ({"ensemble": True}, lambda eye: Sight(eye("lstm")), "no ensemble is given"),
])
def test_settings_and_sight_must_agree(extractor, sight, said, simulated, encoder_of):
    with pytest.raises(UserError, match=said):
        train(simulated, ENV, seeing(**extractor), "ppo", WINDOW, sight(encoder_of), progress=False)


def test_forecasts_of_another_market_are_refused(simulated, encoder_of, ensemble):
    sight = Sight(encoder_of("lstm"), (), ensemble, ensemble.forecast(simulated.market)[:-1])
    with pytest.raises(UserError, match="are not of this market of 1500"):
        table_of(simulated, sight, seeing(ensemble=True))


@pytest.mark.parametrize(("argv", "said"), [
    (["--agent.extractor.beside", "lstmm"], "did you mean 'lstm'"),
    (["--agent.extractor.beside", "lstm", "lstm"], "names each encoder once"),
    (["--agent.extractor.beside", "transformer"], "cannot stand beside itself"),
    (["--agent.extractor.join", "gated"], "name more in agent.extractor.beside"),
    (["--agent.extractor.join", "summed"], "unknown agent.extractor.join 'summed'"),
    (["--agent.extractor.folds", "1"], "0 or at least 2 blocks"),
    (["--agent.extractor.unfreeze", "0.5"], "about an encoder that is fine-tuned"),
    (["--encoder", "none", "--agent.extractor.finetune", "True"], "finetune needs an encoder"),
    (["--agent.finetune", "True"], "did you mean 'agent.extractor.finetune'"),
])
def test_what_makes_no_sense_is_said_before_any_work(argv, said):
    with pytest.raises(UserError, match=said):
        load_experiment(argv)


@pytest.mark.parametrize("lost", [Path(BESIDE) / "gru", Path(ENSEMBLE)])
def test_a_bundle_without_its_eyes_is_refused(lost, simulated, encoder_of, ensemble, tmp_path):
    agent = replace(seeing(beside=("gru",), ensemble=True), steps=64, validations=1)
    bundle = train(simulated, ENV, agent, "ppo", WINDOW, Sight(encoder_of("lstm"), (encoder_of("gru"),), ensemble),
                   progress=False)
    bundle.save(tmp_path)
    shutil.rmtree(tmp_path / lost)
    with pytest.raises(UserError, match=r"no checkpoint at|no ensemble at"):
        Bundle.load(tmp_path)


def test_a_name_that_leads_out_of_the_folder_is_refused(simulated, encoder_of, tmp_path):
    bundle = train(simulated, ENV, replace(seeing(beside=("gru",)), steps=64, validations=1), "ppo", WINDOW,
                   Sight(encoder_of("lstm"), (encoder_of("gru"),)), progress=False)
    bundle.save(tmp_path)
    text = (tmp_path / SETTINGS).read_text()
    (tmp_path / SETTINGS).write_text(text.replace('"gru"', '"../encoder"'))
    with pytest.raises(UserError, match="unknown"):
        Bundle.load(tmp_path)


def test_a_lone_net_has_nobody_to_disagree_with():
    alone = Forecast(np.full((2, 1, 3), 1 / 3), np.zeros((2, 1, 3)), np.ones((2, 1)))
    assert ensemble_block(alone).values[..., -1].tolist() == [[0.0], [0.0]]
