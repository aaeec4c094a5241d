"""The audit passes what is honest, and names every leak that is planted in what decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import agents.audit as watching
import encoders.scale as scales
import envs.engine as engines
from agents.audit import Watched, audit, newborn, untrained, watched_in
from agents.experiment import load_experiment
from agents.policy import WeightTable
from data import dataset
from data.causality import choose_cuts
from data.dataset import build, load_raw
from data.features import FEATURES
from data.features.base import Feature, one
from data.market import CLOSE
from encoders import ENCODERS
from encoders.base import Encoder
from encoders.batches import Windows
from encoders.config import EncoderConfig
from encoders.ensemble.config import EnsembleConfig
from envs import layout as at
from envs.execution import bar_table
from envs.observations import windows_of
from tests.agents.audited import CONFIG, HONEST, LATER, RAW, columns_of, names_of
from tests.agents.small import ENV, NET, WINDOW


def seen_through(name: str) -> Watched:
    return Watched(ENV, WINDOW, {name: untrained(HONEST, replace(NET, name=name), WINDOW)})


@pytest.mark.parametrize(("algo", "encoder", "argv"), [
    ("ppo", "mamba", ["--ensemble.members", "transformer", "--data.simulator.bars", "900"]),
    ("dqn", "attention_lstm", ["--ensemble.members", "lstm", "--data.source", "known",
                               "--data.known.market", "regime_lead",
                               "--data.known.bars", "1200"]),
    ("a2c", "none", ["--ensemble.members", "lstm", "--data.simulator.bars", "1000",
                      "--data.simulator.assets", "BTC", "ETH",
                     "--data.groups", "returns", "--env.action", "weights"]),
])
def test_the_small_presets_know_nothing_of_the_future(algo, encoder, argv):
    config = load_experiment(["--algo", algo, "--encoder", encoder, *argv])
    raw = load_raw(config.data)
    data = build(raw, config.data)
    cuts = choose_cuts(data, count=0)
    late = [cut for cut in cuts if isinstance(cut, int) and cut >= data.split.train.stop - 1]
    found = audit(raw, config.data, watched_in(config, data), [cuts[0], late[1]])
    assert found.lines() == []
    expected = {"features", "scaler center", "forward labels", "window", "account", "money", "equity of momentum",
                f"actions of {algo} + {encoder}", f"values of {algo} + {encoder}"}
    expected |= {f"{what} of {name}" for name in config.encoders for what in ("embeddings", "forecasts")}
    expected |= {f"stream of {name}" for name in config.encoders if name in ("lstm", "mamba")}
    assert expected <= set(found.outputs)
    assert found.columns == len(data.market.columns)


def test_cuts_are_where_leaks_show():
    kept = np.r_[0:500, 548:900]
    raw = replace(RAW, bars={"BTC": RAW.bars["BTC"].iloc[kept].reset_index(drop=True)},
                  carry={"BTC": RAW.carry["BTC"][kept]}, truth=None)
    data = build(raw, CONFIG)
    cuts = choose_cuts(data, count=3)
    rows, gap = [cut for cut in cuts if isinstance(cut, int)], cuts[-1]
    split, first = data.split, data.market.segments[0, 0]
    assert {split.train.stop - 1, split.train.stop, split.valid.stop - 1, split.valid.stop, 849} <= set(rows)
    assert min(rows) < first
    assert any(first < row <= first + 10 for row in rows)
    assert data.market.time[499] < gap < data.market.time[500]
    assert choose_cuts(data, count=3) == cuts
    assert len(choose_cuts(data, count=30)) > len(cuts)
    found = audit(raw, CONFIG, seen_through("lstm"), [gap, split.train.stop], kinds=("noise", "cut"))
    assert found.lines() == []


class Normed(Encoder):
    """Batch statistics in eval mode too, as a forgotten `train()` leaves them."""

    causal = True
    stateful = False

    def __init__(self, features: int, config: EncoderConfig, assets: int) -> None:
        super().__init__(features, config, assets)
        self.into = nn.Linear(features, config.width)

    def forward_sequence(self, x: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(self.into(x[:, -1]), None, None, training=True)


class Unmasked(Encoder):
    """Attends over all bars of a stream, the later ones too."""

    causal = True
    stateful = True

    def __init__(self, features: int, config: EncoderConfig, assets: int) -> None:
        super().__init__(features, config, assets)
        self.into = nn.Linear(features, config.width)

    def forward_sequence(self, x: torch.Tensor) -> torch.Tensor:
        return self.stream_sequence(x, None)[0][:, -1]

    def stream_sequence(self, x: torch.Tensor, state: None) -> tuple[torch.Tensor, None]:
        hidden = self.into(x)
        return functional.scaled_dot_product_attention(hidden, hidden, hidden), None


def batch_norm_in_train_mode(monkeypatch) -> Watched:
    monkeypatch.setitem(ENCODERS, "normed", f"{__name__}:Normed")
    return seen_through("normed")


def no_attention_mask(monkeypatch) -> Watched:
    monkeypatch.setitem(ENCODERS, "unmasked", f"{__name__}:Unmasked")
    return seen_through("unmasked")


def a_scale_that_looks_a_bar_ahead(monkeypatch) -> Watched:
    honest = scales.trailing

    def ahead(market, bars, usual):
        found = honest(market, bars, usual)
        return np.concatenate([found[:, 1:], found[:, -1:]], axis=1)

    monkeypatch.setattr(scales, "trailing", ahead)
    return seen_through("lstm")


def thresholds_on_all_rows(monkeypatch) -> Watched:
    honest = watching.tuned
    monkeypatch.setattr(watching, "tuned", lambda forecast, market, config, window, rows: honest(
        forecast, market, config, window, slice(0, len(market))))
    return seen_through("lstm")


def an_env_that_shows_the_next_bar(monkeypatch) -> Watched:
    monkeypatch.setattr(engines, "windows_of", lambda features, window: windows_of(
        np.concatenate([features[1:], features[-1:]]), window))
    return Watched(ENV, WINDOW)


def with_bars_from_later(monkeypatch, column: int) -> Watched:
    """Money that is earned with prices of tomorrow shows in the equity of today."""
    def one_later(*arguments):
        bars = bar_table(*arguments)
        bars[:-1, :, column] = bars[1:, :, column]
        return bars

    monkeypatch.setattr(engines, "bar_table", one_later)
    return Watched(ENV, WINDOW)


def an_encoder_that_reads_past_its_row(monkeypatch) -> Watched:
    honest = Windows.__call__

    def one_ahead(self, rows):
        return honest(self, np.minimum(np.asarray(rows) + 1, len(self.table) - 1))

    monkeypatch.setattr(Windows, "__call__", one_ahead)
    config = load_experiment(["--encoder", "lstm"])
    config = replace(config, data=CONFIG, env=ENV, net=replace(NET, name="lstm"), ensemble=EnsembleConfig(("lstm",)))
    checkpoint = untrained(HONEST, config.net, WINDOW)
    return Watched(ENV, WINDOW, {"lstm": checkpoint}, {"agent": newborn(HONEST, config, checkpoint)})


def a_baseline_that_knows_tomorrow(monkeypatch) -> Watched:
    def clairvoyant(market):
        close = np.log(market.prices[:, :, CLOSE])
        return WeightTable(np.sign(np.diff(close, axis=0, append=close[-1:])))

    monkeypatch.setattr(watching, "momentum", clairvoyant)
    return Watched(ENV, WINDOW)


@dataclass(frozen=True)
class Planted:
    plant: Callable[..., Watched]
    certain: frozenset[str]  # outputs that must be named
    possible: frozenset[str] = frozenset()  # what these feed
    cut: int = LATER


def these(*names: str) -> frozenset[str]:
    return frozenset(names)


def all_of(name: str) -> frozenset[str]:
    return these(f"embeddings of {name}", f"forecasts of {name}", f"thresholds of {name}",
                 f"actions of the {name} signal", f"equity of the {name} signal", f"weights of the {name} signal")


MONEY = these("equity of momentum", "weights of momentum")
PLANTED = {
    "BatchNorm in train mode": Planted(batch_norm_in_train_mode, these("embeddings of normed", "forecasts of normed"),
                                       all_of("normed")),
    "missing attention mask": Planted(no_attention_mask, these("stream of unmasked")),
    "an expected volatility that looks a bar ahead": Planted(a_scale_that_looks_a_bar_ahead,
                                                             these("forecasts of lstm")),
    "threshold on all rows": Planted(thresholds_on_all_rows, these("thresholds of lstm"),
                                     cut=HONEST.split.valid.stop),
    "an environment that shows the next bar": Planted(an_env_that_shows_the_next_bar, these("window")),
    "an account marked at the next close": Planted(lambda patch: with_bars_from_later(patch, at.CLOSE),
                                                   these("account", "money"), MONEY),
    "an order filled later": Planted(lambda patch: with_bars_from_later(patch, at.FILL), these("account", "money"),
                                     MONEY),
    "an encoder that reads past its row": Planted(
        an_encoder_that_reads_past_its_row, these("embeddings of lstm", "forecasts of lstm", "values of agent"),
        all_of("lstm") | these("actions of agent", "equity of agent", "weights of agent")),
    "a baseline that knows tomorrow": Planted(a_baseline_that_knows_tomorrow, these("actions of momentum"), MONEY),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_what_decides_with_tomorrow_in_hand_is_named(fault, monkeypatch):
    planted = PLANTED[fault]
    found = audit(RAW, CONFIG, planted.plant(monkeypatch), cuts=[planted.cut], kinds=("noise", "jump", "flip"))
    assert found.on_its_face == ()
    assert planted.certain <= names_of(found) <= planted.certain | planted.possible
    assert all(finding.row <= planted.cut for finding in found.findings)


def test_a_leaking_feature_is_followed_to_the_actions(monkeypatch):
    tomorrow = Feature("tomorrow", "returns", 2, ("close",), "planted",
                       one("tomorrow", lambda f: np.log(f["close"]).diff().shift(-1).ffill()))
    monkeypatch.setattr(dataset, "FEATURES", [*FEATURES, tomorrow])
    data = build(RAW, CONFIG)
    watched = Watched(ENV, WINDOW, {"lstm": untrained(data, replace(NET, name="lstm"), WINDOW)})
    found = audit(RAW, CONFIG, watched, [LATER], ("noise",))
    assert {"features", "scaled features", "window", "embeddings of lstm", "forecasts of lstm"} <= names_of(found)
    for output in ("features", "scaled features", "window"):
        assert columns_of(found, output) == {"tomorrow"}
    lines = [line for line in found.lines() if line not in found.on_its_face]
    assert lines[0].startswith(f"features column 'tomorrow' at row {LATER}"), "where the leak begins stands first"


def test_the_money_that_is_watched_is_the_engines():
    part = watching.Part(HONEST, slice(0, len(HONEST.market)))
    money = next(output for output in watching.shown(part, ENV, WINDOW) if output.name == "money")
    assert at.EQUITY == 1
    assert np.exp(money.values[:, 0].sum()) * ENV.capital == pytest.approx(money.values[-1, 1])
