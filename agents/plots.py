"""Pictures, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS, STYLES = 10, ("-", "--", ":")  # matplotlib's own ten, then the same ten dashed


def equity_figure(curves: Mapping[str, np.ndarray], title: str, time: np.ndarray | None = None) -> Figure:
    """Equity over its start, on a logarithmic axis, the last value written beside each curve's name."""
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
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


def save_figure(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
