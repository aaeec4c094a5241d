"""Luck told from skill: formulas against other people's libraries, and how often they are right of what is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from agents.arena.statistics.luck import bars_needed, best_of, deflated, probable
from agents.arena.statistics.overfitting import overfitting
from agents.arena.statistics.power import years_needed
from agents.arena.statistics.runs import improvement, iqm_interval, pooled, profile
from agents.arena.statistics.several import holm, superior
from configs.errors import UserError
from data.bootstrap import interval, stationary_indices
from envs.metrics import sharpe

measures = pytest.importorskip("skfolio.measures", reason="skfolio is one of the developer's dependencies")


@pytest.fixture(params=range(5))
def returns(request) -> np.ndarray:
    """Skewed, heavy-tailed, and of another length each time."""
    rng = np.random.default_rng(request.param)
    return 0.01 * stats.skewnorm.rvs(4, size=300 + 100 * request.param, random_state=rng) * rng.standard_t(
        5, 300 + 100 * request.param) + 0.0005 * (request.param - 1)


@pytest.mark.parametrize("benchmark", [0.0, 0.05, -0.1])
def test_the_probabilistic_ratio_is_that_of_skfolio(returns, benchmark):
    assert probable(returns, benchmark) == pytest.approx(
        measures.probabilistic_sharpe_ratio(returns, benchmark), abs=1e-12)


def test_several_seeds_are_judged_as_one_of_the_middle_and_not_as_all_at_once(returns):
    """Three seeds that earn the same and are unlike each other would show a higher ratio as one account."""
    assert probable(np.stack([returns] * 3), 0.01) == pytest.approx(probable(returns, 0.01))
    assert bars_needed(np.stack([returns] * 3)) == pytest.approx(bars_needed(returns))
    seeds = np.stack([np.roll(returns, 100 * number) for number in range(3)])
    assert probable(seeds) == pytest.approx(probable(returns))
    together = seeds.mean(axis=0)
    assert abs(sharpe(together, 1.0)) > abs(sharpe(returns, 1.0))
    idle = np.stack([returns, returns, np.zeros_like(returns)])
    assert probable(idle) == pytest.approx(stats.norm.cdf(stats.norm.ppf(probable(returns)) * 2 / 3))


@pytest.mark.parametrize("trials", [1, 2, 10, 2.5, 5_000])
def test_the_best_of_many_is_that_of_skfolio(trials):
    assert best_of(trials, 0.03) == pytest.approx(measures.expected_max_sharpe_ratio(trials, 0.03), abs=1e-15)


def test_the_deflated_ratio_is_that_of_skfolio(returns):
    ratios = np.random.default_rng(9).normal(0, 0.04, 20)
    assert deflated(returns, 20, ratios.std(ddof=1)) == pytest.approx(
        measures.deflated_sharpe_ratio(returns, ratios), abs=1e-12)


def test_the_best_of_many_is_what_the_best_of_many_shows():
    """4,000 times the best of so many normal ratios; the formula is an approximation, good to 3 %."""
    rng = np.random.default_rng(0)
    for trials in (5, 50, 500):
        assert best_of(trials, 1.0) == pytest.approx(rng.normal(size=(4_000, trials)).max(axis=1).mean(), rel=0.03)


def test_a_record_of_the_length_that_is_needed_is_just_enough(returns):
    if not sharpe(returns, 1.0) > 0:
        assert bars_needed(returns) == np.inf
        return
    z = stats.norm.ppf(probable(returns)) * np.sqrt((bars_needed(returns) - 1) / (len(returns) - 1))
    assert stats.norm.cdf(z) == pytest.approx(0.95)


def test_worthless_strategies_rarely_look_skilled():
    """At 95 % in 5 of 100, and after deflating the best of 20 no oftener; a planted edge is found."""
    rng = np.random.default_rng(1)
    alone = best = found = 0
    for _ in range(400):
        tries = rng.normal(0, 0.01, (20, 500))
        ratios = sharpe(tries, 1.0)
        alone += probable(tries[0]) > 0.95
        chosen = tries[ratios.argmax()]
        best += deflated(chosen, 20, ratios.std(ddof=1)) > 0.95
        found += deflated(chosen + 0.003, 20, ratios.std(ddof=1)) > 0.95
    assert stats.binomtest(alone, 400, 0.05).pvalue > 1e-3
    assert best <= 0.05 * 400
    assert found > 0.95 * 400


def test_who_never_moves_has_no_ratio_to_speak_of():
    assert np.isnan(probable(np.zeros(100)))
    assert bars_needed(np.zeros(100)) == np.inf


def slowly(returns: np.ndarray, blocks: int) -> float:
    """Probability of overfitting as the paper tells it, half by half."""
    cut = np.array_split(np.arange(returns.shape[1]), blocks)
    low = halves = 0
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([cut[i] for i in chosen])
        outside = np.concatenate([cut[i] for i in range(blocks) if i not in chosen])
        best = int(np.argmax(sharpe(returns[:, inside], 1.0)))
        rank = stats.rankdata(sharpe(returns[:, outside], 1.0))[best] / (len(returns) + 1)
        low += np.log(rank / (1 - rank)) <= 0
        halves += 1
    return low / halves


@pytest.mark.parametrize("seed", range(3))
def test_overfitting_is_what_the_slow_way_says(seed):
    returns = np.random.default_rng(seed).normal(0, 0.01, (7, 320))
    found = overfitting(returns, blocks=8)
    assert found.probability == pytest.approx(slowly(returns, 8))
    assert len(found.logits) == 70


def test_overfitting_by_design_and_its_opposite():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.01, (10, 1_600))
    planted = noise.copy()
    planted[4] += 0.004
    assert overfitting(planted, 10).probability == 0
    assert (overfitting(planted, 10).chosen == 4).all()
    # who earns nothing over all of history loses in one half what he gains in the other
    assert overfitting(noise - noise.mean(axis=1, keepdims=True), 10).probability == 1
    mean = np.mean([overfitting(rng.normal(0, 0.01, (10, 400)), 8).probability for _ in range(60)])
    assert mean == pytest.approx(0.5, abs=0.12), "over many worthless tables, half"


@pytest.mark.parametrize(("shape", "blocks"), [((1, 100), 4), ((3, 100), 5), ((3, 6), 4), ((3, 100), 0)])
def test_what_cannot_be_cut_is_refused(shape, blocks):
    with pytest.raises(UserError):
        overfitting(np.zeros(shape), blocks)


def test_superiority_is_rarely_found_where_there_is_none_and_found_where_there_is():
    rng = np.random.default_rng(3)
    null = edge = 0
    for seed in range(100):
        benchmark, others = rng.normal(0, 0.01, 400), rng.normal(0, 0.01, (8, 400))
        null += superior(benchmark, others, block=1, draws=200, seed=seed).consistent < 0.05
        others[2] += 0.003
        edge += superior(benchmark, others, block=1, draws=200, seed=seed).consistent < 0.05
    assert null <= stats.binom.ppf(0.999, 100, 0.05)
    assert edge >= 95


def test_nobody_is_superior_to_himself():
    returns = np.random.default_rng(4).normal(0, 0.01, 200)
    assert superior(returns, np.stack([returns, returns]), block=5) == (1.0, 1.0, 1.0)
    found = superior(returns, np.stack([returns, returns + 0.01 * np.sin(np.arange(200)) + 0.01]), block=5, draws=200)
    assert found.consistent < 0.01


def test_adjusted_p_values_are_those_of_statsmodels():
    several = pytest.importorskip("statsmodels.stats.multitest")
    for seed in range(20):
        p_values = np.random.default_rng(seed).random(6) ** 3
        np.testing.assert_allclose(holm(p_values), several.multipletests(p_values, method="holm")[1])
    assert holm(np.array([])).size == 0


def test_a_family_of_true_nulls_is_rejected_in_one_of_twenty():
    rng = np.random.default_rng(5)
    wrong = sum((holm(rng.random(10)) < 0.05).any() for _ in range(2_000))
    assert stats.binomtest(int(wrong), 2_000, 0.05).pvalue > 1e-3


def test_pooled_runs_are_drawn_within_their_task():
    """Of tasks that differ much the mean is known as well as of tasks that are alike."""
    rng = np.random.default_rng(6)
    alike = rng.normal(0, 1, (4, 8))
    apart = alike + np.array([[0.0], [1_000.0], [2_000.0], [3_000.0]])
    assert pooled(alike)[2] - pooled(alike)[1] < 3
    low, high = pooled(apart)[1:]
    assert high - low < 3
    assert low < stats.trim_mean(apart, 0.25, axis=None) < high
    assert pooled(alike[:1])[1:] == pytest.approx(iqm_interval(alike[0]), abs=0.1)


def test_pooled_intervals_hold_the_truth():
    """Of 3 tasks with 6 runs each; percentiles of few runs are a little narrow, 93 % here where 95 are asked for."""
    rng, inside = np.random.default_rng(7), 0
    for _ in range(600):
        _, low, high = pooled(rng.normal(0, 1, (3, 6)), draws=400)
        inside += low <= 0 <= high
    assert 0.90 < inside / 600 < 0.97


def test_a_profile_falls_from_one_to_nothing():
    scores = np.random.default_rng(8).normal(0, 1, (3, 50))
    found = profile(scores, np.linspace(-6, 6, 25))
    assert (found[0], found[-1]) == (1.0, 0.0)
    assert (np.diff(found) <= 0).all()
    assert profile(scores, [np.median(scores)])[0] == pytest.approx(0.5, abs=0.01)


def test_improvement_is_that_of_mann_and_whitney():
    rng = np.random.default_rng(9)
    ours, theirs = rng.integers(0, 9, (2, 12)), rng.integers(0, 9, (2, 7))
    expected = np.mean([stats.mannwhitneyu(a, b).statistic / (12 * 7) for a, b in zip(ours, theirs)])
    assert improvement(ours, theirs) == pytest.approx(expected)
    assert improvement(theirs, ours) == pytest.approx(1 - expected)


def test_after_the_years_that_are_needed_the_difference_shows_as_often_as_was_said():
    rng = np.random.default_rng(10)
    years = years_needed(0.001, 0.01 / np.sqrt(200_000), years=200_000 / 365, power=0.8)
    bars = round(years * 365)
    seen = sum(stats.ttest_1samp(rng.normal(0.001, 0.01, bars), 0).pvalue < 0.05 for _ in range(2_000))
    assert seen / 2_000 == pytest.approx(0.8, abs=0.04)


def test_half_the_difference_takes_four_times_as_long_and_none_for_ever():
    assert years_needed(-0.1, 0.2, 3.0) == pytest.approx(4 * years_needed(0.2, 0.2, 3.0))
    assert years_needed(0.0, 0.2, 3.0) == np.inf


def test_resampled_intervals_are_those_of_arch():
    """The same series, mean block and draws; both are Politis and Romano's, so they differ by chance alone."""
    bootstrap = pytest.importorskip("arch.bootstrap")
    rng = np.random.default_rng(12)
    series = np.convolve(rng.normal(0, 1, 2_000), np.ones(5), "valid")
    rows = stationary_indices(len(series), 2_000, 20.0, rng)
    theirs = bootstrap.StationaryBootstrap(20, series, seed=0).apply(lambda x: np.array([x.mean()]), 2_000)[:, 0]
    assert interval(series[rows].mean(axis=1), 0.95) == pytest.approx(interval(theirs, 0.95), abs=0.04)
