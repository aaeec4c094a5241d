"""Features of the hourly preset: the whole, and what a new day costs."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import Work, show, side_by_side

PRESET = "hourly"
ONE, MANY, LONG, SHORT, DAY = 1, 16, 60_000, 32_000, 24


def features_part(rounds: int, threads: int) -> None:
    """Simulated bars under the real tables' columns, so that every group that real data feed is computed."""
    from data.features import PRESETS

    raw, chosen = market_with_tables(LONG, ONE)
    whole, again = everything(raw, chosen), next_day(raw, chosen)
    print(f"\nfeature preset {PRESET}: {len(PRESETS[PRESET])} features, "
          f"{sum(len(feature.columns) for feature in chosen)} columns")
    show(f"bars of one asset, {LONG:,} of them, one process", side_by_side({
        "everything computed": whole, f"{DAY} bars appended, the rest from the cache": again}, min(rounds, 3)))
    many, chosen = market_with_tables(SHORT, MANY)
    started = time.perf_counter()
    everything(many, chosen)()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"\n{MANY} assets x {SHORT:,} bars: {time.perf_counter() - started:.0f} s, peak memory of the process "
          f"{peak:.1f} GiB")


def market_with_tables(bars: int, assets: int):
    """The simulator's bars, and daily tables with the columns that real files have: speed is theirs, meaning is not."""
    from dataclasses import replace

    import pandas as pd

    from data.dataset import DataConfig, chosen
    from data.schema import EVERY_ASSET, SCHEMAS
    from data.simulator.config import SimulatorConfig
    from data.simulator.simulate import simulate

    names = tuple(f"A{n}" for n in range(assets))
    raw = simulate(SimulatorConfig(bars=bars, assets=names))
    days = pd.date_range(pd.Timestamp("2015-01-01", tz="UTC"), raw.bars[names[0]]["time"].iloc[-1], freq="D")
    rng = np.random.default_rng(0)

    def table(kind: str) -> pd.DataFrame:
        columns = {name: 50 * np.exp(np.cumsum(rng.normal(0, 0.01, len(days)))) for name in SCHEMAS[kind].names}
        return pd.DataFrame({"time": days, "known_at": days + pd.Timedelta("6h"), **columns})

    context = {(kind, EVERY_ASSET): table(kind) for kind in ("onchain", "rates", "markets", "fear_greed", "funding")}
    raw = replace(raw, context=context)
    return raw, chosen(raw, DataConfig(features=PRESET), [])[0]


def everything(raw, chosen) -> Work:
    from data.table import table_of

    def work() -> int:
        return len(table_of(raw, chosen, "mask").time)

    return work


def next_day(raw, chosen) -> Work:
    """All but the last day lie in the cache; each time another last day comes, so nothing new was seen before."""
    from dataclasses import replace

    from data.table import table_of

    folder = Path(tempfile.mkdtemp())
    table_of(raw, chosen, "mask", folder)
    rng = np.random.default_rng(1)

    def work() -> int:
        bars = {}
        for asset, frame in raw.bars.items():
            changed = frame.copy()
            changed.loc[len(frame) - DAY :, ["open", "high", "low", "close"]] *= float(rng.uniform(0.99, 1.01))
            bars[asset] = changed
        return len(table_of(replace(raw, bars=bars), chosen, "mask", folder).time)

    return work
