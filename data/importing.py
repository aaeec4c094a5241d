"""Files into the store: read, checked against one another, and taken, cleaned or refused, each table for itself."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from configs.errors import UserError
from configs.registry import check_name
from data.quality import check_table
from data.quality.finding import SEVERITIES, Finding
from data.schema import Key
from data.sources.files import READERS
from data.sources.readers import Reading, read_file
from data.store import STAMPS, Store

ON_BAD = ("refuse", "drop", "keep")


@dataclass(frozen=True, eq=False)
class Imported:
    """What became of one table, or of a file in which none could be read."""

    path: Path
    key: Key | None = None
    new: int = 0  # rows added to the store
    known: int = 0  # rows it had
    kept: int = 0  # of these, rows that differ from what is stored, which stays
    left_out: int = 0  # rows that were guilty of a finding
    emptied: int = 0  # cells that were
    first: pd.Timestamp | None = None  # `time` of the first and of the last row
    last: pd.Timestamp | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""  # why nothing was taken

    def __str__(self) -> str:
        name = str(self.key or self.path.name)
        file = f"  ({self.path.name})" if self.key else ""
        if self.refusal:
            return f"{name:<32} refused: {self.refusal}{file}"
        severities = Counter(finding.severity for finding in self.findings)
        said = [f"{self.new:>7,} new {self.known:>7,} known", f"{self.first:%Y-%m-%d} .. {self.last:%Y-%m-%d}",
                ", ".join(f"{severities[name]} {name}" for name in SEVERITIES if severities[name])]
        also = {"rows left out": self.left_out, "cells emptied": self.emptied,
                "rows differ from what is stored, which stays": self.kept}
        said += [f"{count:,} {what}" for what, count in also.items() if count]
        return f"{name:<32} " + "  ".join(filter(None, said)) + file


class References(Mapping[Key, pd.DataFrame]):
    """The tables that one may be compared with, read when asked: what is stored, and this import's rows over it."""

    def __init__(self, batch: Sequence[Reading], store: Store) -> None:
        self.store = store
        self.stored = set(store.keys())
        self.batch: dict[Key, list[pd.DataFrame]] = {key: [] for key in self.stored}
        for reading in batch:
            self.batch.setdefault(reading.key, []).append(reading.table)
        self.tables: dict[Key, pd.DataFrame] = {}

    def __getitem__(self, key: Key) -> pd.DataFrame:
        if key not in self.tables:
            table = self.store.read(key) if key in self.stored else None
            for newer in self.batch[key]:
                table = newer if table is None else laid_over(table, newer)
            assert table is not None
            self.tables[key] = table
        return self.tables[key]

    def with_new(self, key: Key, table: pd.DataFrame) -> pd.DataFrame:
        """`table` in its place among the stored rows and those that come with it."""
        return laid_over(self[key], table)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.batch)

    def __len__(self) -> int:
        return len(self.batch)


