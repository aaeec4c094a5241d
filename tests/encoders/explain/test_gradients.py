from dataclasses import replace

import pytest
import torch

from encoders import ENCODERS
from encoders.explain.explanation import Explanation
from encoders.explain.gradients import OUTPUTS, gradients_of, integrated_gradients
from tests.encoders.explain.conftest import fresh, subject_of
from tests.encoders.planted import Pieces, tiny


def test_of_a_linear_model_they_are_weight_times_input() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 3, 5, 4, generator=generator)
    x = torch.randn(7, 3, 5, 4, generator=generator)
    found, difference = integrated_gradients(lambda x: torch.einsum("bnwf,onwf->bo", x, weight), x, nodes=16)
    assert torch.equal(found, weight[:, None] * x)
    torch.testing.assert_close(found.sum(dim=(2, 3, 4)), difference, rtol=0, atol=1e-4)


def test_a_polynomial_is_integrated_exactly() -> None:
    x = torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    # of a^3 + a^2 b: the integrals of (3 a^2 + 2 a b) s^2 and a^2 s^2, times a and b
    found, _ = integrated_gradients(lambda x: (x[:, 0] ** 3 + x[:, 0] ** 2 * x[:, 1])[:, None], x, nodes=2)
    torch.testing.assert_close(found[0, 0], torch.tensor([2 * 8 / 3, -4 / 3], dtype=torch.float64), rtol=0, atol=1e-9)


def test_the_lead_adds_most_to_the_lean(explanation: Explanation) -> None:
    lean = explanation.gradients["lean"]
    assert lean.columns[0].name == "lead"
    assert lean.columns[0].size.low > 3 * lean.columns[1].size.high
    assert lean.hours[0].size.value == max(hour.size.value for hour in lean.hours), "it leads by one bar alone"
    assert [hour.name for hour in lean.hours] == list("012345")


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_attributions_add_up_for_every_encoder(pieces: Pieces, checkpoint, name: str) -> None:
    model = fresh(tiny(name), checkpoint)
    if name == "graph":
        model.encoder.edges.fill_(True)
    subject = replace(subject_of(pieces, checkpoint, rows=16), model=model)
    for found in gradients_of(subject).outputs.values():
        assert found.completeness.difference > 0
        assert found.completeness.error < 0.005 * found.completeness.difference


def test_a_model_that_says_the_same_of_everything_has_none(pieces: Pieces, checkpoint) -> None:
    subject = subject_of(pieces, checkpoint, rows=16)
    for head in (subject.model.heads.direction, subject.model.heads.volatility):
        head.weight.zero_()
    found = gradients_of(subject)
    for output in OUTPUTS:
        assert all(part.size.value == 0 and not part.size.clear for part in found.outputs[output].columns)
