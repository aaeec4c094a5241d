"""Files that are whole or absent, whenever the machine stops."""

from __future__ import annotations

import os
from pathlib import Path

UNFINISHED = ".unfinished"  # what a file is called until every byte of it is on the disk


def write_durably(path: Path, data: bytes) -> None:
    """Write beside, then rename: `path` holds its old content or all of `data`, and keeps it if the power fails.

    Processes that write the same `path` at once each write a file of their own; the last to rename has its way.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "deep" / "a.txt"
    >>> write_durably(path, b"all of it")
    >>> path.read_bytes(), [file.name for file in path.parent.iterdir()]
    (b'all of it', ['a.txt'])
    """
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    except OSError:  # a full disk would stay full: no later process overwrites the file of this one
        beside.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    os.replace(beside, path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """`folder` and those above it, each entered in the one above for good."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Names are content of the folder: without this a rename may be forgotten."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
