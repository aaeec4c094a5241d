"""A recording holds what the engine did, and alone explains the equity it ends with."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from configs.errors import UserError
from data.market import CLOSE
from envs import layout as at
from envs.config import EnvConfig
from envs.engine import Engine
from envs.execution import CostConfig
from envs.recording import Recorder, Recording
from envs.risk import RiskConfig
from tests.envs.markets import market_of, random_market
from tests.envs.recordings import made_recording

STOPS = RiskConfig(stop_loss=0.02, take_profit=0.03, trailing_stop=0.05)


def walk(engine: Engine, b: int = 0, room: int = 512, seed: int = 0) -> Recording:
    """Random wishes to the end of the episode."""
    rng = np.random.default_rng(seed)
    engine.reset(list(range(engine.accounts)))
    recorder = Recorder(engine, b, room)
    while True:
        target = rng.choice([-0.5, 0.0, 0.25, 0.5, np.nan], (engine.accounts, len(engine.market.assets)))
        engine.step(target)
        recorder.record(target[b])
        if engine.terminated[b] or engine.truncated[b]:
            return recorder.recording()


def gap_market(rows: int = 120, assets: int = 2):
    market = random_market(rows, assets)
    time = market.time.copy()
    time[rows // 2:] += np.timedelta64(3, "D")
    return replace(market, time=time, segments=np.array([[0, rows // 2], [rows // 2, rows]]))


def test_fills_costs_and_closes_alone_give_the_equity():
    recording = walk(Engine(gap_market(), EnvConfig(risk=STOPS), 1, window=4))
    units, cash = np.zeros(2), 10_000.0
    closes = recording.candles[recording.points, :, CLOSE]
    for k in range(recording.steps):
        for n, (bought, price, sold, exit_price) in enumerate(recording.fills[k].tolist()):
            cash -= bought * price + sold * exit_price
            units[n] += bought + sold
        fees, _, carry, interest = recording.costs[k + 1] - recording.costs[k]
        cash -= fees + carry + interest
        held = units * closes[k + 1]
        assert cash + held.sum() == pytest.approx(recording.equity[k + 1], rel=1e-9)
        np.testing.assert_allclose(held / recording.equity[k + 1], recording.weights[k + 1], atol=1e-9)
    kinds = {fill.kind for fill in recording.each_fill()}
    assert kinds == {"order", "stop", "take_profit"}
    assert recording.reward.sum() == pytest.approx(np.log(recording.equity[-1] / recording.equity[0]))


def test_rows_time_and_candles_are_the_markets_with_the_bars_of_a_gap():
    market = gap_market()
    recording = walk(Engine(market, EnvConfig(), 1, window=4))
    assert recording.rows[0] == 3
    assert recording.rows[-1] == 119
    assert sorted(set(np.diff(recording.rows).tolist())) == [1, 4]
    assert len(recording.time) == 117 > len(recording.rows)
    np.testing.assert_array_equal(recording.time, market.time[3:])
    np.testing.assert_array_equal(recording.candles, market.prices[3:, :, :4])


def test_arrays_grow_and_an_account_is_recorded_by_itself():
    market, config = random_market(150), EnvConfig(risk=STOPS)
    whole = walk(Engine(market, config, 3, window=4), b=2)
    small = walk(Engine(market, config, 3, window=4), b=2, room=1)
    other = walk(Engine(market, config, 3, window=4), b=1)
    assert whole.steps == 146
    for field in fields(Recording):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(small, field.name), err_msg=field.name)
    assert not np.array_equal(whole.equity, other.equity)


def test_what_was_handed_out_stays_as_it_was():
    engine = Engine(random_market(60), EnvConfig(), 1, window=4)
    engine.reset([0])
    recorder = Recorder(engine, room=64)  # room for all of it: nothing is moved by growing
    engine.step(np.array([[0.5]]))
    recorder.record(np.array([0.5]))
    early = recorder.recording()
    kept = {field.name: np.copy(getattr(early, field.name)) for field in fields(Recording)}
    for wish in (1.0, -1.0, 0.0, 0.5, 1.0):
        engine.step(np.array([[wish]]))
        recorder.record(np.array([wish]))
    engine.reset()
    recorder.begin()
    engine.step(np.array([[-1.0]]))
    recorder.record(np.array([-1.0]))
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(early, name), value, err_msg=name)
    assert recorder.recording().wishes.tolist() == [[-1.0]]


@pytest.mark.parametrize(("closes", "wish", "config", "kind"), [
    ([100, 100, 95, 95], 1.0, EnvConfig(risk=RiskConfig(stop_loss=0.03)), "stop"),
    ([100, 100, 104, 97], 1.0, EnvConfig(risk=RiskConfig(trailing_stop=0.05)), "stop"),
    ([100, 100, 105, 105], 1.0, EnvConfig(risk=RiskConfig(take_profit=0.03)), "take_profit"),
    ([100, 100, 95, 95], -1.0, EnvConfig(risk=RiskConfig(take_profit=0.03)), "take_profit"),
    ([100, 100, 76, 76], 4.0, EnvConfig(gross=4.0), "liquidation"),
])
def test_exits_are_told_apart(closes, wish, config, kind):
    closes = np.array([[100.0]] * 3 + [[float(close)] for close in closes])
    engine = Engine(market_of(np.vstack([closes[:1], closes[:-1]]), closes), config, 1, window=2)
    engine.reset([0])
    recorder = Recorder(engine)
    for target in (wish, wish, np.nan, np.nan, np.nan):
        engine.step(np.array([[target]]))
        recorder.record(np.array([target]))
    exits = [fill for fill in recorder.recording().each_fill() if fill.kind != "order"]
    assert [fill.kind for fill in exits][:1] == [kind]
    assert np.sign(exits[0].units) == -np.sign(wish)
    assert exits[0].bar == (4 if kind != "stop" or closes[5, 0] < 100 else 5)


def test_where_the_accounts_events_leave_a_choice_the_price_decides():
    """One asset takes a profit and another is stopped in the same bar."""
    closes = np.array([[100.0, 100.0]] * 4 + [[105.0, 95.0], [105.0, 95.0]])
    engine = Engine(market_of(np.vstack([closes[:1], closes[:-1]]), closes),
                    EnvConfig(risk=RiskConfig(stop_loss=0.03, take_profit=0.03)), 1, window=2)
    engine.reset([0])
    recorder = Recorder(engine)
    for target in (0.5, np.nan, np.nan, np.nan):
        engine.step(np.array([[target, target]]))
        recorder.record(np.array([target, target]))
    recording = recorder.recording()
    exits = {fill.asset: fill.kind for fill in recording.each_fill() if fill.kind != "order"}
    assert exits == {0: "take_profit", 1: "stop"}
    assert set(recording.events_of(2)) >= {"stop_loss", "take_profit"}


def test_an_exit_inside_a_gap_stands_on_the_bar_that_reaches_its_price():
    recording = made_recording(steps=9, gap=True, fills=0)
    points, step = recording.points, 4
    bar = int(points[step]) + 3
    price = recording.candles[bar, 0, 2]
    candles = recording.candles.copy()
    candles[points[step] + 1 : bar, 0] += 50  # the bars before it are far above
    filled, events = np.zeros_like(recording.fills), np.zeros_like(recording.events)
    filled[step, 0, at.EXIT_UNITS], filled[step, 0, at.EXIT_PRICE] = -1.0, price
    events[step] = at.STOPPED
    [fill] = replace(recording, candles=candles, fills=filled, events=events).each_fill()
    assert (fill.bar, fill.kind) == (bar, "stop")


def test_the_summary_counts():
    recording = walk(Engine(random_market(200, 2, seed=3), EnvConfig(risk=STOPS, costs=CostConfig(fee_bps=7)), 1, 4))
    summary = recording.summary()
    assert summary["orders"] == (recording.fills[:, :, at.ORDER_UNITS] != 0).sum() > 0
    exits = summary["stops"] + summary["take_profits"] + summary["liquidations"]
    assert exits == (recording.fills[:, :, at.EXIT_UNITS] != 0).sum() > 0
    assert summary["total_return"] == pytest.approx(recording.equity[-1] / 10_000 - 1)
    low = min(recording.equity[j] / recording.equity[: j + 1].max() for j in range(recording.steps + 1))
    assert summary["max_drawdown"] == pytest.approx(1 - low)
    assert summary["fees"] == recording.costs[-1, 0] > 0


def test_a_saved_recording_comes_back_the_same(tmp_path):
    recording = walk(Engine(gap_market(), EnvConfig(risk=STOPS), 1, window=4))
    recording.save(tmp_path / "one.npz")
    again = Recording.load(tmp_path / "one.npz")
    for field in fields(Recording):
        before, after = getattr(recording, field.name), getattr(again, field.name)
        assert type(before) is type(after)
        np.testing.assert_array_equal(before, after, err_msg=field.name)


def test_a_file_that_is_no_recording_is_refused_and_never_unpickled(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", rows=np.arange(3))
    np.savez(tmp_path / "objects.npz", **{field.name: np.array([{}], object) for field in fields(Recording)})
    for name in ("text.npz", "other.npz", "objects.npz"):
        with pytest.raises(UserError, match=f"{name} is not a recording"):
            Recording.load(tmp_path / name)
    with pytest.raises(UserError, match="no recording at"):
        Recording.load(tmp_path / "none.npz")


def test_what_cannot_be_recorded_is_refused():
    market = random_market(40)
    with pytest.raises(UserError, match="no account 2 to record: this engine has accounts 0 to 1"):
        Recorder(Engine(market, EnvConfig(), 2, window=4), b=2)
    with pytest.raises(UserError, match="autoreset=False"):
        Recorder(Engine(market, EnvConfig(), 1, window=4, autoreset=True))
    with pytest.raises(UserError, match="nothing to show yet"):
        Recorder(Engine(market, EnvConfig(), 1, window=4)).recording()


def test_ruin_is_recorded():
    closes = np.array([[100.0]] * 4 + [[30.0], [3.0], [3.0]])
    engine = Engine(market_of(closes, closes), EnvConfig(), 1, window=2)
    engine.reset([0])
    recorder = Recorder(engine)
    while not (engine.terminated[0] or engine.truncated[0]):
        engine.step(np.array([[1.0]]))
        recorder.record(np.array([1.0]))
    recording = recorder.recording()
    assert recording.terminated
    assert recording.summary()["ruined"] == 1.0
    engine.step(np.array([[1.0]]))  # for the sake of other accounts
    recorder.record(np.array([1.0]))
    assert recorder.recording().steps == recording.steps
