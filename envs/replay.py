"""`write_replay`: one episode as one self-contained page that plays it back, bar by bar. It uses no network at all.

The page is put together from `envs/replay_page/`: plain HTML, CSS and JavaScript that run as they stand. Nothing of a
recording is ever run: title and data are escaped, and the page's own policy lets only the script below run, by digest.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from envs.layout import EVENTS
from envs.recording import KINDS, Recording

PAGE = Path(__file__).parent / "replay_page"
SCRIPTS = ("recording", "levels", "scales", "chart", "marks", "controls")  # one scope, in this order


def write_replay(recording: Recording, path: Path | str, title: str) -> None:
    """Write the page; an old one at `path` stays whole until the new one is.

    >>> import tempfile
    >>> from data.market import Market
    >>> from envs.config import EnvConfig
    >>> from envs.engine import Engine
    >>> from envs.recording import Recorder
    >>> engine = Engine(Market.flat(6), EnvConfig(), accounts=1, window=4)
    >>> engine.reset([0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_replay(Recorder(engine).recording(), Path(folder) / "replay.html", "nothing <yet>")
    ...     "<title>nothing &lt;yet&gt;</title>" in (Path(folder) / "replay.html").read_text()
    True
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(replay_page(recording, title), encoding="utf-8")
    os.replace(beside, path)


def replay_page(recording: Recording, title: str) -> str:
    """The page's HTML."""
    body = "\n".join((PAGE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{body}}})();\n'
    parts = {
        "title": html.escape(title),
        "style": (PAGE / "style.css").read_text(encoding="utf-8"),
        "digest": "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        # inside <script>, HTML ends at "</script" and changes its mind at "<!--": no "<" is left to begin either
        "data": json.dumps(embedded(recording)).replace("<", "\\u003c"),
        "script": script,
    }
    # in one pass, so that braces in a title or in data are never taken for a part
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], (PAGE / "page.html").read_text(encoding="utf-8"))


def embedded(recording: Recording) -> dict[str, Any]:
    """What the page reads: arrays as base64, prices in float32 (seven digits), equity in float64."""
    fills = list(recording.each_fill())
    columns = {"step": "u4", "bar": "u4", "asset": "u2", "kind": "u1", "units": "f4", "price": "f4"}
    kinds = {kind: number for number, kind in enumerate(KINDS)}
    filled = {name: [kinds[fill.kind] if name == "kind" else getattr(fill, name) for fill in fills] for name in columns}
    return {
        "assets": list(recording.assets),
        "terminated": recording.terminated,
        "eventNames": list(EVENTS),
        "time": packed(recording.time.astype("datetime64[s]").astype(np.int64), "u4"),
        "point": packed(recording.points, "u4"),
        "candles": packed(recording.candles.transpose(1, 2, 0), "f4"),  # (N, 4, R)
        "weight": packed(recording.weights.T, "f4"),
        "wish": packed(recording.wishes.T, "f4"),
        "equity": packed(recording.equity, "f8"),
        "reward": packed(recording.reward, "f4"),
        "events": packed(recording.events, "u2"),
        "costs": packed(recording.costs, "f4"),
        "fill": {name: packed(np.array(filled[name]), kind) for name, kind in columns.items()},
    }


def packed(values: np.ndarray, kind: str) -> dict[str, str]:
    """Little-endian numbers of `kind` ("f4", "u2", ...) in base64.

    >>> packed(np.array([1, 2]), "u2")
    {'type': 'u2', 'data': 'AQACAA=='}
    """
    raw = np.ascontiguousarray(values, dtype=f"<{kind}").tobytes()
    return {"type": kind, "data": base64.b64encode(raw).decode()}
