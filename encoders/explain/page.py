"""`explanation_page`: an explanation as one page of HTML without a script, which uses no network at all.

It is made from what `explain.json` holds, so the two cannot differ. Each estimate carries the way to it in `data-of`.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from encoders.explain.attention import ATTENTION
from encoders.explain.gradients import LEAN, OUTPUTS
from encoders.explain.importance import LOSSES, SUM
from encoders.explain.pictures import Picture
from encoders.explain.words import before, written
from encoders.score_table import ENOUGH_BLOCKS

HERE = Path(__file__).parent
NAMED_HOURS = 5
HEADS = {"direction": "direction, log loss", "quantiles": "quantiles, pinball", "volatility": "volatility, QLIKE",
         SUM: "sum"}
SAYS = {LEAN: ("The score P(up) − P(down)", "percentage points", "points"),
        "volatility": ("The volatility forecast", "bp (0.01 %) of a bar's log return", "bp")}


def explanation_page(found: Mapping[str, Any], drawn: Sequence[Picture]) -> str:
    """From `Explanation.plain()` and its pictures."""
    images = {picture.name: image(picture) for picture in drawn}
    parts = [about(found), hours(found, images), *([selection(found, images)] if found["selection"] else []),
             importance(found, images), gradients(found, images)]
    filled = {"title": html.escape(f"What the {found['about']['encoder']} looks at"),
              "style": (HERE / "style.css").read_text(encoding="utf-8"), "body": "\n".join(parts)}
    return re.sub(r"\{\{(\w+)\}\}", lambda part: filled[part[1]], (HERE / "page.html").read_text(encoding="utf-8"))


def image(picture: Picture) -> str:
    """An SVG within an `img`: sharp at every width, and nothing in it can run or fetch."""
    alt = html.escape(picture.alt)
    return f'<img alt="{alt}" title="{alt}" src="data:image/svg+xml;base64,{svg(picture.figure, picture.name)}">'


def svg(figure: Figure, salt: str) -> str:
    written = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt}):  # the same page from the same numbers
        figure.savefig(written, format="svg", metadata={"Date": None})
    return base64.b64encode(written.getvalue()).decode()


def about(found: Mapping[str, Any]) -> str:
    facts = found["about"]
    narrow = " So few blocks make intervals too narrow." if facts["blocks"] < ENOUGH_BLOCKS else ""
    stream = ("" if facts["context"] == "window" else
              f"<p class=said>This checkpoint embeds a carried stream. Here each window of {facts['window']} bars is "
              "read from an empty state: what the state remembers from before the window is not explained.</p>")
    several = ("" if len(facts["assets"]) == 1 else " Numbers are means over the assets where no asset is named.")
    return f"""<p class=said>Everything here is measured on {facts['rows']:,} <b>validation</b> rows,
{when(facts['first'])} to {when(facts['last'])}. The test rows were not looked at.</p>
{stream}<p class=facts>Windows of {facts['window']} bars, {facts['columns']} features, of
{html.escape(', '.join(facts['assets']))}.{several} Checkpoint {facts['checkpoint']}, market {facts['market']}.</p>
<p class=facts>Small numbers are {100 * facts['level']:g} % intervals: stationary bootstrap over decisions,
{facts['draws']:,} draws, mean block {facts['block']:.0f} bars ({facts['blocks']:.0f} blocks).{narrow} What such an
interval cannot tell from nothing, or from an equal share, is grey and marked. The views answer different questions and
need not agree: where a model looks is not yet what it needs, and none of them says what causes prices to move.</p>"""


def when(time: str) -> str:
    return html.escape(time.replace("T", " "))


def hours(found: Mapping[str, Any], images: Mapping[str, str]) -> str:
    view, bar = found["hours"], found["about"]["bar"]
    order = sorted(range(len(view["hours"])), key=lambda place: -view["hours"][place]["weight"]["value"])
    lines = []
    for place in order[:NAMED_HOURS]:
        hour = view["hours"][place]
        alike = "" if hour["weight"]["clear"] else ", not to be told from an equal share"
        weight = number(hour["weight"]["value"], f"hours.hours.{place}.weight.value", "share", "b")
        lines.append(f"<li>{before(hour['age'], bar)}: {weight}{alike}</li>")
    source = ("The model gives each bar of the window a weight; the weights of a decision add up to 1." if
              view["source"] == ATTENTION else "<b>This model keeps no weights of hours.</b> In their place stand "
              "integrated gradients of P(up) − P(down) by hour, absolute, as shares of each decision's sum.")
    return f"""<h2>Which hours</h2>
<p>{source} All alike, each would have {written(view['equal'], 'share')}.</p>
<ol>{''.join(lines)}</ol>
{images['hours']}"""


def selection(found: Mapping[str, Any], images: Mapping[str, str]) -> str:
    view, largest = found["selection"], found["about"]["largest"]
    captions = {"groups": "Groups", "columns": f"Features, the {min(largest, len(view['columns']))} largest"}
    tables = [table(("", "mean weight", "all alike"), (
        (one["name"], cell(one["weight"], f"selection.{kind}.{place}.weight", "share", "equal"),
         f"<td>{written(one['equal'], 'share')}</td>") for place, one in enumerate(view[kind][:largest])), caption)
        for kind, caption in captions.items()]
    return f"""<h2>Which features it selects</h2>
