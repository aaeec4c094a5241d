"""The temporal fusion transformer's weights mean what the pictures say."""

import torch
from torch.nn import functional

from encoders.base import make_encoder
from encoders.tft import EACH, InterpretableAttention, VariableSelection
from tests.encoders.planted import tiny

torch.set_num_threads(1)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_a_selection_is_the_weighted_sum_of_each_features_own_net() -> None:
    torch.manual_seed(0)
    selection, x = VariableSelection(6, 8, 0.0).eval(), noise(2, 5, 6)
    found = selection(x)
    wanted = torch.zeros(2, 5, 8)
    for feature in range(6):
        own = functional.elu(x[..., feature, None] * selection.slope[feature] + selection.shift[feature])
        matrix = selection.join.weight[:, feature * EACH : (feature + 1) * EACH]
        wanted += selection.weights[..., feature, None] * (own @ matrix.T)
    torch.testing.assert_close(found, selection.norm(wanted), rtol=0, atol=1e-5)


def test_an_answer_is_the_values_weighed_as_the_picture_says() -> None:
    torch.manual_seed(0)
    attention, x = InterpretableAttention(8, 4), noise(2, 5, 8)
    found = attention(x)
    torch.testing.assert_close(found, attention.out((attention.weights[:, None] @ attention.value(x)).squeeze(1)))


def test_weights_of_features_and_hours_are_kept() -> None:
    encoder = make_encoder(5, tiny("tft")).eval()
    assert encoder.variable_weights is None
    encoder.encode(noise(3, 2, 11, 5))
    assert encoder.variable_weights.shape == (6, 11, 5)
    assert encoder.hour_weights.shape == (6, 11)
    torch.testing.assert_close(encoder.variable_weights.sum(-1), torch.ones(6, 11))


def test_the_feature_that_leads_is_the_one_selected() -> None:
    """One of eight features at the bar before the last says it all; the direct path from the last bar knows nothing."""
    torch.manual_seed(0)
    encoder = make_encoder(8, tiny("tft", dropout=0.0))
    optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    make = torch.Generator().manual_seed(1)
    for _ in range(200):
        x = torch.randn(64, 1, 4, 8, generator=make)
        error = (encoder.encode(x)[:, 0, 0] - x[:, 0, -2, 3]).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert float(error.detach()) < 0.3
    mean = encoder.variable_weights[:, -2].mean(0)  # (F,)
    assert int(mean.argmax()) == 3
    assert float(mean[3]) > 2 / 8
