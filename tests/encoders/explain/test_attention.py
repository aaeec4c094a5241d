from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.explain.attention import hours_of, kept_weights
from encoders.explain.explanation import Explanation
from encoders.explain.subject import Subject
from encoders.explain.words import before, written
from tests.encoders.explain.conftest import fresh
from tests.encoders.planted import tiny


def test_hours_are_the_models_own_weights(subject: Subject, explanation: Explanation) -> None:
    with torch.no_grad():
        subject.model.encode(subject.windows(subject.rows))
    own = subject.model.encoder.hour_weights.reshape(200, 2, 6).mean(dim=(0, 1)).numpy()  # oldest first
    hours = explanation.hours
    assert hours.source == "attention"
    np.testing.assert_allclose([hour.weight.value for hour in hours.hours], own[::-1], rtol=1e-5)
    assert sum(hour.weight.value for hour in hours.hours) == pytest.approx(1, abs=1e-5)
    assert hours.largest[0].weight.value == pytest.approx(max(own))
    assert hours.equal == 1 / 6


def test_an_equal_share_is_said_to_be_one(subject: Subject) -> None:
    rng = np.random.default_rng(0)
    noisy = rng.dirichlet(np.full(6, 5.0), 200)
    assert sum(hour.weight.clear for hour in hours_of(subject, noisy, "attention").hours) <= 1
    tilted = (noisy + np.eye(6)[0] * 0.5) / 1.5  # the oldest
    assert hours_of(subject, tilted, "attention").hours[5].weight.clear


def test_without_weights_gradients_stand_in_their_place(recurrent: Explanation) -> None:
    assert recurrent.hours.source == "gradients"
    assert sum(hour.weight.value for hour in recurrent.hours.hours) == pytest.approx(1)
    assert recurrent.hours.largest[0].age == 0, "the planted lead is one bar old"
    assert recurrent.selection is None


def test_a_selection_adds_up_and_knows_its_groups(chosen: Explanation) -> None:
    found = chosen.selection
    assert found is not None
    assert sum(one.weight.value for one in found.columns) == pytest.approx(1, abs=1e-5)
    assert [one.weight.value for one in found.columns] == sorted((one.weight.value for one in found.columns),
                                                                reverse=True)
    assert [(one.name, one.equal) for one in found.groups] == [("other", 1.0)]
    np.testing.assert_allclose(found.hours["other"], np.ones(6), rtol=1e-5)


def test_what_a_graph_stands_on_is_asked_too(subject: Subject) -> None:
    model = fresh(tiny("graph", over="attention_lstm"), subject.checkpoint)
    kept = kept_weights(replace(subject, model=model))
    assert kept.hours is not None
    np.testing.assert_allclose(kept.hours.sum(axis=1), np.ones(200), rtol=1e-5)
    assert kept.columns is None


def test_hours_and_numbers_in_words() -> None:
    assert before(3, 1.0) + ": " + written(0.0712, "share") == "3 h before the decision: 7.1 %"
    assert written(float("nan"), "loss") == "–"
    assert written(-0.01234, "points_push") == "−1.23"
