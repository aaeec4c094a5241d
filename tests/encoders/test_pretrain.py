import dataclasses

import numpy as np
import pytest
import torch

from configs.errors import UserError
from configs.loader import parse, preset
from encoders import ENCODERS
from encoders.batches import Windows, labelled_rows
from encoders.checkpoint import Checkpoint
from encoders.pretrain import pretrain
from encoders.pretrained import checkpoint_key, pretrained
from encoders.training.config import PretrainConfig
from tests.encoders.planted import QUICK, WINDOW, Pieces, planted, tiny


def train(pieces: Pieces, name: str = "transformer", config: PretrainConfig = QUICK, **more) -> Checkpoint:
    return pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny(name), config,
                    progress=False, **more)


def same_weights(one: Checkpoint, other: Checkpoint) -> bool:
    return all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_planted_lead_is_learnt(pieces: Pieces, name: str) -> None:
    scores = train(pieces, name).scores
    assert scores["direction"] < scores["base_direction"] - 0.08
    assert scores["quantiles"] < 0.95 * scores["base_quantiles"]
    assert scores["accuracy"] > scores["base_accuracy"] + 0.08


def test_noise_teaches_nothing() -> None:
    scores = train(planted(lead=0.0)).scores
    assert abs(scores["direction"] - scores["base_direction"]) < 0.01
    assert scores["loss"] <= scores["base_loss"]  # the base rates are kept when nothing beats them


def test_the_same_seed_gives_the_same_weights_and_leaves_other_randomness_alone(pieces: Pieces,
                                                                               checkpoint: Checkpoint) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    again = train(pieces)
    assert torch.equal(torch.rand(3), wanted)
    assert same_weights(again, checkpoint)
    assert again.fingerprint == checkpoint.fingerprint
    assert not same_weights(train(pieces, seed=1), checkpoint)


def test_only_training_rows_teach(pieces: Pieces, checkpoint: Checkpoint) -> None:
    """Whatever happens in the test rows, or to the features between the spans, the weights stay to the bit."""
    features = pieces.market.features.copy()
    features[pieces.split.test] *= -3
    features[pieces.split.train.stop : pieces.split.valid.start - WINDOW + 1] += 7
    prices = pieces.market.prices.copy()
    prices[pieces.split.test] *= 2
    forward = pieces.labels.forward.copy()
    forward[pieces.split.test] = 9
    other = Pieces(dataclasses.replace(pieces.market, features=features, prices=prices),
                   dataclasses.replace(pieces.labels, forward=forward), pieces.split, pieces.scaler)
    assert same_weights(train(other), checkpoint)


def test_rows_never_touch_a_gap_nor_labels_of_the_next_span(pieces: Pieces) -> None:
    rows = labelled_rows(pieces.market, pieces.labels, WINDOW, pieces.split.train)
    assert torch.isfinite(Windows(pieces.market, WINDOW, "cpu")(rows)).all()
    assert rows.max() + pieces.labels.reach < pieces.split.train.stop
    assert np.isfinite(pieces.labels.forward[rows]).all()


def test_windows_are_those_of_the_market(pieces: Pieces) -> None:
    found = Windows(pieces.market, WINDOW, "cpu")(np.array([100, 300]))  # (B, N, W, F)
    for i, row in enumerate((100, 300)):
        np.testing.assert_array_equal(found[i], pieces.market.window_at(row, WINDOW).transpose(1, 0, 2))


def test_a_loss_that_is_no_number_says_where(pieces: Pieces) -> None:
    with pytest.raises(UserError, match=r"pass \d+, batch \d+.*loss is .*--pretrain.lr"):
        train(pieces, config=dataclasses.replace(QUICK, lr=1e30))


def test_scalars_reach_tensorboard(pieces: Pieces, tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(pieces, config=dataclasses.replace(QUICK, epochs=2), log_dir=tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "train/direction", "train/gradient", "valid/loss", "valid/quantiles", "valid/volatility",
            "valid/accuracy", "lr", "windows_per_second"} <= tags
    assert events.Tags()["images"] == ["valid/calibration", "valid/attention"]
    assert events.Images("valid/attention")[0].encoded_image_string.startswith(b"\x89PNG")


def test_a_fitting_checkpoint_is_used_again(pieces: Pieces, tmp_path, monkeypatch) -> None:
    config = dataclasses.replace(QUICK, epochs=1)
    arguments = (pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, tiny("lstm"), config, tmp_path)
    first = pretrained(*arguments, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint_key(*arguments[:3], *arguments[4:7])]

    def never(*_, **__):
        raise AssertionError("trained twice")

    monkeypatch.setattr("encoders.pretrained.pretrain", never)
    assert pretrained(*arguments, progress=False).fingerprint == first.fingerprint
    with pytest.raises(AssertionError, match="trained twice"):
        pretrained(*arguments, seed=1, progress=False)


def test_the_key_knows_every_ingredient(pieces: Pieces) -> None:
    base = (pieces.market, pieces.labels, pieces.split, WINDOW, tiny("lstm"), QUICK)
    other = planted(lead=0.5)
    keys = [checkpoint_key(*base), checkpoint_key(*base, seed=1),
            checkpoint_key(*base[:3], WINDOW + 1, *base[4:]),
            checkpoint_key(*base[:4], tiny("lstm", width=8), QUICK),
            checkpoint_key(*base[:5], dataclasses.replace(QUICK, lr=1e-3)), checkpoint_key(*base, "cuda"),
            checkpoint_key(other.market, *base[1:]), checkpoint_key(base[0], other.labels, *base[2:]),
            checkpoint_key(*base[:2], dataclasses.replace(pieces.split, train=slice(0, 500)), *base[3:])]
    assert len(set(keys)) == len(keys)
    assert checkpoint_key(*base) == keys[0]
    plain = (*base[:5], dataclasses.replace(QUICK, precision="fp32"))
    assert checkpoint_key(*plain, "cuda") == checkpoint_key(*plain, "cpu"), "the same numbers but for rounding"


def test_presets_and_settings() -> None:
    for name in ("small", "full"):
        parse(PretrainConfig, [], preset("pretrain", name))
    with pytest.raises(UserError, match="lr must be above 0, found -1"):
        PretrainConfig(lr=-1)
