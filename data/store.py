"""A folder of Parquet files that only ever grows, and a manifest that says what belongs to it.

    store/_manifest.json                                                 the authority: parts, their hashes and origins
    store/kind=spot_binance/asset=BTC/frequency=1h/part-<hash>.parquet   zstd; time, known_at, every column of the kind

Rows are never changed: new ones become a new part, those that are stored already are passed over, and one that differs
from what is stored is refused. A part is written before the manifest names it, so that a process killed at any moment
leaves the store as it was, and perhaps a file that the next `append` clears away.

DuckDB and pandas read the folders of one kind as they stand; several kinds at once need DuckDB's `union_by_name`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import UserError
from configs.registry import check_name
from data.durable import UNFINISHED, make_folder, write_durably
from data.schema import Key

FORMAT = 1
STAMPS = ("time", "known_at")
UTC = "datetime64[us, UTC]"


@dataclass(frozen=True)
class StoredPart:
    file: str  # from the store's folder on
    rows: int
    first: str  # `time` of the first and of the last row
    last: str
    sha256: str  # of the file
    columns: tuple[str, ...]  # values that it was given; the others of the schema are empty in it
    origin: dict[str, Any]
    findings: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Entry:
    """What the manifest says of one table."""

    key: Key
    parts: tuple[StoredPart, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def columns(self) -> list[str]:
        """Every column that any part was given, in the order of the schema."""
        given = {name for part in self.parts for name in part.columns}
        return [name for name in self.key.schema.names if name in given]


@dataclass(frozen=True)
class Appended:
    new: int  # rows that were added
    known: int  # rows whose time was stored already
    kept: int = 0  # of these, rows that differ from what is stored, which stays


class Store:
    """Tables by `Key` in `folder`, which the first `append` makes.

    >>> import tempfile
    >>> store, key = Store(Path(tempfile.mkdtemp()) / "store"), Key("funding", "BTC", "1D")
    >>> days = pd.to_datetime(["2024-01-02", "2024-01-03"], utc=True)
    >>> table = pd.DataFrame({"time": days, "known_at": days, "funding_rate": [1e-4, 2e-4]})
    >>> store.append(key, table, {"by": "hand"}), store.append(key, table, {"by": "hand"})
    (Appended(new=2, known=0, kept=0), Appended(new=0, known=2, kept=0))
    >>> store.read(key, start=days[1])["funding_rate"].tolist(), store.entry(key).parts[0].origin
    ([0.0002], {'by': 'hand'})
    """

    def __init__(self, folder: Path, patience: float = 60.0) -> None:
        self.folder = Path(folder)
        self.patience = patience  # seconds that a write waits for another process to finish its own
        self._thread = threading.RLock()  # the lock of the file holds off processes, this one threads
        self._depth = 0

    def __reduce__(self) -> tuple[type[Store], tuple[Path, float]]:
        return Store, (self.folder, self.patience)  # another process has its own locks

    def keys(self) -> list[Key]:
        return sorted(self._entries())

    def entry(self, key: Key) -> Entry:
        entries = self._entries()
        if key not in entries:
            held = ", ".join(map(str, sorted(entries))) or "nothing yet"
            raise UserError(f"no table {key} in {self.folder}: it holds {held}; scripts/import_data.py fills it")
        return entries[key]

    def read(self, key: Key, start: datetime | None = None, end: datetime | None = None) -> pd.DataFrame:
        """Rows with start <= time <= end on a RangeIndex, rising: time, known_at and the columns that were given.

        Every file that is opened is held against its hash.
        """
        entry = self.entry(key)
        first, last = moment(start), moment(end)
        names = [*STAMPS, *entry.columns]
        tables = [self._load(part).reindex(columns=names) for part in entry.parts
                  if (last is None or pd.Timestamp(part.first) <= last)
                  and (first is None or pd.Timestamp(part.last) >= first)]
        if not tables:
            return pd.DataFrame({name: pd.Series(dtype=UTC if name in STAMPS else float) for name in names})
        table = pd.concat(tables) if len(tables) > 1 else tables[0]
        held = np.ones(len(table), bool)
        held &= (table["time"] >= first).to_numpy() if first is not None else True
        held &= (table["time"] <= last).to_numpy() if last is not None else True
        return table[held].sort_values("time", ignore_index=True)

    def append(self, key: Key, table: pd.DataFrame, origin: Mapping[str, Any],
               findings: Sequence[Mapping[str, Any]] = (),
               on_conflict: Literal["refuse", "keep"] = "refuse") -> Appended:
        """Add the rows whose `time` is not stored. One that differs from what is stored is refused, or kept out.

        A column that `table` lacks says nothing; one that it has and the store has not differs where it has a value.
        """
        check_name("on_conflict", on_conflict, ("refuse", "keep"))
        table = checked(key, table)
        with self.alone():
            parts = entry.parts if (entry := self._entries().get(key)) else ()
            known, kept = np.zeros(len(table), bool), 0
            if parts and len(table):
                stored = self.read(key, table["time"].iloc[0], table["time"].iloc[-1])
                known, differs = compared(stored, table)
                if differs and on_conflict == "refuse":
                    row, why = next(iter(differs.items()))
                    raise UserError(f"{key} at {table['time'].iloc[row]}: {why}, as in {len(differs)} rows in all; the "
                                    "store never changes a row: --on-conflict keep takes the new rows alone, and "
                                    f"--forget {key} makes room for all of them")
                kept = len(differs)
            new = table[~known]
            if len(new):
                part = self._write(key, new, origin, findings)
                self._save({**self._entries(), key: Entry(key, (*parts, part))})
        return Appended(len(new), int(known.sum()), kept)

    def forget(self, key: Key) -> int:
        """Take a table out, and say how many rows it had: the way back from a wrong import."""
        with self.alone():
            entry = self.entry(key)
            self._save({held: kept for held, kept in self._entries().items() if held != key})
            self._tidy()
        return entry.rows

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process writes meanwhile; one that does is waited for, `patience` seconds at most."""
        with self._thread:
            self._depth += 1
            try:
                if self._depth > 1:  # within a block of its own
                    yield
                    return
                make_folder(self.folder)
                lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    self._wait_for(lock)
                    self._tidy()
                    yield
                finally:
                    os.close(lock)
            finally:
                self._depth -= 1

    def _wait_for(self, lock: int) -> None:
        until = time.monotonic() + self.patience
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise UserError(f"another process has been writing to {self.folder} for {self.patience:g} seconds; "
                                    "wait for it to end, then try again") from None
                time.sleep(0.02)

    def _tidy(self) -> None:
        """Clear away what a killed process has left; the first time, say that there is a store."""
        if not self._manifest.exists():
            self._entries()
            self._save({})
        named = {self.folder / part.file for entry in self._entries().values() for part in entry.parts}
        left = [*self._parts(), *self.folder.glob(f".*{UNFINISHED}"), *self.folder.glob(f"kind=*/**/.*{UNFINISHED}")]
        for path in left:
            if path not in named:
                path.unlink()

    @property
    def _manifest(self) -> Path:
        return self.folder / "_manifest.json"

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("kind=*/asset=*/frequency=*/part-*.parquet"))

    def _entries(self) -> dict[Key, Entry]:
        try:
            said = json.loads(self._manifest.read_text())
            if said["format"] != FORMAT:
                raise UserError(f"{self._manifest} is of format {said['format']!r}, and this version reads {FORMAT}; "
                                "import into another folder")
            return {key: Entry(key, tuple(StoredPart(**{**part, "columns": tuple(part["columns"]),
                                                        "findings": tuple(part["findings"])}) for part in parts))
                    for name, parts in said["tables"].items() for key in [Key(*name.split("/"))]}
        except FileNotFoundError:
            if parts := self._parts():
                raise UserError(f"{self._manifest} is missing, yet {parts[0]} is there; bring the manifest back, or "
                                "import into another folder") from None
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self._manifest} is damaged ({' '.join(str(error).split())[:80]}); bring back a copy, or "
                            "import into another folder") from None

    def _save(self, entries: Mapping[Key, Entry]) -> None:
        tables = {str(key): [asdict(part) for part in entries[key].parts] for key in sorted(entries)}
        write_durably(self._manifest, json.dumps({"format": FORMAT, "tables": tables}, indent=1).encode())

    def _load(self, part: StoredPart) -> pd.DataFrame:
        path = self.folder / part.file
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise UserError(f"{path} is missing, which the manifest names; bring back a copy, or import into another "
                            "folder") from None
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise UserError(f"{path} is damaged: its {len(data)} bytes do not have the hash that the manifest names; "
                            "bring back a copy, or import into another folder")
        table = pq.read_table(pa.BufferReader(data), columns=[*STAMPS, *part.columns]).to_pandas()
        return table.astype(dict.fromkeys(STAMPS, UTC))

    def _write(self, key: Key, table: pd.DataFrame, origin: Mapping[str, Any],
               findings: Sequence[Mapping[str, Any]]) -> StoredPart:
        # every part of a kind has every column of it, so that a folder of parts is one table to any reader
        whole = table.reindex(columns=[*STAMPS, *key.schema.names]).astype(dict.fromkeys(key.schema.names, float))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(whole, preserve_index=False).replace_schema_metadata(None), sink,
                       compression="zstd")
        data = sink.getvalue().to_pybytes()
        digest = hashlib.sha256(data).hexdigest()
        file = f"kind={key.kind}/asset={key.asset}/frequency={key.frequency}/part-{digest[:16]}.parquet"
        write_durably(self.folder / file, data)
        first, last = (table["time"].iloc[row].isoformat() for row in (0, -1))
        return StoredPart(file, len(table), first, last, digest, tuple(str(c) for c in table if c not in STAMPS),
                          dict(origin), tuple(map(dict, findings)))


