"""When it leaves its position alone.

A policy that knows what orders cost does not ask for the position that looks best now, but keeps what it holds until
another one is better by more than the way there. For one asset and levels it is asked, on each row, what it would do
from each level. Where the state of a known market is one number, the borders of what it keeps stand beside the
oracle's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.arena.rollout import Track
from agents.diagnosis.record import Record
from agents.diagnosis.subject import Subject
from agents.policy import Policy
from agents.strategies.oracle import LAWS, Oracle


@dataclass(frozen=True)
class Trading:
    """How it trades, whatever its actions are."""

    trades: float  # share of bars on which an order was filled, those that bring a drifted weight back among them
    moves: float  # share of decisions that ask for another position than is held
    size: float | None  # mean of |weight asked for - weight held|, summed over the assets, where it asks for another
    turnover: float  # value traded over equity, per bar
    holding: float | None  # mean bars from taking a position to leaving it or turning round; None: it held nothing
    positions: int  # that were taken


@dataclass(frozen=True)
class Edge:
    """The state beyond which a policy leaves the level it holds, for higher ones or for lower ones."""

    above: bool  # it does so above `state`, else below
    state: float
    errors: float  # share of rows on which this rule says something else than the policy did


@dataclass(frozen=True)
class Borders:
    """Where a level is left for higher ones and for lower ones; None: on no row, or on every one."""

    held: float
    up: Edge | None
    down: Edge | None
    oracle_up: Edge | None
    oracle_down: Edge | None


@dataclass(frozen=True, eq=False)
class Band:
    """Of A levels on K rows."""

    levels: tuple[float, ...]
    chosen: np.ndarray  # (A, A) share of rows on which holding one level leads to each
    keeps_all: float  # share of rows on which each level would be kept: no trade, whatever is held
    keeps_ends: float  # share of rows on which the lowest level and the highest would be, whatever becomes of others
    same: float  # share of rows on which all levels lead to one: what is held does not matter
    state: str  # what the borders are in; "" without any
    borders: tuple[Borders, ...]
    seen: np.ndarray | None  # (K,) states
    wanted: np.ndarray  # (A, K) weights asked for
    best: np.ndarray | None  # (A, K) the oracle's


def trading(record: Record, track: Track) -> Trading:
    moved = record.differs(record.positions(record.wanted), record.positions(record.held))
    size = np.abs(record.wanted - record.held).sum(axis=1)[moved]
    held = record.positions(track.weights)  # (K, N)
    taken = (held != 0) & (np.diff(held, axis=0, prepend=0.0) != 0)
    return Trading(float((track.turnover > 0).mean()), float(moved.mean()), float(size.mean()) if len(size) else None,
                   float(track.turnover.mean()), float((held != 0).sum() / taken.sum()) if taken.any() else None,
                   int(taken.sum()))


def band(subject: Subject, record: Record, oracle: Oracle | None) -> Band | None:
    """None unless the policy chooses levels of one asset."""
    env = subject.ground.env
    if env.action != "levels" or record.assets > 1:
        return None
    levels = np.array(env.levels)
    wanted = np.stack([record.from_level(subject.policy, level) for level in levels])  # (A, K)
    kept = wanted == levels[:, None]
    chosen = (wanted[:, None] == levels[:, None]).mean(axis=2)  # (A, A)
    seen, best, named, borders = None, None, "", []
    if oracle is not None and subject.states is not None and len(LAWS[oracle.market].columns) == 1:
        column = LAWS[oracle.market].columns[0]
        known = subject.states.features[record.rows, 0, subject.states.columns.index(column)]
        seen = LAWS[oracle.market].state(known[:, None].astype(float))
        named = f"log odds of {column}" if oracle.market == "regime_lead" else column
        best = np.stack([nearest(from_level(oracle.policy(subject.states), record, level), levels)
                         for level in levels])
        for place, level in enumerate(levels):
            edges = [edge(seen, flags) for flags in (wanted[place] > level, wanted[place] < level,
                                                     best[place] > level, best[place] < level)]
            borders.append(Borders(float(level), *edges))
    ends = [int(levels.argmin()), int(levels.argmax())]
    return Band(tuple(env.levels), chosen, float(kept.all(axis=0).mean()), float(kept[ends].all(axis=0).mean()),
                float((wanted == wanted[0]).all(axis=0).mean()), named, tuple(borders), seen, wanted, best)


def from_level(policy: Policy, record: Record, level: float) -> np.ndarray:
    """(K,) weights that a policy which names weights wants from `level`."""
    account = record.seen["account"].copy()
    account[:, 0] = level
    return policy.predict({"row": record.seen["row"], "account": account}, deterministic=True)[0][:, 0]


def nearest(weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return levels[np.abs(weights[:, None] - levels).argmin(axis=1)]


def edge(state: np.ndarray, flags: np.ndarray) -> Edge | None:
    """The border, half-way between two states that were seen, that tells best where `flags` are set.

    >>> edge(np.array([3.0, 1.0, 2.0, 4.0]), np.array([True, False, False, True]))
    Edge(above=True, state=2.5, errors=0.0)
    """
    if flags.all() or not flags.any():
        return None
    order = np.argsort(state, kind="stable")
    rising, set_ = state[order], flags[order]
    below = np.cumsum(set_)[:-1]  # set up to each place that a border can follow
    wrong_above = below + (~set_[::-1]).cumsum()[::-1][1:]  # set below it, not set above it
    wrong = np.stack([wrong_above, len(state) - wrong_above])  # (above or below, K - 1)
    wrong = np.where(np.diff(rising) > 0, wrong, len(state) + 1)  # no border between equal states
    side, place = np.unravel_index(int(wrong.argmin()), wrong.shape)
    return Edge(bool(side == 0), float((rising[place] + rising[place + 1]) / 2), float(wrong.min() / len(state)))


def named(level: float) -> str:
    """
    >>> [named(level) for level in (-0.5, 0.0, 1.0)]
    ['-0.5', '0', '+1']
    """
    return f"{level:+g}" if level else "0"
