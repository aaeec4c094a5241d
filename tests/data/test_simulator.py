"""The bundled market: repeatable, fair at edge 0, and forecastable at the stated lag otherwise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from configs.errors import UserError
from data.align import aligned
from data.schema import EVERY_ASSET
from data.simulator import SimulatorConfig
from data.simulator.context import DELAY, LEADS, MAX_LEAD, SIGNS
from data.simulator.prices import bars, hidden_state, returns
from data.simulator.regimes import volatility
from data.simulator.simulate import simulate

LONG = 60_000


def log_returns(raw, asset="BTC"):
    return np.diff(np.log(raw.bars[asset]["close"].to_numpy()))  # item t: the return of bar t + 1


@pytest.fixture(scope="module")
def fair():
    return simulate(SimulatorConfig(bars=LONG, edge=0.0, seed=3))


@pytest.fixture(scope="module")
def edged():
    return simulate(SimulatorConfig(bars=LONG, edge=0.1, seed=3))


def same(a, b):
    for asset in a.bars:
        pd.testing.assert_frame_equal(a.bars[asset], b.bars[asset], check_exact=True)
        np.testing.assert_array_equal(a.carry[asset], b.carry[asset])
    for key in a.context:
        pd.testing.assert_frame_equal(a.context[key], b.context[key], check_exact=True)


def test_the_same_seed_gives_the_same_market_and_another_seed_does_not():
    config = SimulatorConfig(bars=500, assets=("BTC", "ETH"))
    same(simulate(config), simulate(config))
    other = simulate(SimulatorConfig(bars=500, seed=1))
    assert not np.allclose(other.bars["BTC"]["close"], simulate(config).bars["BTC"]["close"])


def test_more_bars_and_more_assets_change_nothing_that_was_there():
    short = simulate(SimulatorConfig(bars=300))
    long = simulate(SimulatorConfig(bars=900, assets=("BTC", "ETH")))
    pd.testing.assert_frame_equal(short.bars["BTC"], long.bars["BTC"][:300], check_exact=True)
    pd.testing.assert_frame_equal(short.context["onchain_hourly", "BTC"], long.context["onchain_hourly", "BTC"][:300],
                                  check_exact=True)


def test_bars_open_at_the_last_close_and_hold_together():
    raw = simulate(SimulatorConfig(bars=5_000, assets=("BTC", "ETH")))
    for frame in raw.bars.values():
        assert (frame["open"].to_numpy()[1:] == frame["close"].to_numpy()[:-1]).all()
        assert (frame["high"] >= frame[["open", "close"]].max(axis=1)).all()
        assert (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
        assert (frame[["low", "volume"]] > 0).all().all()


def test_highs_and_lows_follow_the_law_of_the_brownian_bridge():
    config = SimulatorConfig(bars=20_000, jump_rate=0.0, edge=0.0)
    hours = np.arange(config.bars)
    paths = returns(config, volatility(config, hours), hidden_state(config, config.bars))
    prices = np.log(bars(config, paths, hours)[1:, 0, :4])
    opened, high, low, closed = prices.T
    variance = paths.sigma[1:, 0] ** 2
    # P(the bridge passes a level) is exp(-2 (level - open) (level - close) / variance)
    upper, lower = (np.exp(-2 * (end - opened) * (end - closed) / variance) for end in (high, low))
    assert stats.kstest(upper, "uniform").pvalue > 1e-3
    assert stats.kstest(lower, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(upper, lower)[0, 1]) < 0.05


def test_large_moves_and_jumps_pay_for_themselves():
    config = SimulatorConfig(bars=200_000, edge=0.0, jump_rate=0.2, jump_size=2.0)
    sigma = np.full((config.bars, 1), 0.2)  # large enough for a missing -sigma^2/2 to show
    gain = np.expm1(returns(config, sigma, hidden_state(config, config.bars)).log_returns[:, 0])
    assert abs(gain.mean()) < 4 * gain.std() / np.sqrt(len(gain))


def test_the_truth_of_a_row_is_the_mean_of_the_next_bar():
    config = SimulatorConfig(bars=400)
    raw = simulate(config)
    hours = raw.bars["BTC"]["time"].to_numpy("datetime64[h]").astype(int)
    paths = returns(config, volatility(config, hours), hidden_state(config, config.bars))
    np.testing.assert_allclose(raw.truth.mean[:-1], paths.mean[1:], rtol=1e-12)
    np.testing.assert_allclose(log_returns(raw), paths.log_returns[1:, 0], atol=1e-9)


def test_volatility_clusters_has_its_size_and_drives_volume(fair):
    r = log_returns(fair)
    assert np.std(r) == pytest.approx(0.006, rel=0.15)
    assert np.corrcoef(np.abs(r[1:]), np.abs(r[:-1]))[0, 1] > 0.15
    assert np.corrcoef(np.abs(r), np.log(fair.bars["BTC"]["volume"][1:]))[0, 1] > 0.2
    assert stats.kurtosis(r) > 3


def test_without_an_edge_it_is_a_fair_game(fair):
    r = log_returns(fair)
    gain = np.expm1(r)
    assert abs(gain.mean()) < 4 * gain.std() / np.sqrt(len(gain))
    seen = np.log(aligned(fair)["BTC"][list(LEADS)].to_numpy())[1:-1]  # the first row sees nothing yet
    standard = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    t = standard.T @ gain[1:] / np.sqrt((standard**2).T @ gain[1:] ** 2)  # robust to changing volatility
    assert (np.abs(t) < 4).all()
    past = gain[:-1]
    assert abs(past @ gain[1:] / np.sqrt(past**2 @ gain[1:] ** 2)) < 4


def test_with_an_edge_what_is_seen_forecasts_and_the_truth_forecasts_better(edged):
    r = log_returns(edged)
    seen = np.log(aligned(edged)["BTC"][list(LEADS)].to_numpy())[1:-1]
    signs = np.array([SIGNS[column] for column in LEADS])
    found = np.array([np.corrcoef(column, r[1:])[0, 1] for column in seen.T]) * signs
    assert (found * np.sqrt(len(r)) > 5).all()
    truth = edged.truth.mean[:-1, 0]
    assert np.corrcoef(truth, r)[0, 1] > found.max()
    slope = (truth @ r) / (truth @ truth)
    assert slope == pytest.approx(1.0, abs=0.2)
    assert np.isnan(edged.truth.mean[-1]).all()


def test_columns_lead_by_what_they_say():
    config = SimulatorConfig(bars=20_000, assets=("ETH", "BTC"), seed=5)
    z = hidden_state(config, config.bars + MAX_LEAD)[:, 1]
    table = simulate(config).context["onchain_hourly", "BTC"]
    for column, lead in LEADS.items():
        shown = SIGNS[column] * np.log(table[column].to_numpy())
        at = [np.corrcoef(shown, z[k : k + config.bars])[0, 1] for k in range(MAX_LEAD + 1)]
        assert int(np.argmax(at)) == lead
    assert z.std() == pytest.approx(1.0, abs=0.1)


def test_assets_move_together_as_much_as_asked():
    raw = simulate(SimulatorConfig(bars=20_000, assets=("BTC", "ETH"), edge=0.0, jump_rate=0.0, correlation=0.6))
    assert np.corrcoef(log_returns(raw, "BTC"), log_returns(raw, "ETH"))[0, 1] == pytest.approx(0.6, abs=0.06)


def test_rows_are_known_when_they_say(fair):
    chain, macro = fair.context["onchain_hourly", "BTC"], fair.context["markets", EVERY_ASSET]
    assert (chain["known_at"] == fair.bars["BTC"]["time"] + DELAY).all()
    assert set(macro["known_at"].dt.hour) == {22}
    assert macro["known_at"].dt.day_of_week.max() == 4
    assert macro["known_at"].iloc[0] < fair.bars["BTC"]["time"].iloc[0]


@pytest.mark.parametrize("wrong", [{"bars": 1}, {"edge": -0.1}, {"edge": 1.5}, {"assets": ()}, {"sigma": 0.0},
                                   {"assets": ("BTC", "BTC")}, {"correlation": 1.0}, {"seed": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=r"simulator\."):
        SimulatorConfig(**wrong)
