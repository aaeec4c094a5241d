"""Pictures of forecasts: whether what was said came true, and which hours counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

CLASSES = ("down", "flat", "up")
COLOURS = ("#c0392b", "#7f8c8d", "#1e8449")
LEAST = 20  # rows in a bin, else its frequency says nothing


def reliability(said: np.ndarray, direction: np.ndarray, covered: Mapping[float, float], bins: int = 10) -> Figure:
    """Frequencies against the probabilities (K, 3) that were said; and the share of returns below each quantile."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    for c, (name, colour) in enumerate(zip(CLASSES, COLOURS)):
        order = np.array_split(np.argsort(said[:, c], kind="stable"), bins)
        points = [(said[part, c].mean(), (direction[part] == c).mean()) for part in order if len(part) >= LEAST]
        left.plot(*zip(*points or [(np.nan, np.nan)]), marker="o", markersize=4, color=colour, label=name)
    left.set(xlabel="probability said", ylabel="share that came true", xlim=(0, 1), ylim=(0, 1),
             title="direction, in bins of equal size")
    left.legend(frameon=False)
    names = [f"p{level * 100:g}" for level in covered]
    right.bar(names, list(covered.values()), width=0.5, color="#2e86c1")
    for place, level in enumerate(covered):
        right.plot([place - 0.35, place + 0.35], [level, level], color="black", linewidth=1.2)
    right.set(ylim=(0, 1), ylabel="share of returns below it", title="quantiles; lines mark where they should be")
    return figure


def attention_map(weights: np.ndarray, time: np.ndarray) -> Figure:
    """Weights (K, W) of each hour in K windows, oldest first, as a heat map over their mean."""
    window = weights.shape[1]
    age = np.arange(window - 1, -1, -1)
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1, 2), sharex=True)
    above.bar(age, weights.mean(axis=0), width=0.9, color="#2e86c1")
    above.axhline(1 / window, color="black", linewidth=0.8, linestyle=":")
    above.set(ylabel="mean weight", title="which hours counted; dotted: all alike")
    image = below.imshow(weights, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0,
                         extent=(window - 0.5, -0.5, len(weights), 0))
    ticks = np.linspace(0, len(weights) - 1, min(6, len(weights))).astype(int)
    below.set_yticks(ticks + 0.5, [str(time[tick].astype("datetime64[h]")) for tick in ticks])
    below.set(xlabel="hours before the decision", ylabel="decision at")
    figure.colorbar(image, ax=below, label="weight")
    return figure
