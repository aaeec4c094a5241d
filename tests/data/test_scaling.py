"""Scales from training rows or trailing rows, and never from what comes later."""

import json

import numpy as np
import pytest

from configs.errors import UserError
from data.scaling import REFRESH, Scaler, middle_and_spread

RNG = np.random.default_rng(0)
VALUES = RNG.normal(3.0, 2.0, (1_500, 2, 3))
NAMES = ("a", "b", "c")


def test_only_the_rows_named_are_looked_at():
    changed = VALUES.copy()
    changed[800:] *= 100
    rows = np.arange(800)
    assert Scaler.fit(VALUES, NAMES, rows).same_as(Scaler.fit(changed, NAMES, rows))


def test_quantiles_are_numpys_and_missing_values_stand_aside():
    seen = VALUES.reshape(-1, 3).copy()
    seen[::3, 1] = np.nan
    center, spread = middle_and_spread(seen)
    for column in range(3):
        there = seen[np.isfinite(seen[:, column]), column]
        low, middle, high = np.quantile(there, (0.1, 0.5, 0.9))
        assert center[column] == pytest.approx(middle)
        assert spread[column] == pytest.approx((high - low) / 2.563)


def test_a_column_that_training_rows_lack_has_a_scale_that_can_be_stored():
    values = VALUES.copy()
    values[:1_000, :, 2] = np.nan
    scaler = Scaler.fit(values, NAMES, np.arange(1_000))
    assert (scaler.center[2], scaler.scale[2]) == (0.0, 1.0)  # what becomes of its values is for `dataset.scaled`


def test_values_are_winsorised():
    scaler = Scaler.fit(VALUES, NAMES, np.arange(1_500), clip=2.0)
    assert np.abs(scaler.transform(VALUES)).max() == 2.0


def test_a_binary_column_falls_back_to_its_deviation():
    rare = np.zeros((1_000, 1, 1))
    rare[::50] = 1.0
    scaler = Scaler.fit(rare, ("rare",), np.arange(1_000))
    assert scaler.scale[0] == pytest.approx(rare.std())


def test_a_trailing_scale_knows_the_rows_before_and_no_others():
    scaler = Scaler.fit(VALUES, NAMES, np.arange(1_000), rolling=400)
    before = scaler.transform(VALUES)
    changed = VALUES.copy()
    changed[900:] = changed[900:] * 7 + 1
    after = scaler.transform(changed)
    np.testing.assert_array_equal(before[:900], after[:900])
    assert not np.array_equal(before[900:], after[900:])
    np.testing.assert_array_equal(before[:1_100], scaler.transform(VALUES[:1_100]))


def test_a_trailing_scale_by_hand_and_nothing_before_a_quarter_is_seen():
    scaler = Scaler.fit(VALUES, NAMES, np.arange(1_000), rolling=400)
    scaled = scaler.transform(VALUES)
    assert np.isnan(scaled[:REFRESH]).all()
    assert np.isfinite(scaled[REFRESH:]).all()
    block = 5 * REFRESH
    seen = VALUES[block - 400 : block, :, 1].ravel()
    low, middle, high = np.quantile(seen, (0.1, 0.5, 0.9))
    row = block + 7
    assert scaled[row, 0, 1] == pytest.approx((VALUES[row, 0, 1] - middle) / (high - low) * 2.563, rel=1e-5)


def test_a_scale_that_follows_holds_where_a_fixed_one_drifts():
    drifting = VALUES[:, :1, :1] * np.linspace(4.0, 1.0, 1_500)[:, None, None]
    fixed = Scaler.fit(drifting, ("x",), np.arange(500)).transform(drifting)
    follows = Scaler.fit(drifting, ("x",), np.arange(500), rolling=200).transform(drifting)
    assert fixed[1_300:].std() < 0.45
    assert follows[1_300:].std() > 0.75


def test_it_is_the_same_after_json():
    scaler = Scaler.fit(VALUES, NAMES, np.arange(1_000), rolling=400)
    assert Scaler.of(json.loads(json.dumps(scaler.plain()))).same_as(scaler)


@pytest.mark.parametrize("wrong", [{"scale": [1.0, 0.0, 1.0]}, {"center": [0.0, float("nan"), 0.0]}, {"clip": 0.0},
                                   {"center": [0.0]}])
def test_a_description_that_cannot_be_a_scaler_is_refused(wrong):
    scaler = Scaler.fit(VALUES, NAMES, np.arange(1_000))
    with pytest.raises(ValueError, match="scaler"):
        Scaler.of({**scaler.plain(), **wrong})


def test_no_rows_no_scale():
    with pytest.raises(UserError, match="no training rows"):
        Scaler.fit(VALUES, NAMES, np.arange(0))
