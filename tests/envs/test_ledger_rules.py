"""Engine and plain ledger side by side, rule by rule: the same money, fills and events."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from data.market import CLOSE, VOLUME, Market
from envs import layout
from envs.config import EnvConfig
from envs.engine import Engine
from envs.episodes import EpisodeConfig
from envs.execution import CostConfig
from envs.exits import MarginConfig
from envs.rewards import RewardConfig
from envs.risk import Outlook, RiskConfig
from tests.envs.ledger import Ledger
from tests.envs.ledger_cases import CAPITAL, RULES, Case, cases
from tests.envs.ledger_costs import largest_weight, numbers_of, volatility_of
from tests.envs.ledger_terms import Bar, Rules

BASIS_POINT = 1e-4
HOURS_IN_YEAR = 24 * 365
START = np.datetime64("2021-03-01T05:00", "us")
CASES = int(os.environ.get("LEDGER_CASES", "200"))  # of each rule; thousands were walked when a rule was written
PLENTY = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))


def market_of(case: Case) -> Market:
    rows, assets = case.carry.shape
    absent = np.isnan(case.prices).all(axis=2)
    return Market(
        time=START + np.arange(rows) * np.timedelta64(case.hours, "h"),
        assets=tuple(f"A{n}" for n in range(assets)),
        prices=case.prices,
        features=np.where(absent, 0, 1).astype(np.float32)[:, :, None],
        columns=("nothing",),
        carry=case.carry,
        segments=np.array(case.segments),
        bars_per_year=HOURS_IN_YEAR / case.hours,
        absent=absent,
        spread=case.spread,
    )


def config_of(case: Case) -> EnvConfig:
    parts = case.settings
    return EnvConfig(costs=CostConfig(**parts["costs"]), risk=RiskConfig(**parts["risk"]),
                     margin=MarginConfig(**parts["margin"]), reward=RewardConfig(**parts["reward"]),
                     episodes=EpisodeConfig(**parts["episodes"]), **parts["env"])


def by_asset(found: dict[str, float], assets: int) -> dict[int, float]:
    """Settings by the name of an asset, or for all of them, by its number."""
    return {n: found.get(f"A{n}", found.get("all", 0.0)) for n in range(assets)}


def rules_of(case: Case) -> Rules:
    costs, risk, margin, reward, env = (case.settings[name] for name in ("costs", "risk", "margin", "reward", "env"))
    assets = case.carry.shape[1]
    terms = ("log_growth", "profit", "sharpe", "downside", "mean_variance", "drawdown", "turnover")
    caps = {name: risk.get(name) or math.inf for name in ("max_weight", "net", "turnover")}
    stops = {name: risk.get(name, 0.0) for name in ("stop_loss", "take_profit", "trailing_stop", "drawdown_stop")}
    return Rules(
        **caps, **stops, capital=env["capital"], ruin=env["ruin"], gross=env["gross"], latency=env.get("latency", 0),
        taker=costs["fee_bps"] * BASIS_POINT, maker=costs["maker_bps"] * BASIS_POINT,
        tiers=[(volume, taker * BASIS_POINT, maker * BASIS_POINT) for volume, taker, maker in costs.get("tiers", ())],
        borrow=costs["borrow_apr"], borrow_of={int(name[1:]): apr for name, apr in costs.get("borrow_of", {}).items()},
        min_notional=costs.get("min_notional", 0.0), lots=list(by_asset(costs.get("lot", {}), assets).values()),
        band=risk["band"], cooldown=risk.get("cooldown", 0), maintenance=margin["maintenance"],
        liquidation_fee=margin.get("liquidation_fee_bps", 50.0) * BASIS_POINT,
        rewards={"log_growth": 1.0} | {name: reward[name] for name in terms if name in reward},
        memory=reward.get("memory", 100.0), aversion=reward.get("aversion", 1.0),
    )


def bars_of(case: Case) -> list[Bar]:
    """The ledger's own view of every bar."""
    rows, assets = case.carry.shape
    costs = case.settings["costs"] | {"fill": case.settings["env"].get("fill", "next_open")}
    ticks, volumes = by_asset(costs.get("tick", {}), assets), np.nan_to_num(case.prices[:, :, VOLUME])
    closes = [known_closes(case.prices[:, n, CLOSE].tolist()) for n in range(assets)]
    found = []
    for row in range(rows):
        before = max(row - 1, 0)
        each = [numbers_of(
            closes[n][row - 1] if row else None, tuple(case.prices[row, n].tolist()), costs | {"tick": ticks[n]},
            before=tuple(case.prices[before, n].tolist()), volumes=volumes[:row, n].tolist(),
            spread=float(case.spread[before, n]) if costs.get("spread") == "data" else None,
            volatility=np.nan_to_num(volatility_of(closes[n][:row], 168)) * math.sqrt(24 / case.hours),
        ) for n in range(assets)]
        columns = {name: [float(bar[name]) for bar in each] for name in each[0]}
        carry = np.where(np.isnan(case.prices[row, :, 0]), 0.0, case.carry[row]).tolist()
        day = (START + row * np.timedelta64(case.hours, "h")).astype("datetime64[D]").astype(int)
        found.append(Bar(**columns, carry=carry, years=case.hours / HOURS_IN_YEAR, day=int(day)))
    return found


