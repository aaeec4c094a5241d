"""The best possible: on markets whose law is known, and on any market for one who knows every bar beforehand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.arena.rollout import Contestant, compete
from agents.arena.tournament import best_possible
from agents.strategies.baselines import momentum
from agents.strategies.foresight import foresight
from agents.strategies.oracle import LAWS, kept_by_moves, positions_of, solve, value_of
from configs.errors import UserError
from data.dataset import DataConfig, KnownConfig, load_dataset
from data.market import CLOSE, HIGH, LOW, VOLUME, Market
from data.simulator.known import SIGMA, best_growth, make_known
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.episodes import EpisodeConfig
from envs.execution import CostConfig
from envs.exits import MarginConfig
from envs.risk import RiskConfig
from tests.envs.markets import random_market

BPS = 1e-4
LONG_SHORT, LONG_FLAT = (-1.0, 0.0, 1.0), (0.0, 1.0)
PUBLISHED = {  # bps per bar at 10 bps, of the best policy and of the sign of the mean; units traded per year
    ("ou_easy", LONG_SHORT): (6.849, 5.82, 671), ("ou_easy", LONG_FLAT): (3.515, 3.00, 340),
    ("ou_real", LONG_SHORT): (1.746, 0.72, 273), ("ou_real", LONG_FLAT): (0.958, 0.42, 137),
    ("ar1_costly", LONG_SHORT): (0.059, -5.84, 251), ("ar1_costly", LONG_FLAT): (0.056, -2.83, 201),
    ("regime_lead", LONG_SHORT): (1.668, 1.13, 168), ("regime_lead", LONG_FLAT): (0.923, 0.68, 84),
}
FEES = (0.0, 2.0, 5.0, 10.0, 20.0)
BY_FEE = {"ou_easy": (7.95, 7.62, 7.28, 6.85, 6.18), "ou_real": (2.23, 2.07, 1.92, 1.75, 1.48),
          "regime_lead": (1.93, 1.85, 1.77, 1.67, 1.50)}


# --- known laws

@pytest.mark.parametrize(("market", "positions"), PUBLISHED)
def test_the_growths_are_the_published_ones(market, positions):
    growth, blind, traded = PUBLISHED[market, positions]
    best = solve(market, 0.001, positions)
    assert best.growth / BPS == pytest.approx(growth, abs=0.0016)
    # trades, and the sign's growth, were published as counted on drawn paths; here they are the long run. On ar1_costly
    # growth is flat around its best, so that neighbouring policies trade quite differently
    assert best.traded * 8760 == pytest.approx(traded, rel=0.25 if market == "ar1_costly" else 0.03)
    [chain] = LAWS[market].chains(np.array(positions), 401)
    last = len(positions) - 1
    sign = np.where(chain.gains[:, last] > 0, last, 0)  # the last position is 1: its gain is the mean log return
    found, _ = value_of(chain, np.log(kept_by_moves(np.array(positions), 0.001)), np.tile(sign, (last + 1, 1)).T)
    assert found / BPS == pytest.approx(blind, abs=0.08)


@pytest.mark.parametrize("market", BY_FEE)
def test_growth_and_trades_fall_as_the_fee_rises(market):
    found = [solve(market, fee * BPS, states=201) for fee in FEES]
    assert [best.growth / BPS for best in found] == pytest.approx(BY_FEE[market], abs=0.0065)
    traded = [best.traded for best in found]
    assert all(more > 1.05 * less for more, less in pairwise(traded))


def test_positions_that_the_oracle_may_hold():
    assert positions_of(EnvConfig(levels=(0.0, 0.5))) == (0.0, 0.5)
    assert positions_of(EnvConfig(action="weights")) == (-1.0, 0.0, 1.0)
    assert positions_of(EnvConfig(action="steps", low=0.0)) == (0.0, 1.0)
    assert positions_of(EnvConfig(action="weights", low=-0.5, high=0.0)) == (-0.5, 0.0)


def test_growths_without_a_fee_are_in_closed_form():
    phi = 0.5 ** (1 / 12)
    sd = SIGMA / math.sqrt(1 - phi**2)
    assert solve("ou_easy", 0.0, LONG_FLAT).growth == pytest.approx((1 - phi) * sd / math.sqrt(2 * math.pi), rel=1e-4)
    # a short of a bar with mean m and variance v grows by about -m - v: E[max(m, 0)] + E[max(-m - v, 0)]
    s, v = 0.08 * SIGMA / math.sqrt(1 - 0.08**2), SIGMA**2
    short = s * math.exp(-((v / s) ** 2) / 2) / math.sqrt(2 * math.pi) - v * math.erfc(v / s / math.sqrt(2)) / 2
    assert solve("ar1_costly", 0.0).growth == pytest.approx(s / math.sqrt(2 * math.pi) + short, rel=5e-4)


def test_where_nothing_can_be_known_the_answer_is_plain():
    walk = solve("random_walk")
    assert walk.growth == pytest.approx(0.0, abs=1e-9)
    assert walk.traded < 1e-7
    assert solve("trend").growth == pytest.approx(5 * BPS, abs=1e-9)
    # a path of the sine holds one of its cycles; long and flat are what foresight on the path is exact for
    path = np.diff(np.log(make_known("sine", 4_801).market.prices[:, 0, CLOSE]))
    assert solve("sine", 0.001, LONG_FLAT).growth == pytest.approx(best_growth(path, 0.001, LONG_FLAT), rel=2e-3)


def test_more_positions_never_grow_less_and_an_expensive_market_is_left_alone():
    rough, fine = solve("ou_real", states=101), solve("ou_real", positions=(-1.0, -0.5, 0.0, 0.5, 1.0), states=101)
    assert rough.growth - 1e-12 <= fine.growth < 1.1 * rough.growth
    assert solve("ou_real", 0.0, (0.0, 2.0), 101).growth > 1.8 * solve("ou_real", 0.0, LONG_FLAT, 101).growth
    assert solve("ar1_costly", 0.09, states=101).growth == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("fee", [0.0, 0.001, 0.05])
def test_moves_keep_what_the_engine_keeps(fee):
    levels = (-2.0, -1.0, 0.0, 0.5, 2.0)
    kept = kept_by_moves(np.array(levels), fee)
    pairs = [(i, j) for i in range(5) for j in range(5)]
    config = EnvConfig(costs=CostConfig.flat_fee(fee / BPS), risk=RiskConfig(band=0.0), levels=levels, gross=2.0)
    engine = Engine(Market.flat(5), config, len(pairs), 1)
    engine.reset()
    engine.step(np.array([[levels[i]] for i, _ in pairs]))
    before = engine.money[:, at.EQUITY].copy()
    engine.step(np.array([[levels[j]] for _, j in pairs]))
    assert engine.money[:, at.EQUITY] / before == pytest.approx([kept[i, j] for i, j in pairs], rel=1e-12)


@pytest.mark.parametrize("market", ["ou_easy", "ou_real", "ar1_costly", "regime_lead"])
@pytest.mark.parametrize("positions", [LONG_SHORT, LONG_FLAT])
def test_in_the_engine_the_oracle_grows_as_it_says(market, positions):
    parts, steps = 100, 600
    known = make_known(market, parts * steps + 1, seed=7)
    best = solve(market, 0.001, positions)
    policy = best.policy(known.market)
    engine = Engine(known.market, EnvConfig(levels=positions, costs=CostConfig.flat_fee(10.0)), parts, 1)
    engine.reset(starts=np.arange(parts) * steps)
    [chain] = LAWS[market].chains(np.array(positions), 401)
    state = LAWS[market].state(known.market.features[:, 0, :1].astype(float))
    returns = np.diff(np.log(known.market.prices[:, 0, CLOSE]), append=np.nan)
    grown, orders = np.zeros(parts), np.zeros(parts)
    for _ in range(steps):
        rows = engine.rows
        weights, _ = policy.predict({"row": rows[:, None], "account": engine.observed})
        held = np.abs(weights - np.array(positions)).argmin(axis=1)
        engine.step(np.clip(weights, positions[0], positions[-1]).astype(float))
        # the mean of what the position earns in place of what it happened to: the same growth, with less noise
        happened = np.log1p(np.array(positions)[held] * np.expm1(returns[rows]))
        expected = [np.interp(s, chain.grid, chain.gains[:, a]) for s, a in zip(state[rows], held)]
        grown += engine.reward - happened + expected
        orders += engine.money[:, at.TURNOVER]
    error = (grown / steps).std(ddof=1) / math.sqrt(parts)
    assert error < max(0.05 * best.growth, 0.07 * BPS)
    assert (grown / steps).mean() == pytest.approx(best.growth, abs=4 * error)
    # each part begins flat and a short is trimmed now and then, so trades agree but roughly
    assert orders.mean() / steps == pytest.approx(best.traded, rel=0.2 if positions == LONG_FLAT else 0.4)


def test_the_oracle_enters_the_arena_and_says_what_it_misses():
    from agents.arena.rollout import Contestant, compete

    known = make_known("sine", 2_000)
    config = EnvConfig(costs=CostConfig.flat_fee(10.0))
    [track] = compete({"oracle": Contestant(solve("sine").policy(known.market))}, known.market, config, 1, slice(None))
    assert math.log(track.equity[-1] / track.equity[0]) / 1_999 == pytest.approx(solve("sine").growth, rel=0.03)
    with pytest.raises(UserError, match="needs the feature 'x', the market has sin_phase, cos_phase"):
        solve("ou_real", states=51).policy(known.market)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"market": "ou_rael"}, "did you mean 'ou_real'"),
    ({"market": "ou_real", "positions": (1.0,)}, "at least two different positions"),
    ({"market": "ou_real", "fee": 10.0}, "ten basis points are 0.001"),
    ({"market": "ou_real", "positions": (0.0, 40.0)}, "can be ruined within a bar"),
])
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        solve(**arguments)


# --- perfect foresight

def walked(market: Market, config: EnvConfig, targets: np.ndarray, window: int = 1) -> np.ndarray:
    """(B,) final log growth of accounts that ask for `targets` (K, B, N); the ruined stay where they ended."""
    engine = Engine(market, config, targets.shape[1], window)
    engine.reset()
    final = np.zeros(targets.shape[1])
    alive = np.ones(len(final), bool)
    for target in targets:
        engine.step(np.where(alive[:, None], target, 0.0))
        now = np.log(np.maximum(engine.money[:, at.EQUITY] / config.capital, 1e-9))
        final = np.where(alive, now, final)
        alive &= ~engine.terminated
    return final


def followed(found, market: Market, config: EnvConfig, window: int = 1) -> float:
    [track] = compete({"it": Contestant(found.policy)}, market, config, window, slice(0, len(market)))
    return float(np.log(max(track.equity[-1] / config.capital, 1e-9)))


def schedules(market: Market, config: EnvConfig, rng: np.random.Generator, window: int) -> np.ndarray:
    """(K, 48, N) wishes of many tempers: random, held, discrete, left alone, momentum, and a look at the next bar."""
    decisions = market.decision_rows(window + config.observation_delay)[:-1]
    steps, assets = len(decisions), len(market.assets)
    low, high = min(config.reach[0], 0.0), max(config.reach[1], 0.0)
    random = rng.uniform(low, high, (steps, 12, assets))
    corners = rng.choice([low, 0.0, high], (steps, 12, assets))
    bars = np.nan_to_num(market.prices[decisions + 1], nan=1.0)
    coming = bars[:, None, :, CLOSE] / bars[:, None, :, 0] - 1
    ahead = np.where(coming > 0, high, low) * (np.abs(coming) > rng.choice([0.0, 0.002, 0.01], (1, 12, 1)))
    if assets > 1:  # all on the best of them
        ahead[:, :6] *= np.abs(coming) == np.abs(coming).max(axis=2, keepdims=True)
    past = np.clip(momentum(market).predict({"row": decisions[:, None]})[0], low, high)[:, None].repeat(12, axis=1)
    wishes = np.concatenate([random, corners, ahead, past], axis=1)
    alone = rng.random(wishes.shape) < rng.choice([0.0, 0.5, 0.95], (1, wishes.shape[1], 1))
    return np.where(alone, np.nan, wishes)


def wide(market: Market, rng: np.random.Generator, scale: float) -> Market:
    """Wicks, volumes of which some are zero, and a gap."""
    prices = market.prices.copy()
    shape = prices.shape[:2]
    prices[:, :, HIGH] *= 1 + rng.exponential(scale / 2, shape)
    prices[:, :, LOW] /= 1 + rng.exponential(scale / 2, shape)
    prices[:, :, VOLUME] = rng.exponential(1e3, shape) * (rng.random(shape) > 0.05)
    gap = int(rng.integers(10, len(market) - 12))
    segments = np.array([[0, gap], [gap, len(market)]])
    return replace(market, prices=prices, segments=segments if rng.random() < 0.5 else market.segments)


REACHES = ({"levels": LONG_SHORT}, {"levels": LONG_FLAT}, {"action": "weights", "low": -0.4, "high": 1.0},
           {"action": "weights", "low": -3.0, "high": 3.0, "gross": 3.0}, {"levels": (0.0, 2.0), "gross": 2.0},
           {"levels": (-1.0, 0.0)}, {"action": "weights", "low": 0.0, "high": 0.5})


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), assets=st.sampled_from([1, 1, 1, 2, 3]), reach=st.sampled_from(REACHES),
       scale=st.sampled_from([0.002, 0.02, 0.1]), fee=st.sampled_from([0.0, 5.0, 40.0]), data=st.data())
def test_nobody_beats_foresight(seed, assets, reach, scale, fee, data):
    rng = np.random.default_rng(seed)
    market = wide(random_market(90, assets, seed, scale), rng, scale)

    def pick(*values):  # most of them at the first: what holds a policy back also keeps it far from the bound
        return data.draw(st.sampled_from((values[0],) * 4 + values))

    costs = CostConfig(fee_bps=fee, maker_bps=fee / 2, spread_bps=pick(0.0, 8.0), slippage_bps=pick(0.0, 3.0),
                       borrow_apr=pick(0.0, 0.9), max_share=pick(0.0, 0.05), lot=pick({}, {"all": 1.0}),
                       tick=pick({}, {"all": 0.5}))
    risk = RiskConfig(band=pick(0.0, 0.02), stop_loss=pick(0.0, 0.03), take_profit=pick(0.0, 0.03),
                      trailing_stop=pick(0.0, 0.05), drawdown_stop=pick(0.0, 0.2), cooldown=5, turnover=pick(0.0, 0.7),
                      max_weight=pick(0.0, 0.6), volatility_target=pick(0.0, 0.8), net=pick(0.0, 0.8))
    config = EnvConfig(costs=costs, risk=risk, margin=MarginConfig(maintenance=pick(0.0, 0.02, 0.2)),
                       episodes=EpisodeConfig(cost_scale=pick((1.0, 1.0), (0.5, 2.0))), latency=pick(0, 0, 2),
                       fill=pick("next_open", "same_close", "worst"), observation_delay=pick(0, 1), **reach)
    found = foresight(market, config, 3, rays=pick(8, 1024))
    best = walked(market, config, schedules(market, config, rng, 3), 3).max()
    assert best <= found.growth + 1e-9
    if found.zone is not None:
        assert followed(found, market, config, 3) <= found.growth + 1e-9


FREE = EnvConfig(costs=CostConfig.flat_fee(0.0), levels=LONG_FLAT)
UNMARGINED = replace(FREE, margin=MarginConfig(maintenance=0.0))
ONCE = np.array([0.0, 1.0, 0.0, 0.0, 0.0]).reshape(5, 1, 1)  # long on the second of the decisions that `gapped` has


def gapped(third: tuple[float, ...], fourth: tuple[float, ...], after: float) -> Market:
    """Open, high, low and close of the two bars in a gap; with a window of 2 nothing is decided on the first."""
    prices = np.full((8, 1, 5), 100.0)
    prices[3, 0, :VOLUME], prices[4, 0, :VOLUME] = third, fourth
    prices[5:, :, :VOLUME] = after
    return replace(Market.flat(8), prices=prices, segments=np.array([[0, 3], [3, 8]]))


def test_leaving_inside_a_bar_is_reckoned_with():
    spikes = Market.flat(6)
    spikes.prices[:, :, HIGH] = 105.0
    profits = replace(FREE, risk=RiskConfig(take_profit=0.03))
    earned = walked(spikes, profits, np.ones((5, 1, 1)))[0]
    assert earned == pytest.approx(5 * math.log(1.03))
    assert earned <= foresight(spikes, profits, 1).growth
    assert foresight(spikes, FREE, 1).growth == pytest.approx(0.0, abs=1e-12)
    falling = gapped((100, 110, 100, 110), (108, 108, 50, 50), after=50.0)
    stops = replace(FREE, risk=RiskConfig(trailing_stop=0.05))
    earned = walked(falling, stops, ONCE, 2)[0]
    assert earned == pytest.approx(math.log(1.045))
    assert earned <= foresight(falling, stops, 2).growth <= math.log(1.08) + 1e-12
    assert foresight(falling, UNMARGINED, 2).growth == pytest.approx(0.0, abs=1e-12)


def test_an_order_on_its_way_may_arrive_at_any_bar():
    dip = gapped((100, 100, 100, 100), (50, 100, 50, 100), after=100.0)
    late = replace(FREE, latency=1)
    assert walked(dip, late, ONCE, 2)[0] == pytest.approx(math.log(2))
    assert foresight(dip, late, 2).growth == pytest.approx(math.log(2))
    assert foresight(dip, UNMARGINED, 2).growth == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("positions", [LONG_SHORT, LONG_FLAT, (-1.0, 0.0), (-2.0, 2.0)])
@pytest.mark.parametrize("fee", [0.0, 2.0, 10.0, 40.0])
def test_who_follows_foresight_gets_there(positions, fee):
    market = random_market(1_500, seed=3, scale=0.006)  # with carry
    config = EnvConfig(levels=positions, gross=max(map(abs, positions)), risk=RiskConfig(band=0.0),
                       costs=CostConfig.flat_fee(fee, borrow_of={"all": 0.1}))
    found = foresight(market, config, 1)
    # what is in hand is weighed at the close and traded at the open: a short that is kept sends small orders
    assert 0.997 * found.growth <= followed(found, market, config) <= found.growth + 1e-9


def test_where_perfect_foresight_was_known_before_the_two_agree():
    market = make_known("ou_real", 3_000).market
    returns = np.diff(np.log(market.prices[:, 0, CLOSE]))
    for fee in (0.0, 0.0005, 0.002):
        config = EnvConfig(levels=LONG_FLAT, costs=CostConfig.flat_fee(fee / BPS), risk=RiskConfig(band=0.0))
        found = foresight(market, config, 1)
        [track] = compete({"it": Contestant(found.policy)}, market, config, 1, slice(0, 3_000))
        turns = int((track.turnover > 0).sum())
        published = best_growth(returns, fee, LONG_FLAT) * len(returns)
        # a round trip keeps (1 - fee) / (1 + fee) here and (1 - fee)^2 there
        assert published - 1e-9 <= found.growth <= published + fee**2 * (turns + 1) / 2 + 1e-9


def test_more_rays_only_tighten():
    market = random_market(400, seed=5)
    bounds = [foresight(market, EnvConfig(), 1, rays=rays).growth for rays in (4, 32, 2_000)]
    assert bounds[0] > bounds[1] > bounds[2] > 0


def test_several_assets_long_only_is_reached_and_is_at_least_the_best_of_them():
    market = random_market(400, 3, seed=2)
    market = replace(market, carry=np.zeros_like(market.carry))
    config = EnvConfig(levels=LONG_FLAT, costs=CostConfig.flat_fee(10.0))
    found = foresight(market, config, 1)
    assert followed(found, market, config) == pytest.approx(found.growth, rel=1e-9)
    alone = [foresight(replace(market, assets=(market.assets[n],), prices=market.prices[:, n : n + 1],
                               features=market.features[:, n : n + 1], carry=market.carry[:, n : n + 1]), config, 1)
             for n in range(3)]
    assert found.growth > max(one.growth for one in alone)


def test_with_shorts_in_several_assets_there_is_a_bound_and_no_policy():
    found = foresight(random_market(50, 2), EnvConfig(), 1)
    assert found.growth > 0
    with pytest.raises(UserError, match="only a bound on the growth is known"):
        _ = found.policy
    with pytest.raises(UserError, match="too few rows"):
        foresight(random_market(50), EnvConfig(), 60)


def test_an_asset_that_is_not_there_is_not_bought():
    market = random_market(60)
    prices = market.prices.copy()
    prices[:20] = np.nan  # not listed yet; its first open is a hundred times what unlisted assets are marked at
    prices[35:45] = np.nan
    absent = np.isnan(prices[:, :, CLOSE])
    market = replace(market, prices=prices, absent=absent, features=np.where(absent[:, :, None], 0.0, market.features))
    for reach in (LONG_SHORT, LONG_FLAT):
        found = foresight(market, EnvConfig(levels=reach), 1)
        assert found.growth < 3.0
        assert followed(found, market, EnvConfig(levels=reach)) <= found.growth
    there = random_market(60, seed=1)
    both = replace(market, assets=("A0", "A1"), carry=np.zeros((60, 2)),
                   absent=np.hstack([absent, np.zeros_like(absent)]),
                   **{name: np.concatenate([getattr(market, name), getattr(there, name)], axis=1)
                      for name in ("prices", "features")})
    for reach in (LONG_SHORT, LONG_FLAT):
        alone, together = (foresight(seen, EnvConfig(levels=reach), 1).growth for seen in (market, both))
        assert alone < together < 3.0


def test_in_a_tournament_it_stands_on_the_rows_of_the_datasets_market():
    """A row beside its own it would earn next to nothing."""
    data = DataConfig(source="known", known=KnownConfig("ou_easy", bars=20_000, seed=3), window=8)
    dataset, env = load_dataset(data), EnvConfig(costs=CostConfig.flat_fee(10.0))
    [track] = compete(best_possible(data, env), dataset.market, env, 8, dataset.split.test)
    assert track.kind == track.contestant == "oracle"
    grown = np.log(track.equity[-1] / track.equity[0]) / len(track.turnover)
    assert grown == pytest.approx(solve("ou_easy").growth, rel=0.2)
    assert best_possible(DataConfig(), env) == {}
