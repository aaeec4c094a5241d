"""Pictures, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS, STYLES = 10, ("-", "--", ":")  # matplotlib's own ten, then the same ten dashed


def blank(height: float) -> Figure:
    """With margins that are fixed: to have them worked out takes longer than to draw everything."""
    figure = Figure(figsize=(10, height))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.08, right=0.98, top=1 - 0.35 / height, bottom=0.5 / height, hspace=0.06, wspace=0.02)
    return figure


def equity_figure(curves: Mapping[str, np.ndarray], title: str, time: np.ndarray | None = None) -> Figure:
    """Equity over its start, on a logarithmic axis, the last value written beside each curve's name."""
    figure = blank(5.5)
    axes = figure.add_subplot()
    for place, (name, equity) in enumerate(curves.items()):
        relative = np.maximum(equity / equity[0], 1e-3)
        axes.plot(np.arange(len(equity)) if time is None else time, relative, linewidth=1.2,
                  color=f"C{place % COLOURS}", linestyle=STYLES[place // COLOURS % len(STYLES)],
                  label=f"{name} ({relative[-1] - 1:+.1%})")
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_ylabel("equity / start")
    axes.set_xlabel("bars" if time is None else "")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.grid(alpha=0.3)
    axes.set_title(title)
    axes.legend(fontsize=8)
    return figure


def position_figure(time: np.ndarray, weights: np.ndarray, prices: np.ndarray, assets: Sequence[str], title: str
                    ) -> Figure:
    """Weights that were held, over the price of each asset: (K, N) both, `time` (K + 1,) of the closes around them.

    Of one asset as a line; of several as a row of colours each, for lines would hide one another.
    """
    figure = blank(5.5)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2), width_ratios=(1, 0.015 * (len(assets) > 1)))
    price = figure.add_subplot(grid[1, 0])
    held = figure.add_subplot(grid[0, 0], sharex=price)
    held.xaxis.set_visible(False)
    if len(assets) == 1:
        held.plot(time, np.append(weights[:, 0], weights[-1, 0]), drawstyle="steps-post", linewidth=0.8)
        held.fill_between(time[:-1], weights[:, 0], step="post", alpha=0.3)
        held.axhline(0.0, color="grey", linewidth=0.8)
        held.set_ylabel("weight")
        held.locator_params(axis="y", nbins=5)
        held.grid(alpha=0.3)
    else:
        reach = max(float(np.abs(weights).max()), 1e-9)
        drawn = held.pcolormesh(time, np.arange(len(assets) + 1), weights.T, cmap="RdBu", vmin=-reach, vmax=reach)
        figure.colorbar(drawn, cax=figure.add_subplot(grid[0, 1]))
        figure.subplots_adjust(right=0.94)  # its numbers
        held.set_ylabel("weight")
        held.set_yticks(np.arange(len(assets)) + 0.5, assets)
        held.invert_yaxis()
    for n, asset in enumerate(assets):
        there = prices[np.isfinite(prices[:, n]), n]  # an asset may be listed late
        price.plot(time[:-1], prices[:, n] / (there[0] if len(there) else 1.0), color=f"C{n % COLOURS}",
                   linestyle=STYLES[n // COLOURS % len(STYLES)], linewidth=0.8, label=asset)
    held.set_title(title)
    price.set_ylabel("price / start")
    price.locator_params(axis="y", nbins=5)
    price.grid(alpha=0.3)
    price.legend(fontsize=8, loc="upper left", ncols=max(len(assets) // 4, 1))
    return figure


def drawdown_figure(time: np.ndarray, equity: np.ndarray, title: str) -> Figure:
    """How far equity lies below its highest so far."""
    figure = blank(4)
    axes = figure.add_subplot()
    fall = equity / np.maximum.accumulate(equity) - 1
    axes.fill_between(time, fall, color="C3", alpha=0.3)
    axes.plot(time, fall, color="C3", linewidth=0.8, label=f"largest {-fall.min():.1%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    axes.set_ylabel("below the highest equity so far")
    axes.grid(alpha=0.3)
    axes.set_title(title)
    axes.legend(fontsize=8, loc="lower left")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
