"""Everybody of one window over its rows, and what that leaves on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from agents.arena.rollout import Contestant, Track, compete, compete_under
from agents.arena.shaken import noisy
from agents.arena.tournament import best_possible, elsewhere, everyone, remarks_on, said_by
from agents.arena.tracks import save_tracks
from agents.bundle import Bundle
from agents.device import pick_device
from agents.diagnosis.regimes import kinds_of
from agents.experiment import ExperimentConfig
from agents.supervised import ensemble_of
from data.dataset import Dataset, like, load_dataset, load_raw
from data.durable import write_durably
from data.labels import UNKNOWN
from data.market import CLOSE, HIGH, LOW, OPEN, Market
from encoders.batches import labelled_rows
from encoders.forecast import Forecast
from envs.config import EnvConfig

TRACKS, VALIDATION, SCENARIOS = "tracks.parquet", "validation.parquet", "scenarios.parquet"
BARS, FORECASTS = "bars.parquet", "forecasts.parquet"
TABLES = (TRACKS, VALIDATION, SCENARIOS, BARS, FORECASTS)
OWN, WORST, NOISE = "as it is", "worst fills", "noise of"


@dataclass(frozen=True)
class Meeting:
    window: int
    config: ExperimentConfig
    market: str
    bundles: tuple[Path, ...]
    taught: tuple[str, ...]  # names of the marks of those who meet: agents that were taught anew meet anew
    costs: tuple[float, ...]
    delays: tuple[int, ...]
    noise: tuple[float, ...]
    until: int  # first row that no window of the tournament tests
    later: str  # fingerprint of the market up to there
    folder: Path


@dataclass(frozen=True)
class Met:
    contestants: int
    remarks: str  # what a reader has to know first
    taught: str  # rows of the history, the first and the last of each span
    chosen: str
    tested: str
    seconds: float


def meet(given: Meeting) -> Met:
    """Everybody over the window's validation rows, over its test rows under every set of rules and with noise on what
    they see, and over the test rows of all later windows; tracks on disk."""
    started, config = time.perf_counter(), replace(given.config, device=pick_device(given.config.device))
    dataset = load_dataset(config.data, config.cache / "features")
    ensemble, forecasts = ensemble_of(config, dataset, config.device)
    market, split, width = dataset.market, dataset.split, config.data.window
    said = said_by(forecasts, ensemble, market)
    bundles = [Bundle.load(place) for place in given.bundles]
    contestants = {**everyone(bundles, said, dataset, config.env, width, config.device, config.cache, sized=True),
                   **best_possible(config.data, config.env)}
    chosen = compete(contestants, market, config.env, width, split.valid)
    found = compete_under(contestants, market, rules_of(config.env, given.costs, given.delays), width, split.test)
    save_tracks(in_window(chosen, given.window), given.folder / VALIDATION)
    save_tracks(in_window(found[OWN], given.window), given.folder / TRACKS)
    with TemporaryDirectory() as cache:  # what nobody sees again
        there = partial(elsewhere, contestants, bundles, ensemble, device=config.device, cache=Path(cache))
        for spread in given.noise:
            shaken = noisy(market, spread)
            found[with_noise(spread)] = compete(there(shaken), shaken, config.env, width, split.test)
        aged = over_later_windows(given, dataset, there)
    table = pd.concat([scenario(name, in_window(tracks, given.window)) for name, tracks in found.items()]
                      + [scenario(OWN, in_window(tracks, given.window + age), age) for age, tracks in aged.items()])
    for file, rows in ((SCENARIOS, table), (BARS, bars_of(market, split.test)),
                       (FORECASTS, forecasts_of(said, dataset, width, given.window))):
        write_durably(given.folder / file, rows.to_parquet(index=False))
    taught, validated, tested = (f"{span.start} to {span.stop - 1}" for span in (split.train, split.valid, split.test))
    return Met(len(contestants), " ".join(remarks_on(dataset, config.env)), taught, validated, tested,
               time.perf_counter() - started)


def over_later_windows(given: Meeting, dataset: Dataset, there: Callable[[Market], dict[str, Contestant]]
                       ) -> dict[int, list[Track]]:
    """Everybody as this window has taught them, on the test rows of those that follow it, by how many later it is."""
    config, test = given.config, dataset.split.test
    assert config.data.span is not None
    length = test.stop - test.start
    if given.until <= test.stop:
        return {}
    data = replace(config.data, span=(config.data.span[0], given.until))
    later = like(load_raw(data), data, dataset.scaler, config.cache / "features")
    contestants = there(later)
    return {age: compete(contestants, later, config.env, config.data.window,
                         slice(test.start + age * length, test.stop + age * length))
            for age in range(1, (given.until - test.stop) // length + 1)}


def rules_of(env: EnvConfig, costs: Sequence[float], delays: Sequence[int]) -> dict[str, EnvConfig]:
    """Those that everybody plays by, and then one thing changed at a time.

    >>> list(rules_of(EnvConfig(), (0.0, 10.0), (1, 2)))
    ['as it is', '0 bps', '10 bps', '1 bar late', '2 bars late', 'worst fills']
    """
    return {OWN: env, **{at_cost(bps): env.charging(bps) for bps in costs},
            **{late_by(bars): replace(env, latency=env.latency + bars) for bars in delays},
            WORST: replace(env, fill="worst")}


def at_cost(bps: float) -> str:
    return f"{bps:g} bps"


def late_by(bars: int) -> str:
    return f"{bars} bar{'s' * (bars > 1)} late"


def with_noise(spread: float) -> str:
    return f"{NOISE} {spread:g}"


def in_window(tracks: Sequence[Track], window: int) -> list[Track]:
    return [replace(track, window=window) for track in tracks]


def scenario(rule: str, tracks: Sequence[Track], age: int = 0) -> pd.DataFrame:
    """A row for each contestant: what it made of the window under one other rule, taught so many windows before."""
    return pd.DataFrame([{
        "rule": rule, "window": track.window, "age": age, "contestant": track.contestant, "seed": track.seed,
        "kind": track.kind, "team": track.team, "bars": len(track.weights),
        "total_return": track.equity[-1] / track.equity[0] - 1, "traded": float(track.turnover.sum()),
    } for track in tracks])


def bars_of(market: Market, rows: slice) -> pd.DataFrame:
    """The window's own bars, and what kind of market each of them was seen to be."""
    numbers = np.arange(rows.start, rows.stop)
    kinds = kinds_of(market, numbers)
    found = {"row": numbers, "time": market.time[rows]}
    for n, asset in enumerate(market.assets):
        found |= {f"{name}:{asset}": market.prices[rows, n, column]
                  for name, column in (("open", OPEN), ("high", HIGH), ("low", LOW), ("close", CLOSE))}
    return pd.DataFrame({**found, **{f"kind:{name}": there for name, there in kinds.items()}})


def forecasts_of(said: Mapping[str, Forecast], dataset: Dataset, width: int, window: int) -> pd.DataFrame:
    """The three chances that everybody gave on the test rows, and which of them came (down, flat, up: 0, 1, 2)."""
    if not said:
        return pd.DataFrame({"window": [], "forecaster": [], "down": [], "flat": [], "up": [], "came": []})
    rows = labelled_rows(dataset.market, dataset.labels, width, dataset.split.test)
    at, asset = np.nonzero(dataset.labels.direction[rows] != UNKNOWN)
    at = rows[at]
    tables = []
    for name, forecast in said.items():
        chances = forecast.direction[at, asset]  # (P, 3)
        tables.append(pd.DataFrame({
            "window": window, "forecaster": name, "time": dataset.market.time[at],
            "asset": np.array(dataset.market.assets)[asset], "down": chances[:, 0], "flat": chances[:, 1],
            "up": chances[:, 2], "came": dataset.labels.direction[at, asset]}))
    return pd.concat(tables, ignore_index=True).dropna()
