"""What every encoder promises, over the whole table."""

import pytest
import torch

from configs.errors import UserError
from configs.loader import parse, preset
from encoders import ENCODERS
from encoders.base import Encoder, make_encoder
from encoders.config import EncoderConfig
from tests.encoders.planted import tiny

torch.set_num_threads(1)


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    torch.manual_seed(0)
    return make_encoder(5, tiny(request.param, layers=2)).eval()


def windows(batch: int = 3, assets: int = 2, window: int = 11) -> torch.Tensor:
    return torch.randn(batch, assets, window, 5, generator=torch.Generator().manual_seed(1))


def test_shapes_and_every_window_length(encoder: Encoder) -> None:
    for window in (1, 2, 11, 48):
        assert encoder.encode(windows(window=window)).shape == (3, 2, encoder.dim)


def test_a_window_is_read_by_itself(encoder: Encoder) -> None:
    x = windows()
    together = encoder.encode(x)
    for b in range(3):
        for n in range(2):
            alone = encoder.encode(x[b : b + 1, n : n + 1])
            torch.testing.assert_close(alone[0, 0], together[b, n], rtol=0, atol=1e-6)


def test_other_rows_of_a_batch_change_nothing_to_the_bit(encoder: Encoder) -> None:
    x, other = windows(), windows()
    other[2] += 1
    assert torch.equal(encoder.encode(x)[:2], encoder.encode(other)[:2])


def test_every_bar_and_every_weight_counts(encoder: Encoder) -> None:
    x = windows().requires_grad_()
    encoder.encode(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=(0, 1, 3)) > 0).all()
    unused = [name for name, p in encoder.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not unused


def test_eval_is_repeatable_and_training_drops(encoder: Encoder) -> None:
    x = windows()
    assert torch.equal(encoder.encode(x), encoder.encode(x))
    encoder.train()
    assert not torch.equal(encoder.encode(x), encoder.encode(x))


def test_stateful_ones_stream_as_they_encode(encoder: Encoder) -> None:
    x = windows()[:, 0]  # (B, T, F)
    if not encoder.stateful:
        with pytest.raises(NotImplementedError, match="carries no state"):
            encoder.stream(x)
        return
    full, final = encoder.stream(x)
    torch.testing.assert_close(full[:, -1], encoder.encode(x.unsqueeze(1))[:, 0], rtol=0, atol=1e-6)
    state, outputs = None, []
    for part in (x[:, :4], x[:, 4:5], x[:, 5:]):
        y, state = encoder.stream(part, state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, dim=1), full, rtol=0, atol=1e-6)
    torch.testing.assert_close(state, final, rtol=0, atol=1e-6)


def test_causal_ones_find_the_same_when_later_bars_change(encoder: Encoder) -> None:
    if not (encoder.causal and encoder.stateful):
        assert not encoder.causal, "a causal encoder that cannot stream needs a test of its own"
        return
    x = windows(window=40)[:, 0]
    changed = x.clone()
    changed[:, 25:] = changed[:, 25:].flip(1) * 5
    assert torch.equal(encoder.stream(x)[0][:, :25], encoder.stream(changed)[0][:, :25])


@pytest.mark.parametrize("name", ["attention_lstm", "transformer"])
def test_hour_weights_are_kept_for_pictures(name: str) -> None:
    encoder = make_encoder(5, tiny(name)).eval()
    assert encoder.hour_weights is None
    encoder.encode(windows(batch=3, assets=1))
    assert encoder.hour_weights.shape == (3, 11)
    torch.testing.assert_close(encoder.hour_weights.sum(1), torch.ones(3))


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("size", ["small", "full"])
def test_presets_build(name: str, size: str) -> None:
    config = parse(EncoderConfig, [], preset("encoder", f"{name}.{size}"))
    assert config.name == name
    with torch.device("meta"):
        make_encoder(70, config)


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"'transformr'.*did you mean 'transformer'"):
        EncoderConfig(name="transformr")
    with pytest.raises(UserError, match="width 30 must be a multiple of 2 x heads = 8"):
        EncoderConfig(width=30, heads=4)
    with pytest.raises(UserError, match=r"dropout must be .* found 1"):
        EncoderConfig(dropout=1.0)
