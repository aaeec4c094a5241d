"""The pictures of a tournament, drawn without a display."""

from __future__ import annotations

from calendar import month_abbr
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from scipy.stats import trim_mean

from agents.arena.findings import Findings, grown_in_windows
from agents.arena.meeting import at_cost
from agents.arena.months import by_year, monthly
from agents.arena.report import HOLD
from agents.arena.rollout import Track
from agents.arena.season import teams_in, whole
from agents.arena.statistics.runs import iqm
from agents.diagnosis.pictures import canvas

POINTS = 1_200  # of a curve: more cannot be seen
CANDLES = 120  # bars that decisions are shown on
HUES = ("#1f77b4", "#d95f02", "#7f7f7f", "#2ca02c")  # one for each of those compared, the same in every picture
RISE, FALL = "#2a9d8f", "#c0392b"


def pictures(found: Findings) -> dict[str, Figure]:
    """By name of the file."""
    compared = compared_in(found)
    drawn = {"equity": equity(compared), "drawdown": drawdown(compared), "months": months(compared),
             "decisions": decisions(found, compared), "exposure": exposure(compared), "profiles": profiles(found)}
    if found.season.record["costs"]:
        drawn["costs"] = costs(found)
    if any(found.regimes.values()):
        drawn["regimes"] = regimes(found)
    if found.confidences:
        drawn["confidence"] = confidence(found)
    return drawn


def compared_in(found: Findings) -> dict[str, list[Track]]:
    """The choices of each camp, and holding."""
    hold = [track for track in found.tracks if track.contestant == HOLD]
    return {**{one.name: list(one.tracks) for one in found.camps}, HOLD: hold}


def thinned(length: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - 1, min(length, POINTS)).astype(int))


def plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def equity(compared: Mapping[str, Sequence[Track]]) -> Figure:
    """The middle of the seeds as a line, all of them as a band."""
    figure = canvas(9, 4.6)
    axes = figure.subplots()
    for hue, (name, tracks) in zip(HUES, compared.items()):
        at = thinned(len(tracks[0].equity))
        curves = np.stack([track.equity[at] / track.equity[0] for track in tracks])
        middle = np.exp(trim_mean(np.log(curves), 0.25, axis=0))  # as the tables have it
        axes.plot(tracks[0].time[at], middle, color=hue, linewidth=1.3, label=f"{name} ({middle[-1] - 1:+.1%})")
        if len(tracks) > 1:
            axes.fill_between(tracks[0].time[at], curves.min(axis=0), curves.max(axis=0), color=hue, alpha=0.15)
    axes.axhline(1.0, color="black", linewidth=0.6, zorder=0)  # beneath whoever is in cash
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(MaxNLocator(7) if high < 10 * low else LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set(ylabel="equity / start", title="Equity; a band spans the seeds")
    axes.legend(fontsize=8)
    plain(axes)
    return figure


def drawdown(compared: Mapping[str, Sequence[Track]]) -> Figure:
    """The middle of the seeds, all of them as a band; the deepest of each as the tables have it."""
    figure = canvas(9, 3.2)
    axes = figure.subplots()
    for hue, (name, tracks) in zip(HUES, compared.items()):
        falls = np.stack([track.equity / np.maximum.accumulate(track.equity) - 1 for track in tracks])
        at = thinned(falls.shape[1])
        when, shown = tracks[0].time[at], 100 * falls[:, at]
        axes.plot(when, trim_mean(shown, 0.25, axis=0), color=hue, linewidth=1.0,
                  label=f"{name} (max_drawdown {iqm(-falls.min(axis=1)):.1%})")
        if len(tracks) > 1:
            axes.fill_between(when, shown.min(axis=0), shown.max(axis=0), color=hue, alpha=0.15)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set(ylabel="per cent below the highest", title="Drawdown; a band spans the seeds")
    axes.legend(fontsize=8)
    plain(axes)
    return figure


def months(compared: Mapping[str, Sequence[Track]]) -> Figure:
    """A panel for each, a square for each calendar month; of several seeds the mean in logs, as the tables have it. One
    month in ten is off the scale, so that it does not pale the others."""
    tables = {name: by_year(np.expm1(np.log1p(pd.concat([monthly(track.time, track.equity) for track in tracks],
                                                        axis=1)).mean(axis=1)))
              for name, tracks in compared.items()}
    height = max(len(table) for table in tables.values())
    figure = canvas(9, 0.7 * len(tables) + 0.32 * height * len(tables))
    sizes = np.abs(np.concatenate([table.to_numpy().ravel() for table in tables.values()]))
    reach = max(0.02, float(np.nanquantile(sizes, 0.9)))
    for axes, (name, table) in zip(figure.subplots(len(tables), 1, squeeze=False)[:, 0], tables.items()):
        axes.pcolormesh(np.arange(13) - 0.5, np.arange(len(table) + 1) - 0.5, table, cmap="RdYlGn", vmin=-reach,
                        vmax=reach)  # squares, which an SVG draws without a picture inside it
        axes.invert_yaxis()
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            if np.isfinite(value):
                axes.text(column, row, f"{100 * value:+.1f}", ha="center", va="center", fontsize=7,
                          color="white" if abs(value) > 0.75 * reach else "black")
        axes.set_xticks(range(12), [*month_abbr][1:], fontsize=7)
        axes.set_yticks(range(len(table)), table.index, fontsize=7)
        axes.set_title(f"{name}: per cent a month", fontsize=9)
        axes.spines[:].set_visible(False)
    return figure


def decisions(found: Findings, compared: Mapping[str, Sequence[Track]]) -> Figure:
    """The last bars of the first asset as candles, and under them what each holds of it (its first seed)."""
    asset = found.tracks[0].assets[0]
    bars = found.season.bars.drop_duplicates("time").tail(CANDLES)
    figure = canvas(9, 3.4 + 0.9 * len(compared))
    above, *below = figure.subplots(1 + len(compared), 1, sharex=True,
                                    height_ratios=[3.0, *(0.9 for _ in compared)])
    first, low, high, last = (bars[f"{name}:{asset}"].to_numpy() for name in ("open", "low", "high", "close"))
    place, hue = np.arange(len(bars)), np.where(last >= first, RISE, FALL)
    above.vlines(place, low, high, color=hue, linewidth=0.8)
    above.bar(place, np.abs(last - first), 0.7, np.minimum(first, last), color=hue)
    above.set(ylabel=asset, title=f"The last {len(bars)} bars, and what is held over them")
    plain(above)
    for axes, colour, (name, tracks) in zip(below, HUES, compared.items()):
        held = pd.Series(tracks[0].weights[:, 0], pd.DatetimeIndex(tracks[0].time[1:]))
        weights = held.reindex(pd.DatetimeIndex(bars["time"])).to_numpy()
        axes.fill_between(place, np.nan_to_num(weights), step="mid", color=colour, alpha=0.5)
        axes.axhline(0.0, color="black", linewidth=0.6)
        axes.set_ylabel("weight", fontsize=7)
        axes.set_title(name, fontsize=8, loc="left")
        plain(axes)
    ticks = np.linspace(0, len(bars) - 1, 6).astype(int)
    below[-1].set_xticks(ticks, [f"{bars['time'].iloc[tick]:%d %b %H:%M}" for tick in ticks], fontsize=7)
    return figure


def exposure(compared: Mapping[str, Sequence[Track]]) -> Figure:
    """Means of a calendar month: long less short, and how much is held either way."""
    figure = canvas(9, 3.2)
    panels = figure.subplots(1, 2, sharey=True)
    for hue, (name, tracks) in zip(HUES, compared.items()):
        when = pd.DatetimeIndex(tracks[0].time[1:]).to_period("M")
        for axes, held in zip(panels, (np.mean([track.weights.sum(axis=1) for track in tracks], axis=0),
                                       np.mean([np.abs(track.weights).sum(axis=1) for track in tracks], axis=0))):
            mean = pd.Series(held, when).groupby(level=0).mean()
            axes.plot(pd.PeriodIndex(mean.index).to_timestamp(), mean, color=hue, marker="o", markersize=3, label=name)
    for axes, title in zip(panels, ("Long less short", "Held either way")):
        axes.set_title(title, fontsize=9)
        axes.tick_params(axis="x", labelrotation=30, labelsize=7)
        plain(axes)
    panels[0].set_ylabel("of equity")
    panels[0].legend(fontsize=7)
    return figure


def profiles(found: Findings) -> Figure:
    """Share of all runs, a run being a window and a seed, that grew by more than so much."""
    grown = grown_in_windows(found.season, found.camps)
    teams = [*(one.name for one in found.camps), *teams_in(whole(found.season), "rl")]
    shown = {name: np.sort(grown[name].ravel()) for name in teams}
    figure = canvas(9, 4.2)
    axes = figure.subplots()
    for place, (name, scores) in enumerate(shown.items()):
        chosen = place < len(found.camps)
        share = 1 - np.arange(len(scores) + 1) / len(scores)
        axes.step(100 * np.concatenate([[scores[0] - 0.02], scores]), share, where="post",
                  color=HUES[place] if chosen else None, linewidth=2.2 if chosen else 0.9,
                  alpha=1.0 if chosen else 0.7, label=name)
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.set(xlabel="log growth of a window, per cent", ylabel="share of runs above it", title="Performance profiles")
    axes.legend(fontsize=7, ncols=2)
    plain(axes)
    return figure


def costs(found: Findings) -> Figure:
    figure = canvas(9, 3.8)
    axes = figure.subplots()
    tried = [float(bps) for bps in found.season.record["costs"]]
    chosen = [one.name for one in found.camps]
    for curve in found.curves:
        if curve.name in (*chosen, HOLD):
            hue = HUES[chosen.index(curve.name)] if curve.name in chosen else HUES[2]
            axes.plot(tried, [100 * curve.growth[at_cost(bps)] for bps in tried], marker="o", color=hue,
                      label=curve.name)
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=0)
    axes.set(xlabel="all that an order costs, basis points", ylabel="log growth a year, per cent",
             title="What is left as orders cost more")
    axes.legend(fontsize=8)
    plain(axes)
    return figure


