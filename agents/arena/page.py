"""A report as sections, written as Markdown with pictures beside it, and as one page that needs nothing else."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from agents.plots import save_figure
from encoders.score_table import as_markdown

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --line: #d8dde3; --soft: #f4f6f8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --paper: #16191d; --line: #363c44; --soft: #20252b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.verdict { padding: .8rem 1rem; border-left: .3rem solid #1f77b4; background: var(--soft); }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .82rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
thead th { background: var(--soft); cursor: pointer; } thead th:first-child { background: var(--soft); }
figure { margin: 1rem 0; max-width: 62rem; padding: .4rem; background: #fff; border: 1px solid var(--line); }
figure svg { display: block; width: 100%; height: auto; }
pre { overflow-x: auto; padding: .6rem; background: var(--soft); font-size: .8rem; } code { font-size: .85em; }
@media print { body { max-width: none; font-size: 11px; } h2, figure, table { break-inside: avoid; }
  .wide { overflow: visible; } table { font-size: 7px; } }
"""
SORT = """
for (const head of document.querySelectorAll("thead th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], place = head.cellIndex;
  const worth = row => { const text = row.cells[place].innerText.replace(/,/g, "");
    const number = parseFloat(text); return isNaN(number) ? text : number; };
  const up = head.dataset.up !== "1"; head.dataset.up = up ? "1" : "0";
  const order = (a, b) => { const x = worth(a), y = worth(b);
    return (typeof x === typeof y ? (x > y) - (x < y) : typeof x === "number" ? -1 : 1) * (up ? 1 : -1); };
  [...body.rows].sort(order).forEach(row => body.append(row));
});
"""


@dataclass(frozen=True, eq=False)
class Section:
    """Text, then tables with a caption each, then pictures by name with what they show."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[tuple[str, pd.DataFrame], ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()
    code: str = ""


def write_report(title: str, sections: Sequence[Section], figures: Mapping[str, Figure], folder: Path) -> None:
    """`report.md` with its pictures, and `report.html`."""
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png")
    (folder / "report.md").write_text(markdown(title, sections))
    (folder / "report.html").write_text(page(title, sections, figures))


def markdown(title: str, sections: Sequence[Section]) -> str:
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
        for caption, table in section.tables:
            parts += [*([f"{caption}:"] if caption else []), as_markdown(table)]
        parts += [f"![{shows}]({name}.png)" for name, shows in section.pictures]
        parts += [f"```\n{section.code}\n```"] if section.code else []
    return "\n\n".join(parts) + "\n"


def page(title: str, sections: Sequence[Section], figures: Mapping[str, Figure]) -> str:
    """One file without a request to anywhere: style, script and pictures stand in it.

    The first section is set apart as what the page has to say.
    """
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for place, section in enumerate(sections):
        inside = [f"<p>{marked(line)}</p>" for line in section.text]
        parts += [f"<h2>{html.escape(section.title)}</h2>",
                  *(['<div class="verdict">', *inside, "</div>"] if place == 0 else inside)]
        for caption, table in section.tables:
            parts += [*([f"<p>{marked(caption)}:</p>"] if caption else []), f'<div class="wide">{tabled(table)}</div>']
        parts += [f'<figure role="img" aria-label="{html.escape(shows)}">{drawn(figures[name])}</figure>'
                  for name, shows in section.pictures]
        parts += [f"<pre>{html.escape(section.code)}</pre>"] if section.code else []
    body = "\n".join(parts)
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{STYLE}</style></head>\n'
            f"<body>\n{body}\n<script>{SORT}</script>\n</body></html>\n")


def marked(text: str) -> str:
    """What a line of Markdown here may hold: bold words and code.

    >>> marked("**No** `a < b`")
    '<strong>No</strong> <code>a &lt; b</code>'
    """
    safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text, quote=False))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", safe)


def tabled(table: pd.DataFrame) -> str:
    names = [str(table.index.name or ""), *map(str, table.columns)]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows = "\n".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in (name, *cells)) + "</tr>"
                     for name, *cells in table.itertuples(name=None))
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"


def drawn(figure: Figure) -> str:
    """As SVG whose text is text, without the date and the head that a file would have."""
    written = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "coinarena"}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"^.*?(?=<svg)", "", written.getvalue(), flags=re.DOTALL)
