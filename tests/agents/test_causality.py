"""What is learnt and chosen knows nothing of what comes after validation.

`agents/audit.py` watches what decides with fixed weights, and tests/agents/test_audit.py plants leaks there. Here all
is trained anew while the market changes. What was trained is stamped with the last validation row, for validation
chooses epoch, policy and thresholds; and what was trained before is watched by the audit like anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from agents.audit import Part, Watched, audit, observed
from agents.strategies.signal import tuned
from agents.train import train
from data.causality import Audit, Output, audit_dataset
from data.dataset import Dataset, build, load_raw
from data.simulator.config import SimulatorConfig
from data.splits import Split
from encoders.embed import embed
from tests.agents.small import AGENT, DATA, ENV, WINDOW, tiny_encoder

CONFIG = replace(DATA, simulator=SimulatorConfig(bars=1_000, edge=0.9))
RAW = load_raw(CONFIG)
SPLIT = build(RAW, CONFIG).split
LATE = len(RAW.bars["BTC"]) - 3
AGENT = replace(AGENT, lr=0.03, validations=1, steps=1_280)


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
    everything = Part(data, slice(0, len(data.market)))
    action, _ = bundle.policy(data.market).predict(observed(everything, rows), deterministic=True)
    values = (flat(checkpoint.weights), flat(bundle.weights), bundle.table_scaler.center, thresholds, action)
    for name, value in zip(names[:-1], values):
        yield Output(name, value, last)
    yield Output(names[-1], action, np.maximum(rows, last))


def flat(weights) -> np.ndarray:
    return np.concatenate([weights[name].numpy().ravel() for name in sorted(weights)])


def names_of(found: Audit) -> set[str]:
    return {finding.output for finding in found.findings}


@pytest.mark.parametrize("cut", [SPLIT.valid.stop - 1, SPLIT.valid.stop + 10, LATE])
def test_what_is_learnt_knows_nothing_of_what_comes_after_validation(cut):
    found = audit_dataset(RAW, CONFIG, [cut], extra=lambda data, rows: learnt(data))
    assert found.findings == []
    assert {"weights of the encoder", "weights of the agent", "scaler of the agent", "thresholds"} <= set(found.outputs)


def test_what_was_trained_before_is_watched_as_anything_else():
    data = build(RAW, CONFIG)
    checkpoint = tiny_encoder(data, "transformer")
    bundle = train(data, ENV, AGENT, "ppo", WINDOW, checkpoint, progress=False)
    watched = Watched(ENV, WINDOW, {"transformer": checkpoint}, {"agent": bundle})
    found = audit(RAW, CONFIG, watched, [SPLIT.train.stop, SPLIT.valid.start + 20, LATE])
    assert found.lines() == []
    assert {"embeddings of transformer", "actions of agent", "equity of agent"} <= set(found.outputs)


def test_training_does_depend_on_the_rows_that_teach_and_choose():
    """Or the tests above would pass on a pipeline that learns nothing: one row earlier, and the weights move."""
    def extra(data, rows):
        yield from (output._replace(stamps=0) for output in learnt(data))

    moved = names_of(audit_dataset(RAW, CONFIG, [SPLIT.train.stop - 40], ("noise",), extra))
    assert {"weights of the encoder", "weights of the agent", "scaler of the agent", "thresholds"} <= moved


@pytest.mark.parametrize(("fault", "caught"), [
    ({"choose": slice(SPLIT.valid.start, 1_000)}, "thresholds"),
    ({"teach": slice(0, 1_000)}, "weights of the encoder"),
])
def test_rows_that_should_not_have_been_looked_at_are_caught(fault, caught):
    found = audit_dataset(RAW, CONFIG, [SPLIT.valid.stop + 10], ("noise", "jump", "flip"),
                          lambda data, rows: learnt(data, **fault))
    assert caught in names_of(found)
