"""Skips stand where the table of encoders says."""

import pytest
import torch
from torch import nn

from encoders.base import make_encoder
from tests.encoders.planted import tiny

torch.set_num_threads(1)


def test_skips_are_between_the_layers_named() -> None:
    deep, residual = make_encoder(5, tiny("deep_lstm")), make_encoder(5, tiny("residual_lstm"))
    assert [deep.skip_from(layer) for layer in range(1, 6)] == [None, None, 2, None, 3]
    assert [residual.skip_from(layer) for layer in range(1, 4)] == [None, 1, 2]


@pytest.mark.parametrize(("name", "layers", "silent", "heard"), [
    ("deep_lstm", 5, (3, 4, 5), True),  # 2 -> 3 -> 5 leads past them
    ("deep_lstm", 5, (2,), False),
    ("deep_lstm", 4, (4,), False),
    ("residual_lstm", 3, (2, 3), True),
    ("residual_lstm", 3, (1, 2, 3), False),
])
def test_a_skip_leads_past_layers_that_say_nothing(name: str, layers: int, silent: tuple[int, ...], heard: bool
                                                   ) -> None:
    torch.manual_seed(0)
    encoder = make_encoder(5, tiny(name, layers=layers)).eval()
    for layer in silent:
        for parameter in encoder.layers[layer - 1].parameters():
            nn.init.zeros_(parameter)
    x = torch.randn(2, 11, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(encoder.forward_sequence(x), encoder.forward_sequence(2 * x)) != heard
