"""The head-to-head table: metrics with intervals, and the paired difference to the supervised ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from agents.arena.rollout import Track
from agents.arena.statistics.resampling import Resampled, over_seeds, resample
from agents.arena.statistics.runs import iqm
from agents.plots import equity_figure, save_figure
from configs.run import write_json
from data.bootstrap import BootstrapConfig, interval
from encoders.score_table import as_markdown
from envs.metrics import information_ratio, returns_of

ENSEMBLE, HOLD, ORACLE = "supervised ensemble", "buy and hold", "oracle"


@dataclass(frozen=True, eq=False)
class Report:
    table: pd.DataFrame  # a row per contestant, best total return first
    teams: pd.DataFrame  # a row per agent of several seeds: means over them, interquartile from four on
    about: str  # what was compared, on which rows, with which intervals
    differences: pd.DataFrame = field(default_factory=pd.DataFrame)  # a row per agent: agent minus supervised ensemble

    def markdown(self) -> str:
        parts = [self.about, "", as_markdown(readable(self.table))]
        if len(self.teams):
            parts += ["", "Means over seeds; of four or more, over the middle half of them:", "",
                      as_markdown(readable(self.teams))]
        if len(self.differences):
            parts += ["", f"Agent minus {ENSEMBLE}, on the same bars:", "", as_markdown(readable(self.differences)), ""]
            parts += [f"- {line}" for line in self.differences["verdict"]]
        return "\n".join(parts) + "\n"

    def save(self, folder: Path) -> None:
        """`table.json`, `table.csv` and `table.md`, unrounded but for the last."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(folder / "table.csv")
        (folder / "table.md").write_text(self.markdown())
        write_json(folder / "table.json", {
            "about": self.about,
            "contestants": self.table.reset_index().to_dict("records"),
            "teams": self.teams.reset_index().to_dict("records"),
            "differences": self.differences.reset_index().to_dict("records"),
        })


def compare(tracks: Sequence[Track], config: BootstrapConfig, remark: str = "") -> Report:
    """All contestants on the same resampled histories, so that differences are paired; a remark ends what is said."""
    returns = np.stack([returns_of(track.equity) for track in tracks])  # (C, K)
    draws = resample(returns, tracks[0].bars_per_year, config)
    span = tracks[0].rows
    about = f"Test rows {span.start} to {span.stop - 1} ({told(tracks[0], config)}{remark and ' '}{remark}"
    return Report(lines(tracks, draws, config), team_lines(tracks, draws, config), about,
                  difference_lines(tracks, draws, config))


def told(track: Track, config: BootstrapConfig) -> str:
    """Over which time, at which costs, with which intervals."""
    first, last = (np.datetime_as_string(track.time[at], unit="m") for at in (0, -1))
    return (f"{first} to {last} UTC, {track.years:.2f} years). "
            f"After fees, spread, slippage, carry and interest. Intervals: {config.level:.0%}, stationary bootstrap, "
            f"{config.draws} draws, mean block {config.block:g} bars. Each line is one seed: its interval holds the "
            "luck of this period, not of training; lines over several seeds hold both.")


def lines(tracks: Sequence[Track], draws: Resampled, config: BootstrapConfig) -> pd.DataFrame:
    rows = []
    hold = next((track for track in tracks if track.contestant == HOLD), None)
    for c, track in enumerate(tracks):
        sharpe_low, sharpe_high = interval(draws.sharpe[:, c], config.level)
        low, high = np.expm1(interval(draws.growth[:, c], config.level))
        rows.append({"contestant": track.contestant, "kind": track.kind, "seed": track.seed, **asdict(track.metrics),
                     **beyond(track, hold), "sharpe_low": sharpe_low, "sharpe_high": sharpe_high,
                     "total_return_low": low, "total_return_high": high})
    # equal returns (everybody in cash) stand in order of name, so that a table is the same each time
    table = pd.DataFrame(rows).sort_values(["total_return", "contestant"], ascending=[False, True])
    return table.set_index("contestant")


def beyond(track: Track, hold: Track | None) -> dict[str, float]:
    """What is measured against buying and holding, where that has taken part."""
    return {} if hold is None else {"information_ratio": information_ratio(
        returns_of(track.equity), returns_of(hold.equity), track.bars_per_year)}


def teams_of(tracks: Sequence[Track]) -> dict[str, list[int]]:
    """Places of the tracks that are seeds of one agent, where there are several."""
    found: dict[str, list[int]] = {}
    for place, track in enumerate(tracks):
        if track.team:
            found.setdefault(track.team, []).append(place)
    return {f"{team}, {len(places)} seeds": places for team, places in found.items() if len(places) > 1}


