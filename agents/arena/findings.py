"""Every number of a tournament's report, out of its tracks alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from agents.arena.confidence import Confidence, confidences
from agents.arena.meeting import OWN, at_cost
from agents.arena.report import HOLD, ORACLE, Report, beyond, growth_of, lines, team_lines, told
from agents.arena.rollout import Track
from agents.arena.season import CAMPS, Camp, Season, camp, teams_in, whole
from agents.arena.statistics.luck import bars_needed, best_of, deflated, probable, ratio_of
from agents.arena.statistics.overfitting import Overfitting, overfitting
from agents.arena.statistics.power import years_needed
from agents.arena.statistics.resampling import Resampled, over_seeds, resample
from agents.arena.statistics.runs import improvement, iqm
from agents.arena.statistics.several import Superior, holm, superior
from agents.diagnosis.sensitivity import crossing
from data.bootstrap import BootstrapConfig, interval
from encoders.explain.estimates import Estimate, means
from envs.execution import SECONDS_PER_YEAR
from envs.metrics import returns_of, sharpe

BLOCKS = 16  # that history is cut into for the probability of overfitting
SAME = 1e-12  # a difference of two equal sums


@dataclass(frozen=True)
class Duel:
    """Two contestants on the same bars; of several seeds the interquartile mean."""

    ours: str
    theirs: str
    growth: float  # log growth per year, ours less theirs
    low: float
    high: float
    p: float  # two-sided: how probable so large a difference would be if there were none
    held: float  # the same for all duels with this opponent at once (Holm 1979)
    better: float  # how probable it is that a run of ours ends a window ahead of theirs
    years: float  # of history that a true difference of this size would need to show

    @property
    def clear(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Luck:
    """How much of a Sharpe ratio may be luck."""

    name: str
    traded: bool
    sharpe: float  # of a year
    probable: float  # confidence that the true one is above zero
    hurdle: float  # Sharpe ratio of a year that the best of so many worthless trials would have shown
    deflated: float  # confidence that the true one is above that
    years: float  # of such a record that would show it to be above zero


@dataclass(frozen=True, eq=False)
class Curve:
    """What is left of growth under other rules."""

    name: str
    growth: dict[str, float]  # log growth per year by rule
    old: dict[int, float]  # taught only every so many windows; empty for those that nobody teaches
    least: float  # of its seeds
    most: float
    break_even: float | None  # basis points in all; None: at no two costs did everybody meet
    beyond: bool  # growth is left at the highest


@dataclass(frozen=True, eq=False)
class Findings:
    season: Season
    tracks: list[Track]  # every contestant over all windows, after the choices
    camps: tuple[Camp, ...]
    report: Report
    duels: tuple[Duel, ...]  # agents against signals as chosen first, where both are
    luck: tuple[Luck, ...]
    trials: int
    overfitting: Overfitting | None
    superior: dict[str, Superior]  # by the benchmark that somebody may be better than
    curves: tuple[Curve, ...]
    regimes: dict[str, dict[str, Estimate]]  # log growth per year by contestant and kind of market
    confidences: tuple[Confidence, ...]


def find(season: Season, bootstrap: BootstrapConfig) -> Findings:
    camps = tuple(found for kind in CAMPS if (found := camp(season, kind)) is not None)
    everyone = whole(season)
    tracks = [*(track for one in camps for track in one.tracks), *everyone]
    returns = np.stack([returns_of(track.equity) for track in tracks])  # (C, K)
    draws = resample(returns, tracks[0].bars_per_year, bootstrap,
                     [len(window[0].turnover) for window in season.tests])
    groups = groups_of(tracks)
    trials = int(season.record["trials"])
    opponents = [*(one.name for one in camps[1:]), HOLD]
    teams = [*(one.name for one in camps), *teams_in(everyone, "rl")]
    grown = grown_in_windows(season, camps)
    duels = [duel for theirs in opponents
             for duel in against(theirs, [name for name in teams if name != theirs], tracks, groups, grown,
                                 draws, bootstrap)]
    competing = np.stack([returns_of(track.equity) for track in everyone if track.kind != ORACLE])
    return Findings(
        season, tracks, camps, Report(lines(tracks, draws, bootstrap), team_lines(tracks, draws, bootstrap),
                                      about(season, tracks, bootstrap)), tuple(duels),
        tuple(lucky(name, [tracks[place] for place in groups[name]], trials, spread_beside(name, camps, everyone))
              for name in dict.fromkeys([*teams, *opponents])),
        trials,
        overfitting(competing, BLOCKS) if competing.shape[1] >= 2 * BLOCKS and len(competing) > 1 else None,
        {name: superior(grown_by_bar([tracks[place] for place in groups[name]]), np.log1p(competing),
                        bootstrap.block, bootstrap.draws, bootstrap.seed) for name in opponents},
        curves_of(season, camps), regimes_of(season, {name: [tracks[place] for place in groups[name]] for name in
                                                      dict.fromkeys([*(one.name for one in camps), *opponents])},
                                             bootstrap), confidences(season.forecasts))


def groups_of(tracks: Sequence[Track]) -> dict[str, list[int]]:
    """Places of the seeds of each contestant."""
    found: dict[str, list[int]] = {}
    for place, track in enumerate(tracks):
        found.setdefault(track.entrant, []).append(place)
    return found


def grown_by_bar(tracks: Sequence[Track]) -> np.ndarray:
    """(K,) log growth of each bar, mean over seeds."""
    return np.asarray(np.mean([np.log1p(returns_of(track.equity)) for track in tracks], axis=0))


def about(season: Season, tracks: Sequence[Track], config: BootstrapConfig) -> str:
    count = len(season.tests)
    windows = f"{count} windows one after the other" if count > 1 else "1 window"
    return f"{windows}, whose bars nobody had seen when everything was trained and chosen ({told(tracks[0], config)}"


def against(theirs: str, ours: Sequence[str], tracks: Sequence[Track], groups: dict[str, list[int]],
            grown: dict[str, np.ndarray], draws: Resampled, config: BootstrapConfig) -> list[Duel]:
    """Everybody of `ours` on the bars of `theirs`, in the same resampled histories."""
    growths, years = growth_of(tracks), tracks[0].years
    found = []
    for name in ours:
        mine = groups[name]
        one, other = over_seeds(draws, mine, config.seed), over_seeds(draws, groups[theirs], config.seed + 1)
        drawn = (one.growth - other.growth) / years
        error = float((one.steady - other.steady).std()) / years
        growth = (iqm(growths[mine]) - iqm(growths[groups[theirs]])) / years
        drawn[np.abs(drawn) < SAME] = 0.0
        low, high = interval(drawn, config.level)
        p = min(2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / (config.draws + 1), 1.0)
        found.append((name, growth, low, high, p, years_needed(growth, error, years, config.level)))
    at_once = holm(np.array([p for *_, p, _ in found]))
    return [Duel(name, theirs, growth, low, high, p, float(held), improvement(grown[name], grown[theirs]), needed)
            for (name, growth, low, high, p, needed), held in zip(found, at_once, strict=True)]


def grown_in_windows(season: Season, camps: Sequence[Camp]) -> dict[str, np.ndarray]:
    """(W, seeds) log growth of each window, by team or contestant, and of what each camp chose."""
    found: dict[str, list[list[float]]] = {}
    for number, window in enumerate(season.tests):
        teams: dict[str, list[float]] = {}
        for track, growth in zip(window, growth_of(window), strict=True):
            teams.setdefault(track.entrant, []).append(float(growth))
        teams |= {one.name: teams[one.picks[number].name] for one in camps}
        for name, growths in teams.items():
            found.setdefault(name, []).append(growths)
    return {name: np.array(growths) for name, growths in found.items()}


def spread_beside(name: str, camps: Sequence[Camp], everyone: Sequence[Track]) -> float:
    """Deviation of the Sharpe ratios (of a bar) of all who trade but those that are judged: a good record is no reason
    to ask for a better one. That of chance at the least, for the few that trade may be alike."""
    own = {name, *(pick.name for one in camps if one.name == name for pick in one.picks)}
    ratios = [float(sharpe(returns_of(track.equity), 1.0)) for track in everyone
              if track.kind in CAMPS and track.turnover.any() and track.entrant not in own]
    chance = 1 / np.sqrt(len(everyone[0].turnover))
    return max(float(np.std(ratios, ddof=1)) if len(ratios) > 1 else 0.0, chance)


def lucky(name: str, tracks: Sequence[Track], trials: int, spread: float) -> Luck:
    returns, bars = np.stack([returns_of(track.equity) for track in tracks]), tracks[0].bars_per_year
    hurdle = best_of(trials, spread) * float(np.sqrt(bars))
    if not any(track.turnover.any() for track in tracks):
        return Luck(name, False, 0.0, float("nan"), hurdle, float("nan"), float("inf"))
    return Luck(name, True, ratio_of(returns) * float(np.sqrt(bars)), probable(returns), hurdle,
                deflated(returns, trials, spread), bars_needed(returns) / bars)


def curves_of(season: Season, camps: Sequence[Camp]) -> tuple[Curve, ...]:
    """Of the choices, and of every contestant: sums over windows, of several seeds the interquartile mean."""
    table = season.scenarios.assign(
        growth=np.log1p(season.scenarios["total_return"]),
        name=season.scenarios["team"].where(season.scenarios["team"] != "", season.scenarios["contestant"]))
    years, windows = whole(season)[0].years, len(season.tests)
    costs = [float(bps) for bps in season.record["costs"]]
    rules = list(dict.fromkeys(table["rule"]))
    grown = {key: part.to_numpy() for key, part in  # of every seed
             table.groupby(["rule", "age", "window", "name"], sort=False)["growth"]}

    def sums(names: Sequence[str], rule: str, every: int = 1) -> np.ndarray:
        """(seeds,) over all windows, each traded by the one of `names` that was taught last before it."""
        ages = [number % every for number in range(windows)]
        return np.sum([grown[rule, age, number + 1, names[number - age]] for number, age in enumerate(ages)], axis=0)

    curves = []
    chosen = {one.name: [pick.name for pick in one.picks] for one in camps}
    taught = {*chosen, *table.loc[table["kind"].isin([*CAMPS]), "name"]}
    for name, names in {**chosen, **{name: [name] * windows for name in dict.fromkeys(table["name"])}}.items():
        growth = {rule: iqm(sums(names, rule)) / years for rule in rules}
        old = {every: iqm(sums(names, OWN, every)) / years for every in intervals(windows)} if name in taught else {}
        seeds = sums(names, OWN) / years
        at, beyond = crossing(np.array(costs), np.array([[growth[at_cost(bps)] for bps in costs]])) if costs else (
            [None], [False])
        curves.append(Curve(name, growth, old, float(seeds.min()), float(seeds.max()),
                            at[0] if at[0] is None else float(at[0]), bool(beyond[0])))
    return tuple(curves)


def intervals(windows: int) -> list[int]:
    """Windows from one training to the next that are tried beside one: twice as many each time, and all of them.

    >>> intervals(6), intervals(1)
    ([2, 4, 6], [])
    """
    return [*(2**power for power in range(1, windows) if 2**power < windows), *([windows] if windows > 1 else [])]


def regimes_of(season: Season, contestants: dict[str, list[Track]], config: BootstrapConfig
               ) -> dict[str, dict[str, Estimate]]:
    """Log growth per year of time spent in each kind of market."""
    found: dict[str, dict[str, Estimate]] = {}
    for name, tracks in contestants.items():
        kinds = {kind: there for kind, there in kinds_at(season, tracks[0]).items() if there.sum() >= 2 * config.block}
        if not kinds:
            found[name] = {}
            continue
        there = np.stack([*kinds.values()], axis=1).astype(float)  # (K, kinds)
        grown = grown_by_bar(tracks)[:, None] * there * tracks[0].bars_per_year
        found[name] = dict(zip(kinds, means(grown, config, there), strict=True))
    return found


def by_window(season: Season) -> pd.DataFrame:
    """All metrics of every contestant in each window."""
    return pd.DataFrame([{"window": track.window, **told_of(track), **asdict(track.metrics),
                          **beyond(track, holding(window))} for window in season.tests for track in window])


def by_kind(season: Season, tracks: Sequence[Track]) -> pd.DataFrame:
    """All metrics of every contestant on the bars of each kind of market, joined as if nothing lay between them."""
    kinds = kinds_at(season, tracks[0])
    rows = []
    for name, there in kinds.items():
        parts = [on_bars(track, there) for track in tracks] if there.sum() > 1 else []
        rows += [{"market": name, **told_of(part), **asdict(part.metrics), **beyond(part, holding(parts))}
                 for part in parts]
    return pd.DataFrame(rows)


def on_bars(track: Track, there: np.ndarray) -> Track:
    """What was made of some bars, an account that stands still over the others."""
    worth = np.concatenate([[1.0], np.cumprod(1 + returns_of(track.equity)[there])]) * track.equity[0]
    seconds = there.sum() / track.bars_per_year * SECONDS_PER_YEAR
    time = track.time[0] + np.linspace(0, seconds * 1e6, len(worth)).astype("timedelta64[us]")
    return replace(track, time=time, equity=worth, weights=track.weights[there], turnover=track.turnover[there],
                   costs=track.costs[there] * worth[:-1] / track.equity[:-1][there])


def kinds_at(season: Season, track: Track) -> dict[str, np.ndarray]:
    """(K,) whether each step of a track over all windows was decided in that kind of market."""
    names = [str(name) for name in season.bars if str(name).startswith("kind:")]
    known = season.bars.drop_duplicates("time").set_index("time")[names].fillna(False)
    there = known.reindex(pd.DatetimeIndex(track.time[:-1]), fill_value=False)
    return {name.removeprefix("kind:"): there[name].to_numpy(bool) for name in names}


def told_of(track: Track) -> dict[str, object]:
    return {"contestant": track.contestant, "seed": track.seed, "kind": track.kind, "team": track.team}


def holding(tracks: Sequence[Track]) -> Track:
    return next(track for track in tracks if track.contestant == HOLD)
