"""Print the table of encoders, and write it as a page: what each is, what it promises, and how large it is.

    python scripts/list_encoders.py                           # to the terminal
    python scripts/list_encoders.py --out docs/encoders.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from configs.errors import run_script
from configs.loader import parse


@dataclass(frozen=True)
class PageConfig:
    """List the encoders."""

    out: Path | None = None
    """where the page is written, beside being printed"""


def main() -> None:
    config = parse(PageConfig, sys.argv[1:])

    from data.dataset import BUNDLED
    from data.features import FEATURES
    from encoders.page import encoders_page

    text = encoders_page(sum(len(feature.columns) for feature in FEATURES if feature.group in BUNDLED))
    print(text, end="")
    if config.out:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(text)
        print(f"\n{config.out} written")


if __name__ == "__main__":
    run_script(main)
