import numpy as np
import pytest

from data.labels import Labels
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.intervals import MISSES, AdaptiveMargins, StaticMargins, conformal_quantile, scores_of, widened
from encoders.ensemble.online import conformal_margins
from encoders.forecast import Forecast
from tests.encoders.ensemble.members import CONFIG, coverage, knowing, outcomes, with_label

ROWS = np.arange(2000)
KINDS = (StaticMargins, AdaptiveMargins)


def narrow(rows: int, assets: int = 1) -> Forecast:
    return knowing(np.zeros((rows, assets)), spread=0.3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spread", [0.3, 3.0])  # too narrow and too wide: margins outwards and inwards
def test_each_tail_is_covered_on_later_rows_that_resemble_the_earlier(kind, spread):
    labels, _ = outcomes(8000, assets=2)
    said = knowing(np.zeros((8000, 2)) + 0.2, spread)  # off centre, so that the two tails are wrong unlike each other
    found = kind.fit(said, labels, ROWS, CONFIG).apply(said, labels)
    later, came = found.quantiles[2000:-1], labels.forward[2000:-1]
    assert np.mean(came < later[..., 0], axis=0) == pytest.approx([0.1, 0.1], abs=0.02)
    assert np.mean(came > later[..., 2], axis=0) == pytest.approx([0.1, 0.1], abs=0.02)
    np.testing.assert_array_equal(found.median, said.median)


@pytest.mark.parametrize("reach", [1, 12])
def test_under_drift_only_the_adaptive_interval_holds(reach):
    spread = np.concatenate([np.ones(2000), np.linspace(1, 3, 3000), np.full(3000, 3.0)])[:, None]
    labels, _ = outcomes(8000, reach=reach, spread=spread)
    said, later = narrow(8000), slice(2000, None)
    config = FusionConfig(memory=300)
    static, adaptive = (kind.fit(said, labels, ROWS, config).apply(said, labels) for kind in KINDS)
    assert coverage(static, labels, later) < 0.6
    assert coverage(adaptive, labels, later) == pytest.approx(0.8, abs=0.02)


def test_adaptive_levels_do_what_a_trailing_window_alone_would_not():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=4000) * np.exp(np.linspace(0, 4, 4000))  # outgrows any window
    news = np.concatenate([[np.nan], scores[:-1]])

    def missed(*steps: float) -> float:
        return float(np.mean(scores > conformal_margins(news, 1, rng.normal(size=500), 0.1, np.array(steps), 0.0, 0.0)))

    assert missed(0.0) > 0.12
    assert missed(0.05) == pytest.approx(0.1, abs=0.01)


def test_adaptive_margins_as_a_plain_loop_has_them():
    """The same with lists sorted anew and one step size, to the bit."""
    rng = np.random.default_rng(1)
    scores, seeds, delay, step, miss = rng.normal(size=300), rng.normal(size=20), 3, 0.05, 0.2
    scores[40:50] = np.nan
    window, level, expected = list(seeds), miss, []
    for t in range(300):
        if t >= delay and np.isfinite(scores[t - delay]):
            level += step * (miss - (scores[t - delay] > expected[t - delay]))
            level = min(max(level, 0.0), 1.0)
            window = [*window[1:], scores[t - delay]]
        rank = int(np.ceil(21 * (1 - level) - 1e-9))
        expected.append(sorted(window)[min(max(rank, 1), 20) - 1])
    news = np.concatenate([np.full(delay, np.nan), scores[:-delay]])
    np.testing.assert_array_equal(conformal_margins(news, delay, seeds, miss, np.array([step]), 1.0, 0.01), expected)


@pytest.mark.parametrize("reach", [1, 7])
def test_row_t_goes_by_labels_up_to_t_minus_reach(reach):
    labels, _ = outcomes(1500, assets=2, reach=reach)
    said = narrow(1500, 2)
    fitted = AdaptiveMargins.fit(said, labels, np.arange(800), FusionConfig(memory=100))
    changed = fitted.apply(said, with_label(labels, 1000)).quantiles != fitted.apply(said, labels).quantiles
    assert not changed[: 1000 + reach].any()
    assert changed[1000 + reach].any()


def test_conformal_quantiles_by_hand():
    assert conformal_quantile(np.arange(10.0), 0.1) == 9.0  # rank ceil(11 x .9) = 10
    assert conformal_quantile(np.arange(5.0), 0.1) == 4.0  # rank 6 of 5: the largest there is
    np.testing.assert_allclose(MISSES, [0.1, 0.5, 0.1])


def test_scores_are_in_volatilities():
    labels = Labels(np.array([[2]]), np.array([[0.4]]), np.array([[0.1]]), 1)
    said = Forecast(np.full((1, 1, 3), 1 / 3), np.array([[[-0.1, 0.0, 0.2]]]), np.array([[0.1]]))
    np.testing.assert_allclose(scores_of(said, labels), [[[-5.0, 0.0, 2.0]]])


def test_quantiles_never_cross_and_what_is_unforeseen_grows_with_the_interval():
    rng = np.random.default_rng(0)
    said = knowing(rng.normal(size=(200, 3)))
    said = Forecast(said.direction, said.quantiles, said.volatility, np.ones((200, 3)), np.ones((200, 3)))
    found = widened(said, rng.normal(scale=3.0, size=(200, 3, 3)))
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()
    assert (found.quantiles[..., 0] == found.median).any()  # and some would have crossed
    np.testing.assert_array_equal(found.median, said.median)
    np.testing.assert_array_equal(found.epistemic, said.epistemic)
    ratio = np.ptp(found.quantiles, axis=-1) / np.ptp(said.quantiles, axis=-1)
    np.testing.assert_allclose(found.aleatoric, ratio)


@pytest.mark.parametrize("kind", KINDS)
def test_an_asset_without_labels_keeps_its_interval_and_holes_stay(kind):
    labels, _ = outcomes(1500, assets=2)
    labels.forward[:, 1], labels.volatility[:, 1], labels.direction[:, 1] = np.nan, np.nan, -1
    said = narrow(1500, 2)
    for part in (said.direction, said.quantiles, said.volatility):
        part[300:330] = np.nan
    found = kind.fit(said, labels, np.arange(1000), CONFIG).apply(said, labels)
    np.testing.assert_array_equal(found.quantiles[:, 1], said.quantiles[:, 1])
    assert not np.array_equal(found.quantiles[:, 0], said.quantiles[:, 0], equal_nan=True)
    np.testing.assert_array_equal(np.isnan(found.quantiles), np.isnan(said.quantiles))
