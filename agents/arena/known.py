"""Agents on the known markets: how much of what the best policy earns do they capture, on years that nobody has seen?

An agent learns on one path and is judged on many others of a year each, beside the oracle on the very same bars and
through the same engine. What every bar will bring on average is known here; how much more or less it brought is luck,
and is taken out. The growths are those that the decisions were worth; over 64 years the realised ones of an agent that
is always in the market differ from them by 0.1 bps an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from agents.arena.statistics.runs import iqm, iqm_interval
from agents.bundle import Bundle
from agents.cells import experiment_of
from agents.experiment import ExperimentConfig
from agents.policy import Policy
from agents.seeds import trained
from agents.strategies.oracle import positions_of, solve
from agents.watch.validation import Validation
from configs.errors import UserError
from configs.run import plain
from data.dataset import DataConfig, like, load_raw
from data.market import Market
from data.simulator.known import draw_known, make_known
from envs.config import EnvConfig
from envs.execution import CostConfig

HOURS = 8760
FRESH = 1_000_003  # seed of the years that judge, which no training path has
STUCK = 3.0  # units traded in a year; an agent that trades less has stayed in one position
NOTHING = 1e-7  # log growth per bar; a best policy that earns less leaves nothing to capture


@dataclass(frozen=True)
class Judged:
    growth: float  # log growth per bar, luck taken out
    oracle: float  # of the best policy on the same bars
    traded: float  # units per year: a turn from short to long is two
    best_traded: float  # by the best policy
    realised: float  # log growth per bar, luck and all
    seconds: float = 0.0  # that learning took

    @property
    def fraction(self) -> float:
        """Of the best policy's growth; NaN where there is nothing to capture."""
        return self.growth / self.oracle if self.oracle > NOTHING else float("nan")

    @property
    def stuck(self) -> bool:
        return self.traded < STUCK


class Walked(NamedTuple):
    growth: float
    traded: float
    realised: float


def judge(bundle: Bundle, data: DataConfig, years: int = 64, cache: Path | None = None) -> Judged:
    """A bundle that learnt on `data`, a known market, over so many other years of it."""
    if data.source != "known":
        raise UserError(f"only a known market has an oracle, found data.source {data.source!r}")
    fresh = replace(data, known=replace(data.known, bars=years * HOURS + 1, seed=FRESH))
    market = like(load_raw(fresh), fresh, bundle.scaler)
    policy = bundle.trader(market, cache=cache)
    found = walk(policy, market, bundle.env, data.window, luck(data.known.market, fresh.known.bars), years)
    first = int(market.decision_rows(data.window + bundle.env.observation_delay)[0])  # features have to warm up
    best = oracle(data.known.market, bundle.env, years, first)
    return Judged(found.growth, best.growth, found.traded, best.traded, found.realised)


def oracle(name: str, env: EnvConfig, years: int, first: int = 0) -> Walked:
    """The best policy from row `first` of the same years on, under the agent's own rules."""
    market = make_known(name, years * HOURS + 1, FRESH).market
    best = solve(name, env.costs.per_unit, positions_of(env))
    low, high = env.reach
    return walk(best.policy(market), market, replace(env, action="weights", low=low, high=high), 1,
                luck(name, len(market.time)), years, first)


def luck(name: str, bars: int, seed: int = FRESH) -> np.ndarray:
    """(T,) by how much the return of bar t + 1 was more than it is on average, given all that there is at close t."""
    path, truth = draw_known(name, bars, seed)
    noise = path.log_returns[1:] - truth.mean[:-1, 0]
    on_average = np.expm1(truth.mean[:-1, 0] + noise.var() / 2)
    return np.append(np.expm1(path.log_returns[1:]) - on_average, 0.0)


def walk(policy: Policy, market: Market, env: EnvConfig, window: int, lucky: np.ndarray, years: int, first: int = 0
         ) -> Walked:
    """Each year begun in cash.

    What is held as a bar opens, times the luck of that bar, is nothing on average, whatever the policy: taken away, it
    leaves the mean where it is, and hardly any noise.
    """
    look = Validation(market, env, window, slice(first, None), parts=years).run(policy)
    earned = look.growths - look.opened[:, 0] * lucky[look.rows]
    return Walked(float(earned.mean()), look.metrics.turnover, float(look.growths.mean()))


