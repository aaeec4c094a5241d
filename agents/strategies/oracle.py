"""The best possible policy on the known markets: dynamic programming over (what is seen, position held).

It knows the law of the market but not its next draw. With g the growth per bar in the long run, and h what it is worth
to see state s while holding position k (h is up to a constant), the best choice of the next position a solves

    h(s, k) = max over a of  log move(k, a) + E[log(1 + a (e^r - 1)) | s] - g + E[h(s', a) | s]

by policy iteration (Howard 1960). States stand on a grid fine enough that the kinks of h are all that it blurs: the
Gaussian laws between its points are integrated to rounding. A position is taken to be kept at its weight for nothing;
in the engine a short's weight drifts as the price moves and is brought back now and then for a fee, which leaves 40.5
of 40.7 bps a bar on the sine and is within the noise of 200,000 bars elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from agents.policy import Observation, Policy
from configs.errors import UserError
from configs.registry import check_name
from data.market import Market
from data.simulator.known import BPS, FEE, POSITIONS, SIGMA
from envs.config import EnvConfig

WIDEST = 6.0  # deviations that a grid reaches on either side
LARGEST_SYSTEM = 1_300  # states times positions: what one policy's value is solved with takes its cube
SURE = 8.0  # log odds that a belief's grid reaches on either side
PHASES = 8  # of the sine against the hours, each a cycle of its own
TIE = 1e-13  # in log growth: less is no reason to change a policy
# Chance per bar of being put into the first position for nothing. Without it a policy that keeps whatever it finds has
# several long runs and no one growth; with it all lead to one, and growths move by less than a thousandth of a bp.
RESET = 1e-8

NODES, NODE_WEIGHTS = hermegauss(21)
NODE_WEIGHTS = NODE_WEIGHTS / NODE_WEIGHTS.sum()


class Chain(NamedTuple):
    """What is seen, as a Markov chain on a grid, and what each position earns of it."""

    grid: np.ndarray  # (S,) rising
    onward: np.ndarray  # (S, S) chance of each next state
    gains: np.ndarray  # (S, P) mean log growth over the next bar


class Law(NamedTuple):
    columns: tuple[str, ...]  # features that tell the state
    state: Callable[[np.ndarray], np.ndarray]  # from those, (T, columns) to (T,) as on the grid
    chains: Callable[[np.ndarray, int], list[Chain]]  # for these positions on about so many states


@dataclass(frozen=True, eq=False)
class Oracle:
    market: str
    fee: float  # per unit traded
    positions: tuple[float, ...]
    growth: float  # log growth per bar in the long run
    traded: float  # units per bar in the long run: a turn from short to long is two
    grid: np.ndarray  # (S,)
    choice: np.ndarray  # (S, P) number of the next position, by state and position held

    def policy(self, market: Market) -> Policy:
        """Who acts on it, for the arena; `market` holds the states as they are, unscaled."""
        law = LAWS[self.market]
        missing = [name for name in law.columns if name not in market.columns]
        if missing:
            raise UserError(f"the oracle of {self.market} needs the feature {missing[0]!r}, the market has "
                            f"{', '.join(market.columns)}; make it with data.simulator.known.make_known")
        seen = market.features[:, 0, [market.columns.index(name) for name in law.columns]].astype(float)
        middles = (self.grid[1:] + self.grid[:-1]) / 2
        return OraclePolicy(self.choice[np.searchsorted(middles, law.state(seen))], np.array(self.positions))


class OraclePolicy:
    def __init__(self, choice: np.ndarray, positions: np.ndarray) -> None:
        self.choice, self.positions = choice, positions  # choice (T, P)

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        held = observation["account"][:, :1]  # (B, 1) weights
        now = np.abs(held - self.positions).argmin(axis=1)
        return self.positions[self.choice[observation["row"][:, 0].astype(np.int64), now]][:, None], state


def solve(market: str, fee: float = FEE, positions: tuple[float, ...] = POSITIONS, states: int = 0) -> Oracle:
    """The best policy on a known market with a fee per unit traded.

    `states` is the size of the grid; 0 takes 401, fewer with many positions.

    >>> best = solve("ou_real", fee=0.001, positions=(0.0, 1.0))
    >>> round(best.growth * 1e4, 3), round(best.traded * 8760)  # bps per bar, units per year
    (0.958, 134)
    """
    check_name("market", market, LAWS)
    if len(set(positions)) < 2 or len(set(positions)) != len(positions) or not np.isfinite(positions).all():
        raise UserError(f"an oracle needs at least two different positions, found {positions}")
    held = np.array(positions)
    if not 0 <= fee < 0.1 or fee * np.abs(held).max() > 0.5:
        raise UserError(f"the fee is a share of what is traded, from 0 to 0.1 and at most half the account for the "
                        f"largest position, found {fee} with positions {positions}; ten basis points are 0.001")
    moving = np.log(kept_by_moves(held, fee))
    size = states or max(min(401, LARGEST_SYSTEM // len(held)), 51) | 1
    chains = LAWS[market].chains(held, size)
    solved = [best_policy(chain, moving) for chain in chains]
    grid = np.concatenate([chain.grid for chain in chains])
    order = np.argsort(grid)
    return Oracle(market, fee, tuple(positions), float(np.mean([growth for growth, _ in solved])),
                  float(np.mean([traded_by(chain, held, choice) for chain, (_, choice) in zip(chains, solved)])),
                  grid[order], np.concatenate([choice for _, choice in solved])[order])


def positions_of(env: EnvConfig) -> tuple[float, ...]:
    """What an oracle may hold: the levels, or where weights are continuous the borders and, between them, nothing.

    >>> positions_of(EnvConfig(action="weights", low=0.0)), positions_of(EnvConfig(action="weights"))
    ((0.0, 1.0), (-1.0, 0.0, 1.0))
    """
    if env.action == "levels":
        return tuple(env.levels)
    return (env.low, 0.0, env.high) if env.low < 0 < env.high else (env.low, env.high)


def kept_by_moves(positions: np.ndarray, fee: float) -> np.ndarray:
    """(P, P) share of equity that is left by an order from one position to another.

    The engine trades to a weight of the equity E left after costs: E = 1 - fee |a E - k|. A buyer is left with
    (1 + fee k) / (1 + fee a), a seller with (1 - fee k) / (1 - fee a). The published growths count 1 - fee |a - k|: the
    same for closing, dearer by fee squared for opening, and by two of it for a turn from long to short or back.

    >>> kept_by_moves(np.array([0.0, 1.0]), 0.25).tolist()
    [[1.0, 0.8], [0.75, 1.0]]
    """
    held, wanted = positions[:, None], positions[None, :]
    return np.where(wanted > held, (1 + fee * held) / (1 + fee * wanted), (1 - fee * held) / (1 - fee * wanted))


def best_policy(chain: Chain, moving: np.ndarray) -> tuple[float, np.ndarray]:
    """Growth per bar and the policy (S, P): improved against its own value until nothing is left to improve."""
    states, count = chain.gains.shape
    choice = np.zeros((states, count), np.int64)
    while True:
        growth, worth = value_of(chain, moving, choice)
        options = moving + (chain.gains + (1 - RESET) * chain.onward @ worth)[:, None, :]  # (S, from, to)
        better = options.argmax(axis=2)
        gained = np.take_along_axis(options, better[:, :, None], 2) - np.take_along_axis(options, choice[:, :, None], 2)
        improved = np.where(gained[:, :, 0] > TIE, better, choice)
        if (improved == choice).all():
            return growth, choice
        choice = improved


def value_of(chain: Chain, moving: np.ndarray, choice: np.ndarray) -> tuple[float, np.ndarray]:
    """Growth per bar of a policy, and the worth (S, P) of each state and position against the first."""
    states, count = choice.shape
    system = np.eye(states * count) - passage(chain, choice)
    system[:, 0] = 1.0  # the first worth is 0; in its place stands the growth
    gain = moving[np.arange(count), choice] + np.take_along_axis(chain.gains, choice, axis=1)
    solution = np.linalg.solve(system, gain.ravel())
    growth, solution[0] = float(solution[0]), 0.0
    return growth, solution.reshape(states, count)


def passage(chain: Chain, choice: np.ndarray) -> np.ndarray:
    """(S P, S P) chance to go from each state and position to each other under a policy."""
    states, count = choice.shape
    table = np.zeros((states, count, states, count))
    for k in range(count):
        table[np.arange(states), k, :, choice[:, k]] = (1 - RESET) * chain.onward
        table[:, k, :, 0] += RESET * chain.onward
    return table.reshape(states * count, -1)


def traded_by(chain: Chain, positions: np.ndarray, choice: np.ndarray) -> float:
    """Units that a policy trades per bar in the long run."""
    states, count = choice.shape
    balance = passage(chain, choice).T - np.eye(states * count)
    balance[0] = 1.0  # in place of one balance, which follows from the others: all chances together
    total = np.zeros(states * count)
    total[0] = 1.0
    often = np.linalg.solve(balance, total).reshape(states, count)
    return float((often * np.abs(positions[choice] - positions)).sum())


def normal_steps(grid: np.ndarray, mean: np.ndarray, deviation: float) -> np.ndarray:
    """(S, S) chance of each grid point from a Gaussian around each mean (S,)."""
    density = np.exp(-0.5 * ((grid[None, :] - mean[:, None]) / deviation) ** 2)
    return density / density.sum(axis=1, keepdims=True)


def gains_of(positions: np.ndarray, mean: np.ndarray, deviation: float) -> np.ndarray:
    """(S, P) E[log(1 + a (e^r - 1))] for a Gaussian log return around each mean (S,)."""
    returns = np.expm1(mean[:, None] + deviation * NODES)  # (S, nodes)
    left = 1 + positions * returns[:, :, None]  # (S, nodes, P)
    if (left <= 0).any():
        raise UserError(f"a position of {positions[np.abs(positions).argmax()]:g} can be ruined within a bar here; "
                        "take smaller positions")
    return np.einsum("n,snp->sp", NODE_WEIGHTS, np.log(left))


def alone(mean: float, deviation: float) -> Callable[[np.ndarray, int], list[Chain]]:
    """Every bar the same: nothing that is seen matters."""
    means = np.array([mean])
    return lambda positions, size: [Chain(np.zeros(1), np.ones((1, 1)), gains_of(positions, means, deviation))]


def autoregressive(phi: float, own: float, slope: float, deviation: float
                   ) -> Callable[[np.ndarray, int], list[Chain]]:
    """State x' = phi x + own e; the next log return is slope x on average, with `deviation` around it."""

    def chains(positions: np.ndarray, size: int) -> list[Chain]:
        grid = np.linspace(-1, 1, size) * WIDEST * own / math.sqrt(1 - phi**2)
        return [Chain(grid, normal_steps(grid, phi * grid, own), gains_of(positions, slope * grid, deviation))]

    return chains


