"""The best forecast of the simulated market: the law of a bar, the filter's errors, calibration, and what beats it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import solve_discrete_are
from scipy.stats import norm

from configs.errors import UserError
from data.simulator import SimulatorConfig
from data.simulator.best import best_forecast, states_ahead
from data.simulator.context import LEADS, MAX_LEAD, NOISE
from data.simulator.filtering import (
    CLUSTERS,
    NODE_WEIGHTS,
    NODES,
    bar_likelihood,
    cluster_chain,
    filtered,
    first_weight,
    hours_of,
    regime_chain,
    regime_levels,
)
from data.simulator.prices import hidden_state
from data.simulator.regimes import CLUSTER_SPREAD, season, volatility
from data.simulator.simulate import simulate

BARS, HORIZON, WARM = 6_000, 6, 200
FAST = regime_levels()[:, None] * np.exp(CLUSTER_SPREAD * CLUSTERS - CLUSTER_SPREAD**2)  # (3, C)


class Case:
    """A market, its best forecast, and what came."""

    def __init__(self, edge, horizon=HORIZON, bars=BARS, seed=3):
        self.config, self.horizon = SimulatorConfig(bars=bars, edge=edge, seed=seed), horizon
        self.raw = simulate(self.config)
        self.log_close = np.log(self.raw.bars["BTC"]["close"].to_numpy())
        self.returns = np.diff(self.log_close, prepend=np.log(self.raw.bars["BTC"]["open"][0]))
        self.ewma = pd.Series(self.returns**2).ewm(alpha=0.06).mean().to_numpy()
        self.band = 0.25 * np.sqrt(horizon * self.ewma)
        self.belief, self.hours = filtered(self.raw, self.config), hours_of(self.raw)
        self.forecast = self.made()
        self.rows = slice(WARM, bars - horizon)
        self.came = (self.log_close[horizon:] - self.log_close[:-horizon])[WARM:]
        squares = np.concatenate([[0.0], np.cumsum(self.returns**2)])
        self.square = ((squares[1 + horizon :] - squares[1:-horizon]) / horizon)[WARM:]
        self.truth = self.raw.truth.over(horizon)[self.rows, 0]
        band = self.band[self.rows]
        self.direction = np.where(self.came > band, 2, np.where(self.came < -band, 0, 1))

    def made(self, raw=None, samples=200, seed=0):
        raw = self.raw if raw is None else raw
        band = self.band[: len(raw.bars["BTC"]), None]
        return best_forecast(raw, self.config, horizon=self.horizon, band=band, samples=samples, seed=seed)

    def log_loss(self, direction):
        """(rows,) of probabilities (rows, 3)."""
        return -np.log(direction[np.arange(len(self.direction)), self.direction])


@pytest.fixture(scope="module")
def fair():
    return Case(0.0)


@pytest.fixture(scope="module")
def edged():
    return Case(0.3)


def error_of_mean(x, blocks=40):
    """Of rows that overlap: by the spread of the means of blocks."""
    return np.std([part.mean() for part in np.array_split(x, blocks)], ddof=1) / np.sqrt(blocks)


def qlike(square, forecast):
    return square / forecast - np.log(square / forecast) - 1


@pytest.mark.parametrize(("sigma", "drift", "rate", "size"), [
    (0.0105, 0.0, 0.3, 3.0), (0.01, 0.001, 0.3, 3.0), (0.01, 0.0, 0.15, 3.0), (0.01, 0.0, 0.3, 2.5),
    (0.0105, 0.0, 0.0, 3.0),
])
def test_the_law_of_a_bar_is_a_density(sigma, drift, rate, size):
    """Its mean against another law, on bars from that other law, is 1: sizes, sides left behind and jumps are right."""
    rng = np.random.default_rng(0)
    n, true_sigma, true_rate, true_size = 20_000, 0.01, 0.3 if rate else 0.0, 0.03
    jump = np.where(rng.random(n) < true_rate, true_size * rng.standard_normal(n) - true_size**2 / 2, 0.0)
    move = true_sigma * rng.standard_normal(n)
    reach = -2 * np.log(rng.random((2, n))) * true_sigma**2
    high = np.maximum(jump + (move + np.sqrt(move**2 + reach[0])) / 2, 0)
    low = np.minimum(jump + (move - np.sqrt(move**2 + reach[1])) / 2, 0)
    ratio = np.empty(n)
    for i, bar in enumerate(np.stack([jump + move, high, low], axis=1)):
        held = np.array([bar[1] == 0, bar[2] == 0])
        said, true = (bar_likelihood(bar, held, s, d, 1.0, q, j, NODES, NODE_WEIGHTS)[0] for s, d, q, j in (
            (sigma, drift, rate, size * sigma), (true_sigma, 0.0, true_rate, true_size)))
        ratio[i] = np.exp(said - true)
    assert ratio.std() > 0.01
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(n)


def riccati(config):
    """(L, L) of z of bars t .. t+L-1 in the steady state, from scipy."""
    phi = 0.5 ** (1 / config.half_life)
    move = np.eye(MAX_LEAD, k=1)
    move[-1, -1] = phi
    fresh = np.zeros_like(move)
    fresh[-1, -1] = 1 - phi**2
    shown = np.zeros((len(LEADS) + 1, MAX_LEAD))
    shown[range(len(LEADS)), [lead - 1 for lead in LEADS.values()]] = 1.0
    shown[-1, 0] = config.edge
    noise = np.diag([*(NOISE[column] ** 2 for column in LEADS), 1.0])
    before = solve_discrete_are(move.T, shown.T, fresh, noise)
    return before - before @ shown.T @ np.linalg.solve(shown @ before @ shown.T + noise, shown @ before)


def test_the_state_is_known_as_well_as_riccati_says(fair, edged):
    steady, belief = riccati(fair.config), fair.belief
    np.testing.assert_allclose(belief.variance[-1], np.diag(steady), rtol=1e-9)
    ahead = states_ahead(belief, fair.config, 30)
    chained = ahead.variance[-1, 0] * np.concatenate([[1.0], np.cumprod(ahead.slope[-1, :9])])
    np.testing.assert_allclose(chained, steady[1, 1:11], rtol=1e-9)  # z, seen through noise, is a Markov chain still
    assert ahead.variance[-1, -1] == pytest.approx(1 - (1 - steady[-1, -1]) * 0.5 ** (2 * 19 / fair.config.half_life))

    steady, belief = riccati(edged.config), edged.belief
    z = hidden_state(edged.config, BARS + MAX_LEAD)[:, 0]
    for k in (1, 5, 11):
        assert belief.variance[WARM:, k].mean() == pytest.approx(steady[k, k], rel=0.03)
        found = np.corrcoef(z[WARM + k : BARS + k], belief.mean[WARM:, k])[0, 1]
        assert found**2 == pytest.approx(1 - steady[k, k], abs=0.03)


@pytest.mark.parametrize("jumps", [{}, {"jump_rate": 0.2, "jump_size": 3.0}])
def test_the_filter_errs_as_much_as_it_says(jumps):
    config = SimulatorConfig(bars=4_000, edge=1.0, seed=1, **jumps)
    raw = simulate(config)
    belief, hours = filtered(raw, config), hours_of(raw)
    sigma = np.log(volatility(config, hours)[:, 0] / config.sigma / season(hours))
    mean, square = ((belief.weight * np.log(FAST) ** k).sum(axis=(1, 2)) for k in (1, 2))
    assert ((sigma - mean) ** 2 / (square - mean**2)).mean() == pytest.approx(1.0, abs=0.12)
    z = hidden_state(config, config.bars)[:, 0]
    assert ((z - belief.mean[:, 0]) ** 2 / belief.variance[:, 0]).mean() == pytest.approx(1.0, abs=0.12)


def test_a_fair_game_has_a_volatility_and_no_direction(fair):
    config, forecast = fair.config, fair.forecast
    paid = (1 + config.jump_rate * config.jump_size**2) / 2  # by -sigma^2/2 and the mean of jumps
    np.testing.assert_allclose(forecast.mean, -paid * HORIZON * expected_variance(fair), rtol=1e-3)
    assert np.abs(forecast.direction[:, 0] - forecast.direction[:, 2]).max() < 0.03
    shares = np.bincount(fair.direction, minlength=3) / len(fair.direction)
    lead = fair.log_loss(np.tile(shares, (len(fair.direction), 1))) - fair.log_loss(forecast.direction[fair.rows])
    assert lead.mean() > -2 * error_of_mean(lead)


def expected_variance(case):
    """(T,) mean of sigma^2 over the horizon, by carrying the belief on bar by bar."""
    weight, total = case.belief.weight, np.zeros(len(case.hours))
    for k in range(1, case.horizon + 1):
        weight = np.einsum("tgc,gh,cd->thd", weight, regime_chain(), cluster_chain(), optimize=True)
        total += (case.config.sigma * season(case.hours + k)) ** 2 * (weight * FAST**2).sum(axis=(1, 2))
    return total / case.horizon


@pytest.mark.parametrize("name", ["fair", "edged"])
def test_probabilities_quantiles_and_volatility_come_true(name, request):
    case = request.getfixturevalue(name)
    forecast, rows = case.forecast, case.rows
    np.testing.assert_allclose(forecast.direction.sum(axis=1), 1.0)
    for q, level in enumerate((0.1, 0.5, 0.9)):
        under = case.came < forecast.quantiles[rows, q]
        assert abs(under.mean() - level) < 4 * error_of_mean(under)
    up = forecast.direction[rows, 2]
    for part in np.array_split(np.argsort(up), 4):
        miss = (case.direction == 2)[np.sort(part)] - up[np.sort(part)]
        assert abs(miss.mean()) < 4 * error_of_mean(miss)
    ratio = case.square / forecast.volatility[rows] ** 2
    assert abs(ratio.mean() - 1) < 4 * error_of_mean(ratio)


def test_the_mean_forecasts_the_truth_with_a_slope_of_one(edged):
    mean = edged.forecast.mean[edged.rows]
    assert (mean @ edged.truth) / (mean @ mean) == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(mean, edged.truth)[0, 1] > 0.9


def test_more_futures_do_not_move_the_scores(edged):
    bars = 1_200
    short = first_rows(edged.raw, bars)
    one, two = (edged.made(raw=short, samples=n, seed=n) for n in (400, 800))
    losses = [-np.log(f.direction[np.arange(WARM, bars), edged.direction[: bars - WARM]]) for f in (one, two)]
    assert abs(np.mean(losses[0] - losses[1])) < 5e-4
    assert np.abs(one.direction - two.direction).max() < 0.05
    np.testing.assert_array_equal(one.volatility, two.volatility)  # closed forms
    np.testing.assert_array_equal(one.direction, edged.made(raw=short, samples=400, seed=400).direction)


def first_rows(raw, rows):
    chain = "onchain_hourly", "BTC"
    return replace(raw, bars={"BTC": raw.bars["BTC"][:rows]}, carry={"BTC": raw.carry["BTC"][:rows]},
                   context={**raw.context, chain: raw.context[chain][:rows]})


def test_the_volatility_beats_an_average_and_a_filter_of_closes(fair):
    best = qlike(fair.square, fair.forecast.volatility[fair.rows] ** 2)
    weight, regimes, clusters = first_weight(), regime_chain().T, cluster_chain()
    config, activity = fair.config, season(fair.hours)
    of_closes = np.empty(3_000)
    for t in range(len(of_closes)):
        if t:
            weight = regimes @ weight @ clusters
        variance = (config.sigma * activity[t] * FAST) ** 2
        weight = weight * sum(share * np.exp(-(fair.returns[t] + v / 2) ** 2 / v / 2) / np.sqrt(v) for share, v in (
            (1 - config.jump_rate, variance), (config.jump_rate, variance * (1 + config.jump_size**2))))
        weight /= weight.sum()
        of_closes[t] = (weight * FAST**2).sum()
    exact = (fair.belief.weight * FAST**2).sum(axis=(1, 2))
    truth = (volatility(config, fair.hours)[:, 0] / config.sigma / activity) ** 2
    said = slice(WARM, len(of_closes))
    assert qlike(truth, exact)[said].mean() < 0.8 * qlike(truth[said], of_closes[said]).mean()
    gain = qlike(fair.square, fair.ewma[fair.rows]) - best
    assert gain.mean() > 4 * error_of_mean(gain)


def test_whoever_knows_sigma_and_the_state_does_better_still():
    case = Case(0.3, horizon=1, bars=4_000)
    config = case.config
    sigma = volatility(config, case.hours)[:, 0]
    drift = config.edge * sigma * hidden_state(config, config.bars)[:, 0] - sigma**2 / 2
    size = config.jump_size * sigma
    below = [sum(share * norm.cdf((edge[:-1] - mean[1:]) / spread[1:]) for share, mean, spread in (
        (1 - config.jump_rate, drift, sigma), (config.jump_rate, drift - size**2 / 2, np.hypot(sigma, size))))
        for edge in (-case.band, case.band)]
    bound = np.stack([below[0], below[1] - below[0], 1 - below[1]], axis=1)[WARM:]
    shares = np.bincount(case.direction, minlength=3) / len(case.direction)
    best = case.log_loss(case.forecast.direction[case.rows])
    for better, worse in ((case.log_loss(bound), best), (best, -np.log(shares[case.direction]))):
        assert (worse - better).mean() > 2 * error_of_mean(worse - better)


def test_nothing_up_to_a_row_depends_on_what_comes_after(edged):
    cut, rows = 1_200, 1_500
    raw = first_rows(edged.raw, rows)
    bars, chain = raw.bars["BTC"].copy(), raw.context["onchain_hourly", "BTC"].copy()
    bars.loc[cut:, ["high", "close"]] *= 1.01
    chain.loc[cut - 1 :, list(LEADS)] *= 1.1  # row cut-1 is known after close cut-1
    moved = replace(raw, bars={"BTC": bars}, context={**raw.context, ("onchain_hourly", "BTC"): chain})
    before, after = edged.made(raw=raw, samples=50), edged.made(raw=moved, samples=50)
    for name in ("direction", "quantiles", "volatility", "mean"):
        one, two = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(one[:cut], two[:cut])
        assert (one[cut:] != two[cut:]).any()


def test_what_it_cannot_forecast_is_refused():
    two = SimulatorConfig(bars=20, assets=("BTC", "ETH"))
    with pytest.raises(UserError, match="one asset, found BTC, ETH"):
        best_forecast(simulate(two), two, horizon=1, band=np.zeros((20, 2)))
    one = SimulatorConfig(bars=20)
    raw, band = simulate(one), np.zeros((20, 1))
    for wrong in ({"band": band[:, 0]}, {"horizon": 0}, {"levels": (0.9, 0.1)}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            best_forecast(raw, one, **{"horizon": 1, "band": band} | wrong)
