"""Tables as files have them, told by their layout: named and stamped as the schema says, never mended.

What is wrong with the values is for `data.quality` to find. Here rows are sorted, rows that repeat another in every
value are left out, and so is what the schema does not know; each is noted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from configs.errors import UserError
from configs.registry import check_name, did_you_mean
from data.schema import EVERY_ASSET, SCHEMAS, Key, Schema, schema_of
from data.sources.dates import usual_step, utc_times
from data.sources.files import TIME_NAMES, open_table
from data.sources.layouts import LAYOUTS, Layout, Part, named

NAMELESS = ("unnamed: 0", "index")  # what pandas calls a first column without a name
MISSING = (".",)  # how FRED writes it, beside what pandas knows
LONG_WEEKEND = tuple(pd.Timedelta(days=days) for days in (2, 3, 4))
HOW_TO_SAY = "say --kind spot_kraken --asset BTC, or call the file <kind>_<source>_<symbol>, as spot_kraken_BTCUSD"


@dataclass(frozen=True, eq=False)
class Reading:
    """One table of a file."""

    key: Key
    table: pd.DataFrame  # RangeIndex; time (UTC, end of the row's period), known_at, values in float64; sorted by time
    notes: tuple[str, ...]  # how the file was laid out, and what was left out


@dataclass(frozen=True)
class Open:
    """A file whose times and layout are known; the tables are yet to be cut out."""

    path: Path
    layout: Layout
    columns: pd.DataFrame  # (rows, columns) as found, names in lower case, without the times
    times: pd.Series  # (rows,) UTC, in the order of the file
    notes: tuple[str, ...]


def read_file(path: Path, kind: str = "", asset: str = "", date_format: str = "",
              stamp: Literal["start", "end"] = "start", assume_utc: bool = False) -> list[Reading]:
    """The tables in a file. `kind` and `asset` say what neither its columns nor its name do.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "fng.csv")
    >>> _ = path.write_text("date,fng_value,fng_classification\\n14-02-2018,54,Neutral\\n13-02-2018,35,Fear\\n")
    >>> [reading] = read_file(path)
    >>> str(reading.key), str(reading.table["time"][0]), reading.table["fear_greed"].tolist()
    ('fear_greed/all/1D', '2018-02-14 00:00:00+00:00', [35.0, 54.0])
    >>> reading.notes[1:]
    ('dates read as %d-%m-%Y', 'newest first, turned round', 'text left out: fng_classification')
    """
    path = Path(path)
    check_name("stamp", stamp, ("start", "end"))
    if not path.is_file():
        raise UserError(f"no file at {path}; give a Parquet or CSV file, or a folder of them")
    file = open_file(path, kind, date_format, assume_utc)
    return [cut(file, *table, stamp) for table in tables_of(file, kind, asset)]


def open_file(path: Path, kind: str, date_format: str, assume_utc: bool) -> Open:
    skipped, notes = lines_without_values(path) if path.suffix == ".csv" else ([], [])
    table = open_table(path, **({"skiprows": skipped, "na_values": MISSING} if path.suffix == ".csv" else {}))
    table.columns = [name.strip() for name in table.columns]
    if not len(table):
        raise UserError(f"{path} has no rows; nothing is in it to import")
    layout = next(layout for layout in LAYOUTS if layout.fits(table.columns, path.stem, kind) and admits(layout, kind))
    time = next((name for name in TIME_NAMES if name in table), table.columns[0])
    if time not in (*TIME_NAMES, *NAMELESS):
        known = ", ".join(layout.name for layout in LAYOUTS if layout.columns)
        raise UserError(f"{path} has no column of times ({' or '.join(TIME_NAMES)}) among {listed(table.columns)}; "
                        f"known layouts are {known}, and plain tables of a time and named columns")
    times, read = utc_times(table[time], date_format or layout.time_format, assume_utc or layout.utc, str(path))
    notes = [f"layout: {layout.name}", *notes, *read, *notes_on_order(times)]
    return Open(path, layout, table.drop(columns=time), times, tuple(notes))


def lines_without_values(path: Path) -> tuple[list[int], list[str]]:
    """Numbers of the lines before the header and right after it that hold no row, and notes on them."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = list(islice(csv.reader(file), 8))
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        raise UserError(f"{path} is not readable as csv: {error}") from None
    if not any(lines):
        raise UserError(f"{path} is empty; nothing is in it to import")
    width = len([line for line in lines if line][-1])
    header = next(i for i, line in enumerate(lines) if len(line) == width)
    skipped, notes = list(range(header)), [f"{header} line(s) before the header left out"] if header else []
    if header + 1 < len(lines) and is_header(lines[header + 1]):
        skipped.append(header + 1)
        notes.append(f"second header left out: {', '.join(dict.fromkeys(filter(None, lines[header + 1])))}")
    return skipped, notes


def is_header(cells: list[str]) -> bool:
    """Whether a line has words, and neither a number nor, in its first cell, anything like a date.

    >>> is_header(["", "^VIX", "^VIX"]), is_header(["2024-01-01", "", "Fear"])
    (True, False)
    """
    return any(cells) and not any(c.isdigit() for c in cells[0]) and all(np.isnan(number(cell)) for cell in cells)


def number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def admits(layout: Layout, kind: str) -> bool:
    """Whether a table of the kind that the user names can be in a file of this layout."""
    return not kind or any(not part.kind or schema_of(part.kind) == schema_of(kind) for part in layout.parts)


