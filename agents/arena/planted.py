"""Tournaments whose outcome is known: does the arena name the camp that knows more, and nobody where nobody does?

The market is the simulated one. One camp is taught and the other is not, or tomorrow cannot be known at all. Who truly
is better is then measured again: who was chosen trades years of the same market that no tournament has seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.arena.config import TournamentConfig
from agents.arena.contest import Window, learn, meetings, plan, training
from agents.arena.findings import find
from agents.arena.meeting import meet
from agents.arena.rollout import Contestant
from agents.arena.season import Camp, Season
from agents.arena.statistics.runs import iqm
from agents.arena.tournament import elsewhere, everyone, said_by
from agents.arena.verdict import verdict
from agents.bundle import Bundle
from agents.cells import check_not_in
from agents.device import pick_device
from agents.policy import Observation, Policy
from agents.supervised import ensemble_of
from agents.watch.validation import Validation
from configs.loader import flags
from configs.run import plain
from data.dataset import like, load_dataset, load_raw
from data.folds import WalkConfig
from data.market import Market
from envs.config import EnvConfig
from envs.execution import CostConfig

HOURS = 8760
FRESH, YEARS = 1_000, 4  # added to a market's seed for the years that it is judged on, and how many they are
PARTS = 64  # that are walked side by side
TINY: dict[str, Any] = {
    "data": {"groups": ["returns", "onchain_hourly"], "window": 8, "labels": {"horizon": 8},
             "simulator": {"bars": 13_200}},
    "pretrain": {"epochs": 6, "rows_per_epoch": 2_048}, "ensemble": {"members": []},
    "agent": {"steps": 200_000, "net": [16], "validations": 3, "second_look": False}, "bootstrap": {"draws": 1_000},
}
UNTAUGHT_SIGNALS = {"pretrain": {"epochs": 1, "rows_per_epoch": 32, "lr": 1e-9}}
UNTAUGHT_AGENTS = {"agent": {"steps": 1_024}}
FAIR = {"data": {"simulator": {"edge": 0.0}}}
FREE = {"agent": {"stay_out": False}, "env": {"costs": plain(CostConfig.flat_fee(0.0))}}
KINDS: dict[str, tuple[dict[str, Any], ...]] = {  # who is to win, and how the market and the camps are made so
    "agents": (UNTAUGHT_SIGNALS,),
    "signals": (UNTAUGHT_AGENTS,),
    "nobody": (FAIR,),
    "nobody_free": (FAIR, FREE),
}
CAMP = {"agents": "chosen agents", "signals": "chosen signals"}
REFUSED = {"algo": "--algos", "encoder": "", "encoders": "", "seeds": "", "seed": "--tournaments", "market": "",
           "config": "", "data.source": "", "data.path": "", "data.simulator.seed": "--tournaments",
           "data.simulator.edge": "--edge"}


@dataclass(frozen=True)
class Planted:
    """One tournament to be held."""

    kind: str
    seed: int  # of the market
    edge: float  # of the market, where somebody is to win
    algos: tuple[str, ...]
    folder: Path
    passed_on: tuple[str, ...] = ()

    @property
    def config(self) -> TournamentConfig:
        return TournamentConfig(
            Path(f"{self.kind}.yaml"), self.algos, ("lstm",), seeds=3, costs=(), delays=(), noise=(), jobs=1,
            walk=WalkConfig(train=5_000, valid=2_000, test=3_000), runs=self.folder, name=f"market{self.seed}")

    def windows(self) -> list[Window]:
        """What makes a kind what it is stands over the flags that are passed on."""
        check_not_in(REFUSED, self.passed_on)
        own = [word for part in KINDS[self.kind] for word in flags(part)]
        return plan(self.config, TINY, [*self.passed_on, "--data.simulator.seed", str(self.seed),
                                        "--data.simulator.edge", str(self.edge), *own])


@dataclass(frozen=True)
class Judgement:
    """What the arena said of one, and what years that it has not seen say."""

    kind: str
    seed: int
    winner: str  # a camp, or nobody
    growth: float  # log growth per year of the agents, less that of the signals, as the arena found it
    low: float
    high: float
    truth: float  # the same over the fresh years, whose own luck is in it
    seconds: float

    @property
    def right(self) -> bool:
        return self.winner == CAMP.get(self.kind, "")


def held(given: Planted) -> Judgement:
    """Trained, met and judged as any tournament is, but for the causal test; for a process of its own."""
    started, config = time.perf_counter(), given.config
    windows = given.windows()
    cells = training(config, windows)
    for cell in cells.values():
        learn(cell)
    for meeting in meetings(config, windows).values():
        meet(meeting)
    first = windows[0].first
    season = Season.of(config.folder, {"windows": len(windows), "trials": len(cells), "costs": [], "remarks": "",
                                       "unit": first.env.costs.per_unit})
    found = find(season, first.bootstrap)
    duel, agents, signals = found.duels[0], *found.camps
    truth = growth_afterwards(windows, [agents, signals], config)
    return Judgement(given.kind, given.seed, verdict(found).winner, duel.growth, duel.low, duel.high,
                     truth[0] - truth[1], time.perf_counter() - started)


def growth_afterwards(windows: Sequence[Window], camps: Sequence[Camp], config: TournamentConfig) -> list[float]:
    """Log growth per year of each camp's choices over years of the market that nobody has seen, mean over windows."""
    grown: list[list[float]] = [[] for _ in camps]
    for place, window in enumerate(windows):
        one = replace(window.first, device=pick_device(window.first.device))
        dataset = load_dataset(one.data, one.cache / "features")
        ensemble, forecasts = ensemble_of(one, dataset, one.device)
        bundles = [Bundle.load(agent.folder / "bundle") for agent in window.agents(config.agent_seeds).values()]
        width, picks = one.data.window, {camp.picks[place].name for camp in camps}
        everybody = everyone(bundles, said_by(forecasts, ensemble, dataset.market), dataset, one.env, width,
                             one.device, one.cache, sized=True)
        contestants = {name: who for name, who in everybody.items() if (who.team or name) in picks}
        bundles = [bundle for name, bundle in zip(everybody, bundles, strict=False) if name in contestants]
        fresh = replace(one.data, span=None, borders=None, simulator=replace(
            one.data.simulator, seed=one.data.simulator.seed + FRESH, bars=YEARS * HOURS))
        market = like(load_raw(fresh), fresh, dataset.scaler)
        moved = elsewhere(contestants, bundles, ensemble, market, one.device, None)
        for camp, found in zip(camps, grown, strict=True):
            team = [who for name, who in moved.items() if (who.team or name) == camp.picks[place].name]
            found.append(iqm(np.array([growth_on(who, market, one.env, width) for who in team])))
    return [float(np.mean(found)) for found in grown]


