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


@dataclass(frozen=True)
class ImportConfig:
    """Read files in any of the known layouts, look for what is wrong with them, and add what is new to the store."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Parquet and CSV files, and folders of them"""
    store: Path = Path("store")
    """the folder that is added to; made if there is none"""
    kind: str = ""
    """what the tables are, such as spot_kraken, where the files' columns and names do not say"""
    asset: str = ""
    """likewise whose they are, such as BTC; all for tables that speak of the whole market"""
    on_bad: Literal["refuse", "drop", "keep"] = "refuse"
    """a table found faulty is refused, or taken without the faulty rows and cells, or kept as it is"""
    on_conflict: Literal["refuse", "keep"] = "refuse"
    """a table whose rows differ from stored ones is refused, or only its new rows are taken; stored rows stay"""
    date_format: str = ""
    """form of dates that can be read in two ways, such as %d-%m-%Y; s, ms, us or ns for numbers since 1970"""
    stamp: Literal["start", "end"] = "start"
    """whether a row's time is the start of its period, as exchanges write it, or the end"""
    assume_utc: bool = False
    """take times without a zone as UTC instead of refusing them"""


def main() -> None:
    config = parse(ImportConfig, sys.argv[1:])
    if not config.paths:
        raise UserError("name files or folders: python scripts/import_data.py my_data")

    from data.importing import import_files
    from data.store import Store

    done = import_files(config.paths, Store(config.store), config.on_bad, config.on_conflict, kind=config.kind,
                        asset=config.asset, date_format=config.date_format, stamp=config.stamp,
                        assume_utc=config.assume_utc)
    for imported in done:
        print(imported)
    refused = [imported for imported in done if imported.refusal]
    new, known = sum(imported.new for imported in done), sum(imported.known for imported in done)
    found = f"{new:,} rows new, {known:,} known" if new else f"nothing new, {known:,} rows were there already"
    print(f"{len(done) - len(refused)} of {len(done)} tables taken into {config.store}: {found}")
    if refused:
        names = ", ".join(str(imported.key or imported.path) for imported in refused)
        raise UserError(f"{len(refused)} of {len(done)} tables were refused, for the reasons above: {names}")


if __name__ == "__main__":
    run_script(main)
