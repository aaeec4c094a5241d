"""A small market without a leak, for leaks to be planted in, and what an audit has named."""

from __future__ import annotations

from dataclasses import replace

from data.causality import Audit
from data.dataset import build, load_raw
from data.simulator.config import SimulatorConfig
from tests.agents.small import DATA

CONFIG = replace(DATA, simulator=SimulatorConfig(bars=900, edge=0.9))
RAW = load_raw(CONFIG)
HONEST = build(RAW, CONFIG)
LAST = HONEST.split.train.stop - 1  # the last row that teaches
LATER = HONEST.split.valid.start + 20


def names_of(found: Audit) -> set[str]:
    return {finding.output for finding in found.findings}


def columns_of(found: Audit, output: str) -> set[str]:
    return {finding.column for finding in found.findings if finding.output == output}