def reverting(half_life: float, spread: float, walk: float) -> Law:
    """As in data.simulator.known: the price is x, which reverts, and a random walk; x is seen in its own deviations."""
    phi = 0.5 ** (1 / half_life)
    sd = spread / math.sqrt(1 - phi**2)
    return Law(("x",), lambda seen: seen[:, 0],
               autoregressive(phi, spread / sd, (phi - 1) * sd, math.hypot(spread, walk)))


def hidden_regime(positions: np.ndarray, size: int) -> list[Chain]:
    """The state is the log odds of bull: moved by the bar, pulled in by the switch, moved by the indicator."""
    stay, drift, shown = 1 - 1 / 120, 3 * BPS, 0.25
    grid = np.linspace(-SURE, SURE, size)
    bull = 1 / (1 + np.exp(-grid))
    onward, gains = np.zeros((size, size)), np.zeros((size, len(positions)))
    for side, chance in ((1.0, bull), (-1.0, 1 - bull)):  # what the next bar will turn out to have been
        gains += chance[:, None] * gains_of(positions, np.array([side * drift]), SIGMA)
        for node, weight in zip(NODES, NODE_WEIGHTS):
            after = 1 / (1 + np.exp(-(grid + 2 * drift * (side * drift + SIGMA * node) / SIGMA**2)))
            after = stay * after + (1 - stay) * (1 - after)
            odds = np.log(after / (1 - after))
            for now, share in ((1.0, after), (-1.0, 1 - after)):
                steps = normal_steps(grid, odds + 2 * shown * now * shown, 2 * shown)
                onward += (chance * weight * share)[:, None] * steps
    return [Chain(grid, onward, gains)]


