"""What it trades on: how growth and decisions change when a group of columns tells of another time.

The columns of a group are cut into blocks of bars, and the blocks are put into another order, all columns alike, each
far from where it was. So a column keeps its marginal law, and inside a block its memory, and what an encoder sees stays
a market that could be; only what it says about *now* is gone. A median in its place would be a market that never was,
and a policy that does badly there shows only that it was never taught there. Windows across a border between two blocks
are odd ones all the same, hence long blocks. Their lengths differ, or blocks of whole days would leave the hour of the
day as it was.

Groups that say the same stand in for one another: each may be missed little, all together much, so that all columns
are shuffled together too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.diagnosis.record import Record
from agents.diagnosis.subject import Subject
from agents.diagnosis.walk import in_parts
from agents.policy import Observation, Policy
from configs.errors import UserError
from data.market import Market
from encoders.explain.estimates import Estimate, means
from encoders.explain.importance import swapped

BLOCKS = 16  # at least, whatever their length
ALL = "all market columns"


@dataclass(frozen=True)
class Ablated:
    """What became of the policy without one group."""

    name: str
    kind: str  # market or account
    columns: int
    growth: Estimate  # change in log growth per bar, the mean over the shuffles
    changed: float  # share of decisions that are others
    moved: float  # mean of the change in weights asked for, summed over the assets


@dataclass(frozen=True)
class Ablation:
    block: float  # bars
    rows: int  # that were shuffled
    groups: tuple[Ablated, ...]  # most missed first


def ablation(subject: Subject, record: Record) -> Ablation:
    """Every group of the market's columns, all of them together, and every number of the account that is seen."""
    span = shuffled_rows(subject)
    block = min(subject.config.block or max(4.0 * subject.ground.window, subject.bootstrap.block), len(span) / BLOCKS)
    if block < 2:
        raise UserError(f"{len(span)} validation rows are too few to shuffle in {BLOCKS} blocks: give more data or a "
                        "larger data.split.valid")
    base, wanted = in_parts(subject.policy, subject.ground), record.wanted
    groups = dict(subject.groups)
    if len(groups) > 1:
        groups[ALL] = np.concatenate(list(groups.values()))
    found, growths = [], []
    for name, columns, kind in [*((name, at, "market") for name, at in groups.items()),
                                *((name, subject.numbers(name), "account") for name in subject.account)]:
        growth, weights = np.zeros_like(base), []
        for draw in range(subject.config.draws):
            rng = np.random.default_rng([subject.config.seed, draw])  # one shuffle for all groups
            policy = (subject.policy_of(shuffled(subject.ground.market, span, columns, block, rng))
                      if kind == "market" else Misled.of(subject.policy, record, columns, block, rng))
            growth += in_parts(policy, subject.ground) / subject.config.draws
            weights.append(record.answers(policy))
        growths.append(growth - base)
        changed = np.mean([record.differs(other, wanted).mean() for other in weights])
        moved = np.mean([np.abs(other - wanted).sum(axis=1).mean() for other in weights])
        found.append((name, kind, len(columns), float(changed), float(moved)))
    estimates = means(np.stack(growths, axis=1), subject.bootstrap)
    ablated = [Ablated(name, kind, columns, estimate, changed, moved)
               for (name, kind, columns, changed, moved), estimate in zip(found, estimates)]
    return Ablation(block, len(span), tuple(sorted(ablated, key=lambda one: one.growth.value)))


def shuffled_rows(subject: Subject) -> np.ndarray:
    """Rows that a decision on the validation rows may see, stretches without features aside."""
    ground = subject.ground
    reach = ground.window + ground.env.observation_delay
    decisions = ground.market.decision_rows(reach, ground.rows)
    return ground.market.decision_rows(1, slice(int(decisions[0]) - reach + 1, int(decisions[-1]) + 1))


def blocks(count: int, block: float, rng: np.random.Generator) -> np.ndarray:
    """(count,) a permutation that moves whole blocks of about `block` neighbours, each by an eighth of all or so.

    >>> moved = blocks(1_000, 20.0, np.random.default_rng(0))
    >>> sorted(moved.tolist()) == list(range(1_000)), float(np.mean(np.diff(moved) == 1)) > 0.9
    (True, True)
    """
    lengths = rng.integers(max(int(block / 2), 1), int(1.5 * block) + 1, 2 * int(count / block) + BLOCKS)
    borders = np.concatenate([[0], np.cumsum(lengths)])
    pieces = np.split(np.arange(count), borders[(borders > 0) & (borders < count)])
    return np.concatenate([pieces[piece] for piece in swapped(len(pieces), rng)])


def shuffled(market: Market, rows: np.ndarray, columns: np.ndarray, block: float, rng: np.random.Generator) -> Market:
    """The market with `columns` on `rows` in another order; an asset's own bars are shuffled where some are missing."""
    features = market.features.copy()
    seed = int(rng.integers(2**32))
    for asset in range(len(market.assets)):
        there = rows if market.absent is None else rows[~market.absent[rows, asset]]
        if len(there) < BLOCKS:
            continue
        order = blocks(len(there), min(block, len(there) / BLOCKS), np.random.default_rng(seed))  # alike for all assets
        features[there[:, None], asset, columns] = market.features[there[order][:, None], asset, columns]
    return replace(market, features=features)


@dataclass(frozen=True, eq=False)
class Misled:
    """A policy that is shown numbers of its account from another time."""

    policy: Policy
    rows: np.ndarray  # (K,) rising
    shown: np.ndarray  # (K, columns)
    columns: np.ndarray

    @classmethod
    def of(cls, policy: Policy, record: Record, columns: np.ndarray, block: float, rng: np.random.Generator) -> Misled:
        order = blocks(len(record), block, rng)
        return cls(policy, record.rows, record.seen["account"][order][:, columns], columns)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        account = observation["account"].copy()
        account[:, self.columns] = self.shown[np.searchsorted(self.rows, observation["row"][:, 0])]
        return self.policy.predict({**observation, "account": account}, state, episode_start, deterministic)