@dataclass(frozen=True)
class Cell:
    config: ExperimentConfig
    years: int


@dataclass(frozen=True, kw_only=True)
class Outcome(Judged):
    market: str
    algo: str
    encoder: str
    seed: int


INSTEAD = {"algo": "--algos", "encoder": "--encoders", "market": "--markets", "seed": "--seeds",
           "data.known.market": "--markets", "data.known.seed": "--seeds"}


def on_market(market: str, algo: str, encoder: str, seed: int, passed_on: Sequence[str] = ()) -> ExperimentConfig:
    """The setting of the published growths: hourly bars, long, flat or short, 10 bps a unit and nothing else."""
    config = experiment_of({
        "algo": algo, "encoder": encoder, "seed": seed,
        "data": {"source": "known", "window": 1, "known": {"market": market, "seed": seed, "bars": 200_000},
                 "labels": {"horizon": 1}, "split": {"valid": 0.15, "test": 0.01, "embargo": 0}},
        "env": {"costs": plain(CostConfig.flat_fee(10.0))},
    }, INSTEAD, passed_on)
    if config.data.source != "known":
        raise UserError(f"only a known market has an oracle, and these flags ask for data.source "
                        f"{config.data.source!r}: leave --data.source and --data.path out")
    return config


def train_and_judge(cell: Cell) -> Outcome:
    """What `train_agent.py` does on a known market, and what came of it; for a process of its own."""
    config = cell.config
    bundle, _, seconds = trained(config, config.seed, config.device)
    found = asdict(judge(bundle, config.data, cell.years, config.cache))
    return Outcome(**{**found, "seconds": seconds}, market=config.data.known.market, algo=config.algo,
                   encoder=config.encoder, seed=config.seed)


def captured(found: Sequence[Outcome], draws: int = 5_000) -> pd.DataFrame:
    """One line for each market, algorithm and encoder: the interquartile mean over seeds of the fraction captured, with
    an interval from resampled seeds."""
    agents: dict[tuple[str, str, str], list[Outcome]] = {}
    for one in found:
        agents.setdefault((one.market, one.algo, one.encoder), []).append(one)
    lines = []
    for (market, algo, encoder), runs in agents.items():
        fractions = np.array([one.fraction for one in runs])
        low, high = iqm_interval(fractions, draws)
        lines.append({
            "market": market, "algo": algo, "encoder": encoder, "seeds": len(runs), "captured": iqm(fractions),
            "captured_low": low, "captured_high": high, "least": fractions.min(),
            "bps_per_hour": 1e4 * np.mean([one.growth for one in runs]),
            "worst_bps_per_hour": 1e4 * min(one.growth for one in runs),
            "units_per_year": np.mean([one.traded for one in runs]),
            "most_units": max(one.traded for one in runs),
            "best_units": np.mean([one.best_traded for one in runs]),
            "stuck": np.mean([one.stuck for one in runs]), "seconds": np.median([one.seconds for one in runs]),
        })
    return pd.DataFrame(lines)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """For the eye: a fraction where there is something to capture, else what was lost or won in vain."""
    lines = []
    for line in table.to_dict("records"):
        share, least = "nothing to capture", ""
        if np.isfinite(line["captured"]):
            share = f"{line['captured']:.3f}"
            if line["seeds"] > 1:  # one run has no interval
                share += f" [{line['captured_low']:.3f}, {line['captured_high']:.3f}]"
            least = f"{line['least']:.3f}"
        lines.append({
            "agent": line["algo"] if line["encoder"] == "none" else f"{line['algo']} + {line['encoder']}",
            "seeds": line["seeds"], "of the oracle [interval]": share, "least": least,
            "bps/h (worst)": f"{line['bps_per_hour']:.3f} ({line['worst_bps_per_hour']:.3f})",
            "units/year (oracle)": f"{line['units_per_year']:.0f} ({line['best_units']:.0f})",
            "stuck": f"{line['stuck']:.0%}", "s": f"{line['seconds']:.0f}",
        })
    return pd.DataFrame(lines, pd.Index(table["market"], name="market"))
