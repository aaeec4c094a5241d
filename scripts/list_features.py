"""Write the page of every feature: what it means, how far it looks back, and which presets hold it.

    python scripts/list_features.py             # docs/features.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from configs.errors import run_script
from configs.loader import parse


@dataclass(frozen=True)
class PageConfig:
    """Write the page of features."""

    out: Path = Path("docs/features.md")
    """where the page is written"""


def main() -> None:
    config = parse(PageConfig, sys.argv[1:])

    from data.features.page import page

    config.out.parent.mkdir(parents=True, exist_ok=True)
    config.out.write_text(page())
    print(f"{config.out} written")


if __name__ == "__main__":
    run_script(main)