def regimes(found: Findings) -> Figure:
    figure = canvas(9, 3.8)
    axes = figure.subplots()
    kinds = [*next(iter(found.regimes.values()))]
    width = 0.8 / len(found.regimes)
    for place, (hue, (name, estimates)) in enumerate(zip(HUES, found.regimes.items())):
        values = np.array([estimates[kind].value for kind in kinds])
        ends = np.array([[estimates[kind].low, estimates[kind].high] for kind in kinds])
        axes.bar(np.arange(len(kinds)) + (place + 0.5) * width - 0.4, 100 * values, width, color=hue, alpha=0.8,
                 yerr=100 * np.abs(ends.T - values), ecolor="black", capsize=2, error_kw={"linewidth": 0.7}, label=name)
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xticks(range(len(kinds)), kinds, fontsize=8)
    axes.set(ylabel="log growth, per cent a year of it", title="By kind of market")
    axes.legend(fontsize=8)
    plain(axes)
    return figure


def confidence(found: Findings) -> Figure:
    """Right as often as sure: on the dotted line."""
    figure = canvas(9, 4.2)
    axes = figure.subplots()
    for one in found.confidences:
        axes.plot(one.said, one.came, marker="o", markersize=3.5, linewidth=1.0, label=one.name)
    ends = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])]
    axes.plot(ends, ends, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="chance that was given to the direction called", ylabel="share of calls that were right",
             title="Confidence; below the dotted line is too sure")
    axes.legend(fontsize=8)
    plain(axes)
    return figure
