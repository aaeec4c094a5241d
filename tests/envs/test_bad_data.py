"""Bad data inside an episode: never a number that is none, never an account that trades on without money."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from data.market import Market
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.episodes import EpisodeConfig
from envs.execution import CostConfig
from envs.exits import MarginConfig
from envs.rewards import REWARDS, RewardConfig
from envs.risk import RiskConfig
from envs.trading_env import TradingEnv
from envs.vector_env import TradingVectorEnv
from tests.envs.markets import TROUBLES, closing_at, random_market, troubled, with_gap

PLENTY = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
WINDOW = 3
# groups of settings that are on or off together; what is on is merged
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "no margin": {"margin": {"maintenance": 0.0}},
    "tight margin": {"margin": {"maintenance": 0.3, "liquidation_fee_bps": 500.0}},
    "stops": {"risk": {"stop_loss": 0.05, "trailing_stop": 0.04}},
    "take profit": {"risk": {"take_profit": 0.05}},
    "sizing": {"risk": {"volatility_target": 1.0, "volatility_bars": 5, "risk_per_trade": 0.05}},
    "caps": {"risk": {"max_weight": 1.5, "net": 1.0, "turnover": 0.8}},
    "drawdown stop": {"risk": {"drawdown_stop": 0.2, "cooldown": 3}},
    "latency": {"env": {"latency": 2}},
    "delay": {"env": {"observation_delay": 1}},
    "same close": {"env": {"fill": "same_close"}},
    "thin": {"costs": {"max_share": 0.1, "impact": 1.0}},
    "lots": {"costs": {"lot": {"all": 0.3}, "tick": {"all": 0.05}, "min_notional": 30.0}},
    "estimated spread": {"costs": {"spread": "range"}},
    "tiers": {"costs": {"tiers": ((0.0, 50.0, 5.0), (50_000.0, 1.0, 1.0))}},
    "costs drawn": {"episodes": {"cost_scale": (0.0, 5.0)}},
    "every reward": {"reward": dict.fromkeys(REWARDS, 1.0) | {"memory": 5.0}},
}


@dataclass
class Case:
    market: Market = field(repr=False)
    config: EnvConfig
    troubles: list[str]
    parts: list[str]
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    troubles = [name for name in TROUBLES if draw(st.booleans(), label=name)]
    parts = [name for name in PARTS if draw(st.booleans(), label=name)]
    rows, assets, seed = draw(st.integers(20, 60)), draw(st.integers(1, 3)), draw(st.integers(0, 2**31), label="seed")
    market = troubled(random_market(rows, assets, seed, draw(st.sampled_from([0.001, 0.03]))), *troubles, seed=seed)
    if draw(st.booleans(), label="a gap"):
        market = with_gap(market, rows // 2, rows // 2 + draw(st.integers(0, 2)), draw(st.sampled_from([0, 1, 40])))
    groups: dict[str, dict[str, Any]] = {"env": {}, "costs": {}, "risk": {"band": 0.0}, "margin": {}, "reward": {},
                                         "episodes": {}}
    for part in parts:
        for group, found in PARTS[part].items():
            groups[group] |= found
    action, gross = draw(st.sampled_from(["levels", "steps", "weights"])), draw(st.sampled_from([1.0, 3.0]))
    config = EnvConfig(
        action=action, levels=(-gross, 0.0, gross), low=-gross, high=gross, gross=gross, episode=15,
        costs=CostConfig(**groups["costs"]), risk=RiskConfig(**groups["risk"]), margin=MarginConfig(**groups["margin"]),
        reward=RewardConfig(**groups["reward"]), episodes=EpisodeConfig(**groups["episodes"]), **groups["env"])
    return Case(market, config, troubles, parts, seed)


def assert_sane(engine: Engine, observation: dict[str, np.ndarray], reward: np.ndarray) -> None:
    assert np.isfinite(reward).all()
    for name, values in observation.items():
        assert np.isfinite(values).all(), name
    shown = (engine.observed, engine.final_observed)
    for array in (engine.money, engine.holdings, engine.fills, engine.weights(), *shown):
        assert np.isfinite(array).all()
    running = ~engine.terminated | engine.autoreset  # with autoreset the account is already a new one
    assert (engine.money[running, at.EQUITY] > engine.config.ruin * engine.money[running, at.START]).all()


@PLENTY
@given(cases())
def test_bad_bars_never_make_a_bad_number(case):
    """One account, episode after episode; each of its observations lies in the space that was announced."""
    env = TradingEnv(case.market, WINDOW, config=case.config)
    env.action_space.seed(case.seed)
    observation, _ = env.reset(seed=case.seed)
    for _ in range(40):
        row = int(env.engine.rows[0])
        action = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        assert observation in env.observation_space
        assert_sane(env.engine, {}, np.array(reward))
        assert isinstance(reward, float)
        assert_untradeable_is_not_traded(env.engine, row, info["events"])
        if terminated:
            event("ruined")
            assert info["equity"] <= case.config.ruin * case.config.capital
        if terminated or truncated:
            observation, info = env.reset()
            assert observation in env.observation_space
            assert info["equity"] == case.config.capital


def assert_untradeable_is_not_traded(engine: Engine, row: int, events: tuple[str, ...]) -> None:
    """What nobody trades has no order, and no exit but a liquidation; told where a step is one bar."""
    if engine.rows[0] != row + 1:
        return
    still = engine.bars[row + 1, :, at.CAPACITY] == 0
    assert (engine.fills[0, still, at.ORDER_UNITS] == 0).all()
    assert "liquidation" in events or (engine.fills[0, still, at.EXIT_UNITS] == 0).all()


@PLENTY
@given(cases())
def test_bad_bars_in_a_batch_that_opens_accounts_anew(case):
    envs = TradingVectorEnv(4, case.market, WINDOW, config=case.config)
    envs.action_space.seed(case.seed)
    envs.reset(seed=case.seed)
    for _ in range(40):
        observation, reward, terminated, truncated, infos = envs.step(envs.action_space.sample())
        assert observation in envs.observation_space
        assert_sane(envs.engine, observation, reward)
        done = terminated | truncated
        assert (envs.engine.money[done, at.EQUITY] == case.config.capital).all()
        assert not envs.engine.holdings[done].any()
        for b in np.flatnonzero(done):
            assert infos["final_obs"][b] in envs.single_observation_space
            ruined = infos["final_info"]["equity"][b] <= case.config.ruin * case.config.capital
            assert ruined == terminated[b]


@PLENTY
@given(cases())
def test_bad_bars_in_a_batch_where_a_ruined_account_stays_ruined(case):
    """Without autoreset, as in the arena: what has ended neither moves nor earns, and the others go on."""
    engine = Engine(case.market, case.config, 4, WINDOW)
    engine.reset([0, 1, 2, 3])
    rng, ended = np.random.default_rng(case.seed), np.zeros(4, bool)
    for _ in range(engine.steps):
        before = engine.state[ended].copy()
        before[:, at.TURNOVER] = 0.0  # that of the last step, in which nothing was traded
        wishes = rng.uniform(-4, 4, (4, len(case.market.assets)))
        wishes[rng.random(wishes.shape) < 0.3] = np.nan
        engine.step(wishes)
        assert_sane(engine, {}, engine.reward)
        np.testing.assert_array_equal(engine.state[ended], before)
        assert (engine.reward[ended] == 0).all()
        assert engine.terminated[ended].all()
        ended |= engine.terminated


@PLENTY
@given(cases())
def test_gross_weight_is_never_raised_beyond_its_limit_by_an_order(case):
    """Bad fills, halts and rounding to lots: after an order nobody holds more than was allowed, or than before."""
    engine = Engine(case.market, case.config, 1, WINDOW)
    engine.reset([0])
    rng = np.random.default_rng(case.seed)
    for _ in range(engine.steps):
        row, held = int(engine.rows[0]), engine.holdings[0, :, at.UNITS].copy()
        cash = float(engine.money[0, at.CASH])
        engine.step(rng.uniform(-4, 4, (1, len(case.market.assets))))
        if engine.terminated[0]:
            break
        if engine.rows[0] != row + 1:
            continue
        fill = engine.bars[row + 1, :, at.FILL]
        bought = engine.fills[0, :, at.ORDER_UNITS]
        if not bought.any():
            continue
        paid = float(bought @ engine.fills[0, :, at.ORDER_PRICE])
        before = cash + float(held @ fill)
        after = cash - paid + float((held + bought) @ fill)  # fees not yet taken
        allowed = max(case.config.gross * after, float(np.abs(held) @ fill) * max(after / before, 1.0))
        assert float(np.abs(held + bought) @ fill) <= allowed * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize(("weight", "close", "ended"), [(1.0, 0.1, True), (1.0, 1000.0, False), (-1.0, 0.1, False),
                                                       (-1.0, 1000.0, True)])
def test_a_hundredfold_jump_over_a_halt_by_hand(weight, close, ended):
    """Held over two bars without a market, at the last price meanwhile, and at the new one from the first open."""
    market = closing_at(10.0, 10.0, 10.0, 10.0, close, close)
    prices, absent = market.prices.copy(), np.zeros((6, 1), bool)
    prices[2:4], absent[2:4], prices[4, 0, :4] = np.nan, True, close
    market = Market(**{**vars(market), "prices": prices, "absent": absent,
                       "features": np.where(absent[:, :, None], 0, market.features)})
    engine = Engine(market, EnvConfig(costs=CostConfig.named("free"), action="weights"), 1, 1)
    engine.reset([0])
    equities = []
    for _ in range(4):
        engine.step(np.array([[weight]]))
        equities.append(float(engine.money[0, at.EQUITY]))
    end = 10_000 * (1 + weight * (close / 10 - 1))
    assert equities == pytest.approx([10_000.0, 10_000.0, 10_000.0, end])
    assert bool(engine.terminated[0]) is ended
    assert (engine.holdings[0, 0, at.UNITS] == 0) == ended
