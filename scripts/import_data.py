"""Files of bars, on-chain metrics, rates and the like into the store, checked on the way; a rerun changes nothing.

    python scripts/import_data.py my_data --store store
    python scripts/import_data.py kraken.csv --kind spot_kraken --asset BTC
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from configs.errors import UserError, run_script
from configs.loader import parse
from data.sources.config import ReadConfig


@dataclass(frozen=True)
class ImportConfig(ReadConfig):
    """Read files in any of the known layouts, look for what is wrong with them, and add what is new to the store."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Parquet and CSV files, and folders of them"""
    store: Path = Path("store")
    """the folder that is added to; made if there is none"""
    forget: tuple[str, ...] = ()
    """tables to take out of the store before anything is imported, such as spot_kraken/BTC/1h"""
    on_bad: Literal["refuse", "drop", "keep"] = "refuse"
    """a table found faulty is refused, or taken without the faulty rows and cells, or kept as it is; a check may blame
    a row for what came after it, which no trader knew: runs say how many rows were left out"""
    on_conflict: Literal["refuse", "keep"] = "refuse"
    """a table whose rows differ from stored ones is refused, or only its new rows are taken; stored rows stay"""


def main() -> None:
    config = parse(ImportConfig, sys.argv[1:])
    if not config.paths and not config.forget:
        raise UserError("name files or folders: python scripts/import_data.py my_data")

    from data.importing import import_files
    from data.schema import key_of
    from data.store import Store

    store = Store(config.store)
    for name in config.forget:
        print(f"{name}: {store.forget(key_of(name)):,} rows taken out of {config.store}")
    if not config.paths:
        return
    done = import_files(config.paths, store, config.on_bad, config.on_conflict, print_now, **config.how)
    refused = [imported for imported in done if imported.refusal]
    new, known = sum(imported.new for imported in done), sum(imported.known for imported in done)
    found = f"{new:,} rows new, {known:,} known" if new else f"nothing new, {known:,} rows were there already"
    print(f"{len(done) - len(refused)} of {len(done)} tables taken into {config.store}: {found}")
    if any(imported.findings for imported in done):
        print(f"what was found, row by row: python scripts/check_data.py --store {config.store}")
    if refused:
        names = ", ".join(str(imported.key or imported.path) for imported in refused)
        raise UserError(f"{len(refused)} of {len(done)} tables refused, for the reasons above: {names}")


def print_now(imported: object) -> None:
    print(imported, flush=True)


if __name__ == "__main__":
    run_script(main)
