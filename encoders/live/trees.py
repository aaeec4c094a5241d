"""Trees that read one bar at a time: the summaries of the last window, made anew."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from encoders.live.reader import Rolling
from encoders.trees.model import TreeForecaster
from encoders.trees.summaries import described


class LiveTrees(Rolling):
    def __init__(self, trees: TreeForecaster, assets: int) -> None:
        super().__init__(trees, assets)
        self.trees = trees

    def said(self, bars: Tensor) -> tuple[Tensor, ...]:
        read = np.concatenate([described(asset, self.window) for asset in self.with_last(bars).numpy()])  # (N, S)
        units = self.trees.in_units(read.astype(np.float32))  # of N rows and one asset
        parts = (units.direction, units.quantiles, units.volatility)
        return tuple(torch.from_numpy(part).transpose(0, 1) for part in parts)