<p>The model weighs the features of every bar; the weights of a bar add up to 1. Means over decisions and bars.</p>
{tables[0]}{images['selection_hours']}{images['selection']}{tables[1]}"""


def importance(found: Mapping[str, Any], images: Mapping[str, str]) -> str:
    view, facts = found["importance"], found["about"]
    losses = ", ".join(f"{HEADS[name]} {number(view['losses'][name], f'importance.losses.{name}', 'plain')}"
                       for name in LOSSES)
    return f"""<h2>What it cannot do without</h2>
<p>How much each validation loss rises when a group of features is taken from other windows: whole windows, all columns
of the group together, from at least {view['apart']:,} bars away, mean of {facts['repeats']} times. As they are:
{losses}.</p>
<h3>Groups of features</h3>
{rises(found, 'groups')}{images['importance_groups']}{by_asset(found, 'importance', 'groups')}
<h3>Features, the {min(facts['largest'], len(view['columns']))} that are missed most</h3>
<p class=note>A feature alone may show nothing where another tells the same: then only the group matters. And
by chance about one in twenty features that tell nothing is not marked as such.</p>
{images['importance_features']}{rises(found, 'columns')}"""


def rises(found: Mapping[str, Any], kind: str) -> str:
    shown = enumerate(found["importance"][kind][:found["about"]["largest"]])
    return table(("", *HEADS.values()), (
        (one["name"], *(cell(one["losses"][loss], f"importance.{kind}.{place}.losses.{loss}", "loss")
                        for loss in HEADS)) for place, one in shown), "Rise of the loss")


def gradients(found: Mapping[str, Any], images: Mapping[str, str]) -> str:
    facts, told = found["about"], []
    for output in OUTPUTS:
        title, words, unit = SAYS[output]
        way, sums = f"gradients.{output}", found["gradients"][output]["completeness"]
        told.append(f"""<h3>{title}</h3>
<p class=note>In {words}. Completeness: the attributions of a decision add up to what the model says less what it says
of the baseline. That difference is {number(sums['difference'], f'{way}.completeness.difference', unit)} in the
mean; the sum misses it by {number(sums['error'], f'{way}.completeness.error', unit + '_error')} in the mean and by
{number(sums['largest'], f'{way}.completeness.largest', unit + '_error')} at most. An attribution below the mean
error counts as nothing.</p>
{parts(found, output, 'groups', unit)}{by_asset(found, way, 'groups', unit)}""")
    features = "".join(f"<h3>{SAYS[output][0]}: the largest features</h3>"
                       f"{parts(found, output, 'columns', SAYS[output][2])}" for output in OUTPUTS)
    return f"""<h2>What each number adds</h2>
<p>Integrated gradients (Sundararajan, Taly and Yan 2017), {facts['nodes']} points on the path from a window of zeros,
which on the scale of the features is the middle (the median) of the training rows. <i>Size</i> is the mean absolute
attribution, <i>push</i> the mean with its sign: what pushes up as often as down has
size but no push. The volatility that a plain rule expects from past prices, of which the model's forecast is a
multiple, stays as it is.</p>
{''.join(told)}{images['gradients_groups']}
<h3>By hour</h3>
{images['gradients_hours']}
<h3>By feature</h3>
{images['gradients_features']}{features}"""


def parts(found: Mapping[str, Any], output: str, kind: str, unit: str) -> str:
    shown = enumerate(found["gradients"][output][kind][:found["about"]["largest"]])
    return table(("", "size", "push"), (
        (one["name"], cell(one["size"], f"gradients.{output}.{kind}.{place}.size", unit),
         cell(one["push"], f"gradients.{output}.{kind}.{place}.push", f"{unit}_push")) for place, one in shown),
        "Mean attribution")


def by_asset(found: Mapping[str, Any], way: str, kind: str, unit: str = "loss") -> str:
    """A table of the groups by asset; nothing where there is one asset."""
    assets = found["about"]["assets"]
    view: Any = found
    for key in way.split("."):
        view = view[key]
    if len(assets) == 1:
        return ""
    said = "Rise of the sum of the losses, by asset" if unit == "loss" else "Size by asset"
    return table(("", *assets), (
        (one["name"], *(cell(one["assets"][asset], f"{way}.{kind}.{place}.assets.{asset}", unit) for asset in assets))
        for place, one in enumerate(view[kind])), said)


def table(head: Sequence[str], rows: Iterator[tuple[str, ...]], caption: str) -> str:
    """The first cell of each row is a name, the others are cells already."""
    heads = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in head)
    lines = "".join(f"<tr><th scope=row>{breakable(name)}</th>{''.join(cells)}</tr>" for name, *cells in rows)
    return (f"<div class=wide><table><caption>{html.escape(caption)}</caption><thead><tr>{heads}</tr></thead>"
            f"<tbody>{lines}</tbody></table></div>")


def breakable(name: str) -> str:
    """Long names of features break where a person would."""
    return html.escape(name).replace("_", "_<wbr>")


def cell(estimate: Mapping[str, Any], way: str, unit: str, unclear: str = "zero") -> str:
    """`unclear` is what the interval cannot tell the value from: zero, or an equal share."""
    kind = "" if estimate["clear"] else f' class="{unclear}"'
    low, high = (written(estimate[end], unit) for end in ("low", "high"))
    return f"<td{kind}>{number(estimate['value'], f'{way}.value', unit, 'b')}<small>{low} to {high}</small></td>"


def number(value: float | None, way: str, unit: str, tag: str = "span") -> str:
    """`way` leads to the value in the JSON."""
    return f'<{tag} data-of="{html.escape(way)}" data-unit="{unit}">{written(value, unit)}</{tag}>'
