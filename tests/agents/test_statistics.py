"""Intervals and metrics: numbers worked out by hand, and coverage over many simulated histories."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from agents.arena.report import ENSEMBLE, as_markdown, compare, readable, verdict
from agents.arena.rollout import Track
from agents.arena.statistics.resampling import resample
from configs.errors import UserError
from data.bootstrap import BootstrapConfig, interval, stationary_indices
from envs.metrics import measure, returns_of, sharpe

HOURS = 8760.0
QUICK = BootstrapConfig(draws=400, block=10)


def test_resampled_numbers_are_those_of_the_rows_that_were_drawn():
    """A hundred draws are one chunk, so that the same generator gives the same rows."""
    returns = np.random.default_rng(5).normal(1e-4, 0.01, (3, 400))
    returns[2] = 1e-4  # never moves
    draws = resample(returns, HOURS, replace(QUICK, draws=100))
    rows = stationary_indices(400, 100, QUICK.block, np.random.default_rng(QUICK.seed))
    for c, one in enumerate(returns):
        np.testing.assert_allclose(draws.growth[:, c], np.log1p(one[rows]).sum(axis=1), rtol=1e-10)
        np.testing.assert_allclose(draws.sharpe[:, c], sharpe(one[rows], HOURS), rtol=1e-9)
    assert (draws.sharpe[:, 2] == 0).all()


def test_blocks_have_the_mean_length_that_was_asked_for():
    rows = stationary_indices(1_000, 400, 20.0, np.random.default_rng(0))
    assert rows.shape == (400, 1_000)
    follows = (np.diff(rows, axis=1) % 1_000) == 1
    # a step follows on unless a block begins (1/20), or begins on the very next row by chance (1/20 of 1/1000)
    expected = 1 - 1 / 20 + 1 / 20 / 1_000
    assert follows.mean() == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / follows.size))


def test_blocks_wrap_at_the_end_and_begin_anywhere():
    rows = stationary_indices(50, 4_000, 10.0, np.random.default_rng(1))
    assert rows.min() == 0
    assert rows.max() == 49
    at_the_end = rows[:, :-1] == 49
    assert (rows[:, 1:][at_the_end] == 0).mean() > 0.85
    assert stats.chisquare(np.bincount(rows[:, 0], minlength=50)).pvalue > 1e-4
    everywhere = np.bincount(rows.ravel(), minlength=50) / rows.size
    np.testing.assert_allclose(everywhere, 1 / 50, rtol=0.1)


def test_blocks_of_one_bar_are_the_plain_bootstrap():
    rows = stationary_indices(30, 5_000, 1.0, np.random.default_rng(2))
    follows = (np.diff(rows, axis=1) % 30) == 1
    assert follows.mean() == pytest.approx(1 / 30, abs=0.003)


def test_the_interval_holds_the_true_sharpe_as_often_as_it_says():
    """600 histories of iid normal returns: 95 % intervals should miss in 5 %, and the count is binomial."""
    rng, bars, mean, deviation = np.random.default_rng(3), 250, 0.001, 0.01
    returns = rng.normal(mean, deviation, (600, bars))
    truth = mean / deviation * np.sqrt(HOURS)
    growth = bars * stats.norm.expect(np.log1p, loc=mean, scale=deviation, lb=-0.1, ub=0.1)
    inside = np.zeros(2, int)
    for n, one in enumerate(returns):
        draws = resample(one[None], HOURS, replace(QUICK, block=1.0, draws=300, seed=n))
        for i, (found, true) in enumerate(((draws.sharpe, truth), (draws.growth, growth))):
            low, high = interval(found[:, 0], 0.95)
            inside[i] += low <= true <= high
    # 5 deviations of the binomial, and 1.5 % for what percentile intervals of 250 bars and 300 draws fall short
    slack = 600 * 0.015 + 5 * np.sqrt(600 * 0.05 * 0.95)
    assert (np.abs(inside - 0.95 * 600) < slack).all(), inside
    assert (inside < 600).all()


def test_an_interval_is_the_middle_of_the_draws():
    assert interval(np.arange(1001.0), 0.95) == pytest.approx((25.0, 975.0))
    assert interval(np.arange(1001.0), 0.5) == pytest.approx((250.0, 750.0))


def test_a_series_against_itself_differs_by_exactly_nothing():
    returns = np.random.default_rng(4).normal(0, 0.01, 300)
    draws = resample(np.stack([returns, returns, -returns]), HOURS, QUICK)
    assert (draws.sharpe[:, 0] == draws.sharpe[:, 1]).all()
    assert (draws.growth[:, 0] == draws.growth[:, 1]).all()
    assert (draws.sharpe[:, 0] != draws.sharpe[:, 2]).any()


def test_contestants_meet_the_same_histories_whoever_else_is_there():
    returns = np.random.default_rng(5).normal(0, 0.01, (3, 200))
    together, alone = resample(returns, HOURS, QUICK), resample(returns[1:2], HOURS, QUICK)
    np.testing.assert_allclose(together.sharpe[:, 1], alone.sharpe[:, 0], rtol=1e-12)
    again = resample(returns, HOURS, QUICK)
    np.testing.assert_array_equal(together.growth, again.growth)
    assert (resample(returns, HOURS, replace(QUICK, seed=1)).growth != together.growth).any()


def test_returns_that_resemble_their_neighbours_need_longer_blocks():
    rng = np.random.default_rng(6)
    noise, kept = rng.normal(0, 0.01, 3_000), np.zeros(3_000)
    for t in range(1, 3_000):
        kept[t] = 0.9 * kept[t - 1] + noise[t]

    def width(returns: np.ndarray, block: float) -> float:
        low, high = interval(resample(returns[None], HOURS, replace(QUICK, block=block)).growth[:, 0], 0.95)
        return high - low

    assert width(kept, 100.0) > 2 * width(kept, 1.0)  # the truth is sqrt(1.9 / 0.1) = 4.4 times
    assert width(noise, 100.0) == pytest.approx(width(noise, 1.0), rel=0.35)


@pytest.mark.parametrize("bad", [{"draws": 99}, {"block": 0.5}, {"level": 1.0}, {"level": 0.0}])
def test_a_senseless_bootstrap_is_refused(bad):
    with pytest.raises(UserError, match="bootstrap needs"):
        BootstrapConfig(**bad)


EQUITY = np.array([100.0, 110.0, 99.0, 108.9])  # +10 %, -10 %, +10 %


def test_metrics_by_hand():
    weights = np.array([[1.0], [-0.5], [0.0]])
    found = measure(EQUITY, weights, np.array([1.0, 1.5, 0.0]), costs=2.0, years=1.0, bars_per_year=3.0)
    assert found.total_return == pytest.approx(0.089)
    assert found.annual_return == pytest.approx(0.089)  # three bars are one year
    deviation = np.sqrt((2 * (0.1 - 1 / 30) ** 2 + (-0.1 - 1 / 30) ** 2) / 2)  # ddof = 1
    assert found.volatility == pytest.approx(deviation * np.sqrt(3))
    assert found.sharpe == pytest.approx(1 / 30 / deviation * np.sqrt(3))
    assert found.sortino == pytest.approx(1 / 30 / np.sqrt(0.01 / 3) * np.sqrt(3))  # = 1.0
    assert found.sortino == pytest.approx(1.0)
    assert found.max_drawdown == pytest.approx(0.1)
    assert found.calmar == pytest.approx(0.89)
    assert found.turnover == pytest.approx(2.5)
    assert found.costs == pytest.approx(0.02)
    assert found.trades == 2
    assert found.win_rate == pytest.approx(0.5)  # of the two bars with a position
    assert found.exposure == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_those_of_empyrical(seed):
    """Where both know the number; hours of a year without gaps."""
    empyrical = pytest.importorskip("empyrical")
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(4, 5_000 + seed) * 0.004 + 1e-5 * seed
    equity = 1_000.0 * np.cumprod(np.append(1.0, 1 + returns))
    bars = len(returns)
    found = measure(equity, np.ones((bars, 1)), np.zeros(bars), 0.0, bars / HOURS, HOURS)
    year = {"annualization": HOURS}
    theirs = {
        "total_return": empyrical.cum_returns_final(returns), "annual_return": empyrical.annual_return(returns, **year),
        "volatility": empyrical.annual_volatility(returns, **year), "sharpe": empyrical.sharpe_ratio(returns, **year),
        "sortino": empyrical.sortino_ratio(returns, **year), "calmar": empyrical.calmar_ratio(returns, **year),
        "max_drawdown": -empyrical.max_drawdown(returns), "value_at_risk": empyrical.value_at_risk(returns),
        "expected_shortfall": empyrical.conditional_value_at_risk(returns),
    }
    for name, expected in theirs.items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-10), name


def test_what_was_gained_over_what_was_lost():
    def factor(*equity: float) -> float:
        bars = len(equity) - 1
        return measure(np.array(equity), np.ones((bars, 1)), np.zeros(bars), 0.0, 1.0, HOURS).profit_factor

    assert factor(100.0, 110.0, 99.0, 108.9) == pytest.approx(2.0)  # +10 %, -10 %, +10 %
    assert factor(100.0, 90.0, 81.0) == 0
    assert factor(100.0, 110.0, 110.0) == 0


def test_drawdown_counts_from_the_start():
    falling = measure(np.array([100.0, 80.0, 90.0]), np.ones((2, 1)), np.zeros(2), 0.0, 2 / HOURS, HOURS)
    assert falling.max_drawdown == pytest.approx(0.2)


def test_a_year_is_compounded():
    doubled = measure(np.array([1.0, np.sqrt(2), 2.0]), np.ones((2, 1)), np.zeros(2), 0.0, years=0.5, bars_per_year=4.0)
    assert doubled.annual_return == pytest.approx(3.0)


@pytest.mark.parametrize("equity", [np.full(5, 100.0), 100 * 1.01 ** np.arange(5)])
def test_where_nothing_varies_ratios_are_zero_and_not_infinite(equity):
    found = measure(equity, np.zeros((4, 1)), np.zeros(4), 0.0, 4 / HOURS, HOURS)
    assert (found.sharpe, found.sortino, found.calmar, found.max_drawdown, found.win_rate) == (0, 0, 0, 0, 0)


def test_sharpe_scales_with_the_year_alone_and_ignores_leverage():
    returns = np.random.default_rng(7).normal(0.001, 0.01, (4, 100))
    np.testing.assert_allclose(sharpe(returns, 4.0), sharpe(returns, 1.0) * 2)
    np.testing.assert_allclose(sharpe(returns * 3, HOURS), sharpe(returns, HOURS))
    np.testing.assert_array_equal(returns_of(EQUITY).round(12), [0.1, -0.1, 0.1])


def track(name: str, kind: str, returns: np.ndarray) -> Track:
    bars = len(returns)
    equity = 10_000 * np.concatenate([[1.0], np.cumprod(1 + returns)])
    time = np.datetime64("2024-01-01T00:00", "us") + np.arange(bars + 1) * np.timedelta64(1, "h")
    return Track(name, kind, 0, slice(100, 101 + bars), time, equity, np.ones((bars, 1)), np.zeros(bars),
                 np.zeros(bars), HOURS)


@pytest.fixture
def tracks() -> list[Track]:
    noise = np.random.default_rng(8).normal(0, 0.001, 400)
    return [track("agent", "rl", noise + 0.002), track("copy", "rl", noise), track("bad", "rl", noise - 0.002),
            track(ENSEMBLE, "supervised", noise), track("cash", "baseline", np.zeros(400))]


def test_the_report_orders_compares_and_speaks_plainly(tracks):
    report = compare(tracks, QUICK)
    assert list(report.table.index) == ["agent", *sorted(["copy", ENSEMBLE, "cash"], key=lambda name: (
        -report.table.loc[name, "total_return"], name)), "bad"]
    for name, low, high in (("total_return", "total_return_low", "total_return_high"),
                            ("sharpe", "sharpe_low", "sharpe_high")):
        assert (report.table[low] <= report.table[name] + 1e-12).all()
        assert (report.table[name] <= report.table[high] + 1e-12).all()
    gap = report.differences
    assert list(gap.index) == ["agent", "copy", "bad"]  # agents alone
    assert gap.loc["copy", ["log_growth", "log_growth_low", "log_growth_high", "sharpe"]].tolist() == [0, 0, 0, 0]
    assert gap.loc["agent", "log_growth_low"] > 0
    assert "lies above zero" in gap.loc["agent", "verdict"]
    assert "cannot be told apart" in gap.loc["copy", "verdict"]
    assert "lies below zero" in gap.loc["bad", "verdict"]
    expected = np.log(tracks[0].equity[-1] / tracks[3].equity[-1])
    assert gap.loc["agent", "log_growth"] == pytest.approx(expected)
    assert "Test rows 100 to 500" in report.about
    assert "95%" in report.about


def test_the_mean_over_seeds_lies_in_the_interval_that_stands_beside_it():
    """Both are of log growth: a mean of total returns may lie above all that the interval holds."""
    doubled = np.full(400, 2 ** (1 / 400) - 1)
    halved = np.full(400, 0.5 ** (1 / 400) - 1)
    pair = [replace(track(name, "rl", returns), team="ppo + none", seed=seed)
            for seed, (name, returns) in enumerate([("up", doubled), ("down", halved)])]
    report = compare(pair, QUICK)
    [line] = report.teams.to_dict("records")
    assert line["total_return"] == pytest.approx(0.0, abs=1e-9)  # not (1.0 - 0.5) / 2
    assert line["total_return_low"] <= line["total_return"] <= line["total_return_high"]
    assert "nterquartile" not in report.markdown(), "of two seeds nothing is left out"


def test_without_an_ensemble_there_is_nothing_to_subtract(tracks, tmp_path):
    report = compare([tracks[0], tracks[4]], QUICK)
    assert report.differences.empty
    assert "minus" not in report.markdown()
    report.save(tmp_path)
    assert json.loads((tmp_path / "table.json").read_text())["differences"] == []


def test_the_report_is_written_unrounded_and_read_back(tracks, tmp_path):
    report = compare(tracks, QUICK)
    report.save(tmp_path)
    stored = json.loads((tmp_path / "table.json").read_text())
    from_json = pd.DataFrame(stored["contestants"]).set_index("contestant")
    pd.testing.assert_frame_equal(from_json, report.table, check_exact=True)
    pd.testing.assert_frame_equal(pd.DataFrame(stored["differences"]).set_index("contestant"), report.differences,
                                  check_exact=True)
    from_csv = pd.read_csv(tmp_path / "table.csv", index_col="contestant", dtype=str)
    pd.testing.assert_frame_equal(from_csv.astype(report.table.dtypes), report.table, check_exact=True)
    assert (tmp_path / "table.md").read_text() == report.markdown()


def test_the_same_tracks_give_the_same_report_in_any_order(tracks):
    report, turned = compare(tracks, QUICK), compare(tracks[::-1], QUICK)
    pd.testing.assert_frame_equal(report.table, turned.table, check_exact=True)


def test_markdown_has_a_row_for_each_contestant_and_one_width(tracks):
    report = compare(tracks, QUICK)
    lines = as_markdown(readable(report.table)).splitlines()
    assert len(lines) == 2 + len(tracks)
    assert len({len(line) for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(report.table.index)
    shown = readable(report.table)
    value, low, high = (report.table.loc["agent", f"total_return{end}"] for end in ("", "_low", "_high"))
    assert shown.loc["agent", "total_return [interval]"] == f"{value:+.1%} [{low:+.1%}, {high:+.1%}]"
    assert shown.loc["cash", "sharpe [interval]"] == "+0.00 [+0.00, +0.00]"


@pytest.mark.parametrize(("low", "high", "said"), [
    (0.1, 0.2, "above zero"), (-0.2, -0.1, "below zero"), (-0.1, 0.1, "told apart"), (0.0, 0.1, "told apart"),
])
def test_a_verdict_says_no_more_than_the_interval(low, high, said):
    assert said in verdict("ppo", low, high)


def test_what_is_annual_is_per_year_that_passed_and_not_per_step():
    """Two steps over half a year of mostly darkness: 21 % in it are 46 % a year."""
    found = measure(np.array([100.0, 110.0, 121.0]), np.ones((2, 1)), np.ones(2), 0.0, years=0.5, bars_per_year=HOURS)
    assert found.annual_return == pytest.approx(1.21**2 - 1)
    assert found.turnover == pytest.approx(4.0)
