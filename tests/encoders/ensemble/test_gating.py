import numpy as np
import pytest

from configs.errors import UserError
from encoders.ensemble.contest import Units, losses
from encoders.ensemble.gating import Gated, gate_inputs
from encoders.ensemble.weights import Weighted
from tests.encoders.ensemble.members import CONFIG, knowing, outcomes, with_label

ROWS = np.arange(2000)
LATER = np.arange(2000, 3999)


def two_regimes(told: bool):
    """Each member knows the return in one of two regimes and guesses in the other; `told` by the context, or not."""
    labels, signal = outcomes(4000)
    rng = np.random.default_rng(5)
    regime, guess = rng.random(4000) < 0.5, rng.normal(size=(4000, 1))
    members = [knowing(np.where(regime[:, None] == mine, signal, guess)) for mine in (False, True)]
    context = np.where(regime, 1.0, -1.0) if told else rng.normal(size=4000)
    return members, labels, context[:, None] + rng.normal(scale=0.1, size=(4000, 1))


@pytest.mark.parametrize("told", [True, False])
def test_the_gate_wins_where_it_is_told_who_is_right_and_loses_nothing_where_not(told):
    members, labels, context = two_regimes(told)
    gated, fixed = (kind.fit(members, labels, ROWS, CONFIG, context).apply(members, labels, context)
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
    gated = Gated.fit(members, labels, np.arange(1000), CONFIG, None)
    fixed = Weighted.fit(members, labels, np.arange(1000), CONFIG, None)
    still = gated.width == 0
    assert still.any()
    weights = np.exp(gated.coefficients[..., 0])
    np.testing.assert_allclose(weights[still], fixed.weights[still], atol=1e-12)
    assert not gated.coefficients[still, :, 1:].any()


def test_the_past_volatility_that_the_gate_sees_is_known():
    labels, signal = outcomes(50, reach=7)
    members = [knowing(signal), knowing(-signal)]
    before, after = (gate_inputs(members, one, None) for one in (labels, with_label(labels, 20)))
    changed = ((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(changed), [27])


def test_context_must_be_the_one_it_was_fitted_with():
    members, labels, context = two_regimes(True)
    fitted = Gated.fit(members, labels, np.arange(600), CONFIG, context)
    with pytest.raises(UserError, match="fitted with 1 columns of context, found 0"):
        fitted.apply(members, labels, None)
    with pytest.raises(UserError, match=r"context must be \(B, K\)"):
        fitted.apply(members, labels, context[:-1])
    missing = np.full_like(context, np.nan)  # a missing input counts as average
    assert np.isfinite(fitted.apply(members, labels, missing).direction).all()