def clockwork(positions: np.ndarray, size: int) -> list[Chain]:
    """The sine swings by 5 % in 48 hours, and never leaves the cycle that its first phase put it in."""
    found = []
    for offset in (np.arange(PHASES) + 0.5) / PHASES:
        grid = 2 * np.pi * (np.arange(48) + offset) / 48
        returns = 0.05 * (np.sin(grid + 2 * np.pi / 48) - np.sin(grid))
        found.append(Chain(grid, np.roll(np.eye(48), 1, axis=1), gains_of(positions, returns, 0.0)))
    return found


def phase(seen: np.ndarray) -> np.ndarray:
    return np.arctan2(seen[:, 0], seen[:, 1]) % (2 * np.pi)


def log_odds(seen: np.ndarray) -> np.ndarray:
    """Of a belief 2 b - 1, which float32 may have rounded to 1."""
    return np.clip(2 * np.arctanh(np.clip(seen[:, 0], -1 + 1e-9, 1 - 1e-9)), -SURE, SURE)


def nothing(seen: np.ndarray) -> np.ndarray:
    return np.zeros(len(seen))


LAWS: dict[str, Law] = {
    "trend": Law((), nothing, alone(5 * BPS, 2 * BPS)),
    "sine": Law(("sin_phase", "cos_phase"), phase, clockwork),
    "random_walk": Law((), nothing, alone(-(SIGMA**2) / 2, SIGMA)),
    "ou_easy": reverting(12.0, SIGMA, 0.0),
    "ou_real": reverting(24.0, 0.0025, 0.00545),
    "ar1_costly": Law(("last_return",), lambda seen: seen[:, 0], autoregressive(0.08, 1.0, 0.08 * SIGMA, SIGMA)),
    "regime_lead": Law(("belief",), log_odds, hidden_regime),
}
