"""Helpers that share the accounts out: woken from sleep, gone with their engine, engaged anew after a fork."""

from __future__ import annotations

import gc
import os
import threading
import time

import numpy as np
import pytest

from envs.config import EnvConfig
from envs.engine import FEWEST_PER_THREAD, Engine
from tests.envs.markets import random_market

ACCOUNTS = 3 * FEWEST_PER_THREAD
MARKET = random_market(60, assets=2)


def engine(threads: int) -> Engine:
    made = Engine(MARKET, EnvConfig(episode=10), ACCOUNTS, 4, random_start=True, autoreset=True, threads=threads)
    made.reset(range(ACCOUNTS))
    return made


def targets(step: int) -> np.ndarray:
    return np.random.default_rng(step).uniform(-0.5, 0.5, (ACCOUNTS, 2))


def test_helpers_that_went_to_sleep_are_woken_for_the_next_step():
    alone, shared = engine(1), engine(3)
    assert shared.threads == 3
    for step in range(30):
        if step % 10 == 5:
            time.sleep(0.1)  # far longer than a helper watches
        for one in (alone, shared):
            one.step(targets(step))
        np.testing.assert_array_equal(alone.state, shared.state)
        np.testing.assert_array_equal(alone.outcome, shared.outcome)


def helpers_left(patience: float) -> int:
    """How many helpers there are, once those without an engine have had time to leave."""
    gc.collect()
    until = time.monotonic() + patience
    while (left := sum(thread.name == "accounts" for thread in threading.enumerate())) and time.monotonic() < until:
        time.sleep(0.01)
    return left


def test_helpers_leave_with_their_engine():
    assert helpers_left(patience=10) == 0
    made = [engine(3) for _ in range(2)]
    for one in made:
        one.step(targets(0))
    assert helpers_left(patience=0) == 4
    del made, one
    assert helpers_left(patience=10) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_engages_helpers_of_its_own():
    alone, shared = engine(1), engine(2)
    shared.step(targets(0))
    alone.step(targets(0))
    alone.step(targets(1))
    child = os.fork()
    if child == 0:
        shared.step(targets(1))
        os._exit(0 if np.array_equal(alone.state, shared.state) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    shared.step(targets(1))
    np.testing.assert_array_equal(alone.state, shared.state)


def test_the_end_of_a_span_is_told_from_every_thread():
    made = Engine(MARKET, EnvConfig(), ACCOUNTS, 4, threads=3)
    made.reset(range(ACCOUNTS))
    for _ in range(made.steps):
        made.step(targets(0) * 0)
    with pytest.raises(IndexError, match="span is over"):
        made.step(targets(0) * 0)
