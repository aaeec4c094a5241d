"""What every position would have earned on every bar, by the engine itself.

A market that does not react to us shows at each bar what any position would have made of it, not only the one that was
held. So accounts are placed on every decision of a span with every weight, step once to every level, and what became
of them is a table: the arithmetic of money stays written once, and fees, spreads, funding, interest, gaps and
liquidation are all in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.errors import UserError
from data.market import Market
from envs.config import EnvConfig
from envs.engine import Engine

AT_ONCE = 65_536  # accounts of an engine: enough to keep the compiled loop busy, few enough for its memory


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Of K decisions, S scales of the costs, held levels H and chosen levels A; one asset."""

    rows: np.ndarray  # (K,) int64 of the newest bar that is shown at the decision
    following: np.ndarray  # (K,) int64 of the newest bar that is shown at the next one
    reward: np.ndarray  # (K, S, H, A) float32 of the step
    after: np.ndarray  # (K, S, H, A) float32 weight that is held at the next decision
    ended: np.ndarray  # (K, S, H, A) bool: ruined


def why_not(config: EnvConfig, assets: int) -> str:
    """What makes a step earn more than log growth that rests on the bar and the weight held; '' where nothing does."""
    risk = config.risk
    others = sorted(set(config.reward.terms) - {"log_growth"})
    reasons = {
        "several assets": assets != 1, "env.action other than levels": config.action != "levels",
        "env.latency": config.latency > 0, "fee tiers": bool(config.costs.tiers),
        "stops": bool(risk.stop_loss or risk.trailing_stop or risk.take_profit or risk.drawdown_stop),
        "sizing and caps": bool(risk.sizing or risk.max_weight or risk.net or risk.turnover),
        " and ".join(f"env.reward.{name}" for name in others): bool(others),
    }
    return ", ".join(name for name, there in reasons.items() if there)


def outcomes(market: Market, config: EnvConfig, window: int, rows: slice, scales: tuple[float, ...] = (1.0,)
             ) -> Outcomes:
    """Every level held and every level chosen on every decision of `rows`, at costs times each of `scales`.

    >>> found = outcomes(Market.flat(10), EnvConfig(levels=(0.0, 1.0)), window=4, rows=slice(None))
    >>> found.reward.shape  # 6 decisions, 1 scale, from flat and long, to flat and long
    (6, 1, 2, 2)
    >>> (found.reward[0, 0] * 1e4).round().tolist()  # basis points: an order costs 7
    [[0.0, -7.0], [-7.0, 0.0]]
    """
    if reason := why_not(config, len(market.assets)):
        raise UserError(f"one bar cannot teach all positions here ({reason}): what a step earns must be log growth, "
                        "and rest on the bar and the weight held alone; leave that out, or take another algorithm")
    levels = np.array(config.levels)
    shape = (len(scales), len(levels), len(levels))
    scale, held, chosen = (part.ravel() for part in np.meshgrid(scales, levels, levels, indexing="ij"))
    one = len(scale)
    probe = Engine(market, config, 1, window, rows)
    starts = np.flatnonzero(np.arange(len(probe.decisions)) < probe.decisions[:, 1])  # (K,) where a step can be made
    at_once = min(max(AT_ONCE // one, 1), len(starts))
    engine = Engine(market, config, at_once * one, window, rows)
    reward, after = (np.zeros((len(starts), one), np.float32) for _ in range(2))
    ended = np.zeros((len(starts), one), bool)
    for first in range(0, len(starts), at_once):
        now = starts[first : first + at_once]
        whole = np.resize(now, at_once)  # the last piece is filled up with what is then cut off
        engine.place(np.repeat(whole, one), np.tile(held, at_once)[:, None], np.tile(scale, at_once))
        engine.step(np.tile(chosen, at_once)[:, None])
        for table, found in ((reward, engine.reward), (after, engine.weights()[:, 0]), (ended, engine.terminated)):
            table[first : first + len(now)] = found.reshape(at_once, one)[: len(now)]
    shown = engine.decisions[:, 0] - config.observation_delay
    return Outcomes(shown[starts], shown[starts + 1], reward.reshape(-1, *shape), after.reshape(-1, *shape),
                    ended.reshape(-1, *shape))