def limit_of(case: Case, row: int) -> list[float]:
    """The ledger's own sizing of a decision on `row`."""
    closes = [known_closes(case.prices[: row + 1, n, CLOSE].tolist()) for n in range(case.carry.shape[1])]
    return [largest_weight(case.settings["risk"], known, HOURS_IN_YEAR / case.hours, *case.outlook[:, row, n])
            for n, known in enumerate(closes)]


def known_closes(closes: list[float]) -> list[float | None]:
    """Closes, each missing one as the last before it; None before the first."""
    found: list[float | None] = []
    for close in closes:
        found.append(close if not math.isnan(close) else found[-1] if found else None)
    return found


def side_by_side(case: Case) -> Iterator[tuple[Engine, Ledger, float]]:
    """Walk both through the case; yields them after each step with the ledger's reward, until a verdict is torn."""
    engine = Engine(market_of(case), config_of(case), accounts=1, window=1, outlook=Outlook(*case.outlook))
    engine.reset([0])
    scale = case.settings["episodes"].get("cost_scale", (1.0, 1.0))[0]
    ledger, bars = Ledger(rules_of(case), case.carry.shape[1], scale), bars_of(case)
    rows = engine.decisions[:, 0].tolist()
    for k, wishes in enumerate(case.wishes):
        assert engine.rows[0] == rows[k]
        engine.step(wishes[None])
        reward = ledger.step(wishes.tolist(), bars[rows[k] + 1 : rows[k + 1] + 1], limit_of(case, rows[k]))
        if ledger.notes.torn:
            event("a verdict on a hair")
            return
        yield engine, ledger, reward
        if ledger.ended:
            return


def close_to(value: object) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-7)


def assert_equal(engine: Engine, ledger: Ledger, reward: float) -> None:
    money, holdings, fills = engine.money[0], engine.holdings[0], engine.fills[0]
    assert np.isfinite(money).all()
    assert np.isfinite(holdings).all()
    assert np.isfinite(fills).all()
    assert bool(engine.terminated[0]) == ledger.ended
    totals = {"EQUITY": ledger.equity, "CASH": ledger.cash, "PEAK": ledger.peak, "FEES": ledger.fees,
              "SLIPPAGE": ledger.slippage, "CARRY": ledger.carry, "INTEREST": ledger.interest,
              "TRADED": ledger.traded, "TURNOVER": ledger.turnover}
    assert {name: money[getattr(layout, name)] for name in totals} == close_to(totals)
    assert holdings[:, layout.UNITS] == close_to(ledger.units)
    for n, position in enumerate(ledger.positions):
        if abs(position.units) > 1e-6:
            assert holdings[n, [layout.ENTRY, layout.BEST]] == close_to([position.entry, position.best])
            assert holdings[n, layout.HELD] == position.held
        made = [fill for fill in ledger.fills if fill.asset == n]
        for units, price, together in (
                (layout.ORDER_UNITS, layout.ORDER_PRICE, [fill for fill in made if fill.why == "order"]),
                (layout.EXIT_UNITS, layout.EXIT_PRICE, [fill for fill in made if fill.why != "order"])):
            total = mean = 0.0
            for fill in together:
                same_way = total * fill.units > 0
                mean = (total * mean + fill.units * fill.price) / (total + fill.units) if same_way else fill.price
                total += fill.units
            assert fills[n, units] == close_to(total)
            if abs(total) > 1e-6:
                assert fills[n, price] == close_to(mean)
    unsure = ledger.notes.unsure
    assert set(layout.happened(int(engine.events[0]))) - unsure == ledger.notes.events - unsure
    assert engine.reward[0] == pytest.approx(reward, rel=1e-6, abs=1e-9)
    paid = ledger.fees + ledger.slippage + ledger.carry + ledger.interest
    assert ledger.equity - CAPITAL == close_to(ledger.gains - paid)


@pytest.mark.parametrize("rule", RULES)
@PLENTY
@given(st.data())
def test_one_rule(rule, data):
    for engine, ledger, reward in side_by_side(data.draw(cases(rule))):
        assert_equal(engine, ledger, reward)


@pytest.mark.parametrize("together", [
    ("margin", "every exit"), ("margin", "impact", "lots", "tiers"), ("latency", "drawdown_stop", "capacity"),
    ("net", "turnover", "interest", "lots", "small orders"), ("same_close", "margin", "every exit", "impact", "spread"),
], ids=" and ".join)
@PLENTY
@given(st.data())
def test_rules_that_meet(together, data):
    for engine, ledger, reward in side_by_side(data.draw(cases(*together))):
        assert_equal(engine, ledger, reward)


@PLENTY
@given(cases())
def test_any_rules_together(case):
    for engine, ledger, reward in side_by_side(case):
        assert_equal(engine, ledger, reward)


@PLENTY
@given(cases("ruin", "gross", "latency"))
def test_an_ended_account_never_trades_again(case):
    ended = None
    for engine, ledger, _ in side_by_side(case):
        ended = engine if ledger.ended else None
    if ended is None:
        return
    kept, held = ended.money[0].copy(), ended.holdings[0].copy()
    for wishes in case.wishes[:2]:
        ended.step(wishes[None])
        kept[layout.TURNOVER] = 0
        assert ended.money[0].tolist() == kept.tolist()
        assert ended.events[0] == 0
        assert ended.holdings[0].tolist() == held.tolist()
        assert ended.terminated[0]
        assert ended.reward[0] == 0
