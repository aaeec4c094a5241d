"""A bundle on disk: nothing in it can run code, and what is damaged or does not fit is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3.common.policies import BasePolicy

from agents.arena.tournament import agents_of, head_to_head, kind_of
from agents.bundle import SETTINGS, WEIGHTS, Bundle
from agents.config import ExtractorConfig
from agents.policy import StayOut
from agents.sight import table_for
from agents.train import train
from agents.watch.validation import Validation
from agents.weights import digest
from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from data.dataset import load_dataset
from data.splits import SplitConfig
from envs.execution import CostConfig
from tests.agents.small import AGENT, DATA, ENV, WINDOW

LEARNS_ON = replace(AGENT, extractor=ExtractorConfig(finetune=True))


@pytest.fixture(scope="module")
def bundle(simulated, encoder_of) -> Bundle:
    return train(simulated, ENV, AGENT, "ppo", WINDOW, encoder_of("lstm"), progress=False)


@pytest.fixture
def folder(bundle, tmp_path) -> Path:
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(work, *args) -> str:
    with pytest.raises(UserError) as caught:
        work(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(folder: Path, **changes) -> None:
    stored = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**stored, **changes}))


def test_nothing_in_the_folder_needs_to_be_unpickled(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    for path in files:
        start = path.read_bytes()[:4]
        assert not start.startswith((b"\x80", b"PK\x03\x04")), f"{path} begins like a pickle or a torch zip"


def test_saving_twice_and_over_an_older_bundle_gives_the_same_files(bundle, folder, simulated, encoder_of):
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    Bundle.load(folder).save(folder)
    after = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert before == after


def test_what_was_trained_on_is_written_down(folder, simulated):
    stored = json.loads((folder / SETTINGS).read_text())
    assert stored["market"] == simulated.market.fingerprint
    assert stored["scaler"]["columns"] == list(simulated.market.columns)
    assert stored["trained"] == {"train": [simulated.split.train.start, simulated.split.train.stop],
                                 "valid": [simulated.split.valid.start, simulated.split.valid.stop]}
    assert (stored["algo"], stored["encoder"], stored["window"]) == ("ppo", "lstm", WINDOW)


def test_a_missing_folder(tmp_path):
    message = refusal(Bundle.load, tmp_path / "nowhere")
    assert "no bundle in" in message
    assert "train_agent.py" in message


@pytest.mark.parametrize("name", [WEIGHTS, "encoder/weights.safetensors"])
def test_missing_weights(folder, name):
    (folder / name).unlink()
    refusal(Bundle.load, folder)


@pytest.mark.parametrize("name", [WEIGHTS, SETTINGS, "encoder/weights.safetensors", "encoder/checkpoint.json"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_half_a_file(folder, name, share):
    raw = (folder / name).read_bytes()
    (folder / name).write_bytes(raw[: int(len(raw) * share)])
    refusal(Bundle.load, folder)


@pytest.mark.parametrize("name", [WEIGHTS, "encoder/weights.safetensors"])
def test_a_flipped_bit_is_noticed(folder, name):
    """In the last tensor's mantissa: the file still parses and every weight is a number."""
    raw = bytearray((folder / name).read_bytes())
    raw[-2] ^= 0x10
    (folder / name).write_bytes(bytes(raw))
    assert "damaged" in refusal(Bundle.load, folder)


