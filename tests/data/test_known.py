"""Known markets follow their laws, and their published growth can be reached and not beaten."""

import itertools
import math

import numpy as np
import pytest

from configs.errors import UserError
from data.dataset import DataConfig, load_dataset
from data.simulator import known
from data.simulator.known import FEE, KNOWN, KnownConfig, best_growth, draw_known, make_known

MONTE_CARLO = 4.5  # standard errors


def growth(positions, log_returns, fee):
    """Log growth of each bar of holding positions[t] over bar t + 1, paying for every change."""
    change = np.abs(np.diff(positions, prepend=0.0))
    return np.log1p(-fee * change[:-1]) + np.log1p(positions[:-1] * np.expm1(log_returns[1:]))


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_market_is_a_market_and_repeats(name):
    made = make_known(name, 2_000, seed=7)
    again = make_known(name, 2_000, seed=7)
    assert made.market.fingerprint == again.market.fingerprint != make_known(name, 2_000, seed=8).market.fingerprint
    opened, high, low, closed, _ = made.market.prices[:, 0].T
    assert (opened[1:] == closed[:-1]).all()
    assert (high >= np.maximum(opened, closed)).all()
    assert (low <= np.minimum(opened, closed)).all()
    assert made.oracle_growth >= made.long_flat_growth >= 0
    r = np.diff(np.log(closed))
    for policy in (np.ones(2_000), -np.ones(2_000), np.sign(np.append(0, r))):
        mean = growth(policy, np.append(0, r), FEE).mean()
        assert mean < made.oracle_growth + MONTE_CARLO * r.std() / math.sqrt(2_000)


@pytest.mark.parametrize("name", KNOWN)
def test_the_stated_mean_is_the_mean(name):
    path, truth = draw_known(name, 100_000, seed=1)
    off = path.log_returns[1:] - truth.mean[:-1, 0]
    error = off.std() / math.sqrt(len(off)) + 1e-15
    assert abs(off.mean()) < MONTE_CARLO * error
    spread = truth.mean[:-1, 0].std()
    if spread > 1e-12 and off.std() > 1e-12:  # and it leaves nothing to be forecast by itself
        assert abs(np.corrcoef(off, truth.mean[:-1, 0])[0, 1]) < MONTE_CARLO / math.sqrt(len(off))


def bands(x, enter_long, leave_long, enter_short, leave_short):
    held, out = 0.0, np.empty(len(x))
    for t, level in enumerate(x.tolist()):
        if level < enter_long:
            held = 1.0
        elif level > enter_short:
            held = -1.0
        elif (held > 0 and level > leave_long) or (held < 0 and level < leave_short):
            held = 0.0
        out[t] = held
    return out


def test_published_bands_reach_the_published_growth_on_ou_real():
    path, truth = draw_known("ou_real", 600_000, seed=0)
    sd = 0.0025 / math.sqrt(1 - 0.5 ** (2 / 24))
    held = bands(path.state["x"] * sd, -0.0058, 0.0055, 0.0071, -0.0042)
    earned = growth(held, path.log_returns, FEE)
    assert abs(earned.mean() - truth.growth) < MONTE_CARLO * earned.std() / math.sqrt(len(earned))
    assert earned.mean() > 0.7 * truth.growth
    assert np.abs(np.diff(held)).mean() * 8760 == pytest.approx(273, rel=0.25)


def test_the_closed_form_of_a_fee_free_ornstein_uhlenbeck():
    path, _ = draw_known("ou_easy", 400_000, seed=0)
    phi = 0.5 ** (1 / 12)
    sd = 0.006 / math.sqrt(1 - phi**2)
    earned = growth((path.state["x"] < 0).astype(float), path.log_returns, 0.0)
    exact = (1 - phi) * sd / math.sqrt(2 * math.pi)
    assert abs(earned.mean() - exact) < MONTE_CARLO * earned.std() / math.sqrt(len(earned))


def test_the_belief_of_regime_lead_is_calibrated():
    path, truth = draw_known("regime_lead", 200_000, seed=0)
    bull = truth.mean[:, 0] > 0
    chance = (1 + path.state["belief"]) / 2
    for low in (0.1, 0.3, 0.5, 0.7):
        among = (chance > low) & (chance <= low + 0.2)
        assert bull[among].mean() == pytest.approx(chance[among].mean(), abs=0.04)
    assert np.diff(bull).mean() == pytest.approx(1 / 120, rel=0.1)


def test_the_regime_drifts_the_bar_after_it(monkeypatch):
    monkeypatch.setattr(known, "SIGMA", 1e-4)  # a third of the drift: the sign of a return shows the regime
    path, truth = draw_known("regime_lead", 20_000, seed=0)
    switched = np.flatnonzero(np.diff(truth.mean[:, 0]) != 0) + 1  # rows whose regime is not that of the row before
    shown = path.log_returns[switched] * truth.mean[switched - 1, 0] > 0
    assert shown.mean() > 0.97


def test_the_clock_tells_all_of_the_sine():
    made = make_known("sine", 480)
    r = np.diff(np.log(made.market.prices[:, 0, 3]))
    angle = 2 * np.pi / 48
    sin, cos = made.market.features[:-1, 0].T.astype(float)
    np.testing.assert_allclose(r, 0.05 * (sin * (np.cos(angle) - 1) + cos * np.sin(angle)), atol=1e-8)
    assert made.oracle_growth == pytest.approx(0.2 / 48, rel=0.1)  # all of the way up and down, less four fees a turn


def test_a_trend_is_held_from_the_first_bar():
    path, truth = draw_known("trend", 1_000, seed=2)
    assert truth.growth == pytest.approx((path.log_returns[1:].sum() + math.log1p(-FEE)) / 999, rel=1e-9)


@pytest.mark.parametrize("positions", [(-1.0, 0.0, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("fee", [0.0, 0.001, 0.02])
def test_perfect_foresight_equals_trying_every_path(positions, fee):
    r = np.random.default_rng(4).normal(0, 0.02, 6)
    best = max(growth(np.array([*held, 0.0]), np.append(0, r), fee).sum()
               for held in itertools.product(positions, repeat=6))
    assert best_growth(r, fee, positions) == pytest.approx(best / 6, abs=1e-14)


def test_perfect_foresight_survives_a_bar_that_ruins_shorts():
    assert best_growth(np.array([1.0, -0.1]), 0.0) == pytest.approx((1.0 + math.log(2 - math.exp(-0.1))) / 2)


def test_the_state_is_the_feature_when_it_is_a_data_source():
    data = load_dataset(DataConfig(source="known", known=KnownConfig("regime_lead", bars=3_000, seed=5)))
    bare = make_known("regime_lead", 3_000, seed=5)
    assert data.market.columns == ("belief", "z")
    unscaled = data.market.features * data.scaler.scale + data.scaler.center
    np.testing.assert_allclose(unscaled, bare.market.features, atol=1e-5)
    assert data.truth.growth == bare.oracle_growth
    assert data.market.segments.tolist() == [[0, 3_000]]


def test_an_unknown_market_is_refused():
    with pytest.raises(UserError, match="did you mean 'ou_real'"):
        make_known("ou_reel", 100)
