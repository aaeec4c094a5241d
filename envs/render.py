"""What `env.render()` shows: one line of text, or a picture of the last bars as an array of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from configs.errors import UserError
from data.market import CLOSE, HIGH, LOW, OPEN
from envs import layout as at
from envs.engine import Engine
from envs.recording import COSTS, Fill, Recording

UP, DOWN, INK, FAINT = "#12806a", "#c8503c", "#222222", "#9a9a9a"
# kind of fill, bought or sold -> marker, colour
MARKS = {("order", True): ("^", "#1f5fd0"), ("order", False): ("v", "#c06a00"),
         ("stop", True): ("X", "#b3122f"), ("stop", False): ("X", "#b3122f"),
         ("take_profit", True): ("*", "#7a2fc0"), ("take_profit", False): ("*", "#7a2fc0"),
         ("liquidation", True): ("D", "#000000"), ("liquidation", False): ("D", "#000000")}
MARK_NAMES = {("order", True): "buy", ("order", False): "sell", ("stop", False): "stop", ("stop", True): "stop",
              ("take_profit", False): "take profit", ("take_profit", True): "take profit",
              ("liquidation", False): "liquidation", ("liquidation", True): "liquidation"}
LONGEST_LIST = 4  # positions named in the line of text
PANE_WIDTH = 0.915  # of the picture; what is left is for the axes' numbers
TOP, BOTTOM, GAP = 0.925, 0.055, 0.012


def price_text(price: float) -> str:
    """Two decimals for large prices, five digits for small ones.

    >>> price_text(97123.456), price_text(0.0123456)
    ('97,123.46', '0.012346')
    """
    return f"{price:,.2f}" if abs(price) >= 10 or price == 0 else f"{price:.5g}"


def ansi(engine: Engine, b: int = 0) -> str:
    """Account `b` now, in one line.

    >>> from data.market import Market
    >>> from envs.config import EnvConfig
    >>> engine = Engine(Market.flat(6), EnvConfig(), accounts=1, window=4)
    >>> engine.reset([0])
    >>> ansi(engine)
    '2020-01-01 04:00  BTC 100.00 flat  equity 10,000.00 (+0.00%)  drawdown 0.00%  costs 0.00'
    """
    row, money = int(engine.rows[b]), engine.money[b]
    equity, start = float(money[at.EQUITY]), float(money[at.START])
    costs = float(money[list(COSTS)].sum())
    return "  ".join([
        str(engine.market.time[row].astype("datetime64[m]")).replace("T", " "), *_positions(engine, b, row, equity),
        f"equity {equity:,.2f} ({equity / start - 1:+.2%})", f"drawdown {1 - equity / float(money[at.PEAK]):.2%}",
        f"costs {costs:,.2f}", *at.happened(int(engine.events[b])),
    ])


def _positions(engine: Engine, b: int, row: int, equity: float) -> list[str]:
    """The heaviest positions; of a single asset always its price as well."""
    assets, found = engine.market.assets, []
    for n, asset in enumerate(assets):
        units, entry = engine.holdings[b, n, [at.UNITS, at.ENTRY]].tolist()
        price = float(engine.bars[row, n, at.CLOSE])  # the last one, where there is no bar
        shown = price_text(price)
        if units == 0.0:
            if len(assets) == 1:
                found.append((0.0, f"{asset} {shown} flat"))
            continue
        side = "long" if units > 0 else "short"
        weight, gain = units * price / max(equity, 1e-9 * abs(units) * price), (price / entry - 1.0) * np.sign(units)
        found.append((abs(weight), f"{asset} {shown} {side} {abs(weight):.2f} ({gain:+.2%})"))
    found.sort(key=lambda one: -one[0])
    named = [text for _, text in found[:LONGEST_LIST]]
    rest = len(found) - len(named)
    return [*(named or ["flat"]), *([f"and {rest} more"] if rest else [])]


def picture(recording: Recording, bars: int = 200, size: tuple[int, int] = (960, 640)) -> np.ndarray:
    """(height, width, 3) uint8: the last `bars` bars. One asset: its candles and fills; several: prices over the first.

    >>> from data.market import Market
    >>> from envs.config import EnvConfig
    >>> from envs.recording import Recorder
    >>> engine = Engine(Market.flat(6), EnvConfig(), accounts=1, window=4)
    >>> engine.reset([0])
    >>> picture(Recorder(engine).recording(), size=(480, 320)).shape
    (320, 480, 3)
    """
    if bars < 2 or min(size) < 240:
        raise UserError(f"a picture needs at least 2 bars and 240 pixels a side, found {bars} and {size}; "
                        "the default is 200 bars on (960, 640)")
    figure = _figure(tuple(size))
    for axes in figure.axes:  # not axes.clear(): making the axes' ticks anew takes longer than drawing everything else
        for artist in [*axes.lines, *axes.collections, *axes.texts, *filter(None, [axes.get_legend()])]:
            artist.remove()
    figure.texts.clear()
    _draw(figure, recording, bars)
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[:, :, :3].copy()


@lru_cache(maxsize=2)
def _figure(size: tuple[int, int]) -> Any:
    """A figure with its panes, kept for the next frame: an Agg figure, unknown to pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dpi = 100
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    heights = np.array([4.6, 1.5, 2.0, 1.1, 1.3])
    heights *= (TOP - BOTTOM - GAP * (len(heights) - 1)) / heights.sum()
    top = TOP
    for height in heights:
        _dress(figure.add_axes((0.012, top - height, PANE_WIDTH, height)), lowest=len(figure.axes) == len(heights))
        top -= height + GAP
    return figure


