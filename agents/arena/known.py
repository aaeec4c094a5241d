"""Agents on the known markets: how much of what the best policy earns do they capture, on years that nobody has seen?

An agent learns on one path and is judged on many others of a year each, beside the oracle on the very same bars and
through the same engine, so that the luck of the years falls out of the fraction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.arena.statistics import iqm, iqm_interval
from agents.bundle import Bundle
from agents.experiment import ensemble_of, load_experiment, sight_of
from agents.policy import Policy
from agents.strategies.oracle import solve
from agents.train import train
from agents.watch.validation import Validation
from configs.errors import UserError
from configs.loader import flags
from configs.run import plain
from data.dataset import DataConfig, like, load_dataset, load_raw
from data.market import Market
from data.simulator.known import make_known
from envs.config import EnvConfig
from envs.execution import CostConfig

HOURS = 8760
FRESH = 1_000_003  # seed of the years that judge, which no training path has
STUCK = 3.0  # units traded in a year; an agent that trades less has stayed in one position
NOTHING = 1e-7  # log growth per bar; a best policy that earns less leaves nothing to capture


@dataclass(frozen=True)
class Judged:
    growth: float  # log growth per bar
    oracle: float  # of the best policy on the same bars
    traded: float  # units per year: a turn from short to long is two
    best_traded: float  # by the best policy
    seconds: float = 0.0  # that learning took

    @property
    def fraction(self) -> float:
        """Of the best policy's growth; NaN where there is nothing to capture."""
        return self.growth / self.oracle if self.oracle > NOTHING else float("nan")

    @property
    def stuck(self) -> bool:
        return self.traded < STUCK


def judge(bundle: Bundle, data: DataConfig, years: int = 64, cache: Path | None = None) -> Judged:
    """A bundle that learnt on `data`, a known market, over so many other years of it."""
    if data.source != "known":
        raise UserError(f"only a known market has an oracle, found data.source {data.source!r}")
    name, env = data.known.market, bundle.env
    fresh = replace(data, known=replace(data.known, bars=years * HOURS + 1, seed=FRESH))
    market = like(load_raw(fresh), fresh, bundle.scaler)
    growth, traded = walk(bundle.policy(market, cache=cache), market, env, data.window, years)
    states = make_known(name, fresh.known.bars, FRESH).market
    first = int(market.decision_rows(data.window)[0])  # features of candles have to warm up
    best = solve(name, env.costs.per_unit, env.levels if env.action == "levels" else (env.low, 0.0, env.high))
    oracle, best_traded = walk(best.policy(states), states, replace(env, action="weights"), 1, years, first)
    return Judged(growth, oracle, traded, best_traded)


def walk(policy: Policy, market: Market, env: EnvConfig, window: int, years: int, first: int = 0
         ) -> tuple[float, float]:
    """Log growth per bar and units traded per year, each year begun in cash."""
    look = Validation(market, env, window, slice(first, None), parts=years).run(policy)
    return float(look.growths.mean()), look.metrics.turnover


@dataclass(frozen=True)
class Cell:
    argv: tuple[str, ...]  # flags of train_agent.py
    years: int


def train_and_judge(cell: Cell) -> dict[str, Any]:
    """What `train_agent.py` does on a known market, and what came of it; for a process of its own."""
    config = load_experiment(cell.argv)
    data = load_dataset(config.data, config.cache / "features")
    ensemble = ensemble_of(config, data, "cpu")[0] if config.agent.extractor.ensemble else None
    sight = sight_of(config, data, "cpu", ensemble)
    started = time.perf_counter()
    bundle = train(data, config.env, config.agent, config.algo, config.data.window, sight, "cpu", None, config.cache,
                   config.seed, config.progress)
    seconds = time.perf_counter() - started
    found = replace(judge(bundle, config.data, cell.years, config.cache), seconds=seconds)
    return {"market": config.data.known.market, "algo": config.algo, "encoder": config.encoder, "seed": config.seed,
            **asdict(found)}


def flags_of(market: str, algo: str, encoder: str, seed: int) -> tuple[str, ...]:
    """The setting of the published growths: hourly bars, long, flat or short, 10 bps a unit and nothing else."""
    return tuple(flags({
        "algo": algo, "encoder": encoder, "seed": seed, "progress": False,
        "data": {"source": "known", "window": 1, "known": {"market": market, "seed": seed, "bars": 200_000},
                 "labels": {"horizon": 1}, "split": {"valid": 0.15, "test": 0.01, "embargo": 0}},
        "env": {"costs": plain(CostConfig.flat_fee(10.0))},
    }))


def captured(found: Sequence[dict[str, Any]], draws: int = 5_000) -> pd.DataFrame:
    """One line for each market, algorithm and encoder: the interquartile mean over seeds of the fraction captured, with
    an interval from resampled seeds."""
    lines = []
    for (market, algo, encoder), cells in pd.DataFrame(found).groupby(["market", "algo", "encoder"], sort=False):
        judged = [Judged(*(cell[f.name] for f in fields(Judged))) for cell in cells.to_dict("records")]
        fractions = np.array([one.fraction for one in judged])
        low, high = iqm_interval(fractions, draws)
        lines.append({
            "market": market, "algo": algo, "encoder": encoder, "seeds": len(judged), "captured": iqm(fractions),
            "captured_low": low, "captured_high": high, "least": fractions.min(),
            "bps_per_hour": 1e4 * np.mean([one.growth for one in judged]),
            "worst_bps_per_hour": 1e4 * min(one.growth for one in judged),
            "units_per_year": np.mean([one.traded for one in judged]),
            "most_units": max(one.traded for one in judged),
            "best_units": np.mean([one.best_traded for one in judged]),
            "stuck": np.mean([one.stuck for one in judged]), "seconds": np.median([one.seconds for one in judged]),
        })
    return pd.DataFrame(lines)


def as_markdown(table: pd.DataFrame) -> str:
    """For the eye: a fraction where there is something to capture, else what was lost or won in vain."""
    lines = ["| market | agent | seeds | of the oracle [interval] | least | bps/h (worst) | units/year (oracle) | "
             "stuck | s |",
             "|---|---|--:|---|--:|--:|--:|--:|--:|"]
    for line in table.to_dict("records"):
        agent = line["algo"] if line["encoder"] == "none" else f"{line['algo']} + {line['encoder']}"
        share, least = "nothing to capture", ""
        if np.isfinite(line["captured"]):
            share = f"{line['captured']:.3f}"
            if line["seeds"] > 1:  # one run has no interval
                share += f" [{line['captured_low']:.3f}, {line['captured_high']:.3f}]"
            least = f"{line['least']:.3f}"
        lines.append(f"| {line['market']} | {agent} | {line['seeds']} | {share} | {least} | {line['bps_per_hour']:.3f} "
                     f"({line['worst_bps_per_hour']:.3f}) | {line['units_per_year']:.0f} ({line['best_units']:.0f}) | "
                     f"{line['stuck']:.0%} | {line['seconds']:.0f} |")
    return "\n".join(lines)
