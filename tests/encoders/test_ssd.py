"""The scan against the plain recurrence: EVALUATION.md, section 4."""

import pytest
import torch
from torch import Tensor

from encoders.config import EncoderConfig
from encoders.mamba import Mamba
from encoders.ssd import ssd

torch.set_num_threads(1)


def recurrence(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t^T,  y_t = h_t C_t, one bar after another."""
    outputs = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t] * A)[:, :, None, None]
        state = decay * state + torch.einsum("bh,bhp,bs->bhps", dt[:, t], x[:, t], B[:, t])
        outputs.append(torch.einsum("bhps,bs->bhp", state, C[:, t]))
    return torch.stack(outputs, dim=1), state


def inputs(length: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    make = torch.Generator().manual_seed(seed)
    heads, channels, size = 3, 4, 5
    x = torch.randn(2, length, heads, channels, generator=make)
    dt = torch.nn.functional.softplus(torch.randn(2, length, heads, generator=make) - 2)
    A = -torch.rand(heads, generator=make) * 4 - 0.1
    B, C = torch.randn(2, 2, length, size, generator=make)
    state = torch.randn(2, heads, channels, size, generator=make)
    return [part.to(dtype) for part in (x, dt, A, B, C, state)]


def gap(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("length", [1, 63, 97, 168, 1000, 1024])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
def test_chunks_equal_the_recurrence_at_any_length(length: int, dtype: torch.dtype, tolerance: float) -> None:
    parts = inputs(length)
    y, state = ssd(*(part.to(dtype) for part in parts), chunk=64)
    wanted_y, wanted_state = recurrence(*parts)
    assert gap(y.double(), wanted_y) < tolerance
    assert gap(state.double(), wanted_state) < tolerance


@pytest.mark.parametrize("chunk", [1, 7, 32, 200])
def test_the_chunk_never_changes_the_result(chunk: int) -> None:
    parts = inputs(97)
    wanted_y, wanted_state = recurrence(*parts)
    y, state = ssd(*parts, chunk=chunk)
    assert gap(y, wanted_y) < 1e-13
    assert gap(state, wanted_state) < 1e-13


def test_gradients_equal_those_of_the_recurrence() -> None:
    found, wanted = inputs(97), inputs(97)
    for parts, scan in ((found, ssd), (wanted, recurrence)):
        for part in parts:
            part.requires_grad_()
        y, state = scan(*parts)
        (y.square().sum() + state.sin().sum()).backward()
    for part, other in zip(found, wanted):
        assert gap(part.grad, other.grad) < 1e-11


@pytest.mark.parametrize("pieces", [[168] * 6 + [16], [500, 524], [1] * 40 + [984]])
def test_a_carried_state_equals_the_full_pass(pieces: list[int]) -> None:
    x, dt, A, B, C, state = inputs(1024)
    full, final = ssd(x, dt, A, B, C, state)
    outputs, start = [], 0
    for length in pieces:
        part = slice(start, start + length)
        y, state = ssd(x[:, part], dt[:, part], A, B[:, part], C[:, part], state)
        outputs.append(y)
        start += length
    assert gap(torch.cat(outputs, dim=1), full) < 1e-13
    assert gap(state, final) < 1e-13


def test_what_comes_later_changes_nothing_before_it_to_the_bit() -> None:
    x, dt, A, B, C, state = inputs(168, dtype=torch.float32)
    y, _ = ssd(x, dt, A, B, C, state)
    other = [part.clone() for part in (x, dt, B, C)]
    for part in other:
        part[:, 100:] *= 3
    changed, _ = ssd(other[0], other[1], A, other[2], other[3], state)
    assert torch.equal(y[:, :100], changed[:, :100])
    assert not torch.equal(y[:, 100:], changed[:, 100:])


@pytest.mark.parametrize("bias", [-30.0, 30.0])
def test_extreme_steps_stay_finite(bias: float) -> None:
    torch.manual_seed(0)
    encoder = Mamba(3, EncoderConfig(name="mamba", width=8, heads=2, state=4, layers=1, ff=8))
    with torch.no_grad():
        encoder.blocks[0].mixer.dt_bias.fill_(bias)
    x = torch.randn(2, 1, 168, 3, requires_grad=True)
    y = encoder.encode(x)
    y.sum().backward()
    assert torch.isfinite(y).all()
    for parameter in [x, *encoder.parameters()]:
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_single_steps_of_the_whole_encoder_equal_the_batch() -> None:
    torch.manual_seed(0)
    encoder = Mamba(3, EncoderConfig(name="mamba", width=8, heads=2, state=4, layers=2, ff=8, chunk=16)).double().eval()
    x = torch.randn(2, 50, 3, dtype=torch.float64)
    with torch.no_grad():
        full, _ = encoder.stream(x)
        state, steps = None, []
        for t in range(50):
            y, state = encoder.stream(x[:, t : t + 1], state)
            steps.append(y)
    assert gap(torch.cat(steps, dim=1), full) < 1e-12
