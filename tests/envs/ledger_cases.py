"""Markets, settings and wishes for the engine and the ledger to walk through side by side.

Settings are drawn, and so shrink; prices and wishes come from a drawn seed, which is far faster than drawing each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

Settings = dict[str, Any]
CAPITAL = 1000.0


@dataclass
class Case:
    """A market's raw arrays, the settings of an account by group, and one row of wished weights per decision."""

    prices: np.ndarray  # (T, N, 5), NaN where an asset has no bar
    carry: np.ndarray  # (T, N)
    hours: int  # between bars
    segments: list[list[int]]
    spread: np.ndarray  # (T, N), for costs.spread "data"
    outlook: np.ndarray  # (3, T, N) mean, volatility and confidence of a forecast, for sizing by one
    settings: dict[str, Settings]  # by group: env, costs, risk, margin, reward, episodes
    wishes: np.ndarray  # (decisions, N)


@st.composite
def bars(draw: st.DrawFn, assets: int, rows: int, calm: bool) -> np.ndarray:
    """Prices with jumps of up to a hundredfold, bars without volume, and bars that are missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="prices"))
    scale = draw(st.sampled_from([0.001, 0.02, 0.1] if calm else [0.001, 0.02, 0.3]))
    moves = rng.normal(0, scale, (rows, assets))
    if not calm and draw(st.booleans()):
        moves[rng.random(moves.shape) < 0.1] *= 20
    closes = 50 * np.exp(np.cumsum(np.clip(moves, -4.6, 4.6), axis=0))
    opens = np.vstack([np.full((1, assets), 50.0), closes[:-1]]) * np.exp(rng.normal(0, scale / 2, closes.shape))
    above, below = np.abs(rng.normal(0, scale, (2, *closes.shape)))
    highs, lows = np.maximum(opens, closes) * np.exp(above), np.minimum(opens, closes) * np.exp(-below)
    volumes = np.exp(rng.normal(4, 1, closes.shape))
    if draw(st.booleans()):
        volumes[rng.random(volumes.shape) < 0.2] = 0
    prices = np.stack([opens, highs, lows, closes, volumes], axis=2)
    if draw(st.booleans()):
        prices[rng.random(volumes.shape) < 0.15] = np.nan
    return prices


@st.composite
def wishes(draw: st.DrawFn, assets: int, decisions: int) -> np.ndarray:
    """Whole levels, shares within the caps, shares far beyond them; some repeated, some NaN."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="wishes"))
    kind, shape = draw(st.sampled_from(["levels", "weights", "beyond"])), (decisions, assets)
    found = rng.integers(-1, 2, shape).astype(float) if kind == "levels" else rng.uniform(-1, 1, shape).round(3)
    if kind == "beyond":
        found *= 4
    alone = draw(st.sampled_from([0.0, 0.3, 0.8]))
    found[rng.random(shape) < alone] = np.nan
    if draw(st.booleans()):
        for row in range(1, decisions):
            if rng.random() < 0.6:
                found[row] = found[row - 1]
    return found


def group(name: str, **choices: list) -> st.SearchStrategy[dict[str, Settings]]:
    """Settings of one group, each one of its choices."""
    drawn = st.fixed_dictionaries({key: st.sampled_from(values) for key, values in choices.items()})
    return drawn.map(lambda found: {name: found})


def merged(parts: tuple[dict[str, Settings], ...]) -> dict[str, Settings]:
    """Groups put together, the later over the earlier."""
    whole: dict[str, Settings] = {"env": {}, "costs": {}, "risk": {}, "margin": {}, "reward": {}, "episodes": {}}
    for part in parts:
        for name, found in part.items():
            whole[name] = whole[name] | found
    return whole


FREE: dict[str, Settings] = {
    "env": {"capital": CAPITAL, "ruin": 0.01, "gross": 1.0, "action": "weights", "low": -0.5, "high": 0.5},
    "risk": {"band": 0.0},
    "margin": {"maintenance": 0.0},
    "costs": {"fee_bps": 0.0, "maker_bps": 0.0, "spread_bps": 0.0, "slippage_bps": 0.0, "borrow_apr": 0.0},
}
FEES = group("costs", fee_bps=[0.0, 5.0, 100.0], maker_bps=[0.0, 2.0], spread_bps=[0.0, 2.0, 50.0],
             slippage_bps=[0.0, 1.0])
GROSS = group("env", gross=[0.5, 1.0, 2.0, 3.0])

