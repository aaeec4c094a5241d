from dataclasses import replace

import numpy as np
import pytest

from encoders.ensemble.contest import Units, losses
from encoders.ensemble.gating import Gated, gate_inputs
from encoders.ensemble.weights import Weighted
from tests.encoders.ensemble.members import CONFIG, knowing, outcomes, with_label

ROWS = np.arange(2000)
LATER = np.arange(2000, 3999)


def two_regimes(told: bool):
    """Each member knows the return in one of two regimes and guesses in the other; its volatility tells which it is, or
    not."""
    labels, signal = outcomes(4000)
    rng = np.random.default_rng(5)
    regime, guess = rng.random((4000, 1)) < 0.5, rng.normal(size=(4000, 1))
    said = np.exp(np.where(regime, 0.2, -0.2) if told else rng.normal(scale=0.2, size=(4000, 1)))
    known = [knowing(np.where(regime == mine, signal, guess)) for mine in (False, True)]
    return [replace(member, volatility=member.volatility * said) for member in known], labels


@pytest.mark.parametrize("told", [True, False])
def test_the_gate_wins_where_it_is_told_who_is_right_and_loses_nothing_where_not(told):
    members, labels = two_regimes(told)
    gated, fixed = (kind.fit(members, labels, ROWS, CONFIG).apply(members, labels)
                    for kind in (Gated, Weighted))
    found, standard = (losses(one, labels, LATER, Units(np.ones(1), np.ones(1))) for one in (gated, fixed))
    if told:
        assert found["direction"] < standard["direction"] - 0.1
        assert found["quantiles"] < standard["quantiles"] - 0.02
    else:
        assert found["total"] < standard["total"] + 0.005


def test_a_gate_without_evidence_is_the_fixed_weights():
    labels, signal = outcomes(1200)
    rng = np.random.default_rng(1)
    members = [knowing(signal + rng.normal(scale=0.3, size=signal.shape)) for _ in range(3)]
    gated = Gated.fit(members, labels, np.arange(1000), CONFIG)
    fixed = Weighted.fit(members, labels, np.arange(1000), CONFIG)
    still = gated.width == 0
    assert still.any()
    weights = np.exp(gated.coefficients[..., 0])
    np.testing.assert_allclose(weights[still], fixed.weights[still], atol=1e-12)
    assert not gated.coefficients[still, :, 1:].any()


def test_the_past_volatility_that_the_gate_sees_is_known():
    labels, signal = outcomes(50, reach=7)
    members = [knowing(signal), knowing(-signal)]
    before, after = (gate_inputs(members, one) for one in (labels, with_label(labels, 20)))
    changed = ((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(changed), [27])


def test_a_missing_input_counts_as_average():
    members, labels = two_regimes(True)
    gated = Gated.fit(members, labels, np.arange(600), CONFIG)
    never = replace(labels, volatility=np.full_like(labels.volatility, np.nan))
    assert np.isfinite(gated.apply(members, never).direction).all()