def growth_on(contestant: Contestant, market: Market, env: EnvConfig, width: int) -> float:
    """Log growth per year over a whole market, cut into parts that each begin in cash."""
    low, high = env.reach
    weights = replace(env, action="weights", low=low, high=high)
    look = Validation(market, env if contestant.actions else weights, width, slice(0, len(market)), PARTS)
    policy = contestant.policy if contestant.actions else Within(contestant.policy, low, high)
    return float(look.run(policy).growths.mean() * market.bars_per_year)


@dataclass(frozen=True)
class Within:
    """A policy of weights whose holdings may have drifted beyond what may be ordered."""

    policy: Policy
    low: float
    high: float

    def predict(self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None,
                deterministic: bool = False) -> tuple[np.ndarray, Any]:
        action, state = self.policy.predict(observation, state, episode_start, deterministic)
        return np.clip(action, self.low, self.high), state


def counted(found: Sequence[Judgement]) -> pd.DataFrame:
    """A row for each kind, for the eye."""
    lines = {}
    for kind in dict.fromkeys(one.kind for one in found):
        own = [one for one in found if one.kind == kind]
        wanted = CAMP.get(kind, "")
        wrong = [one for one in own if one.winner not in (wanted, "")]
        sign = 1 if kind == "agents" else -1
        lines[kind] = {
            "tournaments": len(own), "right": f"{sum(one.right for one in own)} of {len(own)}",
            "wrong camp named": len(wrong), "no evidence": sum(not one.winner for one in own),
            "truly better": f"{sum(sign * one.truth > 0 for one in own)} of {len(own)}" if wanted else "",
            "agents less signals, a year": f"{np.mean([one.growth for one in own]):+.2f}",
            "over fresh years": f"{np.mean([one.truth for one in own]):+.2f}",
            "truth in the interval": f"{sum(one.low <= one.truth <= one.high for one in own)} of {len(own)}",
            "s": f"{np.median([one.seconds for one in own]):.0f}",
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("who is to win")
