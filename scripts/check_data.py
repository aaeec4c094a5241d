"""What is wrong with files of market data, or with what the store holds; exit status 1 if something is to be refused.

    python scripts/check_data.py my_data
    python scripts/check_data.py --store store --out quality.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from configs.errors import UserError, run_script
from configs.loader import parse
from data.sources.config import ReadConfig


@dataclass(frozen=True)
class CheckConfig(ReadConfig):
    """Check files as they are found, beside one another and beside the store; without any, check the store itself."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Parquet and CSV files, and folders of them"""
    store: Path = Path("store")
    """the folder that scripts/import_data.py fills"""
    out: Path = Path("quality.md")
    """where the whole report goes; the same as JSON beside it"""


def main() -> None:
    config = parse(CheckConfig, sys.argv[1:])
    if config.out.suffix != ".md":
        raise UserError(f"out is to be a Markdown file, found {config.out}; the JSON comes beside it: --out quality.md")

    from data.importing import References, files_in, readings_of
    from data.quality import Finding, check_table, save_report, worst
    from data.quality.report import counts, worst_first
    from data.schema import Key
    from data.store import Store

    store = Store(config.store)
    read, unreadable = readings_of(files_in(config.paths, store.folder), **config.how)
    readings = [reading for _, reading in read]
    references = References(readings, store)
    if not references and not unreadable:
        raise UserError(f"nothing to check: {config.store} holds no table; name files, or import some with "
                        "scripts/import_data.py")
    checked = [(r.key, r.table) for r in readings] or [(key, references[key]) for key in references]
    findings: dict[Key, list[Finding]] = {}
    for key, table in checked:
        findings.setdefault(key, []).extend(check_table(key, table, references))
    for key in worst_first(findings):
        print(f"{key!s:<32} {len(references[key]):>7,} rows  {counts(findings[key])}")
        for finding in findings[key]:
            if finding.severity == "refuse":
                print(f"    {finding.check}: {finding.message}")
    save_report(config.out, findings, references)
    print(f"everything found is in {config.out} and {config.out.with_suffix('.json')}")
    for path, why in unreadable:
        print(f"{path} cannot be read: {why}")
    if unreadable or any(worst(found) == "refuse" for found in findings.values()):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
