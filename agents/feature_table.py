"""What an agent looks up by row: the market's features, or what encoders and their ensemble make of them.

SB3 stores `policy_kwargs` in its files, so a table never stands in them: it is published here under its fingerprint,
and the extractor is told only that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from configs.errors import UserError
from data.market import Market
from data.scaling import Scaler
from encoders.batches import Windows
from encoders.embed import Embeddings
from encoders.forecast import Forecast, doubt
from encoders.model import ForecastModel

CLIP = 5.0


@dataclass(frozen=True, eq=False)
class Block:
    """What one speaker says of every row: the market itself, an encoder, or the ensemble."""

    values: np.ndarray  # (T, N, D)
    names: tuple[str, ...]  # of D
    weighed: bool = True  # against other blocks, where these are gated


def market_block(market: Market) -> Block:
    """The features of the last bar, for an agent without an encoder."""
    return Block(market.features, market.columns)


def encoder_block(embeddings: Embeddings, prefix: str = "", forecast: bool = True) -> Block:
    """An embedding, and beside it the encoder's own forecast. It was taught on the training rows and is surer there
    than on later ones; so are embeddings, in their way."""
    values, names = [embeddings.values], [f"embedding_{i}" for i in range(embeddings.dim)]
    if forecast:
        said = embeddings.forecast
        score = said.direction[..., 2:] - said.direction[..., :1]  # (T, N, 1) P(up) - P(down)
        values += [score, said.quantiles, said.volatility[..., None]]
        names += ["score", *(f"quantile_{i}" for i in range(said.quantiles.shape[-1])), "volatility"]
    return Block(np.concatenate(values, axis=2), tuple(prefix + name for name in names))


def ensemble_block(said: Forecast, prefix: str = "ensemble.") -> Block:
    """The whole of a forecast: P(down, flat, up), quantiles, volatility and what its members disagree on."""
    numbers = [said.direction, said.quantiles, said.volatility[..., None], doubt(said)[..., None]]
    names = ("down", "flat", "up", *(f"quantile_{i}" for i in range(said.quantiles.shape[-1])), "volatility",
             "epistemic")
    return Block(np.concatenate(numbers, axis=2), tuple(prefix + name for name in names), weighed=False)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """(T, N * D) numbers standardised on training rows, each asset's D side by side; a row on which no window fits is
    NaN and never looked up."""

    values: np.ndarray
    scaler: Scaler
    assets: int = 1
    blocks: tuple[int, ...] = ()  # how many of an asset's D each speaker gives that may be weighed; they come first
    model: ForecastModel | None = None  # of the first block, fine-tuned end to end instead of looked up
    windows: Windows | None = None
    key: str = field(default="", init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(np.ascontiguousarray(self.values).tobytes())
        digest.update(repr((self.assets, self.blocks)).encode())
        object.__setattr__(self, "key", digest.hexdigest()[:16] + ("-finetuned" if self.model else ""))

    @property
    def dim(self) -> int:
        return self.values.shape[1]

    @property
    def each(self) -> int:
        """D, the numbers of one asset."""
        return self.dim // self.assets


def make_table(market: Market, blocks: Sequence[Block] | None, train_rows: np.ndarray | None = None,
               scaler: Scaler | None = None, alike: bool = False, finetune: ForecastModel | None = None,
               windows: Windows | None = None) -> FeatureTable:
    """Standardised on `train_rows`, or with the `scaler` of an agent trained before; without blocks the features.

    Each asset's columns have a scale of their own, unless assets are to look `alike` to one network: then a number
    means the same whichever asset it is of, and their order is nothing to the scaler.

    With a model to `finetune` and its `windows` the extractor encodes each time, and starts exactly where the frozen
    embedding stands; the first block has to be without forecast, for its heads would no longer fit.

    >>> table = make_table(Market.flat(20), None, train_rows=np.arange(10))
    >>> table.values.shape, table.scaler.columns
    ((20, 1), ('nothing:BTC',))
    """
    blocks = blocks or [market_block(market)]
    values, names = side_by_side(market, blocks, alike)
    if scaler is None:
        if train_rows is None:
            raise UserError("a table needs training rows to be scaled on, or the scaler of an agent trained before")
        scaler = Scaler.fit(values, names, train_rows, clip=CLIP)
    elif scaler.columns != names:
        raise UserError(f"this agent was trained on {len(scaler.columns)} columns "
                        f"({', '.join(scaler.columns[:3])}, ...) but the market gives {len(names)} "
                        f"({', '.join(names[:3])}, ...)")
    widths = tuple(len(block.names) for block in blocks if block.weighed)
    return FeatureTable(scaler.transform(values).reshape(len(market), -1), scaler, len(market.assets), widths,
                        finetune, windows)


def side_by_side(market: Market, blocks: Sequence[Block], alike: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Unscaled values and their names: (T, N, D) of assets that look alike, else (T, 1, N * D)."""
    values = np.concatenate([block.values for block in blocks], axis=2).astype(np.float64)  # (T, N, D)
    names = tuple(name for block in blocks for name in block.names)
    if alike:
        return values, names
    return values.reshape(len(market), 1, -1), tuple(f"{name}:{asset}" for asset in market.assets for name in names)


PUBLISHED: dict[str, FeatureTable] = {}


def publish(table: FeatureTable) -> str:
    """Make `table` known to extractors of this process; returns its key."""
    PUBLISHED[table.key] = table
    return table.key


class TableLookup(nn.Module):
    """Row numbers (B,) to (B, N * D); the table moves with the module but is no part of its weights.

    On a CPU every network reads the one table; nothing is copied.
    """

    table: Tensor

    def __init__(self, table: FeatureTable) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(table.values), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        return self.table.index_select(0, rows)  # faster than table[rows]
