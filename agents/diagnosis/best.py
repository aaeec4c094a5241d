"""How far it is from the best: the oracle's account on a known market, else the bound of perfect foresight.

The oracle knows the law of its market and one fee, not interest, delays or stops; it trades on the same rows under the
agent's own rules all the same. Perfect foresight knows every bar, and nobody comes near it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.arena.rollout import Contestant, Track, compete
from agents.diagnosis.record import Record, Recorder
from agents.diagnosis.subject import Subject
from agents.strategies.baselines import buy_and_hold
from agents.strategies.foresight import foresight
from agents.strategies.oracle import Oracle, positions_of, solve
from data.bootstrap import interval
from encoders.explain.estimates import Estimate, means
from encoders.score_table import in_histories
from envs.metrics import returns_of

AGENT, ORACLE, HOLD = "agent", "oracle", "buy and hold"


@dataclass(frozen=True)
class Best:
    """What was reached of what can be; growths are logarithms, per bar."""

    law: str  # of the known market; "": the bound is perfect foresight
    growth: Estimate | None  # the oracle's, on these rows
    promised: float | None  # the oracle's, in the long run
    behind: Estimate | None  # agent's growth less the oracle's, bar by bar
    bound: float  # perfect foresight's
    captured: Estimate | None  # agent's growth over the oracle's; None: the oracle's cannot be told from zero
    of_bound: float | None  # agent's growth over the bound
    agrees: float | None  # share of decisions on which the oracle, holding the same, wants the same position
    together: float | None  # share of bars over which both accounts hold the same position


def oracle_of(subject: Subject) -> Oracle | None:
    """The best policy of the known market, at what a unit costs here and with the weights that can be held."""
    if not subject.law:
        return None
    env = subject.ground.env
    return solve(subject.law, env.costs.per_unit, positions_of(env))


def accounts(subject: Subject, oracle: Oracle | None) -> tuple[dict[str, Track], Record]:
    """One account each of the agent, of who buys and holds and of the oracle, and what the agent was shown."""
    ground = subject.ground
    assets = len(ground.market.assets)
    recorder = Recorder(subject.policy)
    everyone = {AGENT: Contestant(recorder, ground.env.actions(assets), "rl"),
                HOLD: Contestant(buy_and_hold(ground.market))}
    if oracle is not None and subject.states is not None:
        everyone[ORACLE] = Contestant(oracle.policy(subject.states))
    tracks = compete(everyone, ground.market, ground.env, ground.window, ground.rows)
    return {track.contestant: track for track in tracks}, recorder.record(ground.env, assets)


def best(subject: Subject, tracks: dict[str, Track], record: Record, oracle: Oracle | None) -> Best:
    ground = subject.ground
    growth = np.log1p(returns_of(tracks[AGENT].equity))
    bound = foresight(ground.market, ground.env, ground.window, ground.rows).growth
    of_bound = float(growth.sum() / bound) if bound > 0 else None
    if oracle is None or subject.states is None:
        return Best("", None, None, None, bound / len(growth), None, of_bound, None, None)
    both = np.stack([growth, np.log1p(returns_of(tracks[ORACLE].equity))], axis=1)  # (K, 2)
    estimate, behind = means(np.stack([both[:, 1], growth - both[:, 1]], axis=1), subject.bootstrap)
    captured = None
    if estimate.low > 0:
        histories = in_histories(both, subject.bootstrap)
        share = histories[:, 0] / histories[:, 1]
        low, high = interval(share[1:], subject.bootstrap.level)
        captured = Estimate(float(share[0]), low, high, bool(low > 0 or high < 0))
    wanted, _ = oracle.policy(subject.states).predict(record.seen, deterministic=True)
    agrees = record.positions(wanted) == record.positions(record.wanted)
    together = record.positions(tracks[ORACLE].weights) == record.positions(tracks[AGENT].weights)
    return Best(subject.law, estimate, oracle.growth, behind, bound / len(growth), captured, of_bound,
                float(agrees.mean()), float(together.mean()))