def moment(given: datetime | None) -> pd.Timestamp | None:
    if given is None:
        return None
    stamp = pd.Timestamp(given)
    if stamp.tz is None:
        raise UserError(f"{given} has no time zone; the store's times are UTC: pd.Timestamp('{given}', tz='UTC')")
    return stamp


def checked(key: Key, table: pd.DataFrame) -> pd.DataFrame:
    """`table` as it is stored, if it can be: both stamps in UTC, times rising, values that the schema names."""
    values = [str(name) for name in table.columns if name not in STAMPS]
    if not set(STAMPS) <= set(table.columns) or not values:
        raise UserError(f"a table of {key} needs time, known_at and values; found {', '.join(map(str, table.columns))}")
    for name in values:
        check_name(f"column of {key}", name, key.schema.names)
    for name in STAMPS:
        if not isinstance(table[name].dtype, pd.DatetimeTZDtype) or table[name].isna().any():
            raise UserError(f"{name} of {key} must be UTC times without a gap, found {table[name].dtype}; use "
                            "pd.to_datetime(utc=True)")
    table = table[[*STAMPS, *values]].astype({**dict.fromkeys(STAMPS, UTC), **dict.fromkeys(values, float)})
    step = np.diff(table["time"].to_numpy("datetime64[us]")).astype("int64")
    if (step <= 0).any():
        row = int((step <= 0).argmax()) + 1
        raise UserError(f"times of {key} must rise from row to row: {table['time'].iloc[row]} in row {row} comes after "
                        f"{table['time'].iloc[row - 1]}; sort them and keep one row each")
    return table.reset_index(drop=True)


def compared(stored: pd.DataFrame, table: pd.DataFrame) -> tuple[np.ndarray, dict[int, str]]:
    """(rows,) whether each row of `table` is stored, and those that differ, each with its first difference."""
    place = pd.Index(stored["time"]).get_indexer(pd.Index(table["time"]))
    known = place >= 0
    rows = np.flatnonzero(known)
    differs: dict[int, str] = {}
    for name in table.columns.drop("time"):
        mine = table[name].to_numpy()[known]
        theirs = stored.reindex(columns=[name])[name].to_numpy()[place[known]]
        for at in np.flatnonzero(~((mine == theirs) | (pd.isna(mine) & pd.isna(theirs)))):
            differs.setdefault(int(rows[at]), f"{name} is stored as {theirs[at]} and is now {mine[at]}")
    return known, dict(sorted(differs.items()))