def test_a_flipped_bit_in_the_header_is_noticed(folder):
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[3] ^= 0x40  # the header's length
    (folder / WEIGHTS).write_bytes(bytes(raw))
    refusal(Bundle.load, folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers(bundle, tmp_path, value):
    weights = {name: tensor.clone() for name, tensor in bundle.weights.items()}
    name = next(iter(weights))
    weights[name].view(-1)[0] = value
    replace(bundle, weights=weights).save(tmp_path)
    message = refusal(Bundle.load, tmp_path)
    assert name in message
    assert "not numbers" in message


def test_settings_that_are_no_object_or_lack_a_key(folder):
    whole = json.loads((folder / SETTINGS).read_text())
    for key in whole:
        (folder / SETTINGS).write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        assert key in refusal(Bundle.load, folder)
    for text in ("[]", "null", '"bundle"', "{", "\xff\xfe"):
        (folder / SETTINGS).write_text(text, encoding="latin-1")
        refusal(Bundle.load, folder)


@pytest.mark.parametrize("found", [{}, {"format": 0}])
def test_a_bundle_of_an_earlier_version_is_not_called_damaged(folder, found):
    stored = json.loads((folder / SETTINGS).read_text())
    del stored["format"]
    stored["agent"]["finetune"] = False  # a key that is gone
    (folder / SETTINGS).write_text(json.dumps({**stored, **found}))
    message = refusal(Bundle.load, folder)
    assert "made by an earlier version" in message
    assert "train again" in message


@pytest.mark.parametrize(("changes", "said"), [
    ({"algo": "ppoo"}, ("unknown algo 'ppoo'", "did you mean 'ppo'?")),
    ({"algo": ["ppo"]}, ()),
    ({"agent": {"stepz": 1}}, ("stepz",)),
    ({"agent": 5}, ()),
    ({"env": {"action": "buy"}}, ("unknown env.action 'buy'",)),
    ({"window": "eight"}, ("damaged",)),
    ({"scaler": {"columns": ["a"]}}, ("damaged",)),
    ({"assets": 3}, ("damaged",)),
    ({"encoder": "none"}, ()),  # refused at the latest when the weights meet another input size
])
def test_settings_that_make_no_sense(folder, simulated, changes, said):
    edit(folder, **changes)
    message = refusal(lambda: Bundle.load(folder).policy(simulated.market))
    assert [part for part in said if part not in message] == []


def test_weights_of_another_size(folder, simulated):
    weights = load_file(folder / WEIGHTS)
    name = next(name for name, value in weights.items() if value.ndim == 2)
    weights[name] = torch.zeros(3, 3)
    save_file(weights, folder / WEIGHTS)
    refusal(lambda: Bundle.load(folder).policy(simulated.market))


def test_a_market_with_other_columns(bundle, simulated):
    market = simulated.market
    other = replace(market, columns=(*market.columns[:-1], "moon_phase"))
    message = refusal(bundle.policy, other)
    assert f"missing here {market.columns[-1]}" in message
    assert "unknown to it moon_phase" in message
    fewer = replace(market, columns=market.columns[1:], features=market.features[:, :, 1:])
    assert f"missing here {market.columns[0]}" in refusal(bundle.policy, fewer)


def test_a_market_with_the_same_columns_in_another_order(bundle, simulated):
    market = simulated.market
    turned = replace(market, columns=market.columns[::-1], features=market.features[:, :, ::-1].copy())
    message = refusal(bundle.policy, turned)
    assert "order" in message, "'missing none, unknown none' would leave the reader puzzled"


def test_a_market_with_another_number_of_assets(bundle, pair):
    message = refusal(bundle.policy, pair.market)
    assert "trades 1 assets (BTC)" in message
    assert "has 2 (BTC, ETH)" in message


def test_the_arena_refuses_a_market_that_was_split_and_scaled_otherwise(bundle, simulated):
    """The same columns, but scaled on other training rows: the numbers mean something else to these weights."""
    other = load_dataset(replace(DATA, split=SplitConfig(valid=0.35, test=0.35, embargo=4)))
    assert not np.array_equal(other.scaler.scale, simulated.scaler.scale)
    assert simulated.market.fingerprint in refusal(agents_of, [bundle], other, WINDOW, "cpu", None)
    assert "given twice" in refusal(agents_of, [bundle] * 3, simulated, WINDOW, "cpu", None)


def test_an_agent_that_was_chosen_on_test_rows_or_saw_other_windows_is_refused(bundle, simulated):
    """The market is the same to the bit, so its fingerprint cannot tell."""
    valid = bundle.trained["valid"]
    late = replace(bundle, trained={**bundle.trained, "valid": [valid[0], valid[1] + 100]})
    assert "test rows" in refusal(agents_of, [late], simulated, WINDOW, "cpu", None)
    assert "window" in refusal(agents_of, [replace(bundle, window=WINDOW + 1)], simulated, WINDOW, "cpu", None)


def teams(bundles, dataset) -> list[str]:
    return [one.team for one in agents_of(bundles, dataset, WINDOW, "cpu", None).values()]


def turned(bundle: Bundle, **changes) -> Bundle:
    """Another run, whose weights are others."""
    more = changes.get("seed", 0) + len(str(changes))
    return replace(bundle, weights={name: value + 1e-3 * more for name, value in bundle.weights.items()}, **changes)


def test_a_team_is_one_agent_of_several_seeds(bundle, simulated):
    seeds = [bundle, turned(bundle, seed=1), turned(bundle, seed=2, agent=replace(AGENT, save_every=1.0))]
    assert teams(seeds, simulated) == [bundle.name] * 3
    for change in ({"agent": replace(AGENT, gamma=0.5)}, {"env": replace(ENV, episode=50)}):
        other = turned(bundle, seed=3, **change)
        assert teams([*seeds, other], simulated) == [bundle.name] * 3 + [f"{bundle.name} (2)"]
    again = [turned(bundle), turned(bundle, seed=1, sight=replace(bundle.sight))]
    assert len({digest(one.weights) for one in (*seeds, *again)}) == 5
    assert teams([*seeds, *again], simulated) == [bundle.name] * 3 + [f"{bundle.name} (2)"] * 2, "one run of a seed"


def test_seeds_with_encoders_of_their_own_are_a_team(bundle, simulated):
    encoder = bundle.sight.checkpoint
    own = replace(encoder, weights={name: value * 0.99 for name, value in encoder.weights.items()})
    assert teams([bundle, turned(bundle, seed=1, sight=replace(bundle.sight, checkpoint=own))],
                 simulated) == [bundle.name] * 2
    wider = kind_of(replace(bundle, sight=replace(bundle.sight, checkpoint=replace(
        encoder, encoder=replace(encoder.encoder, width=16)))))
    assert wider != kind_of(bundle)


def test_a_scaler_without_scales_is_refused(folder):
    stored = json.loads((folder / SETTINGS).read_text())
    for wrong in ([0.0] * len(stored["table_scaler"]["scale"]), [1.0]):
        stored["table_scaler"]["scale"] = wrong
        (folder / SETTINGS).write_text(json.dumps(stored))
        assert "damaged" in refusal(Bundle.load, folder)


def test_a_new_market_of_the_same_kind_is_welcome(bundle, simulated):
    """More bars of the same columns: an agent goes on trading after its training market has ended."""
    longer = simulated.market.slice(slice(200, 1_400))
    policy = bundle.policy(longer)
    rows = longer.decision_rows(WINDOW)[-100:]
    seen = {"row": rows.astype(np.int32)[:, None], "account": np.zeros((100, 8), np.float32)}
    shifted = {**seen, "row": seen["row"] + 200}
    np.testing.assert_array_equal(policy.predict(seen, deterministic=True)[0],
                                  bundle.policy(simulated.market).predict(shifted, deterministic=True)[0])


def test_a_stream_is_not_fine_tuned_on_windows(bundle, simulated, encoder_of, monkeypatch):
    monkeypatch.setattr("agents.sight.embed", lambda *_: pytest.fail("it was embedded before the refusal"))
    stream = replace(encoder_of("lstm"), context="stream")
    message = refusal(table_for, simulated.market, stream, LEARNS_ON, "cpu", None)
    assert "--pretrain.context window" in message


class NoGood(Validation):
    """Looks that lose, whatever the policy does."""

    def run(self, policy):
        look = super().run(policy)
        return replace(look, equity=look.equity[0] * np.exp(-1e-4 * np.arange(len(look.equity))))


@pytest.mark.parametrize(("action", "levels"), [("levels", (-1, 0, 1)), ("levels", (-1, 1)), ("steps", (0, 1)),
                                                ("weights", (0, 1))])
def test_an_agent_that_never_beat_cash_stays_out(action, levels, simulated, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.train.Validation", NoGood)
    env = replace(ENV, action=action, levels=levels)
    for stay_out in (True, False):
        train(simulated, env, replace(AGENT, stay_out=stay_out), "ppo", WINDOW, folder=tmp_path, progress=False)
        bundle = Bundle.load(tmp_path / "bundle")
        assert bundle.stays_out == (stay_out and (action != "levels" or 0 in levels))
        trader = bundle.trader(simulated.market)
        if bundle.stays_out:
            look = Validation(simulated.market, env, WINDOW, simulated.split.test, parts=4).run(trader)
            assert look.metrics.trades == 0
            assert (look.equity == 1).all()
        else:
            assert isinstance(trader, BasePolicy)


@pytest.mark.parametrize("out", [True, False])
def test_who_stays_out_is_named_above_the_table(out, simulated, tmp_path):
    bundle = replace(train(simulated, ENV, AGENT, "ppo", WINDOW, progress=False), stays_out=out)
    report, _ = head_to_head([bundle], {}, None, simulated, ENV, WINDOW, BootstrapConfig(draws=100, block=10), tmp_path)
    said = "In cash, for nothing on the validation rows spoke for trading (agent.stay_out): ppo + none."
    assert report.about.endswith(said) == out
    assert (said in (tmp_path / "table.md").read_text()) == out


def test_an_agent_that_beat_cash_trades(simulated):
    agent = replace(AGENT, stay_out=True, steps=3_200, gamma=0.5)
    assert not train(simulated, replace(ENV, costs=CostConfig.flat_fee(0.0)), agent, "ppo", WINDOW,
                     progress=False).stays_out


def test_who_stays_out_answers_for_one_account_as_for_many():
    out = StayOut(np.array([1, 1]))
    assert out.predict({"row": np.zeros((3, 1), np.int32)})[0].tolist() == [[1, 1]] * 3
    assert out.predict({"row": np.zeros(1, np.int32)})[0].tolist() == [1, 1]


def test_a_folder_may_be_named_by_a_string(bundle, folder):
    assert digest(Bundle.load(str(folder)).weights) == digest(bundle.weights)
    assert "there is no such folder" in refusal(Bundle.load, folder / "elsewhere")
