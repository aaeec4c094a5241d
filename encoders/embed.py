"""A whole market through a frozen encoder once: embeddings and forecasts of every decision row, cached on disk."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.market import Market
from encoders.batches import Windows
from encoders.checkpoint import AGAIN, Checkpoint
from encoders.fitting import check_columns
from encoders.forecast import Forecast
from encoders.layers import drop_always
from encoders.model import ForecastModel
from encoders.streams import carried
from encoders.training.hardware import own_randomness


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Row `t` knows the bars `t-W+1 .. t`, or with a carried stream all of its segment up to `t`; the forecast also the
    closes of the month before, which say what volatility to expect (`scale.py`).

    Rows on which no window fits are NaN, so that a mistaken use is loud.
    """

    values: np.ndarray  # (T, N, D) float32
    forecast: Forecast  # of all T rows

    @property
    def dim(self) -> int:
        return self.values.shape[-1]


def embed(checkpoint: Checkpoint, market: Market, device: torch.device | str = "cpu", cache: Path | None = None,
          batch: int = 128, thinned: int | None = None) -> Embeddings:
    """Embeddings of `market`, whose features must be scaled with the checkpoint's scaler (`check_fits`).

    A small `batch` stays in the processor's cache: 1,024 windows at once take twice as long as 128 on a CPU.
    With a `cache` folder the result is stored under the fingerprints of weights and market, and read next time.
    With a number `thinned` the dropout stays on, seeded by it, and nothing is stored.
    """
    check_columns(checkpoint, market, "checkpoint", AGAIN)
    path = cache and thinned is None and cache / f"embeddings-{checkpoint.fingerprint}-{market.fingerprint}.npz"
    stored = path and _read(path)
    if stored:
        return stored
    model = checkpoint.model(device)  # eval mode: a row's embedding is a function of its past alone
    if thinned is None:
        found = _compute(model, checkpoint, market, device, batch)
    else:
        drop_always(model)
        with own_randomness(torch.device(device), thinned):
            found = _compute(model, checkpoint, market, device, batch)
    if path:
        _write(path, found)
    return found


@torch.no_grad()
def _compute(model: ForecastModel, checkpoint: Checkpoint, market: Market, device: torch.device | str, batch: int
             ) -> Embeddings:
    shape = (len(market), len(market.assets))
    values = np.full((*shape, model.dim), np.nan, np.float32)
    direction = np.full((*shape, 3), np.nan, np.float32)
    quantiles = np.full((*shape, len(checkpoint.levels)), np.nan, np.float32)
    volatility = np.full(shape, np.nan, np.float32)
    expected = checkpoint.scale.expected(market)  # (T, N)
    for rows, embedding in _embedded(model, checkpoint, market, device, batch):
        forecast = model.forecast(embedding, expected[rows])
        values[rows] = embedding.float().cpu().numpy()
        direction[rows], quantiles[rows], volatility[rows] = (forecast.direction, forecast.quantiles,
                                                              forecast.volatility)
    return Embeddings(values, Forecast(direction, quantiles, volatility))


def _embedded(model: ForecastModel, checkpoint: Checkpoint, market: Market, device: torch.device | str, batch: int
              ) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Some decision rows at a time, with what the encoder makes of them (R, N, D)."""
    rows = market.decision_rows(checkpoint.window)
    if checkpoint.context == "stream":
        table = torch.from_numpy(np.ascontiguousarray(market.features, np.float32)).to(device)
        yield from carried(model.encoder, table, market.segments, rows)
        return
    windows = Windows(market, checkpoint.window, device)
    for part in np.split(rows, range(batch, len(rows), batch)):
        yield part, model.encode(windows(part))


def _write(path: Path, found: Embeddings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")  # two runs may compute the same cache at once
    np.savez(beside, allow_pickle=False, values=found.values, direction=found.forecast.direction,
             quantiles=found.forecast.quantiles, volatility=found.forecast.volatility)
    os.replace(beside, path)


def _read(path: Path) -> Embeddings | None:
    """What is stored, or nothing: a cache that cannot be read is computed again."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Embeddings(stored["values"],
                              Forecast(stored["direction"], stored["quantiles"], stored["volatility"]))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