def laid_over(stored: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame:
    """Rows by time; where both have one, the newer's.

    >>> days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"], utc=True)
    >>> old, new = pd.DataFrame({"time": days[:2], "x": [1.0, 2.0]}), pd.DataFrame({"time": days[1:], "x": [5.0, 6.0]})
    >>> laid_over(old, new)["x"].tolist()
    [1.0, 5.0, 6.0]
    """
    kept = stored[~stored["time"].isin(newer["time"])]
    return pd.concat([kept, newer]).sort_values("time", kind="stable", ignore_index=True)


def checked_with(stored: pd.DataFrame, key: Key, table: pd.DataFrame, references: Mapping[Key, pd.DataFrame]
                 ) -> list[Finding]:
    """What is wrong with `table` in its place among the stored rows, `stored` holding both; rows are those of `table`.

    A fault may show only across the seam: a unit that changes there, rows that come a second time.
    """
    own = stored["time"].isin(table["time"]).to_numpy()
    found = []
    for finding in check_table(key, stored, references):
        if finding.bad is not None and len(finding.bad) == len(own):
            if finding.bad[own].any():
                found.append(replace(finding, bad=finding.bad[own], rows=int(finding.bad[own].sum())))
        elif finding.last >= table["time"].iloc[0] and finding.first <= table["time"].iloc[-1]:
            found.append(finding)
    return found


def import_files(paths: Sequence[Path], store: Store, on_bad: Literal["refuse", "drop", "keep"] = "refuse",
                 on_conflict: Literal["refuse", "keep"] = "refuse",
                 tell: Callable[[Imported], object] = lambda imported: None, **how: Any) -> list[Imported]:
    """Every table of `paths` (files, or folders of them) into `store`; `how` is for `read_file`, and `tell`
    hears of each table when it is done.

    A table with a finding of severity `refuse` is refused, or taken without the guilty rows (of bars) or cells (of
    anything else), or kept as it is, as `on_bad` says; the findings go into the manifest. A refused one does not stop
    the others.
    """
    check_name("on_bad", on_bad, ON_BAD)
    read, unreadable = readings_of(files_in(paths, store.folder), **how)
    done = [Imported(path, refusal=why) for path, why in unreadable]
    for imported in done:
        tell(imported)
    with store.alone():
        references = References([reading for _, reading in read], store)
        for path, reading in read:
            done.append(import_table(path, reading, store, references, on_bad, on_conflict))
            tell(done[-1])
    return done


def readings_of(files: Sequence[Path], **how: Any) -> tuple[list[tuple[Path, Reading]], list[tuple[Path, str]]]:
    """Every table of `files`, and the files that could not be read, each with the reason."""
    read: list[tuple[Path, Reading]] = []
    unreadable: list[tuple[Path, str]] = []
    for path in files:
        try:
            read += [(path, reading) for reading in read_file(path, **how)]
        except UserError as error:
            unreadable.append((path, str(error)))
    return read, unreadable


def files_in(paths: Sequence[Path], store: Path) -> list[Path]:
    """The Parquet and CSV files among `paths` and in the folders among them, those of the store itself aside."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"no file or folder at {path}; name Parquet or CSV files, or a folder of them")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        files = [file for file in inside if path.is_file() or (file.is_file() and file.suffix in READERS)]
        files = [file for file in files if store.resolve() not in file.resolve().parents]
        if not files:
            raise UserError(f"{path} holds no file that ends in {' or '.join(READERS)}; name another folder")
        found += files
    return list(dict.fromkeys(found))


def import_table(path: Path, reading: Reading, store: Store, references: References, on_bad: str,
                 on_conflict: Literal["refuse", "keep"]) -> Imported:
    key, table = reading.key, reading.table
    findings = tuple(checked_with(references.with_new(key, table), key, table, references))
    outcome = Imported(path, key, findings=findings, notes=reading.notes)
    grave = [finding for finding in findings if finding.severity == "refuse"]
    try:
        if grave and on_bad == "refuse":
            more = f" (and {len(grave) - 1} more)" if len(grave) > 1 else ""
            raise UserError(f"{grave[0].message}{more}; --on-bad drop leaves out what is guilty, --on-bad keep takes "
                            "it as it is")
        if on_bad == "drop":
            table, emptied = without(table, key, grave)
            outcome = replace(outcome, emptied=emptied)
        table = table.drop_duplicates("time", ignore_index=True)  # of two rows kept on request, one can be stored
        outcome = replace(outcome, left_out=len(reading.table) - len(table))
        if not len(table):
            raise UserError("every row is guilty of something; --on-bad keep takes them as they are")
        origin = {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                  "notes": list(reading.notes), "on_bad": on_bad, "left_out": outcome.left_out,
                  "emptied": outcome.emptied}
        appended = store.append(key, table, origin, [finding.plain() for finding in findings], on_conflict)
    except UserError as error:
        return replace(outcome, refusal=str(error))
    return replace(outcome, new=appended.new, known=appended.known, kept=appended.kept, first=table["time"].iloc[0],
                   last=table["time"].iloc[-1])


def without(table: pd.DataFrame, key: Key, grave: Sequence[Finding]) -> tuple[pd.DataFrame, int]:
    """`table` without the rows (of bars) or cells (of anything else) that `grave` blames, and how many cells it lost.

    >>> import numpy as np
    >>> table = pd.DataFrame({"time": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True), "vix": [1.0, 2.0]})
    >>> one = Finding("", "refuse", Key("markets", "all", "1D"), "vix", *table["time"], 1, "", np.array([True, False]))
    >>> without(table.assign(gold=3.0), one.key, [one])[0][["vix", "gold"]].values.tolist()
    [[nan, 3.0], [2.0, 3.0]]
    """
    values = [name for name in table.columns if name not in STAMPS]
    guilty = pd.DataFrame(False, index=table.index, columns=values)
    for finding in grave:
        if finding.bad is None:
            raise UserError(f"{finding.message}; that is the whole table and not some rows, so --on-bad drop is no way "
                            "out; --on-bad keep takes it as it is")
        columns = [finding.column] if finding.column in values and not key.schema.is_bars else values
        guilty.loc[finding.bad, columns] = True
    had = table[values].notna()
    left = table.assign(**{name: table[name].mask(guilty[name]) for name in values})
    rows = left[values].notna().any(axis=1)
    return left[rows].reset_index(drop=True), int((had & guilty)[rows].to_numpy().sum())
