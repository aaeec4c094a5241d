"""The opponents: baselines that do what their names say, and signals whose thresholds come from validation rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.arena.rollout import Contestant, compete
from agents.arena.tournament import said_by, supervised
from agents.strategies import STRATEGIES
from agents.strategies.baselines import MOMENTUM_BARS, RANDOM_HOLDS, buy_and_hold, cash, momentum, random
from agents.strategies.signal import NEVER, SignalPolicy, Sizing, Thresholds, score_of, sizes, tuned
from configs.registry import lookup
from data.market import CLOSE
from encoders.ensemble.config import FusionConfig
from encoders.ensemble.ensemble import Ensemble
from encoders.ensemble.fusion import fit_fusion
from encoders.forecast import Forecast
from envs.config import EnvConfig
from envs.execution import CostConfig
from tests.agents.small import DATA, forecast_of
from tests.envs.markets import random_market

CONFIG = EnvConfig(action="weights")
WINDOW = 8


def observed(rows, weights, assets: int = 1) -> dict[str, np.ndarray]:
    """What a policy sees of accounts that hold `weights` (B, N) on `rows` (B,)."""
    weights = np.asarray(weights, np.float32).reshape(-1, assets)
    account = np.zeros((len(weights), 3 * assets + 4), np.float32)
    account[:, :assets] = weights
    return {"row": np.broadcast_to(np.asarray(rows, np.int32).reshape(-1, 1), (len(weights), 1)), "account": account}


def run(policy, market, rows=None, config=CONFIG):
    [track] = compete({"it": Contestant(policy)}, market, config, WINDOW, rows or slice(0, len(market)))
    return track


def test_cash_never_trades():
    track = run(cash(random_market(100)), random_market(100))
    assert (track.equity == CONFIG.capital).all()
    assert track.metrics.trades == 0


@pytest.mark.parametrize("assets", [1, 2])
def test_buy_and_hold_sends_one_order_and_earns_what_the_market_does(assets):
    market = random_market(300, assets)
    market = replace(market, carry=np.zeros_like(market.carry))
    free = replace(CONFIG, costs=CostConfig.flat_fee(0.0))
    track = run(buy_and_hold(market), market, config=free)
    assert np.flatnonzero(track.turnover).tolist() == [0]
    closes, first_open = market.prices[-1, :, CLOSE], market.prices[WINDOW, :, 0]
    assert track.metrics.total_return == pytest.approx(float(np.mean(closes / first_open)) - 1, abs=1e-9)
    assert run(buy_and_hold(market), market).metrics.trades == 1  # with costs as well


def weights_of(policy, rows: int, assets: int = 1) -> np.ndarray:
    return policy.predict(observed(np.arange(rows), np.zeros((rows, assets)), assets))[0]


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("cut", [3, MOMENTUM_BARS, 300])
def test_no_baseline_looks_ahead(name, cut):
    market = random_market(400, 2)
    prices = market.prices.copy()
    prices[cut + 1 :] *= np.random.default_rng(9).uniform(0.5, 2, (400 - cut - 1, 2, 1))
    changed = replace(market, prices=prices)
    make = lookup("strategy", name, STRATEGIES)
    before, after = (weights_of(make(m), 400, 2) for m in (market, changed))
    np.testing.assert_array_equal(before[: cut + 1], after[: cut + 1])
    assert np.abs(before).sum(axis=1).max() <= 1 + 1e-12


def test_momentum_is_the_sign_of_a_week():
    market = random_market(400)
    found = weights_of(momentum(market), 400)[:, 0]
    assert (found[:MOMENTUM_BARS] == 0).all()
    close = market.prices[:, 0, CLOSE]
    for row in (MOMENTUM_BARS, 250, 399):
        assert found[row] == np.sign(close[row] - close[row - MOMENTUM_BARS])
    assert set(found) == {-1.0, 0.0, 1.0}


def test_random_is_the_same_each_time_and_holds_for_a_day_on_average():
    market = random_market(5_000)
    first, second = weights_of(random(market), 5_000), weights_of(random(market), 5_000)
    np.testing.assert_array_equal(first, second)
    assert set(np.unique(first)) == {-1.0, 0.0, 1.0}
    changes = (np.diff(first[:, 0]) != 0).mean()  # two of three draws are a change
    assert changes == pytest.approx(2 / 3 / RANDOM_HOLDS, rel=0.3)


@pytest.mark.parametrize(("held", "score", "wanted"), [
    (0, 0.7, 1), (0, 0.6, 0), (0, 0.3, 0), (0, -0.6, 0), (0, -0.7, -1),  # flat: in only beyond 0.6
    (1, 0.3, 1), (1, 0.2, 0), (1, -0.1, 0), (1, -0.7, -1), (1, 0.9, 1),  # long: out at 0.2, round beyond -0.6
    (-1, -0.3, -1), (-1, -0.2, 0), (-1, 0.1, 0), (-1, 0.7, 1), (-0.4, -0.3, -1),  # short: the mirror
])
def test_a_signal_enters_late_and_leaves_later(held, score, wanted):
    thresholds = Thresholds(np.array([[0.6]]), np.array([[0.2]]), low=-1.0, high=1.0)
    target, _ = SignalPolicy(np.array([[9.0], [score]]), thresholds).predict(observed([1], [[held]]))
    assert target.tolist() == [[wanted]]


def test_a_long_only_signal_goes_flat_instead_of_short():
    thresholds = Thresholds(np.array([[0.6]]), np.array([[0.2]]), low=0.0, high=1.0)
    policy = SignalPolicy(np.array([[-0.9], [0.9]]), thresholds)
    assert policy.predict(observed([0, 0, 1], [[0], [1], [0]]))[0].tolist() == [[0], [0], [1]]


def test_an_exit_below_zero_waits_for_the_opposite_view():
    policy = SignalPolicy(np.array([[-0.2]]), Thresholds(np.array([[0.6]]), np.array([[-0.3]]), low=-1.0, high=1.0))
    assert policy.predict(observed([0], [[1]]))[0].tolist() == [[1]]


def test_every_asset_is_judged_by_itself_with_an_equal_share():
    thresholds = Thresholds(np.array([[0.5]]), np.array([[0.0]]), low=-1.0, high=1.0)
    policy = SignalPolicy(np.array([[0.9, -0.9]]), thresholds)
    assert policy.predict(observed([0], [[0, 0.5]], 2))[0].tolist() == [[0.5, -0.5]]
    policy = SignalPolicy(np.array([[0.1, -0.1]]), thresholds)
    assert policy.predict(observed([0], [[0.4, 0.4]], 2))[0].tolist() == [[0.5, 0.0]]


MARKET = random_market(900, seed=5)
VALID, TEST = slice(300, 600), slice(620, 900)


def foresight(market) -> np.ndarray:
    """(T, N) the sign of the next step from open to open, with a size that says how far."""
    opens = market.prices[:, :, 0]
    ahead = np.zeros_like(opens)
    ahead[:-2] = np.log(opens[2:] / opens[1:-1])
    return np.clip(ahead / 0.06, -1, 1)


def test_noise_at_high_costs_is_never_traded_on():
    market = random_market(3_000, scale=0.005)
    score = np.random.default_rng(0).uniform(-1, 1, (3_000, 1))
    dear = replace(CONFIG, costs=CostConfig(fee_bps=100))
    policy = tuned(forecast_of(score), market, dear, WINDOW, slice(0, 2_000))
    assert policy.thresholds.enter.tolist() == [[NEVER]]
    assert run(policy, market, slice(2_000, 3_000), dear).metrics.trades == 0


def test_a_perfect_score_is_traded_on():
    policy = tuned(forecast_of(foresight(MARKET)), MARKET, CONFIG, WINDOW, VALID)
    assert policy.thresholds.enter[0, 0] < 1
    assert run(policy, MARKET, TEST).equity[-1] > 5 * CONFIG.capital


def test_dear_trades_are_entered_less_often():
    forecast = forecast_of(foresight(MARKET))
    cheap, dear = (tuned(forecast, MARKET, replace(CONFIG, costs=CostConfig.flat_fee(bps)), WINDOW, VALID).thresholds
                   for bps in (1, 200))
    assert dear.enter[0, 0] > cheap.enter[0, 0]


def test_a_long_only_account_gets_a_long_only_signal():
    config = EnvConfig(levels=(0.0, 1.0))
    policy = tuned(forecast_of(foresight(MARKET)), MARKET, config, WINDOW, VALID)
    assert policy.thresholds.low == 0
    assert run(policy, MARKET, TEST, config).weights.min() >= 0


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_thresholds_know_only_the_validation_rows(noise):
    rng = np.random.default_rng(1)
    score = np.clip(foresight(MARKET) + noise * rng.uniform(-1, 1, (900, 1)), -1, 1)
    before = tuned(forecast_of(score), MARKET, CONFIG, WINDOW, VALID)
    prices, changed = MARKET.prices.copy(), score.copy()
    for outside in (slice(0, VALID.start - 1), slice(VALID.stop, None)):
        prices[outside] *= rng.uniform(0.2, 5, (len(prices[outside]), 1, 1))
        changed[outside] = rng.uniform(-1, 1, changed[outside].shape)
    after = tuned(forecast_of(changed), replace(MARKET, prices=prices), CONFIG, WINDOW, VALID)
    assert before.thresholds.enter.tolist() == after.thresholds.enter.tolist()
    assert before.thresholds.exit.tolist() == after.thresholds.exit.tolist()
    elsewhere = tuned(forecast_of(score), MARKET, CONFIG, WINDOW, TEST)
    assert (noise == 0) or elsewhere.thresholds.enter.tolist() != before.thresholds.enter.tolist()


def test_the_chosen_thresholds_are_those_that_grew_most_on_validation():
    """The arena, which tunes nothing, must find no candidate better than the one that was chosen."""
    forecast = forecast_of(np.clip(foresight(MARKET) + np.random.default_rng(2).normal(0, 0.3, (900, 1)), -1, 1))
    policy = tuned(forecast, MARKET, CONFIG, WINDOW, VALID)
    best = run(policy, MARKET, VALID).equity[-1]
    score = score_of(forecast)
    for enter in np.quantile(np.abs(score[MARKET.decision_rows(WINDOW, VALID)]), (0.3, 0.5, 0.7, 0.9, 0.98)):
        for share in (-0.5, 0.0, 0.5):
            other = SignalPolicy(score, Thresholds(np.array([[enter]]), np.array([[share * enter]])))
            assert run(other, MARKET, VALID).equity[-1] <= best * (1 + 1e-12)


def test_a_ruined_candidate_is_never_chosen():
    """Always short into a market that triples: shorting is ruin, and what is left is to stay out."""
    close = np.concatenate([np.full(20, 100.0), np.linspace(100, 1_000, 80)])[:, None]
    market = random_market(100)
    prices = np.repeat(close[:, :, None], 5, axis=2)
    market = replace(market, prices=prices, carry=np.zeros((100, 1)))
    policy = tuned(forecast_of(np.full((100, 1), -0.9)), market, CONFIG, WINDOW, slice(10, 100))
    assert policy.thresholds.enter.tolist() == [[NEVER]]


def unsure(seed: int = 4) -> Forecast:
    """Of the next step, with noise; how far and how calmly differs from row to row."""
    rng = np.random.default_rng(seed)
    said = forecast_of(np.clip(foresight(MARKET) + rng.normal(0, 0.5, (900, 1)), -1, 1))
    mean = 0.06 * score_of(said)[..., None]
    volatility = 0.02 * np.exp(rng.normal(0, 0.5, (900, 1)))
    return replace(said, quantiles=mean + volatility[..., None] * np.array([-1.2816, 0.0, 1.2816]),
                   volatility=volatility)


def test_a_sized_signal_is_on_validation_never_worse_than_a_full_one():
    full, sized = (tuned(unsure(), MARKET, CONFIG, WINDOW, VALID, sized=more) for more in (False, True))
    grown = [run(policy, MARKET, VALID).equity[-1] for policy in (full, sized)]
    assert grown[1] >= grown[0] * (1 - 1e-12)
    assert full.sizing is None
    assert sized.sizing.names[0] in sizes(unsure(), np.ones(1))
    assert len(sized.sizing.tables) == len(sized.sizing.used) == len(sized.sizing.band) == 1


def test_a_signal_that_reads_another_forecast_keeps_what_was_chosen():
    chosen = tuned(unsure(), MARKET, CONFIG, WINDOW, VALID, sized=True)
    same, other = chosen.reading(unsure()), chosen.reading(unsure(seed=5))
    for seen in (observed([400], [[0.0]]), observed([450], [[0.5]])):
        assert same.predict(seen)[0] == chosen.predict(seen)[0]
    assert other.thresholds is chosen.thresholds
    assert np.array_equal(other.score, score_of(unsure(seed=5)))
    name = chosen.sizing.names[0]
    assert np.array_equal(other.sizing.tables[0], sizes(unsure(seed=5), chosen.sizing.usual)[name])


def test_a_size_is_what_it_is_called():
    forecast = replace(forecast_of(np.array([[0.5], [0.5], [-0.5]])), volatility=np.array([[0.01], [0.02], [0.04]]),
                       quantiles=np.array([[[-0.02563 / 2, 0, 0.02563 / 2]] * 1] * 3) + np.array([0.001, 0.0, -1e-5]
                                                                                                )[:, None, None])
    found = sizes(forecast, np.array([0.02]))
    assert found["full"].ravel().tolist() == [1, 1, 1]
    assert found["volatility target"].ravel().tolist() == [1, 1, 0.5]  # of the median, 2 %
    # the mean over the variance is 0.001 / 0.01^2 = 10, nothing, and 0.1: never more than all of the account
    np.testing.assert_allclose(found["0.25 of Kelly"].ravel(), [1, 0, 0.025], atol=1e-12)


@pytest.mark.parametrize(("held", "score", "wanted"), [
    (0.5, 0.9, 0.5), (0.35, 0.9, 0.35), (0.8, 0.9, 0.5),  # 0.5 is wanted: 0.35 is near enough, 0.8 is not
    (0.5, 0.1, 0.0), (0.45, -0.9, -0.5), (0.0, 0.9, 0.5), (0.1, 0.1, 0.0),  # out, round and in at once
])
def test_what_is_nearly_held_is_left_as_it_is(held, score, wanted):
    sizing = Sizing(np.full((1, 1, 1), 0.5), np.zeros(1, np.int64), np.array([[0.2]]), ("half",), np.ones(1))
    policy = SignalPolicy(np.array([[score]]), Thresholds(np.array([[0.6]]), np.array([[0.2]])), sizing)
    assert policy.predict(observed([0], [[held]]))[0] == pytest.approx(np.array([[wanted]]), abs=1e-7)


def test_sizes_know_only_the_validation_rows():
    rng = np.random.default_rng(6)
    before, others = unsure(), unsure(seed=7)
    inside = np.zeros(900, bool)
    inside[VALID.start - 1 : VALID.stop] = True
    changed = Forecast(*(np.where(inside[:, None, None] if one.ndim == 3 else inside[:, None], one, other)
                         for one, other in ((before.direction, others.direction),
                                            (before.quantiles, others.quantiles),
                                            (before.volatility, others.volatility))))
    prices = np.where(inside[:, None, None], MARKET.prices, MARKET.prices * rng.uniform(0.2, 5, (900, 1, 1)))
    one = tuned(before, MARKET, CONFIG, WINDOW, VALID, sized=True)
    other = tuned(changed, replace(MARKET, prices=prices), CONFIG, WINDOW, VALID, sized=True)
    assert one.sizing.names == other.sizing.names
    assert one.sizing.band == other.sizing.band
    assert one.thresholds.enter == other.thresholds.enter
    np.testing.assert_array_equal(one.sizing.tables[0, VALID], other.sizing.tables[0, VALID])


def test_the_supervised_field_is_every_signal_and_their_ensemble(simulated):
    score = np.random.default_rng(3).uniform(-1, 1, (len(simulated.market), 1))
    forecasts = {"lstm": forecast_of(score), "mamba": forecast_of(-score)}
    plain = FusionConfig(combiner="equal", direction="none", volatility="none", interval="none")
    valid = simulated.split.valid
    fusion = fit_fusion(forecasts, simulated.labels, np.arange(valid.start, valid.stop), plain)
    ensemble = Ensemble({}, fusion, DATA.labels, str(simulated.market.time[valid.start]))
    field = supervised(said_by(forecasts, ensemble, simulated.market), simulated, CONFIG, WINDOW)
    assert list(field) == ["lstm signal", "mamba signal", "supervised ensemble"]
    np.testing.assert_allclose(field["supervised ensemble"].policy.score, 0, atol=1e-12)
    np.testing.assert_allclose(field["mamba signal"].policy.score, -score)
    assert {contestant.kind for contestant in field.values()} == {"supervised"}
    assert list(said_by({"lstm": forecasts["lstm"]}, ensemble, simulated.market)) == ["lstm signal"]


def test_nobody_holds_what_the_env_would_not_let_an_agent_hold(simulated):
    """Levels 0 and a half: buy & hold, momentum, random and a signal that is always sure stay within them."""
    config = EnvConfig(levels=(0.0, 0.5), costs=CostConfig.flat_fee(0.0))
    market = simulated.market
    everyone = {name: Contestant(lookup("strategy", name, STRATEGIES)(market)) for name in STRATEGIES}
    sure = forecast_of(np.where(np.arange(len(market))[:, None] % 50 < 25, 0.9, -0.9))
    everyone["signal"] = Contestant(tuned(sure, market, config, WINDOW, simulated.split.valid))
    for track in compete(everyone, market, config, WINDOW, simulated.split.test):
        assert track.weights.min() >= 0, track.contestant
        assert track.weights.max() < 0.6, track.contestant  # a half, and what it drifts to before it is set right