def growth_of(tracks: Sequence[Track]) -> np.ndarray:
    """(C,) log of what each contestant's capital was multiplied by."""
    return np.array([np.log(track.equity[-1] / track.equity[0]) for track in tracks])


def team_lines(tracks: Sequence[Track], draws: Resampled, config: BootstrapConfig) -> pd.DataFrame:
    rows = []
    for name, places in teams_of(tracks).items():
        found = {metric: iqm(np.array([getattr(tracks[place].metrics, metric) for place in places]))
                 for metric in SHOWN}
        if held := [place for place in places if tracks[place].metrics.exposure]:  # the others have no bar to win
            found["win_rate"] = iqm(np.array([tracks[place].metrics.win_rate for place in held]))
        found["total_return"] = np.expm1(iqm(growth_of(tracks)[places]))  # in logs, as its interval is
        drawn = over_seeds(draws, places, config.seed)
        low, high = np.expm1(interval(drawn.growth, config.level))
        sharpe_low, sharpe_high = interval(drawn.sharpe, config.level)
        rows.append({"contestant": name, **found, "total_return_low": low, "total_return_high": high,
                     "sharpe_low": sharpe_low, "sharpe_high": sharpe_high})
    return pd.DataFrame(rows, columns=None if rows else ["contestant"]).set_index("contestant")


def difference_lines(tracks: Sequence[Track], draws: Resampled, config: BootstrapConfig) -> pd.DataFrame:
    """Of each agent to the ensemble, and of the mean over the seeds of one."""
    names = [track.contestant for track in tracks]
    columns = ["contestant", "log_growth", "log_growth_low", "log_growth_high", "sharpe", "sharpe_low", "sharpe_high",
               "verdict"]
    if ENSEMBLE not in names:
        return pd.DataFrame([], columns=columns).set_index("contestant")
    base = names.index(ENSEMBLE)
    growth = growth_of(tracks)
    ratio = np.array([track.metrics.sharpe for track in tracks])
    agents = {track.contestant: [place] for place, track in enumerate(tracks) if track.kind == "rl"}
    rows = []
    for name, places in {**agents, **teams_of(tracks)}.items():
        drawn = over_seeds(draws, places, config.seed)
        low, high = interval(drawn.growth - draws.growth[:, base], config.level)
        sharpe_low, sharpe_high = interval(drawn.sharpe - draws.sharpe[:, base], config.level)
        rows.append((name, iqm(growth[places]) - growth[base], low, high, iqm(ratio[places]) - ratio[base],
                     sharpe_low, sharpe_high, verdict(name, low, high)))
    return pd.DataFrame(rows, columns=columns).set_index("contestant")


def verdict(name: str, low: float, high: float) -> str:
    """What an interval of the difference allows to be said."""
    if low > 0:
        return f"{name} grew more than the {ENSEMBLE}: the interval of the difference in growth lies above zero"
    if high < 0:
        return f"{name} grew less than the {ENSEMBLE}: the interval of the difference in growth lies below zero"
    return f"{name} and the {ENSEMBLE} cannot be told apart: the interval of the difference in growth holds zero"


PERCENT = ("total_return", "annual_return", "max_drawdown", "costs", "exposure", "win_rate", "volatility")
OF_A_BAR = ("value_at_risk", "expected_shortfall")
BESIDE = ("annual_return", "volatility", "sortino", "calmar", "information_ratio", "profit_factor", *OF_A_BAR)
SHOWN = ("total_return", "sharpe", "max_drawdown", "turnover", "costs", "trades", "exposure", "win_rate")


def readable(table: pd.DataFrame, columns: Sequence[str] = (*SHOWN, "log_growth")) -> pd.DataFrame:
    """Rounded for the eye, each interval beside its number; those of `columns` that there are."""
    shown = {}
    for column in [c for c in columns if c in table]:
        def text(value: float, spec: str = "+.2%" if column in OF_A_BAR else "+.1%" if column in PERCENT else "+.2f"
                 ) -> str:
            return format(value, spec)

        if f"{column}_low" in table:
            shown[f"{column} [interval]"] = [
                f"{text(v)} [{text(low)}, {text(high)}]"
                for v, low, high in zip(table[column], table[f"{column}_low"], table[f"{column}_high"])]
        elif column in ("trades", "turnover"):
            shown["turnover/year" if column == "turnover" else column] = [f"{value:,.0f}" for value in table[column]]
        else:
            shown[column] = [text(value).lstrip("+") for value in table[column]]
    return pd.DataFrame(shown, index=table.index)


def draw(tracks: Sequence[Track], path: Path) -> None:
    """Equity of every contestant over the test rows, best first."""
    order = sorted(tracks, key=lambda track: -track.equity[-1])
    curves = {track.contestant: track.equity for track in order}
    save_figure(equity_figure(curves, "Equity over the test rows", order[0].time), path)
