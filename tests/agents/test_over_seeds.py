"""What several seeds of one agent say: the luck of training, known from few, beside the luck of the period."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agents.arena.statistics.resampling import over_seeds, resample
from data.bootstrap import BootstrapConfig

HOURS = 8760.0
QUICK = BootstrapConfig(draws=400, block=10)


def test_seeds_that_are_alike_have_the_luck_of_the_period_alone():
    returns = np.random.default_rng(1).normal(0, 0.01, (1, 300))
    draws = resample(np.repeat(returns, 4, axis=0), HOURS, QUICK, (100, 200))
    found = over_seeds(draws, range(4))
    np.testing.assert_allclose(found.growth, draws.growth[:, 0], atol=1e-12)
    np.testing.assert_allclose(found.sharpe, draws.sharpe[:, 0], atol=1e-9)
    alone = over_seeds(draws, [2])
    assert np.array_equal(alone.growth, draws.growth[:, 2])


def test_a_run_that_is_drawn_of_other_seeds_has_their_bars():
    """Two windows, one agent good in the first alone and one in the second: a run of both is good in both, or bad."""
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.01, (2, 400))
    noise[0, :200] += 0.02
    noise[1, 200:] += 0.02
    draws = resample(noise, HOURS, QUICK, (200, 200))
    drawn = draws.drawn_anew([0, 1], np.random.default_rng(3))
    whole = {(first, second): np.concatenate([noise[first, :200], noise[second, 200:]])
             for first in (0, 1) for second in (0, 1)}
    made = resample(np.stack([*whole.values()]), HOURS, QUICK)
    gaps = np.abs(drawn.growth[:, :, None] - made.growth[:, None])  # (draws, runs, pairs)
    assert gaps.min(axis=2).max() < 1e-12
    assert {*np.unique(gaps.argmin(axis=2))} == {0, 1, 2, 3}
    pair = gaps.argmin(axis=2)
    np.testing.assert_allclose(drawn.sharpe, np.take_along_axis(made.sharpe, pair, axis=1), rtol=1e-9)


@pytest.mark.parametrize(("windows", "seeds"), [(1, 2), (1, 5), (3, 2), (4, 3), (4, 5)])
@pytest.mark.parametrize("training", [0.1, 10.0])  # deviation of the luck of training beside that of the period
def test_worthless_agents_of_few_seeds_are_seldom_called_good_or_bad(windows, seeds, training):
    rng, bars, tries = np.random.default_rng(4), 40, 400
    config, ps, errors, got = BootstrapConfig(draws=300, block=1), [], [], []
    for _ in range(tries):
        luck = rng.normal(0, training * 0.01 / np.sqrt(bars), (seeds, windows)).repeat(bars, axis=1)
        returns = np.expm1(rng.normal(0, 0.01, windows * bars) + luck)
        found = over_seeds(resample(returns, HOURS, config, (bars,) * windows), range(seeds))
        ps.append(2 * min((found.growth <= 0).mean(), (found.growth >= 0).mean()))
        errors.append(found.steady.std())
        got.append(stats.trim_mean(np.log1p(returns).sum(axis=1), 0.25))
    wrong, surely_wrong = ((np.array(ps) <= level).mean() for level in (0.05, 0.01))
    assert 0.01 <= wrong <= 0.1
    assert surely_wrong <= 0.03
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(got), rel=0.2)
