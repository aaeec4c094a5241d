from dataclasses import replace

import numpy as np
import pytest
import torch

from configs.errors import UserError
from encoders.explain.explanation import Explanation
from encoders.explain.importance import LOSSES, SUM, each_loss, losses_of, permutation_importance, rise_of, swapped
from encoders.explain.subject import Subject
from encoders.losses import ForecastLoss
from tests.encoders.explain.conftest import subject_of
from tests.encoders.planted import Pieces, planted


def test_the_lead_is_missed_most_and_noise_is_not_missed(explanation: Explanation) -> None:
    first, *others = explanation.importance.columns
    assert first.name == "lead"
    assert first.losses["direction"].clear
    assert first.losses["direction"].low > 0.05
    assert all(abs(rise.losses["direction"].value) < first.losses["direction"].value / 5 for rise in others)
    assert first.assets.keys() == {"A", "B"}
    assert all(rise.low > 0 for rise in first.assets.values())


def test_losses_of_pairs_have_the_mean_that_training_knows(subject: Subject) -> None:
    found = losses_of(subject)
    assert found.shape == (200, 2, 3)
    truth = subject.targets(subject.rows)
    said = subject.model(subject.windows(subject.rows))
    wanted = ForecastLoss().parts(said, truth)
    np.testing.assert_allclose(np.nanmean(found, axis=(0, 1)), [float(wanted[name]) for name in LOSSES], rtol=1e-5)


def test_a_pair_without_a_label_has_no_loss(subject: Subject) -> None:
    truth = subject.targets(subject.rows[:5])
    truth.direction[2, 1] = -1
    found = each_loss(subject.model(subject.windows(subject.rows[:5])), truth, subject.checkpoint.levels)
    assert torch.isnan(found).all(-1).nonzero().tolist() == [[2, 1]]


def test_an_unused_column_is_exactly_nothing(pieces: Pieces, checkpoint) -> None:
    weights = {name: value.clone() for name, value in checkpoint.weights.items()}
    for name in ("encoder.now.weight", "encoder.into.weight"):
        weights[name][:, 2] = 0
    found = permutation_importance(subject_of(pieces, replace(checkpoint, weights=weights), rows=64, repeats=2))
    unused = next(rise for rise in found.columns if rise.name == "noise_b")
    assert all((one.value, one.low, one.high, one.clear) == (0, 0, 0, False) for one in unused.losses.values())
    assert all(rise.losses[SUM].value != 0 for rise in found.columns if rise.name != "noise_b")


def test_columns_of_a_group_come_from_the_same_window(subject: Subject) -> None:
    """With every column swapped the losses are those of the other windows, against the own labels."""
    swap = swapped(len(subject.rows), np.random.default_rng(1))
    found = losses_of(subject, np.arange(4), swap)
    said = subject.model(subject.windows(subject.rows[swap]))
    wanted = each_loss(said, subject.targets(subject.rows), subject.checkpoint.levels)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_an_absent_label_is_left_out_of_its_asset(subject: Subject) -> None:
    base = losses_of(subject)
    base[:, 1] = np.nan
    swaps = [swapped(len(subject.rows), np.random.default_rng(0))]
    rise = rise_of(subject, base, swaps, "lead", "other", np.array([1]))
    assert np.isnan(rise.assets["B"].value)
    assert not rise.assets["B"].clear
    assert rise.losses[SUM].value == pytest.approx(rise.assets["A"].value)


@pytest.mark.parametrize("rows", [16, 17, 100, 513])
def test_swaps_come_from_far_away_and_take_each_row_once(rows: int) -> None:
    for seed in range(20):
        swap = swapped(rows, np.random.default_rng(seed))
        assert sorted(swap) == list(range(rows))
        assert np.abs(swap - np.arange(rows)).min() > rows // 8
        assert len(set((swap - np.arange(rows)) % rows)) >= min(rows // 8, 10), "turned as a whole, hours would stay"


def test_too_short_a_span_is_refused(pieces: Pieces, checkpoint) -> None:
    short = slice(pieces.split.valid.start, pieces.split.valid.start + 24)
    span = replace(pieces.split, valid=short)
    few = Pieces(pieces.market, pieces.labels, span, pieces.scaler)
    with pytest.raises(UserError, match="would overlap: give more data"):
        permutation_importance(subject_of(few, checkpoint))
    with pytest.raises(UserError, match="too few to explain"):
        subject_of(Pieces(pieces.market, pieces.labels, replace(span, valid=slice(short.start, short.start + 12)),
                          pieces.scaler), checkpoint)


def test_test_rows_are_not_looked_at(checkpoint, explanation: Explanation) -> None:
    pieces = planted(lead=0.6)
    pieces.market.features[pieces.split.test] = 5.0
    pieces.labels.forward[pieces.split.test] = 9.0
    again = permutation_importance(subject_of(pieces, checkpoint, rows=200))
    assert again == explanation.importance
