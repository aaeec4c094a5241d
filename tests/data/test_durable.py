"""A file is whole or absent, also when several processes write it at once or the disk is full."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from data.durable import UNFINISHED, write_durably


def write_often(path: Path, letter: bytes) -> None:
    for _ in range(100):
        write_durably(path, letter * 10_000)


def test_several_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(tmp_path / "a", letter)) for letter in (b"x", b"y")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert (tmp_path / "a").read_bytes() in (b"x" * 10_000, b"y" * 10_000)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_what_there_was_and_nothing_beside(tmp_path: Path, monkeypatch) -> None:
    write_durably(tmp_path / "a", b"before")
    seen = []

    def full(file: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir() if path.name.endswith(UNFINISHED))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "a", b"after")
    assert seen == [f".a.{os.getpid()}{UNFINISHED}"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"before"}
