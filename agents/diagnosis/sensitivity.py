"""What its growth owes to cheap orders and to prompt ones.

All costs of an order are put into one proportional fee, so that the numbers compare with the known markets'; interest
and funding stay. The policy is left as it is: what it would have learnt at another cost is another policy's diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from agents.algos.all_q import LevelsNetwork, LevelsPolicy, log_kept
from agents.diagnosis.subject import Subject
from agents.diagnosis.walk import Ground, Walk, walk
from agents.policy import Observation
from data.bootstrap import BootstrapConfig, interval
from encoders.explain.estimates import Estimate, means
from encoders.score_table import in_histories

PLAIN, LATE_ORDER, LATE_VIEW, TOLD = "as it is", "orders a bar late", "the market seen a bar late", "told the cost"


@dataclass(frozen=True)
class BreakEven:
    """The cost at which growth is gone, in basis points of the value traded; 0: there is none without costs either."""

    bps: float
    low: float
    high: float
    beyond: bool  # growth is left at the highest cost that was tried, which `bps` then is


@dataclass(frozen=True)
class Curve:
    """Growth by cost under one set of rules."""

    name: str
    growth: tuple[Estimate, ...]  # log growth per bar, one for each cost
    turnover: tuple[float, ...]  # value traded over equity per bar, one for each cost
    break_even: BreakEven


@dataclass(frozen=True)
class Delay:
    """What one more bar costs, at the costs that the agent trades at."""

    name: str
    growth: Estimate  # log growth per bar
    change: Estimate  # of it, against no delay, on the same bars


@dataclass(frozen=True)
class Sensitivity:
    costs: tuple[float, ...]  # basis points
    own: float  # what a unit costs the agent by its own settings, with the fixed spread
    curves: tuple[Curve, ...]
    growth: Estimate  # log growth per bar at its own costs
    delays: tuple[Delay, ...]


@dataclass(frozen=True, eq=False)
class Told:
    """all_q when it is told what a unit costs, for account b the b-th of `costs`; it knows the toll of every order.

    Taught on a range of costs, it also values the levels at that cost; else at the one that it was taught on.
    """

    policy: LevelsPolicy
    costs: np.ndarray  # (B,) shares of the value traded

    @torch.no_grad()
    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        seen: Any = self.policy.obs_to_tensor(observation)[0]
        net, held = self.policy.q_net, seen["account"][:, 0]
        assert isinstance(net, LevelsNetwork)
        cost = torch.as_tensor(self.costs, dtype=torch.float32, device=held.device)
        toll = net.reward_scale * log_kept(held, net.levels, cost)
        return (toll + net.worth(seen["row"][:, 0].long(), cost)).argmax(dim=1).cpu().numpy(), state


def sensitivity(subject: Subject) -> Sensitivity:
    policy, bootstrap, costs = subject.policy, subject.bootstrap, np.array(subject.config.costs)
    grounds = late(subject.ground)
    own = {name: Walk(ground) for name, ground in grounds.items()}
    priced = {name: Walk(by_the_unit(ground), costs) for name, ground in grounds.items()}
    walk(policy, [*own.values(), *priced.values()])
    if isinstance(policy, LevelsPolicy):
        priced = {PLAIN: priced[PLAIN], TOLD: Walk(by_the_unit(subject.ground), costs), **priced}
        walk(Told(policy, costs * 1e-4), [priced[TOLD]])
    plain = own.pop(PLAIN)
    delays = tuple(Delay(name, mean(found.growth[:, 0], bootstrap), against(found, plain, bootstrap))
                   for name, found in own.items())
    return Sensitivity(subject.config.costs, subject.ground.env.costs.per_unit * 1e4,
                       tuple(curve(name, costs, found, bootstrap) for name, found in priced.items()),
                       mean(plain.growth[:, 0], bootstrap), delays)


def late(ground: Ground) -> dict[str, Ground]:
    """The rules as they are, and with one bar more of either delay."""
    env = ground.env
    return {PLAIN: ground, LATE_ORDER: ground.under(replace(env, latency=env.latency + 1)),
            LATE_VIEW: ground.under(replace(env, observation_delay=env.observation_delay + 1))}


def by_the_unit(ground: Ground) -> Ground:
    """One fee of a basis point, which accounts multiply by what they are charged."""
    return ground.under(ground.env.charging(1.0))


def curve(name: str, costs: np.ndarray, found: Walk, config: BootstrapConfig) -> Curve:
    return Curve(name, tuple(means(found.growth, config)), tuple(found.turnover.mean(axis=0).tolist()),
                 break_even(costs, found.growth, config))


def break_even(costs: np.ndarray, growth: np.ndarray, config: BootstrapConfig) -> BreakEven:
    """Where the line between two costs that were tried meets zero, of `growth` (K, costs) and of resampled histories.

    >>> growth = np.tile([2e-4, 0.0, -4e-4], (50, 1)) - 1e-4
    >>> break_even(np.array([0.0, 10.0, 30.0]), growth, BootstrapConfig(draws=100)).bps
    5.0
    """
    found, beyond = crossing(costs, in_histories(growth, config))
    low, high = interval(found[1:], config.level)
    return BreakEven(float(found[0]), low, high, bool(beyond[0]))


def crossing(costs: np.ndarray, growth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H,) costs at which `growth` (H, costs) is gone, 0 where there never is any, and where some is left at the end.

    >>> crossing(np.array([0.0, 10.0, 30.0]), np.array([[1.0, -1.0, -5.0], [3.0, 2.0, 1.0]]))
    (array([ 5., 30.]), array([False,  True]))
    """
    left = np.minimum.accumulate(growth, axis=1) > 0  # growth is left, and was at all lower costs
    count = left.sum(axis=1)
    last = np.clip(count - 1, 0, len(costs) - 2)
    here, after = (np.take_along_axis(growth, at[:, None], axis=1)[:, 0] for at in (last, last + 1))
    share = np.divide(here, here - after, out=np.zeros_like(here), where=here > after)
    found = costs[last] + share * (costs[last + 1] - costs[last])
    beyond = count == len(costs)
    return np.where(count == 0, 0.0, np.where(beyond, costs[-1], found)), beyond


def mean(growth: np.ndarray, config: BootstrapConfig) -> Estimate:
    """Of (K,)."""
    return means(growth[:, None], config)[0]


def against(found: Walk, plain: Walk, config: BootstrapConfig) -> Estimate:
    """Difference in growth on the rows that both decided on: a later view needs one bar more before the first."""
    _, here, there = np.intersect1d(found.rows[:, 0], plain.rows[:, 0], return_indices=True)
    return mean(found.growth[here, 0] - plain.growth[there, 0], config)
