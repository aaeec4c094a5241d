"""What every encoder promises, over the whole table."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from configs.errors import UserError
from configs.loader import PRESETS, parse, preset
from encoders import ENCODERS, STATEFUL
from encoders.base import Encoder, make_encoder
from encoders.config import EncoderConfig
from encoders.layers import drop_nothing
from tests.encoders.planted import tiny

torch.set_num_threads(1)
CASES = {**{name: {"name": name} for name in ENCODERS}, "causal transformer": {"name": "transformer", "causal": True}}
PICTURED = ["attention_lstm", "bilstm", "tft", "transformer"]  # they weigh hours


def made(case: str, **changes: object) -> Encoder:
    """Three layers, so that blocks of every kind are there; attention looks back four bars; all assets are linked."""
    torch.manual_seed(0)
    encoder = make_encoder(5, tiny(**{**CASES[case], "layers": 3, "span": 4, **changes}), assets=2).eval()
    if case == "graph":
        encoder.edges.fill_(True)
    return encoder


@pytest.fixture(params=CASES)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return made(request.param)


@pytest.fixture(params=[case for case in CASES if made(case).causal])
def causal(request: pytest.FixtureRequest) -> Encoder:
    return made(request.param)


@pytest.fixture(params=[case for case in CASES if made(case).stateful])
def stateful(request: pytest.FixtureRequest) -> Encoder:
    return made(request.param)


def windows(batch: int = 3, assets: int = 2, window: int = 11) -> Tensor:
    return torch.randn(batch, assets, window, 5, generator=torch.Generator().manual_seed(1))


def in_pieces(encoder: Encoder, x: Tensor, lengths: list[int]) -> tuple[Tensor, object]:
    state, outputs = None, []
    for part in x.split(lengths, dim=1):
        y, state = encoder.stream(part, state)
        outputs.append(y)
    return torch.cat(outputs, dim=1), state


def test_who_promises_what() -> None:
    carrying = {"lstm", "gru", "residual_lstm", "deep_lstm", "cnn_lstm", "tcn", "mamba", "mamba_mhsa"}
    assert {case for case in CASES if made(case).stateful} == carrying
    assert {case for case in CASES if made(case).causal} == carrying | {"causal transformer"}


def test_the_table_of_those_that_carry_a_state_is_right() -> None:
    assert {name for name in ENCODERS if make_encoder(4, tiny(name)).stateful} == set(STATEFUL)


def test_shapes_and_every_window_length(encoder: Encoder) -> None:
    for window in (1, 2, 11, 48):
        assert encoder.encode(windows(window=window)).shape == (3, 2, encoder.dim)


def test_a_window_is_read_by_itself(encoder: Encoder) -> None:
    x = windows()
    together = encoder.encode(x)
    whole = type(encoder).__name__ == "Graph"  # its assets look at each other
    for b, n in product(range(3), [slice(None)] if whole else [slice(0, 1), slice(1, 2)]):
        torch.testing.assert_close(encoder.encode(x[b : b + 1, n])[0], together[b, n], rtol=0, atol=2e-6)


def test_other_rows_of_a_batch_change_nothing_to_the_bit(encoder: Encoder) -> None:
    x, other = windows(), windows()
    other[2] += 1
    assert torch.equal(encoder.encode(x)[:2], encoder.encode(other)[:2])


def test_every_bar_and_every_weight_counts(encoder: Encoder) -> None:
    x = windows().requires_grad_()
    encoder.encode(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(dim=(0, 1, 3)) > 0).all()
    unused = [name for name, p in encoder.named_parameters()
              if p.grad is None or not torch.isfinite(p.grad).all() or not p.grad.any()]
    assert not unused


def test_eval_is_repeatable_and_training_drops(encoder: Encoder) -> None:
    x = windows()
    assert torch.equal(encoder.encode(x), encoder.encode(x))
    encoder.train()
    assert not torch.equal(encoder.encode(x), encoder.encode(x))
    drop_nothing(encoder)
    assert torch.equal(encoder.encode(x), encoder.encode(x))


def test_one_mask_hides_features_from_a_whole_window(encoder: Encoder) -> None:
    """With all else kept, hiding features in training is the same as zeros in every bar of the window."""
    drop_nothing(encoder)
    encoder.hide_features.share = 0.5
    x = torch.ones(1, 2, 11, 5)
    torch.manual_seed(3)
    hidden = encoder.train().hide_features(x[0])
    assert set(hidden.unique().tolist()) == {0.0, 2.0}
    torch.manual_seed(3)
    found = encoder.encode(x)
    encoder.eval()
    assert torch.equal(found, encoder.encode(hidden[None]))


def test_bars_before_a_change_stay_to_the_bit(causal: Encoder) -> None:
    x = windows(window=40)[:, 0]  # (B, W, F)
    changed = x.clone()
    changed[:, 25:] = changed[:, 25:].flip(1) * 5
    found, other = causal.bars(x), causal.bars(changed)
    assert torch.equal(found[:, :25], other[:, :25])
    assert not torch.equal(found[:, 25:], other[:, 25:])


def test_the_last_bar_is_what_a_causal_window_says(causal: Encoder) -> None:
    x = windows()
    said = causal.bars(x[:, 0])[:, -1] + causal.now(x[:, 0, -1])
    torch.testing.assert_close(said, causal.encode(x)[:, 0], rtol=0, atol=1e-6)


def test_what_cannot_be_promised_is_refused(encoder: Encoder) -> None:
    x = windows()[:, 0]
    if not encoder.causal:
        with pytest.raises(NotImplementedError, match="reads a window as a whole"):
            encoder.bars(x)
    if not encoder.stateful:
        with pytest.raises(NotImplementedError, match="carries no state"):
            encoder.stream(x)


@pytest.mark.parametrize("lengths", [[4, 1, 35], [7, 13, 20], [1] * 40])
def test_a_stream_in_pieces_equals_the_full_pass(stateful: Encoder, lengths: list[int]) -> None:
    x = windows(window=40)[:, 0]  # (B, T, F)
    full, final = stateful.stream(x)
    torch.testing.assert_close(full[:, -1], stateful.encode(x.unsqueeze(1))[:, 0], rtol=0, atol=1e-6)
    found, state = in_pieces(stateful, x, lengths)
    torch.testing.assert_close(found, full, rtol=0, atol=2e-6)
    torch.testing.assert_close(state, final, rtol=0, atol=2e-6)
    stateful.double()
    exact, final = stateful.stream(x.double())
    found, state = in_pieces(stateful, x.double(), lengths)
    assert float((found - exact).detach().abs().max()) < 1e-12
    torch.testing.assert_close(state, final, rtol=0, atol=1e-12)
    assert float((full - exact).detach().abs().max()) < 1e-5


def test_a_state_stops_growing(stateful: Encoder) -> None:
    def size(state: object) -> int:
        return state.numel() if isinstance(state, Tensor) else sum(size(part) for part in state)

    state, sizes = None, []
    for part in windows(window=60)[:, 0].split(20, dim=1):
        _, state = stateful.stream(part, state)
        sizes.append(size(state))
    assert sizes[0] == sizes[1] == sizes[2]


def test_bfloat16_says_about_the_same(encoder: Encoder) -> None:
    """Within 2 % of the largest value, at 300 bars too: bfloat16 keeps 8 bits, one rounding being up to 0.4 %."""
    x = windows(window=300)
    with torch.no_grad():
        wanted = encoder.encode(x)
        with torch.autocast("cpu", torch.bfloat16):
            found = encoder.encode(x)
            said = in_pieces(encoder, x[:, 0], [150, 149, 1])[0][:, -1] if encoder.stateful else found[:, 0]
    assert float((found - wanted).abs().max()) < 0.02 * float(wanted.abs().max())
    assert float((said - wanted[:, 0]).abs().max()) < 0.02 * float(wanted.abs().max())
    assert not torch.equal(found, wanted)


def test_weights_put_into_an_empty_shell_say_the_same_to_the_bit(encoder: Encoder,
                                                                 request: pytest.FixtureRequest) -> None:
    with torch.device("meta"):
        shell = made(request.node.callspec.params["encoder"])
    shell.load_state_dict(encoder.state_dict(), assign=True)
    assert not [name for name, value in [*shell.named_parameters(), *shell.named_buffers()] if value.is_meta]
    assert torch.equal(shell.encode(windows()), encoder.encode(windows()))


@pytest.mark.parametrize("name", PICTURED)
def test_hour_weights_are_kept_for_pictures(name: str) -> None:
    encoder = made(name)
    assert encoder.hour_weights is None
    encoder.encode(windows(batch=3, assets=1))
    assert encoder.hour_weights.shape == (3, 11)
    assert not encoder.hour_weights.requires_grad
    torch.testing.assert_close(encoder.hour_weights.sum(1), torch.ones(3))


def count(name: str, features: int = 70) -> int:
    with torch.device("meta"):
        encoder = make_encoder(features, parse(EncoderConfig, [], preset("encoder", name)))
    return sum(p.numel() for p in encoder.parameters())


@pytest.mark.parametrize("path", sorted((PRESETS / "encoder").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_build(path) -> None:
    config = parse(EncoderConfig, [], preset("encoder", path.stem))
    assert config.name == path.stem.split(".")[0]
    assert 0 < count(path.stem) < (80e3 if path.stem.endswith("small") else 80e6)


def test_every_encoder_has_both_sizes() -> None:
    stems = {path.stem for path in (PRESETS / "encoder").glob("*.yaml")}
    assert {f"{name}.{size}" for name in ENCODERS for size in ("small", "full")} <= stems


def test_full_presets_have_the_weights_that_their_sizes_say() -> None:
    def layer(into: int, width: int, gates: int = 4) -> int:
        return gates * width * (into + width + 2)  # two biases, as in torch

    now = 71 * 256
    assert count("lstm.full") == layer(70, 256) + 2 * layer(256, 256) + now + 256
    assert count("gru.full") == layer(70, 256, gates=3) + 2 * layer(256, 256, gates=3) + now + 256
    assert count("residual_lstm.full") == count("lstm.full")
    assert count("deep_lstm.full") == layer(70, 512) + 4 * layer(512, 512) + 5 * 2 * 512 + 71 * 512 + 512
    assert count("attention_lstm.full") == count("lstm.full") + 257 * 256 + 256 + 1
    both_ways = 2 * (layer(70, 256) + 2 * layer(512, 256))
    after = 513 * 3 * 512 + 513 * 512 + 512 + 513 * 512 + 512 + 1 + 513 * 256 + 256  # attention, pool, out and norms
    assert count("bilstm.full") == both_ways + after + now
    convs = 64 * (70 * 3 + 1) + 128 * (64 * 5 + 1) + 256 * (128 * 7 + 1)
    assert count("cnn_lstm.full") == convs + layer(256, 128) + layer(128, 128) + 71 * 128 + 128
    dilated = 7 * 512 * (256 * 3 + 1) + 6 * 257 * 256 + (7 * 256 + 1) * 256
    assert count("tcn.full") == now + dilated + 256 + now
    block = 257 * 3 * 256 + 257 * 256 + 257 * 1024 + 1025 * 256 + 2 * 256
    assert count("transformer.full") == now + 6 * block + 256 + 257 * 256 + 256 + 1 + now
    assert count("transformer.gpt") == now + 12 * block + 256 + now


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"'transformr'.*did you mean 'transformer'"):
        EncoderConfig(name="transformr")
    with pytest.raises(UserError, match="width 30 must be a multiple of 2 x heads = 8"):
        EncoderConfig(width=30, heads=4)
    with pytest.raises(UserError, match=r"dropout must be .* found 1"):
        EncoderConfig(dropout=1.0)
    with pytest.raises(UserError, match="span must be at least 1, found 0"):
        EncoderConfig(span=0)
    with pytest.raises(UserError, match="unknown encoder for a graph to stand on 'graph'"):
        EncoderConfig("graph", over="graph")
    with pytest.raises(UserError, match="at least one convolution"):
        EncoderConfig("cnn_lstm", filters=())
    with pytest.raises(UserError, match="link is a correlation between 0 and 1, found 2"):
        EncoderConfig("graph", link=2.0)


def test_nothing_but_weights_and_buffers_holds_numbers(encoder: Encoder) -> None:
    """A tensor kept as a plain attribute would neither be saved nor follow the module to another device."""
    plain = [f"{type(part).__name__}.{name}" for part in encoder.modules() for name, value in vars(part).items()
             if isinstance(value, Tensor) and not isinstance(value, nn.Parameter)]
    assert not plain
    assert {name for name, _ in encoder.named_buffers()} <= encoder.state_dict().keys()
