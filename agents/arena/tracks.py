"""Tracks on disk, as a table that any tool can read: from it every number of a report can be computed again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from agents.arena.rollout import Track
from configs.errors import UserError
from data.durable import write_durably

NAMES = ["window", "contestant", "seed"]  # that a track is told from all others by
WEIGHT = "weight:"
COLUMNS = [*NAMES, "kind", "team", "first_row", "last_row", "time", "equity", "turnover", "costs", "bars_per_year"]
AGAIN = ("give the tournament's command again; with the same settings, code and libraries it goes on from what is done")


def save_tracks(tracks: Sequence[Track], path: Path) -> None:
    """One row for each point of each equity curve. The first of a track is its start, with nothing held or paid yet."""
    table = pd.concat([frame_of(track) for track in tracks], ignore_index=True)
    for name in ("contestant", "kind", "team"):
        table[name] = table[name].astype("category")
    write_durably(path, table.to_parquet(index=False, compression="zstd"))


def frame_of(track: Track) -> pd.DataFrame:
    start = np.zeros(1)
    weights = np.concatenate([np.zeros((1, track.weights.shape[1])), track.weights])
    return pd.DataFrame({
        "window": track.window, "contestant": track.contestant, "seed": track.seed, "kind": track.kind,
        "team": track.team, "first_row": track.rows.start, "last_row": track.rows.stop - 1, "time": track.time,
        "equity": track.equity,
        "turnover": np.concatenate([start, track.turnover]), "costs": np.concatenate([start, track.costs]),
        "bars_per_year": track.bars_per_year,
        **{f"{WEIGHT}{asset}": weights[:, n] for n, asset in enumerate(track.assets)},
    })


def read_table(path: Path) -> pd.DataFrame:
    """A Parquet file that a tournament has left."""
    if not path.exists():
        raise UserError(f"{path} is missing: {AGAIN}")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise damaged(path, " ".join(str(error).split()) or type(error).__name__) from None


def damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path} is damaged ({why}): delete it and {AGAIN}")


def load_tracks(path: Path) -> list[Track]:
    """In the order in which they were saved."""
    table = read_table(path)
    if missing := [name for name in COLUMNS if name not in table]:
        raise damaged(path, f"no {', '.join(missing)}")
    if table.isna().any(axis=None):
        raise damaged(path, "a number is missing")
    held = [name for name in table.columns if name.startswith(WEIGHT)]
    found = []
    for _, one in table.groupby(NAMES, sort=False, observed=True):
        first = one.iloc[0]
        found.append(Track(
            contestant=str(first["contestant"]), kind=str(first["kind"]), seed=int(first["seed"]),
            team=str(first["team"]), window=int(first["window"]), bars_per_year=float(first["bars_per_year"]),
            rows=slice(int(first["first_row"]), int(first["last_row"]) + 1),
            assets=tuple(name.removeprefix(WEIGHT) for name in held), time=one["time"].to_numpy("datetime64[us]"),
            equity=one["equity"].to_numpy(), weights=one[held].to_numpy()[1:],
            turnover=one["turnover"].to_numpy()[1:], costs=one["costs"].to_numpy()[1:]))
    if len({len(track.equity) for track in found}) != 1:
        raise damaged(path, "not everybody has as many rows")
    return found
