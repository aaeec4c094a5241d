"""Where the compiled loops find an engine's arrays: by the addresses and sizes of its plan."""

from __future__ import annotations

import numpy as np

from envs import layout as at
from envs.compiled import array_at, prefetch, rule

AHEAD = 4  # accounts
NUMBER, LINE = 8, 64  # bytes of a float64 and of a cache line


@rule
def plan_at(address):
    return array_at(address, (at.PLAN,), np.int64)


@rule
def arrays_of(plan, assets):
    """The arrays of an engine, from their addresses and sizes in the order of `envs.layout`."""
    accounts, wide = plan[at.ACCOUNTS], plan[at.WIDTH]
    state = array_at(plan[at.STATE], (accounts, wide), np.float64)
    target = array_at(plan[at.TARGET], (accounts, assets), np.float64)
    outcome = array_at(plan[at.OUTCOME], (at.EVENT_BITS + 1, accounts), np.float64)
    observed = array_at(plan[at.OBSERVED], (accounts, plan[at.SHOWN]), np.float32)
    final = array_at(plan[at.FINAL], (accounts, wide), np.float64)
    final_observed = array_at(plan[at.FINAL_OBSERVED], (accounts, plan[at.SHOWN]), np.float32)
    bars = array_at(plan[at.BAR_TABLE], (plan[at.ROWS], assets, at.COLUMNS), np.float64)
    decisions = array_at(plan[at.DECISIONS], (plan[at.CHOICES], 2), np.int64)
    starts = array_at(plan[at.STARTS], (plan[at.OPENINGS],), np.int64)
    rules = array_at(plan[at.RULE_LIST], (plan[at.RULE_COUNT],), np.float64)
    return state, target, outcome, observed, final, final_observed, bars, decisions, starts, rules


@rule
def work_of(plan, first, assets):
    """The rows that a thread works with: those of its first account."""
    return array_at(plan[at.WORK] + first * at.WORKED * assets * NUMBER, (at.WORKED, assets), np.float64)


@rule
def fetch_ahead(b, last, state, outcome, plan):
    """Ask for the memory of accounts to come, which otherwise is waited for longer than the step itself takes."""
    later = b + 2 * AHEAD
    if later < last:
        start = plan[at.STATE] + later * plan[at.WIDTH] * NUMBER
        for line in range(0, plan[at.WIDTH] * NUMBER, LINE):
            prefetch(start + line)
    later = b + AHEAD
    if later < last:
        prefetch(plan[at.DECISIONS] + int(state[later, at.DECISION]) * 2 * NUMBER)
        a_row = plan[at.ASSETS] * at.COLUMNS * NUMBER
        start = plan[at.BAR_TABLE] + int(outcome[at.ROW, later]) * a_row
        for line in range(LINE, 2 * a_row, LINE):
            prefetch(start + line)
