"""What is explained: a pretrained model, and the validation windows that it is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from configs.errors import UserError
from data.bootstrap import BootstrapConfig
from data.features import FEATURES
from data.features.base import Feature
from data.labels import DOWN, UP, Labels
from data.market import Market
from encoders.batches import LabelTable, Windows, labelled_rows, spread_rows
from encoders.checkpoint import Checkpoint
from encoders.explain.config import FEWEST_ROWS, ExplainConfig
from encoders.model import ForecastModel

BATCH = 128  # windows read at once: on a CPU more do not fit its cache, and take longer
FLAGS, OTHER = "missing", "other"
SPEAKING_OF_MISSING = ("_missing", "_age")  # ends of the columns that data/lots.py adds beside the features


@dataclass(frozen=True, eq=False)
class Subject:
    """All that the views of a model have in common.

    A checkpoint whose context is a stream is explained on windows too, read from an empty state.
    """

    checkpoint: Checkpoint
    model: ForecastModel  # eval mode, its weights taking no gradients
    windows: Windows
    targets: LabelTable
    expected: Tensor  # (K, N) volatility that the model's forecast is a multiple of; no feature changes it
    market: Market
    rows: np.ndarray  # (K,) rising
    reach: int  # bars that labels look ahead
    groups: dict[str, np.ndarray]  # numbers of the columns of each
    config: ExplainConfig
    bootstrap: BootstrapConfig  # its block in rows of `rows`, not in bars

    @classmethod
    def of(cls, checkpoint: Checkpoint, market: Market, labels: Labels, span: slice, config: ExplainConfig,
           bootstrap: BootstrapConfig, features: Iterable[Feature] = FEATURES, device: torch.device | str = "cpu"
           ) -> Subject:
        """Labelled rows of `span`; `features` say which group a column belongs to."""
        rows = spread_rows(labelled_rows(market, labels, checkpoint.window, span), config.rows)
        if len(rows) < FEWEST_ROWS:
            raise UserError(f"{len(rows)} labelled validation rows are too few to explain a model on, at least "
                            f"{FEWEST_ROWS} are needed: give more data or a larger data.split.valid")
        spacing = (rows[-1] - rows[0]) / (len(rows) - 1)
        # what windows or labels share, a block must hold together
        bars = max(bootstrap.block, 2.0 * labels.reach, float(checkpoint.window))
        return cls(checkpoint, checkpoint.model(device).requires_grad_(False),
                   Windows(market, checkpoint.window, device), LabelTable(market, labels, checkpoint.scale, device),
                   torch.from_numpy(checkpoint.scale.expected(market)[rows].astype(np.float32)).to(device), market,
                   rows, labels.reach, groups_of(market.columns, features), config,
                   replace(bootstrap, block=max(bars / spacing, 1.0)))

    @property
    def group_of(self) -> dict[str, str]:
        """The group of each column, in the order of the columns."""
        found = {int(column): group for group, columns in self.groups.items() for column in columns}
        return {name: found[column] for column, name in enumerate(self.market.columns)}

    def batches(self) -> Iterator[tuple[slice, Tensor]]:
        """Some of the rows at a time, with their windows (B, N, W, F)."""
        for first in range(0, len(self.rows), BATCH):
            part = slice(first, first + BATCH)
            yield part, self.windows(self.rows[part])

    def said(self, x: Tensor, expected: Tensor) -> Tensor:
        """(B, N, W, F), (B, N) -> (B, 2): P(up) - P(down) and volatility as a log return, summed over the assets."""
        outputs = self.model(x)
        chances = torch.softmax(outputs.direction, dim=-1)
        lean = chances[..., UP] - chances[..., DOWN]  # (B, N)
        volatility = outputs.volatility * self.checkpoint.scale.volatility * expected
        return torch.stack([lean, volatility], dim=-1).sum(dim=1)


def groups_of(columns: Iterable[str], features: Iterable[Feature] = FEATURES) -> dict[str, np.ndarray]:
    """Which of `columns` belong to which group, in the order in which they come.

    Columns that say where a table is missing, or how old it is, are the group `missing`; what no feature makes, such as
    the state of a known market, is `other`.

    >>> {group: at.tolist() for group, at in groups_of(["return_1", "x", "return_4", "onchain_missing"]).items()}
    {'returns': [0, 2], 'other': [1], 'missing': [3]}
    """
    table = {column: feature.group for feature in features for column in feature.columns}
    found: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        group = table.get(column, FLAGS if column.endswith(SPEAKING_OF_MISSING) else OTHER)
        found.setdefault(group, []).append(place)
    return {group: np.array(places) for group, places in found.items()}
