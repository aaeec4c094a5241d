"""Shared parts against their slow, clear versions."""

import pytest
import torch
from torch import Tensor, nn

from encoders.layers import (
    Attention,
    AttentionBlock,
    CausalConv,
    SlidingAttention,
    drop_nothing,
    rotated,
    sines_of_age,
    turns,
)
from tests.encoders.planted import tiny

torch.set_num_threads(1)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (2, 4), (3, 5)])
def test_a_causal_convolution_is_its_sum(kernel: int, dilation: int) -> None:
    conv, x = CausalConv(3, 2, kernel, dilation).double(), noise(2, 9, 3)
    wanted = torch.zeros(2, 9, 2, dtype=torch.float64) + conv.bias
    for t in range(9):
        for k in range(kernel):
            bar = t - (kernel - 1 - k) * dilation
            if bar >= 0:
                wanted[:, t] += x[:, bar] @ conv.weight[:, :, k].T
    found, state = conv(x)
    close(found, wanted)
    assert state.shape == (2, (kernel - 1) * dilation, 3)


def slow_attention(attention: Attention, x: Tensor, sees: Tensor) -> Tensor:
    """One query after another, each over the bars that it sees; positions are differences from the query's bar."""
    query, key, value = attention.split(x)
    mixed = torch.zeros_like(query)
    for t in range(x.shape[1]):
        ages = t - torch.arange(x.shape[1])
        turned = rotated(key, -ages) if attention.causal else key
        scores = (query[:, :, t : t + 1] @ turned.mT).squeeze(2) / query.shape[-1] ** 0.5  # (B, heads, W)
        mixed[:, :, t] = (scores.masked_fill(~sees[t], -torch.inf).softmax(-1).unsqueeze(2) @ value).squeeze(2)
    return attention.join(mixed)


def test_attention_is_that_of_the_paper() -> None:
    x, everything = noise(2, 9, 8), torch.ones(9, 9, dtype=torch.bool)
    plain, causal = Attention(8, 2).double(), Attention(8, 2, causal=True).double()
    close(plain(x), slow_attention(plain, x, everything))
    close(causal(x), slow_attention(causal, x, everything.tril()))
    some = torch.eye(9, dtype=torch.bool) | (noise(9, 9) > 0)
    close(plain(x, some), slow_attention(plain, x, some))


@pytest.mark.parametrize("span", [1, 3, 9, 20])
def test_sliding_attention_sees_span_bars(span: int) -> None:
    attention, x = SlidingAttention(8, 2, span).double(), noise(2, 9, 8)
    age = torch.arange(9)[:, None] - torch.arange(9)
    found, (key, value) = attention(x, None)
    close(found, slow_attention(attention, x, (age >= 0) & (age < span)))
    assert key.shape == value.shape == (2, 2, min(span - 1, 9), 4)


def test_only_the_distance_between_two_bars_counts() -> None:
    one, other = noise(2, 1, 1, 1, 8)
    products = [rotated(one, torch.tensor([bar])) @ rotated(other, torch.tensor([bar + 5])).mT for bar in (0, 3, 999)]
    close(products[1], products[0])
    close(products[2], products[0])
    assert not torch.allclose(rotated(one, torch.tensor([0])) @ rotated(other, torch.tensor([6])).mT, products[0])


def test_neighbouring_bars_are_told_apart_in_bfloat16() -> None:
    angle = turns(torch.arange(600), 4, torch.bfloat16)
    assert angle.dtype == torch.float32
    torch.testing.assert_close(angle[4:, 0] - angle[:-4, 0], torch.full((596,), 2 * torch.pi), rtol=0, atol=1e-3)
    sines = sines_of_age(600, 8, torch.device("cpu"), torch.bfloat16)
    assert sines.dtype == torch.bfloat16
    assert float((sines.float() - sines_of_age(600, 8, torch.device("cpu"), torch.float32)).abs().max()) < 0.005


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_nothing_is_dropped_between_recurrent_layers_either(kind: type[nn.RNNBase]) -> None:
    cells, x = kind(3, 4, 2, dropout=0.5), noise(2, 5, 3).float()
    assert not torch.equal(cells(x)[0], cells(x)[0])
    drop_nothing(cells)
    assert torch.equal(cells(x)[0], cells(x)[0])


def test_a_block_with_silent_parts_changes_nothing() -> None:
    block, x = AttentionBlock(tiny("transformer")), noise(2, 5, 16).float()
    for last in (block.attention.out, block.mlp[-1]):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    assert torch.equal(block.eval()(x), x)