def tables_of(file: Open, kind: str, asset: str) -> Iterator[tuple[str, str, Part, pd.DataFrame]]:
    """Kind, asset and part of each table, and the columns it may draw on."""
    own_kind, own_asset = named(file.path.stem)
    for part in file.layout.parts:
        if kind and part.kind and schema_of(kind) != schema_of(part.kind):
            continue  # the user wants another table of this file
        fits = own_kind and (not part.kind or schema_of(own_kind) == schema_of(part.kind))
        of = kind or (own_kind if fits else part.kind)
        if not of:
            raise UserError(f"{file.path} has {listed(file.columns.columns)}, but not what they are; {HOW_TO_SAY} "
                            f"(kinds begin with {', '.join(name for name in SCHEMAS if SCHEMAS[name].columns)})")
        if file.layout.wide:
            for owner in file.layout.assets(file.columns.columns):
                start = f"{owner}{file.layout.wide}"
                mine = {name: name[len(start):] for name in file.columns.columns if name.startswith(start)}
                yield of, owner.upper(), part, file.columns[list(mine)].rename(columns=mine)
            continue
        owner = part.asset or (asset if asset == EVERY_ASSET else asset.upper()) or own_asset
        if not owner:
            raise UserError(f"{file.path} does not say which asset its {of} is of; add --asset BTC, or --asset all if "
                            "it speaks of the whole market")
        yield of, owner, part, file.columns


def cut(file: Open, kind: str, asset: str, part: Part, columns: pd.DataFrame, stamp: str) -> Reading:
    schema = schema_of(kind)
    values, notes = values_of(columns, part, schema, file)
    held = values.notna().any(axis=1).to_numpy()
    if not held.all():
        notes.append(f"{int((~held).sum())} rows without any value left out")
    table = values[held].assign(time=file.times[held]).sort_values("time", kind="stable")
    again = table.duplicated().to_numpy()
    if again.any():
        notes.append(f"{int(again.sum())} rows repeated another in every value and were left out, first "
                     f"{table['time'].iloc[int(again.argmax())]}")
    table = table[~again].reset_index(drop=True)
    key = Key(kind, asset, frequency_of(table["time"], schema, file.path))
    end = table["time"] + (key.period if stamp == "start" else pd.Timedelta(0))
    table["time"] = end.astype("datetime64[us, UTC]")
    table.insert(0, "known_at", schema.known.moments(table, key.period))
    return Reading(key, table[["time", "known_at", *values.columns]], (*file.notes, *notes))


def values_of(columns: pd.DataFrame, part: Part, schema: Schema, file: Open) -> tuple[pd.DataFrame, list[str]]:
    """(rows, values) in the schema's names and order, and notes on what it has no place for."""
    names = {name.lower(): ours for name, ours in part.rename.items()}
    taken = {name: names.get(name, name) for name in columns.columns if names.get(name, name) in schema.names}
    for ours in schema.names:
        found = [name for name, own in taken.items() if own == ours]
        if len(found) > 1:
            raise UserError(f"{file.path}: both {found[0]!r} and {found[1]!r} are {ours}; keep one of them")
        if not found and schema.column(ours).required:
            raise UserError(f"{file.path} has no column {ours!r} for {schema.name}, only {listed(columns.columns)}"
                            f"{did_you_mean(ours, columns.columns)}")
    if not taken:
        raise UserError(f"{file.path} has none of the columns of {schema.name} ({listed(schema.names)}), only "
                        f"{listed(columns.columns)}")
    values = pd.DataFrame({own: numbers(columns[name], file.path) for name, own in taken.items()})
    elsewhere = {name.lower() for other in file.layout.parts if other is not part for name in other.rename}
    left = [name for name in columns.columns if name not in taken and name not in elsewhere]
    text = [name for name in left if not pd.api.types.is_numeric_dtype(columns[name])]
    unknown = [name for name in left if name not in text]
    notes = [f"text left out: {', '.join(text)}"] if text else []
    notes += [f"unknown columns left out: {', '.join(unknown)}"] if unknown else []
    return values[[name for name in schema.names if name in values]], notes


def numbers(column: pd.Series, path: Path) -> np.ndarray:
    read = pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)
    wrong = np.isnan(read) & column.notna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise UserError(f"{path}: {column.name} must be a number, found {str(column.iloc[row])[:40]!r} in row {row}; "
                        "mend it or leave the cell empty")
    return read


def frequency_of(times: pd.Series, schema: Schema, path: Path) -> str:
    """The frequency at which most rows follow one another; a few days may also lie around a long weekend."""
    stamps = times.drop_duplicates()
    step = usual_step(stamps) if len(stamps) > 1 else None
    fitting = [frequency for frequency in schema.frequencies if pd.Timedelta(frequency) == step]
    if len(schema.frequencies) == 1 and (step is None or (step in LONG_WEEKEND and schema.frequencies == ("1D",))):
        fitting = [schema.frequencies[0]]
    if not fitting:
        found = f"are {step} apart" if step is not None else "are fewer than two"
        raise UserError(f"{path}: its rows {found}; {schema.name} is stored at {' or '.join(schema.frequencies)}")
    return fitting[0]


def notes_on_order(times: pd.Series) -> list[str]:
    """What is said of rows that do not rise from one to the next; rows are counted as they stand in the file."""
    stamps = times.to_numpy("datetime64[us]")
    step = np.diff(stamps).astype("int64")
    turned = bool((step < 0).sum() > (step > 0).sum())
    notes = ["newest first, turned round"] if turned else []
    order = np.arange(len(stamps))[:: -1 if turned else 1]
    seen = np.maximum.accumulate(stamps[order])
    late = np.sort(order[1:][stamps[order][1:] < seen[:-1]])
    if len(late):
        where = f"{late[0]} to {late[-1]}" if len(late) > 1 else f"{late[0]}"
        notes.append(f"{len(late)} rows out of order, among rows {where}, sorted")
    return notes


def listed(names: pd.Index | tuple[str, ...], most: int = 12) -> str:
    """'a, b, c', cut short."""
    shown = ", ".join(map(str, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