def _dress(axes: Any, lowest: bool) -> None:
    """What stays from frame to frame: numbers on the right, times under the lowest pane only."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.tick_right()
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5 if axes.get_position().height > 0.25 else 3, min_n_ticks=2,
                                              steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.tick_params(axis="both", labelsize=7.5, length=2, colors="#444444")
    axes.tick_params(axis="x", labelbottom=lowest, bottom=lowest)
    axes.grid(alpha=0.22, linewidth=0.6)
    for side in ("left", "top"):
        axes.spines[side].set_visible(False)
    for side in ("right", "bottom"):
        axes.spines[side].set_color("#bbbbbb")


def _draw(figure: Any, recording: Recording, bars: int) -> None:
    points = recording.points
    last = int(points[-1])
    first = max(last - bars + 1, 0)
    k = int(np.searchsorted(points, first))  # the first point in sight
    x, single = points[k:], len(recording.assets) == 1
    prices, position, equity, drawdown, costs = figure.axes
    if single:
        _candles(prices, recording, first)
        _fills(prices, recording, first)
        _steps(position, points[k:], recording.weights[k:, 0], recording, k)
        _label(prices, recording.assets[0])
        _label(position, "position, share of equity (dotted: asked for)")
    else:
        _lines(prices, recording, first)
        _stacked(position, x, recording.weights[k:], _colours(len(recording.assets)))
        _label(prices, "prices over the first bar in sight")
        _label(position, "positions, share of equity, stacked")
    equity.plot(x, recording.equity[k:], color=INK, linewidth=1.2)
    equity.axhline(recording.equity[0], color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)))
    _span(equity, recording.equity[k:])
    _label(equity, "equity (dashed: start)")
    depth = -100 * recording.drawdown[k:]
    drawdown.fill_between(x, depth, step="mid", color=DOWN, alpha=0.35, linewidth=0)
    _span(drawdown, np.append(depth, [0.0, -0.5]), above=0.45)
    _label(drawdown, "drawdown, %")
    _costs(costs, x, recording.costs[k:])
    _time_axis(figure, recording, first, bars)
    gone = recording.equity[-1] / recording.equity[0] - 1
    figure.text(0.012, 0.965, f"{_minute(recording.time[-1])}   step {recording.steps}   equity "
                f"{recording.equity[-1]:,.2f} ({gone:+.2%})   drawdown {recording.drawdown[-1]:.2%}"
                + ("   ruined" if recording.terminated else ""), fontsize=10, va="center", color=INK)


def _candles(axes: Any, recording: Recording, first: int) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    bars = recording.candles[first:, 0]
    x = np.arange(first, first + len(bars))
    there = ~np.isnan(bars[:, CLOSE])
    x, bars = x[there], bars[there]
    colours = np.where(bars[:, CLOSE] >= bars[:, OPEN], UP, DOWN)
    wicks = np.stack([np.stack([x, bars[:, LOW]], 1), np.stack([x, bars[:, HIGH]], 1)], axis=1)  # (R, 2, 2)
    axes.add_collection(LineCollection(list(wicks), colors=colours, linewidths=0.8), autolim=False)
    corners = [(-0.35, OPEN), (0.35, OPEN), (0.35, CLOSE), (-0.35, CLOSE)]
    bodies = np.stack([np.stack([x + dx, bars[:, price]], 1) for dx, price in corners], axis=1)  # (R, 4, 2)
    axes.add_collection(PolyCollection(list(bodies), facecolors=colours, edgecolors=colours, linewidths=0.6),
                        autolim=False)
    _span(axes, bars[:, [LOW, HIGH]], above=0.14)


def _fills(axes: Any, recording: Recording, first: int) -> None:
    step = max(int(np.searchsorted(recording.points, first)) - 1, 0)
    drawn: dict[tuple[str, bool], list[Fill]] = {}
    for fill in recording.each_fill(step):
        if fill.bar >= first:
            drawn.setdefault((fill.kind, fill.units > 0), []).append(fill)
    named: set[str] = set()
    for key, fills in drawn.items():
        marker, colour = MARKS[key]
        name = MARK_NAMES[key]
        axes.scatter([fill.bar for fill in fills], [fill.price for fill in fills], s=90 if marker == "*" else 52,
                     marker=marker, color=colour, edgecolors="white", linewidths=0.7, zorder=3,
                     label="_" if name in named else name)
        named.add(name)
    if named:
        axes.legend(loc="upper right", ncols=len(named), fontsize=7.5, frameon=False, handletextpad=0.1,
                    columnspacing=1.0, borderaxespad=0.1)


def _steps(axes: Any, x: np.ndarray, weights: np.ndarray, recording: Recording, k: int) -> None:
    """The position held, filled by side, and the one asked for. A wish is drawn over the step that carries it out."""
    axes.fill_between(x, np.maximum(weights, 0), step="mid", color=UP, alpha=0.45, linewidth=0)
    axes.fill_between(x, np.minimum(weights, 0), step="mid", color=DOWN, alpha=0.45, linewidth=0)
    asked = recording.wishes[max(k - 1, 0):, 0]
    axes.plot(recording.points[1:][max(k - 1, 0):], asked, color=INK, linewidth=0.9, linestyle=":",
              drawstyle="steps-mid")
    axes.axhline(0, color=FAINT, linewidth=0.7)
    most = max(1.0, float(np.abs(weights).max()), float(np.nanmax(np.abs(asked), initial=0.0)))
    axes.set_ylim(-1.15 * most, 1.5 * most)


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    named = colormaps["tab20"].colors[::2] + colormaps["tab20"].colors[1::2]  # type: ignore[attr-defined]
    return [named[n % len(named)] for n in range(count)]


def _lines(axes: Any, recording: Recording, first: int) -> None:
    closes = recording.candles[first:, :, CLOSE]
    x, colours = np.arange(first, first + len(closes)), _colours(closes.shape[1])
    for n, asset in enumerate(recording.assets):
        there = np.flatnonzero(~np.isnan(closes[:, n]))
        if len(there):
            axes.plot(x, closes[:, n] / closes[there[0], n], color=colours[n], linewidth=1.1, label=asset)
    drawn = np.concatenate([[1.0], *(line.get_ydata() for line in axes.lines)])
    _span(axes, drawn[~np.isnan(drawn)], above=0.22)
    axes.axhline(1.0, color=FAINT, linewidth=0.7)
    shown, names = axes.get_legend_handles_labels()
    if shown:
        axes.legend(shown, names, loc="upper left", ncols=8, fontsize=7.5, frameon=False, handlelength=1.0,
                    columnspacing=0.9, borderaxespad=0.1, bbox_to_anchor=(0.0, 0.93))


def _stacked(axes: Any, x: np.ndarray, weights: np.ndarray, colours: Sequence[Any]) -> None:
    """Longs upwards from zero, shorts downwards."""
    reach = [np.zeros(1)]
    for side in (np.maximum(weights, 0.0), np.minimum(weights, 0.0)):
        edges = np.cumsum(np.column_stack([np.zeros(len(side)), side]), axis=1)
        reach.append(edges[:, -1])
        for n in np.flatnonzero(side.any(axis=0)).tolist():
            axes.fill_between(x, edges[:, n], edges[:, n + 1], step="mid", color=colours[n], linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.7)
    _span(axes, np.concatenate(reach), above=0.4)


def _costs(axes: Any, x: np.ndarray, costs: np.ndarray) -> None:
    for column, (name, style) in enumerate([("fees", "-"), ("slippage", "--"), ("carry", "-."), ("interest", ":")]):
        axes.plot(x, costs[:, column], style, color=INK, linewidth=1.0, label=name)
    _label(axes, "costs so far")
    axes.legend(loc="upper right", ncols=4, fontsize=7, frameon=False, handlelength=2.0, columnspacing=1.0,
                borderaxespad=0.1)
    _span(axes, np.append(costs, 0.0), above=0.5)


def _label(axes: Any, text: str) -> None:
    axes.text(0.003, 0.985, text, transform=axes.transAxes, fontsize=7.5, va="top", color="#555555", zorder=4,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0})


def _span(axes: Any, values: np.ndarray, below: float = 0.06, above: float = 0.3) -> None:
    """Limits round `values`; the room above is for the pane's name."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    reach = (high - low) or 0.01 * abs(high) or 1.0
    axes.set_ylim(low - below * reach, high + above * reach)


def _time_axis(figure: Any, recording: Recording, first: int, bars: int) -> None:
    places = list(range(first, min(first + bars, len(recording.time)), max(bars // 5, 1)))
    for axes in figure.axes:
        axes.set_xlim(first - 1, first + bars)
        axes.set_xticks(places)
    figure.axes[-1].set_xticklabels([_minute(recording.time[place]) for place in places], ha="left")


def _minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")
