"""The timing contract through the whole pipeline: nothing before a cut moves when everything after it changes.

`data/causality.py` perturbs the raw data and compares features and scaler; here follow embeddings, what an env shows,
what an agent and a signal do, and what the arena writes down. What was trained is stamped with the last validation row,
for validation chooses epoch, policy and thresholds; each is also held fixed while the market changes, which must leave
what it does on every earlier row, from the last training row (the scaler's) on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from agents.arena.rollout import Contestant, compete
from agents.bundle import Bundle
from agents.policy import WeightTable
from agents.strategies.baselines import momentum
from agents.strategies.signal import SignalPolicy, tuned
from agents.train import train
from data import dataset as data_module
from data.causality import Output, audit_dataset
from data.dataset import Dataset, build, load_raw
from data.features import FEATURES
from data.features.base import Feature, one
from data.market import CLOSE, OPEN, Market
from data.simulator.config import SimulatorConfig
from data.splits import Split
from encoders.batches import Windows
from encoders.checkpoint import Checkpoint
from encoders.embed import embed
from envs.account import EQUITY
from envs.engine import Engine
from envs.observations import account_names
from envs.trading_env import TradingEnv
from tests.agents.small import AGENT, DATA, ENV, WINDOW, tiny_encoder

CONFIG = replace(DATA, simulator=SimulatorConfig(bars=1_000, edge=0.9))
RAW = load_raw(CONFIG)
SPLIT = build(RAW, CONFIG).split
LATE = len(RAW.bars["BTC"]) - 3
ACTIONS = np.random.default_rng(0).integers(0, 3, 1_000)  # of the fixed policy, by row
AGENT = replace(AGENT, steps=128, validations=1)


@dataclass(frozen=True)
class Fixed:
    """Trained on the unchanged market, and kept while the market changes."""

    checkpoint: Checkpoint
    bundle: Bundle
    signal: SignalPolicy
    whole: dict[str, np.ndarray] = field(default_factory=dict)  # what the network said of the unchanged market

    def settled(self, name: str, values: np.ndarray) -> np.ndarray:
        """Of a shortened market, numbers as the whole one had them where they differ by rounding alone: a batch of
        another size may be summed in another order. Of a market of the same length, the numbers as they are."""
        whole = self.whole.setdefault(name, values)[: len(values)]
        if len(values) == len(self.whole[name]):
            return values
        return np.where(np.isclose(values, whole, rtol=1e-5, atol=1e-6), whole, values)


@pytest.fixture(scope="module")
def fixed() -> Fixed:
    data = build(RAW, CONFIG)
    checkpoint = tiny_encoder(data, "transformer")
    bundle = train(data, ENV, AGENT, "ppo", WINDOW, checkpoint, progress=False)
    return Fixed(checkpoint, bundle, tuned(embed(checkpoint, data.market).forecast, data.market, ENV, WINDOW,
                                           data.split.valid))


def shown(data: Dataset) -> Iterator[Output]:
    """A `TradingEnv` walked over the whole market by a fixed policy: windows, account, rewards, equity."""
    env = TradingEnv(data.market, WINDOW, config=ENV, random_start=False)
    seen, info = env.reset(seed=0)
    rows, windows, accounts, money = [int(env.engine.rows[0])], [seen["market"]], [seen["account"]], [[0.0, 0.0]]
    ended = False
    while not ended:
        seen, reward, terminated, truncated, info = env.step(ACTIONS[rows[-1]])
        ended = terminated or truncated
        rows.append(int(env.engine.rows[0]))
        windows.append(seen["market"])
        accounts.append(seen["account"])
        money.append([reward, info["equity"]])
    scaled = np.maximum(rows, data.split.train.stop - 1)
    names = account_names(data.market.assets)
    assert names[-1] == "remaining"  # left out: how many bars are on file is no secret of the market
    yield Output("window", np.array(windows), scaled, data.market.columns)
    yield Output("account", np.array(accounts)[:, :-1], np.array(rows), names[:-1])
    yield Output("money", np.array(money), np.array(rows), ("reward", "equity"))


def observed(rows: np.ndarray) -> dict[str, np.ndarray]:
    return {"row": rows.astype(np.int32)[:, None], "account": np.zeros((len(rows), 7), np.float32)}


def done(data: Dataset, fixed: Fixed) -> Iterator[Output]:
    """What the fixed encoder, agent, signal and baseline do on every decision row, and their equity in the arena."""
    market, last = data.market, data.split.train.stop - 1
    rows = market.decision_rows(WINDOW)
    found = embed(fixed.checkpoint, market)
    score = found.forecast.direction[..., 2] - found.forecast.direction[..., 0]
    yield Output("embeddings", fixed.settled("embeddings", found.values[rows]), np.maximum(rows, last))
    yield Output("forecast", fixed.settled("forecast", found.forecast.quantiles[rows]), np.maximum(rows, last))
    everyone = {"agent": Contestant(fixed.bundle.policy(market), ENV.actions(1)),
                "signal": Contestant(SignalPolicy(score, fixed.signal.thresholds)),
                "momentum": Contestant(momentum(market))}
    for name, contestant in everyone.items():
        action, _ = contestant.policy.predict(observed(rows), deterministic=True)
        yield Output(f"actions of {name}", np.asarray(action), rows if name == "momentum" else np.maximum(rows, last))
    for track in compete(everyone, market, ENV, WINDOW, slice(last - 50, len(market))):
        at = np.maximum(market.decision_rows(WINDOW, track.rows), last)
        yield Output(f"equity of {track.contestant}", track.equity, at)
        yield Output(f"weights of {track.contestant}", track.weights, at[1:])


def learnt(data: Dataset, teach: slice | None = None, choose: slice | None = None) -> Iterator[Output]:
    """Everything trained anew; `teach` and `choose` plant the fault of rows that should not have been looked at."""
    names = ("weights of the encoder", "weights of the agent", "scaler of the agent", "thresholds",
             "actions of a trained agent")
    last = SPLIT.valid.stop - 1
    if data.split.valid != SPLIT.valid:  # cut before its end: there is nothing to be trained, and nothing is compared
        yield from (Output(name, np.zeros(1), last) for name in names)
        return
    split = data.split if teach is None else Split(teach, data.split.valid, data.split.test, data.split.gap)
    data = replace(data, split=split)
    checkpoint = tiny_encoder(data, "lstm")
    bundle = train(data, ENV, AGENT, "ppo", WINDOW, checkpoint, progress=False)
    signal = tuned(embed(checkpoint, data.market).forecast, data.market, ENV, WINDOW, choose or split.valid)
    thresholds = np.concatenate([signal.thresholds.enter, signal.thresholds.exit]).ravel()
    rows = data.market.decision_rows(WINDOW)
    action, _ = bundle.policy(data.market).predict(observed(rows), deterministic=True)
    values = (flat(checkpoint.weights), flat(bundle.weights), bundle.table_scaler.center, thresholds, action)
    for name, value in zip(names[:-1], values):
        yield Output(name, value, last)
    yield Output(names[-1], action, np.maximum(rows, last))


def flat(weights) -> np.ndarray:
    return np.concatenate([weights[name].numpy().ravel() for name in sorted(weights)])


def names_of(findings) -> set[str]:
    return {finding.output for finding in findings}


def test_the_cuts_are_where_leaks_show():
    assert 168 < SPLIT.train.stop < SPLIT.valid.start < SPLIT.valid.stop < SPLIT.test.start < LATE


@pytest.mark.parametrize("cut", [100, SPLIT.train.stop - 1, SPLIT.train.stop, SPLIT.valid.start + 20])
def test_what_is_seen_and_done_knows_nothing_of_the_future(cut, fixed):
    def extra(data):
        yield from shown(data)
        yield from done(data, fixed)

    assert audit_dataset(RAW, CONFIG, [cut], extra=extra) == []


@pytest.mark.parametrize("cut", [SPLIT.valid.stop - 1, SPLIT.valid.stop + 10, LATE])
def test_what_is_learnt_knows_nothing_of_what_comes_after_validation(cut, fixed):
    def extra(data):
        yield from shown(data)
        yield from done(data, fixed)
        yield from learnt(data)

    assert audit_dataset(RAW, CONFIG, [cut], extra=extra) == []


def test_training_does_depend_on_the_rows_that_teach_and_choose():
    """Or the test above would pass on a pipeline that learns nothing: one row earlier, and the weights move."""
    def extra(data):
        yield from (output._replace(stamps=0) for output in learnt(data))

    moved = names_of(audit_dataset(RAW, CONFIG, [SPLIT.train.stop - 40], ("noise",), extra))
    assert {"weights of the encoder", "weights of the agent", "scaler of the agent", "thresholds"} <= moved


def test_a_look_ahead_feature_reaches_observations_and_actions_and_is_caught(monkeypatch):
    tomorrow = Feature("tomorrow", "returns", 2, ("close",), "planted", one("tomorrow", lambda f: (
        np.log(f["close"]).diff().shift(-1).ffill())))
    monkeypatch.setattr(data_module, "FEATURES", [*FEATURES, tomorrow])
    planted = build(RAW, CONFIG)
    checkpoint = tiny_encoder(planted, "transformer")
    bundle = train(planted, ENV, AGENT, "ppo", WINDOW, checkpoint, progress=False)
    signal = tuned(embed(checkpoint, planted.market).forecast, planted.market, ENV, WINDOW, planted.split.valid)

    def extra(data):
        yield from shown(data)
        yield from done(data, Fixed(checkpoint, bundle, signal))

    findings = audit_dataset(RAW, CONFIG, [SPLIT.valid.start + 20], ("noise", "jump"), extra)
    assert {"features", "scaled features", "window", "embeddings", "forecast"} <= names_of(findings)
    assert {finding.column for finding in findings if finding.output in ("features", "window")} == {"tomorrow"}


CUT = [SPLIT.valid.start + 20]


def test_an_env_that_shows_the_next_bar_is_caught(monkeypatch):
    def next_window(self, row, window):
        row = min(row + 1, len(self) - 1)
        return self.features[row - window + 1 : row + 1]

    monkeypatch.setattr(Market, "window_at", next_window)
    assert names_of(audit_dataset(RAW, CONFIG, CUT, extra=shown)) == {"window"}


def test_an_account_marked_at_the_next_close_is_caught(monkeypatch):
    honest = Engine._lay_out_decisions

    def one_bar_late(self, rows):
        honest(self, rows)
        self.mark[:-1] = self.mark[1:]

    monkeypatch.setattr(Engine, "_lay_out_decisions", one_bar_late)
    assert names_of(audit_dataset(RAW, CONFIG, CUT, ("noise", "jump", "flip"), shown)) == {"account", "money"}


def test_an_order_filled_a_bar_later_than_it_says_is_caught(monkeypatch):
    """Money that is earned with prices of tomorrow shows in the equity of today."""
    honest = Engine._lay_out_decisions

    def tomorrows_open(self, rows):
        honest(self, rows)
        later = np.minimum(self.decision_rows[:-1] + 2, len(self.market) - 1)
        self.fill = np.ascontiguousarray(self.market.prices[later, :, OPEN])

    monkeypatch.setattr(Engine, "_lay_out_decisions", tomorrows_open)
    assert names_of(audit_dataset(RAW, CONFIG, CUT, ("jump",), shown)) == {"account", "money"}


def test_an_encoder_that_reads_past_its_row_is_caught(monkeypatch, fixed):
    honest = Windows.__call__

    def one_ahead(self, rows):
        return honest(self, np.minimum(np.asarray(rows) + 1, len(self.table) - 1))

    monkeypatch.setattr(Windows, "__call__", one_ahead)
    found = names_of(audit_dataset(RAW, CONFIG, CUT, ("noise",), lambda data: done(data, fixed)))
    assert {"embeddings", "forecast"} <= found
    assert "window" not in found
    assert "actions of momentum" not in found


def test_a_baseline_that_knows_tomorrow_is_caught(monkeypatch, fixed):
    def clairvoyant(market):
        close = np.log(market.prices[:, :, CLOSE])
        return WeightTable(np.sign(np.diff(close, axis=0, append=close[-1:])))

    monkeypatch.setitem(globals(), "momentum", clairvoyant)
    found = names_of(audit_dataset(RAW, CONFIG, CUT, ("flip", "jump", "noise"), lambda data: done(data, fixed)))
    assert "actions of momentum" in found
    assert found <= {"actions of momentum", "equity of momentum", "weights of momentum"}


@pytest.mark.parametrize(("fault", "caught"), [
    ({"choose": slice(SPLIT.valid.start, 1_000)}, "thresholds"),
    ({"teach": slice(0, 1_000)}, "weights of the encoder"),
])
def test_rows_that_should_not_have_been_looked_at_are_caught(fault, caught):
    findings = audit_dataset(RAW, CONFIG, [SPLIT.valid.stop + 10], ("noise", "jump", "flip"),
                             lambda data: learnt(data, **fault))
    assert caught in names_of(findings)


def test_the_money_the_harness_watches_is_the_engines():
    data = build(RAW, CONFIG)
    money = next(output for output in shown(data) if output.name == "money")
    assert EQUITY == 1
    assert np.exp(money.values[:, 0].sum()) * ENV.capital == pytest.approx(money.values[-1, 1])
