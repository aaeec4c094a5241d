import numpy as np
import pytest
from scipy.special import softmax

from data.labels import Labels
from encoders.ensemble.contest import Units, losses
from encoders.ensemble.probabilities import BiasedTemperature, Isotonic, Temperature, rising
from encoders.forecast import Forecast
from encoders.scores import Pairs, calibration, calibration_error
from tests.encoders.ensemble.members import CONFIG, knowing, outcomes, sharpened

ROWS = np.arange(3000)
LATER = np.arange(3000, 5990)
KINDS = (Temperature, BiasedTemperature, Isotonic)


@pytest.fixture(scope="module")
def said() -> tuple[Labels, Forecast]:
    labels, signal = outcomes(6000)
    return labels, knowing(signal)


def log_loss(forecast: Forecast, labels: Labels) -> float:
    return losses(forecast, labels, LATER, Units(np.ones(1), np.ones(1)))["direction"]


def gap(forecast: Forecast, labels: Labels) -> float:
    return float(calibration_error(calibration(Pairs.of(forecast, labels, LATER, np.zeros_like(LATER))).sum(axis=0)))


@pytest.mark.parametrize("by", [0.4, 1.0, 3.0])
def test_temperature_finds_what_was_done_to_the_chances(said, by):
    labels, right = said
    fitted = Temperature.fit(sharpened(right, by), labels, ROWS, CONFIG)
    assert fitted.sharpness * by == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("kind", KINDS)
def test_an_overconfident_member_is_mended_on_later_rows(said, kind):
    labels, right = said
    loud = sharpened(right, 3.0)
    mended = kind.fit(loud, labels, ROWS, CONFIG).apply(loud, labels)
    assert log_loss(loud, labels) > log_loss(right, labels) + 0.1
    assert log_loss(mended, labels) < log_loss(right, labels) + 0.015
    assert gap(loud, labels) > 0.1
    assert gap(mended, labels) < 0.035
    np.testing.assert_allclose(mended.direction.sum(axis=-1), 1, atol=1e-12)


def test_wrong_base_rates_need_biases(said):
    labels, right = said
    biased = Forecast(softmax(np.log(right.direction) + [1.0, 0.0, -0.5], axis=-1), right.quantiles, right.volatility)
    fitted = BiasedTemperature.fit(biased, labels, ROWS, CONFIG)
    np.testing.assert_allclose(fitted.biases, [-1.0, 0.0, 0.5], atol=0.15)
    plain = Temperature.fit(biased, labels, ROWS, CONFIG)
    assert log_loss(fitted.apply(biased, labels), labels) < log_loss(plain.apply(biased, labels), labels) - 0.05


def test_isotonic_mends_what_no_temperature_can(said):
    labels, right = said
    bent = right.direction**3 + 0.1  # order kept, shape not
    bent = Forecast(bent / bent.sum(axis=-1, keepdims=True), right.quantiles, right.volatility)
    found = {kind: log_loss(kind.fit(bent, labels, ROWS, CONFIG).apply(bent, labels), labels) for kind in KINDS}
    assert found[Isotonic] < found[BiasedTemperature]


def test_isotonic_curves_rise_and_rule_nothing_out(said):
    labels, right = said
    fitted = Isotonic.fit(right, labels, ROWS, CONFIG)
    for meant in np.split(fitted.meant, fitted.ends[:-1].astype(int)):
        assert (np.diff(meant) >= 0).all()
    assert fitted.apply(right, labels).direction.min() > 1e-4
    knots, meant = rising(np.array([0.2, 0.2, 0.7]), np.array([0, 1, 1]))  # ties are one knot, at their mean
    assert (knots.tolist(), meant.tolist()) == ([0.2, 0.7], [0.5, 1.0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_never_came_and_a_chance_of_zero_stay_finite(kind):
    labels = Labels(np.full((400, 1), 2), np.ones((400, 1)), np.ones((400, 1)), 1)
    sure = Forecast(np.tile([1.0, 0.0, 0.0], (400, 1, 1)), np.zeros((400, 1, 3)), np.ones((400, 1)))
    found = kind.fit(sure, labels, np.arange(400), CONFIG).apply(sure, labels)
    assert np.isfinite(found.direction).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_a_forecast_stay_so(said, kind):
    labels, right = said
    holed = Forecast(*(part.copy() for part in (right.direction, right.quantiles, right.volatility)))
    for part in (holed.direction, holed.quantiles, holed.volatility):
        part[100:200] = np.nan
    found = kind.fit(holed, labels, ROWS, CONFIG).apply(holed, labels)
    np.testing.assert_array_equal(np.isnan(found.direction).all(axis=(1, 2)), np.isnan(holed.volatility[:, 0]))


def test_a_broken_description_is_refused():
    knots = np.array([0.1, 0.2, 0.3])
    stored = Isotonic(knots, knots, np.array([1.0, 2.0, 3.0]), np.array(0.1)).plain()
    with pytest.raises(ValueError, match="as many heights"):
        Isotonic.of({**stored, "meant": [0.1]})
    with pytest.raises(ValueError, match="finite"):
        Isotonic.of({**stored, "least": float("nan")})
    with pytest.raises(ValueError, match="expected sharpness"):
        Temperature.of({})
