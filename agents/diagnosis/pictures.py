"""The pictures of a diagnosis, drawn without a display."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from agents.diagnosis.band import Band, Edge, named
from agents.diagnosis.diagnosis import Diagnosis
from agents.diagnosis.regimes import UNKNOWN
from agents.diagnosis.sensitivity import Sensitivity
from agents.plots import equity_figure
from encoders.explain.pictures import CLEAR, UNCLEAR, bars

BPS = 1e4
BINS = 40  # of the state, each with as many rows
COLOURS = ("#c0392b", "#7f8c8d", "#1e8449", "#2e86c1", "#8e44ad")


def pictures(found: Diagnosis) -> dict[str, Figure]:
    """By name of the file, in the order of the report."""
    drawn = {"ablation": ablation(found)}
    if found.band is not None:
        drawn["band"] = by_state(found.band) if found.band.seen is not None else by_level(found.band)
    drawn |= {"regimes": by_regime(found), "costs": by_cost(found.sensitivity)}
    curves = {name: track.equity for name, track in found.tracks.items()}
    drawn["equity"] = equity_figure(curves, "Equity over the validation rows",
                                    next(iter(found.tracks.values())).time)
    return drawn


def canvas(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def ablation(found: Diagnosis) -> Figure:
    groups = found.ablation.groups
    names = [one.name if one.kind == "market" else f"account: {one.name}" for one in groups]
    figure = canvas(9, 1.2 + 0.3 * len(groups))
    left, right = figure.subplots(1, 2, sharey=True)
    bars(left, names, [one.growth for one in groups], BPS)
    left.set(xlabel="change in growth, bps per bar", title="growth without it; grey: may be chance")
    right.barh(np.arange(len(groups)), [100 * one.changed for one in groups], height=0.72,
               color=[CLEAR if one.growth.clear else UNCLEAR for one in groups])
    right.set(xlabel="per cent of decisions", title="decisions that change without it", xlim=(0, None))
    right.spines[["top", "right"]].set_visible(False)
    return figure


def by_state(found: Band) -> Figure:
    """A panel for each level held: the weight wanted by state, the agent's and the oracle's."""
    assert found.seen is not None
    assert found.best is not None
    order = np.array_split(np.argsort(found.seen, kind="stable"), min(BINS, len(found.seen)))
    middles = [found.seen[part].mean() for part in order]
    figure = canvas(9, 1.0 + 1.7 * len(found.levels))
    panels = figure.subplots(len(found.levels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, held, wanted, best, border in zip(panels, found.levels, found.wanted, found.best, found.borders):
        axes.plot(middles, [best[part].mean() for part in order], color="black", linewidth=1.0, linestyle="--",
                  label="oracle")
        axes.plot(middles, [wanted[part].mean() for part in order], color="#2e86c1", linewidth=1.6, label="agent")
        for edge, colour in ((border.up, "#1e8449"), (border.down, "#c0392b")):
            if edge is not None:
                axes.axvline(edge.state, color=colour, linewidth=0.8, linestyle=":")
        axes.axhline(held, color="grey", linewidth=0.6)
        axes.set(ylabel="weight wanted", title=f"holding {named(held)}: {words(border.up, 'more')}; "
                                               f"{words(border.down, 'less')}")
        axes.title.set_fontsize(10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    panels[-1].set_xlabel(f"state ({found.state}); dotted: the agent's borders")
    return figure


def words(edge: Edge | None, what: str) -> str:
    return f"never wants {what}" if edge is None else f"{what} {'above' if edge.above else 'below'} {edge.state:+.2f}"


def by_level(found: Band) -> Figure:
    """What each held level leads to, as shares of the rows."""
    names = [named(level) for level in found.levels]
    figure = canvas(7, 1.3 + 0.45 * len(names))
    axes = figure.add_subplot()
    left = np.zeros(len(names))
    for place, name in enumerate(names):
        axes.barh(names, 100 * found.chosen[:, place], left=left, height=0.7, label=f"wants {name}",
                  color=COLOURS[place % len(COLOURS)])
        left += 100 * found.chosen[:, place]
    axes.set(xlabel="per cent of decisions", ylabel="holding", xlim=(0, 100), title="what it wants from each level")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def by_regime(found: Diagnosis) -> Figure:
    kinds = [one for one in found.regimes if one.name != UNKNOWN and one.growth is not None]
    names = [f"{one.name} ({one.share:.0%})" for one in kinds]
    figure = canvas(9, 1.2 + 0.34 * len(kinds))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(kinds))
    left.barh(places - 0.18, [one.exposure for one in kinds], height=0.34, color="#b8bec6", label="exposure")
    left.barh(places + 0.18, [one.weight for one in kinds], height=0.34, color="#2e86c1", label="long less short")
    left.axvline(0, color="black", linewidth=0.6)
    left.set(xlabel="mean weight", title="what it holds")
    beneath = {"frameon": False, "fontsize": 8, "loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2}
    left.legend(**beneath)
    bars(right, names, [one.growth for one in kinds if one.growth is not None], BPS)
    right.plot([BPS * one.market for one in kinds], places, linestyle="", marker="d", color="black", markersize=5,
               label="the market")
    right.set(xlabel="log growth, bps per bar", title="what it earns")
    right.legend(**beneath)
    return figure


def by_cost(found: Sensitivity) -> Figure:
    figure = canvas(8, 4.5)
    axes = figure.add_subplot()
    for place, curve in enumerate(found.curves):
        values = [BPS * one.value for one in curve.growth]
        line = axes.plot(found.costs, values, marker="o", markersize=3, linewidth=1.4, label=curve.name)[0]
        if place == 0:
            low, high = ([BPS * getattr(one, end) for one in curve.growth] for end in ("low", "high"))
            axes.fill_between(found.costs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axvline(found.own, color="grey", linewidth=0.8, linestyle=":", label="its own costs")
    axes.set(xlabel="cost, bps of the value traded", ylabel="log growth, bps per bar",
             title="growth by what trading costs")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure
