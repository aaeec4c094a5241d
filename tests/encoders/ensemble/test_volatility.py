from dataclasses import replace

import numpy as np
import pytest

from encoders.ensemble.config import FusionConfig
from encoders.ensemble.contest import Units, losses
from encoders.ensemble.volatility import AdaptiveScale, StaticScale
from tests.encoders.ensemble.members import CONFIG, knowing, outcomes, with_label

ROWS = np.arange(1000)


def test_the_static_factor_has_the_least_qlike():
    labels, signal = outcomes(1001, assets=2)
    said = replace(knowing(signal), volatility=np.full((1001, 2), [0.5, 3.0]))
    fitted = StaticScale.fit(said, labels, ROWS, CONFIG)
    mended = fitted.apply(said, labels)
    size = np.sqrt(np.mean(labels.volatility[ROWS] ** 2, axis=0))
    np.testing.assert_allclose(mended.volatility[0], size, rtol=1e-5)

    def qlike(factor: float) -> float:
        moved = replace(mended, volatility=mended.volatility * factor)
        return losses(moved, labels, ROWS, Units.fit(labels, ROWS))["volatility"]

    assert qlike(1.0) < min(qlike(0.98), qlike(1.02))


def test_the_adaptive_scale_follows_and_begins_with_the_static_one():
    spread = np.concatenate([np.ones(2000), np.full(2000, 3.0)])[:, None]
    labels, signal = outcomes(4000, reach=5, spread=spread)
    said = knowing(signal, volatility=0.5)
    config = FusionConfig(memory=100)
    static, adaptive = (kind.fit(said, labels, ROWS, config).apply(said, labels).volatility[:, 0]
                        for kind in (StaticScale, AdaptiveScale))
    np.testing.assert_allclose(adaptive[:5], static[:5])
    assert static[-1] == pytest.approx(1.0, abs=0.05)
    assert np.mean(adaptive[1000:2000]) == pytest.approx(1.0, abs=0.05)
    assert np.mean(adaptive[3000:]) == pytest.approx(3.06, abs=0.1)


@pytest.mark.parametrize("reach", [1, 7])
def test_row_t_goes_by_labels_up_to_t_minus_reach(reach):
    labels, signal = outcomes(500, reach=reach)
    said = knowing(signal)
    fitted = AdaptiveScale.fit(said, labels, np.arange(300), CONFIG)
    changed = fitted.apply(said, with_label(labels, 400)).volatility != fitted.apply(said, labels).volatility
    np.testing.assert_array_equal(changed[:, 0], np.arange(500) >= 400 + reach)


def test_nothing_known_and_nothing_moving():
    labels, signal = outcomes(300)
    labels.volatility[:] = np.nan
    said = knowing(signal)
    fitted = AdaptiveScale.fit(said, labels, np.arange(200), CONFIG)
    np.testing.assert_array_equal(fitted.apply(said, labels).volatility, said.volatility)
    labels.volatility[:] = 0.0
    assert (StaticScale.fit(said, labels, np.arange(200), CONFIG).apply(said, labels).volatility > 0).all()