RULES: dict[str, st.SearchStrategy[dict[str, Settings]]] = {
    "fees": FEES,
    "spread": group("costs", spread=["data"]),
    "costs drawn per episode": st.tuples(FEES, group("episodes", cost_scale=[(0.5, 0.5), (3.0, 3.0)])).map(merged),
    "tick": group("costs", tick=[{"all": 0.01}, {"all": 0.5}, {"A0": 0.125}]),
    "tiers": group("costs", tiers=[((0.0, 40.0, 4.0), (500.0, 20.0, 1.0), (2500.0, 5.0, 0.0)),
                                    ((0.0, 30.0, 3.0), (1000.0, 1.0, 1.0))]),
    "impact": group("costs", impact=[0.1, 1.0], max_share=[0.02, 1.0]),
    "capacity": group("costs", max_share=[0.001, 0.01, 0.1]),
    "interest": group("costs", borrow_apr=[0.05, 0.5], borrow_of=[{}, {"A0": 2.0}]),
    "lots": group("costs", lot=[{"all": 0.7}, {"all": 13.0}, {"A0": 0.013}]),
    "small orders": st.tuples(group("costs", min_notional=[0.0, 50.0, 400.0]), group("risk", band=[0.0, 0.02, 0.3])
                              ).map(merged),
    "gross": GROSS,
    "max_weight": group("risk", max_weight=[0.2, 0.5]),
    "net": group("risk", net=[0.1, 0.5]),
    "turnover": group("risk", turnover=[0.1, 0.5]),
    "fixed": group("risk", fixed=[0.1, 0.4]),
    "volatility_target": group("risk", volatility_target=[0.2, 1.0], volatility_bars=[2, 5, 168]),
    "risk_per_trade": group("risk", risk_per_trade=[0.001, 0.05], stop_loss=[0.0, 0.1], volatility_bars=[3]),
    "kelly": group("risk", kelly=[0.25, 1.0]),
    "confidence": group("risk", confidence=[True]),
    "stop_loss": group("risk", stop_loss=[0.01, 0.1, 0.5]),
    "trailing_stop": group("risk", trailing_stop=[0.01, 0.1]),
    "take_profit": group("risk", take_profit=[0.01, 0.1]),
    "every exit": group("risk", stop_loss=[0.02, 0.1], trailing_stop=[0.01, 0.15], take_profit=[0.01, 0.1]),
    "drawdown_stop": group("risk", drawdown_stop=[0.05, 0.2], cooldown=[0, 1, 2, 3]),
    "margin": st.tuples(group("margin", maintenance=[0.02, 0.3], liquidation_fee_bps=[0.0, 100.0]),
                        group("env", gross=[1.0, 3.0])).map(merged),
    "latency": group("env", latency=[1, 2, 3]),
    "same_close": group("env", fill=["same_close"]),
    "worst": group("env", fill=["worst"]),
    "ruin": group("env", ruin=[0.1, 0.7]),
    "rewards": group("reward", log_growth=[0.5], profit=[0.0, 1.0], sharpe=[0.0, 0.1], downside=[0.0, 0.1],
                     mean_variance=[0.0, 2.0], drawdown=[0.0, 1.0], turnover=[0.0, 0.1], memory=[2, 50],
                     aversion=[0.5, 3.0]),
}
@st.composite
def cases(draw: st.DrawFn, *rules: str) -> Case:
    """A case in which the named rules are on, alone or with fees and leverage; without a name, any of them together."""
    if not rules:
        rules = tuple(draw(st.lists(st.sampled_from([*RULES]), max_size=8)))
    elif draw(st.booleans()):
        rules = ("fees", "gross", *rules)
    assets, rows = draw(st.integers(1, 3)), draw(st.integers(3, 16))
    cut = draw(st.integers(1, rows - 1))
    gap = draw(st.sampled_from([0, 0, 1, 4]))
    segments = [[0, cut], [cut + gap, rows]] if gap and cut + gap < rows else [[0, rows]]
    decisions = sum(stop - start for start, stop in segments) - 1
    parts: list[dict[str, Settings]] = [FREE, *(draw(RULES[name]) for name in rules)]
    rng, shape = np.random.default_rng(draw(st.integers(0, 9), label="the rest")), (rows, assets)
    return Case(
        prices=draw(bars(assets, rows, calm="impact" in rules)),
        carry=rng.normal(0, draw(st.sampled_from([0.0, 1e-4, 1e-2])), shape),
        hours=draw(st.sampled_from([1, 24, 240])),
        segments=segments,
        spread=rng.uniform(0, 0.02, shape),
        outlook=np.stack([rng.normal(0, 0.01, shape), rng.uniform(0.01, 0.1, shape), rng.uniform(0, 1, shape)]),
        settings=merged(tuple(parts)),
        wishes=draw(wishes(assets, decisions)),
    )
