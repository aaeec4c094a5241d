"""What is saved comes back to the bit; what does not fit, or is not whole, is refused in one line."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from configs.errors import UserError
from data.scaling import Scaler
from encoders import ENCODERS
from encoders.checkpoint import FORMAT, SETTINGS, WEIGHTS, Checkpoint, digest
from encoders.model import ForecastModel
from encoders.scale import TargetScale
from tests.encoders.planted import WINDOW, Pieces, tiny


def refused(folder: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        Checkpoint.load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Other weights, with settings that vouch for them."""
    raw = safetensors.torch.save(weights)
    (folder / WEIGHTS).write_bytes(raw)
    stored = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**stored, "weights": digest(raw)}))


def test_save_and_load_to_the_bit(checkpoint: Checkpoint, tmp_path: Path) -> None:
    again = Checkpoint.load(checkpoint.save(tmp_path / "a"))
    assert again.fingerprint == checkpoint.fingerprint
    assert again.settings() == checkpoint.settings()
    assert all(torch.equal(value, again.weights[name]) for name, value in checkpoint.weights.items())
    x = torch.randn(3, 2, WINDOW, 4)
    for found, wanted in zip(again.model()(x), checkpoint.model()(x)):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_every_encoder_comes_back(name: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    fresh = ForecastModel.build(4, tiny(name), TargetScale(1.0, 1.0), assets=2).eval()
    stored = dataclasses.replace(checkpoint, encoder=tiny(name), weights=fresh.state_dict(), scale=fresh.scale)
    again = Checkpoint.load(stored.save(tmp_path)).model()
    x = torch.randn(3, 2, WINDOW, 4)
    assert torch.equal(again.encode(x), fresh.encode(x))


def test_fine_tuning_leaves_the_checkpoint_alone(checkpoint: Checkpoint) -> None:
    before = checkpoint.fingerprint
    model = checkpoint.model().train()
    model.encode(torch.randn(3, 2, WINDOW, 4)).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= parameter.grad
    assert dataclasses.replace(checkpoint).fingerprint == before


def test_damage_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no checkpoint at")
    folder = checkpoint.save(tmp_path)
    raw = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(raw[:-7])
    refused(folder, "damaged")
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(flipped))
    refused(folder, "damaged")
    (folder / WEIGHTS).write_bytes(raw)
    settings = (folder / SETTINGS).read_text()
    (folder / SETTINGS).write_text(settings[: len(settings) // 2])
    refused(folder, "checkpoint.json is damaged")
    (folder / SETTINGS).write_text(settings.replace(f'"format": {FORMAT}', '"format": 99'))
    refused(folder, "format 99")
    stored = json.loads(settings)
    for wrong in ({"encoder": []}, {"scale": None}, {"context": "sequence"}, {"window": 0}, {"window": "48"}):
        (folder / SETTINGS).write_text(json.dumps({**stored, **wrong}))
        refused(folder, "not complete")
    del stored["window"]
    (folder / SETTINGS).write_text(json.dumps(stored))
    refused(folder, "not complete.*window")


def test_weights_of_the_wrong_shape_or_nan_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path)
    rewrite(folder, {**checkpoint.weights, "heads.volatility.bias": torch.zeros(2)})
    refused(folder, r"'heads.volatility.bias' has shape \(2,\).*needs \(1,\)")
    rewrite(folder, {name: value for name, value in checkpoint.weights.items() if name != "encoder.now.bias"})
    refused(folder, "'encoder.now.bias' has shape missing")
    rewrite(folder, {**checkpoint.weights, "heads.volatility.bias": torch.full((1,), torch.nan)})
    refused(folder, "'heads.volatility.bias' holds NaN")


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "owned")


def test_nothing_is_unpickled(checkpoint: Checkpoint, tmp_path: Path) -> None:
    target = tmp_path / "owned"
    raw = pickle.dumps(Payload(target))
    folder = checkpoint.save(tmp_path / "a")
    (folder / WEIGHTS).write_bytes(raw)
    stored = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps({**stored, "weights": digest(raw)}))
    refused(folder, "no safetensors file")
    (folder / SETTINGS).write_bytes(raw)
    refused(folder, "damaged")
    assert not target.exists()


def test_what_does_not_fit_is_named(checkpoint: Checkpoint, pieces: Pieces) -> None:
    market, scaler = pieces.market, pieces.scaler
    checkpoint.check_fits(market, scaler, WINDOW)
    with pytest.raises(UserError, match="missing lead; unknown rsi"):
        checkpoint.check_fits(dataclasses.replace(market, columns=("noise_a", "rsi", "noise_b", "noise_c")), scaler)
    with pytest.raises(UserError, match="another order"):
        checkpoint.check_fits(dataclasses.replace(market, columns=("lead", "noise_a", "noise_b", "noise_c")), scaler)
    with pytest.raises(UserError, match="another scaler"):
        checkpoint.check_fits(market, Scaler(market.columns, np.zeros(4) + 1e-9, np.ones(4), 8.0))
    with pytest.raises(UserError, match=f"windows of {WINDOW} bars, not 9"):
        checkpoint.check_fits(market, scaler, 9)


def test_the_span_it_saw_is_kept(checkpoint: Checkpoint, pieces: Pieces) -> None:
    assert (checkpoint.trained.start, checkpoint.trained.stop) == (0, pieces.split.train.stop)
    assert checkpoint.trained.last == str(pieces.market.time[pieces.split.train.stop - 1])
    assert checkpoint.market == pieces.market.fingerprint
