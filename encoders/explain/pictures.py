"""The pictures of an explanation: narrow enough for a phone, and the same on the page and in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from encoders.explain.attention import ATTENTION, Selection
from encoders.explain.estimates import Estimate
from encoders.explain.explanation import Explanation
from encoders.explain.gradients import LEAN, VOLATILITY, Attribution, Part
from encoders.explain.importance import LOSSES, Rise
from encoders.plots import attention_map

CLEAR, UNCLEAR = "#2e86c1", "#b8bec6"
WIDTH = 5.6  # inches
TITLES = {LEAN: "P(up) − P(down), in percentage points", VOLATILITY: "volatility, in bp per bar"}
SCALES = {LEAN: 100.0, VOLATILITY: 1e4}


@dataclass(frozen=True, eq=False)
class Picture:
    name: str
    alt: str
    figure: Figure


def pictures(found: Explanation) -> list[Picture]:
    """In the order of the page."""
    largest = found.about.largest
    weights = "attention weight" if found.hours.source == ATTENTION else "share of integrated gradients"
    drawn = [Picture("hours", f"{weights.capitalize()} of each hour of the window, as bars of the mean over all "
                     "decisions above a heat map of decisions by hours", hours(found))]
    if found.selection:
        drawn += [Picture("selection", "Weights of features as bars", selection(found.selection, largest)),
                  Picture("selection_hours", "Heat map of the weight of each group of features by hour",
                          selection_hours(found.selection))]
    for kind, rises in (("groups", found.importance.groups), ("features", found.importance.columns[:largest])):
        drawn.append(Picture(f"importance_{kind}", f"Rise of each of the three losses without {kind}, as bars with "
                             "intervals", importance(rises)))
    drawn.append(Picture("gradients_groups", "Mean absolute attributions of groups as bars with intervals",
                         gradients({name: one.groups for name, one in found.gradients.items()})))
    drawn.append(Picture("gradients_features", "Mean absolute attributions of the largest features as bars with "
                         "intervals", gradients({name: one.columns[:largest] for name, one in found.gradients.items()},
                                                beside=False)))
    drawn.append(Picture("gradients_hours", "Mean absolute attribution of each hour of the window as bars",
                         gradient_hours(found.gradients)))
    return drawn


def canvas(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def bars(axes: Axes, names: Sequence[str], estimates: Sequence[Estimate], scale: float = 1.0) -> None:
    """Lying bars with their intervals, the first on top; grey where nothing tells them from nothing."""
    places = np.arange(len(names))
    values, low, high = (scale * np.array([getattr(one, part) for one in estimates]) for part in
                         ("value", "low", "high"))
    axes.barh(places, values, height=0.72, color=[CLEAR if one.clear else UNCLEAR for one in estimates])
    axes.hlines(places, low, high, color="black", linewidth=0.9)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.spines[["top", "right"]].set_visible(False)


def hours(found: Explanation) -> Figure:
    figure = attention_map(found.map, found.time)
    figure.set_size_inches(WIDTH, 5.2)
    above, below = figure.axes[:2]
    above.set_title("which bars counted; dotted: all alike", fontsize=10)
    below.set_xlabel("bars before the decision")
    return figure


def selection(found: Selection, largest: int) -> Figure:
    columns = found.columns[:largest]
    figure = canvas(0.6 + 0.21 * len(columns))
    axes = figure.add_subplot()
    bars(axes, [one.name for one in columns], [one.weight for one in columns], 100.0)
    axes.axvline(100 * columns[0].equal, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("mean weight, per cent; dotted: all features alike")
    return figure


def selection_hours(found: Selection) -> Figure:
    table = np.array(list(found.hours.values()))[:, ::-1] * 100  # (G, W) oldest first
    figure = canvas(1.2 + 0.28 * len(table))
    axes = figure.add_subplot()
    image = axes.imshow(table, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0,
                        extent=(table.shape[1] - 0.5, -0.5, len(table) - 0.5, -0.5))
    axes.set_yticks(range(len(table)), list(found.hours))
    axes.set_xlabel("bars before the decision")
    figure.colorbar(image, ax=axes, label="weight, per cent")
    return figure


def importance(rises: Sequence[Rise]) -> Figure:
    figure = canvas(0.9 + 0.21 * len(rises))
    for axes, loss in zip(figure.subplots(1, len(LOSSES), sharey=True), LOSSES):
        bars(axes, [rise.name for rise in rises], [rise.losses[loss] for rise in rises])
        axes.xaxis.set_major_locator(MaxNLocator(2))
        axes.set_title(loss, fontsize=10)
        axes.set_xlabel("rise of the loss", fontsize=9)
    return figure


def gradients(found: dict[str, Sequence[Part]], beside: bool = True) -> Figure:
    """A panel for each output: beside each other where the names are the same few, else one above the other."""
    count = max(len(parts) for parts in found.values())
    figure = canvas((0.9 + 0.24 * count) if beside else 2 * (0.7 + 0.21 * count))
    panels = figure.subplots(1, len(found)) if beside else figure.subplots(len(found), 1)
    for axes, (name, parts) in zip(panels, found.items()):
        bars(axes, [part.name for part in parts], [part.size for part in parts], SCALES[name])
        axes.set_title(TITLES[name], fontsize=9)
    return figure


def gradient_hours(found: dict[str, Attribution]) -> Figure:
    figure = canvas(4.2)
    for axes, (name, one) in zip(figure.subplots(len(found), 1, sharex=True), found.items()):
        ages = np.arange(len(one.hours))
        axes.bar(ages, [SCALES[name] * part.size.value for part in one.hours], width=0.9,
                 color=[CLEAR if part.size.clear else UNCLEAR for part in one.hours])
        axes.set_xlim(len(ages) - 0.5, -0.5)  # shared: to turn it round twice would leave it as it was
        axes.set_title(TITLES[name], fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("bars before the decision")
    return figure
