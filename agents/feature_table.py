"""What an agent looks up by row: the market's features, or an encoder's embedding with its forecast.

SB3 stores `policy_kwargs` in its files, so a table never stands in them: it is published here under its fingerprint,
and the extractor is told only that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from configs.errors import UserError
from data.market import Market
from data.scaling import Scaler
from encoders.batches import Windows
from encoders.embed import Embeddings
from encoders.model import ForecastModel

CLIP = 5.0


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """(T, D) numbers standardised on training rows; a row on which no window fits is NaN and never looked up."""

    values: np.ndarray
    scaler: Scaler
    model: ForecastModel | None = None  # fine-tuned end to end instead of looked up
    windows: Windows | None = None
    key: str = field(default="", init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(np.ascontiguousarray(self.values).tobytes())
        object.__setattr__(self, "key", digest.hexdigest()[:16] + ("-finetuned" if self.model else ""))

    @property
    def dim(self) -> int:
        return self.values.shape[1]


def columns_of(market: Market, embeddings: Embeddings | None, forecast: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """(T, N * D) unscaled values and their names: features without an encoder, else embedding (and forecast)."""
    if embeddings is None:
        values, names = market.features, market.columns  # (T, N, F)
    elif not forecast:
        values, names = embeddings.values, tuple(f"embedding_{i}" for i in range(embeddings.dim))
    else:
        said = embeddings.forecast
        score = said.direction[..., 2:] - said.direction[..., :1]  # (T, N, 1) P(up) - P(down)
        values = np.concatenate([embeddings.values, score, said.quantiles, said.volatility[..., None]], axis=2)
        names = (*(f"embedding_{i}" for i in range(embeddings.dim)), "score",
                 *(f"quantile_{i}" for i in range(said.quantiles.shape[-1])), "volatility")
    flat = values.reshape(len(market), -1).astype(np.float64)  # (T, N * D)
    return flat, tuple(f"{name}:{asset}" for asset in market.assets for name in names)


def make_table(market: Market, embeddings: Embeddings | None, train_rows: np.ndarray | None = None,
               scaler: Scaler | None = None, finetune: ForecastModel | None = None, windows: Windows | None = None
               ) -> FeatureTable:
    """Standardised on `train_rows`, or with the `scaler` of an agent trained before.

    With a model to `finetune` and its `windows` the extractor encodes each time, and starts exactly where the frozen
    embedding stands; the forecast is left out, for its heads would no longer fit.

    >>> table = make_table(Market.flat(20), None, train_rows=np.arange(10))
    >>> table.values.shape, table.scaler.columns
    ((20, 1), ('nothing:BTC',))
    """
    values, names = columns_of(market, embeddings, forecast=finetune is None)
    if scaler is None:
        if train_rows is None:
            raise UserError("a table needs training rows to be scaled on, or the scaler of an agent trained before")
        scaler = Scaler.fit(values[:, None], names, train_rows, clip=CLIP)
    elif scaler.columns != names:
        raise UserError(f"this agent was trained on {len(scaler.columns)} columns "
                        f"({', '.join(scaler.columns[:3])}, ...) but the market gives {len(names)} "
                        f"({', '.join(names[:3])}, ...)")
    return FeatureTable(scaler.transform(values), scaler, finetune, windows)


PUBLISHED: dict[str, FeatureTable] = {}


def publish(table: FeatureTable) -> str:
    """Make `table` known to extractors of this process; returns its key."""
    PUBLISHED[table.key] = table
    return table.key


class TableLookup(nn.Module):
    """Row numbers (B,) to (B, D); the table moves with the module but is no part of its weights."""

    table: Tensor

    def __init__(self, table: FeatureTable) -> None:
        super().__init__()
        self.dim = table.dim
        self.register_buffer("table", torch.from_numpy(table.values), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        return self.table[rows]
