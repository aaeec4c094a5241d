"""`graph`: each asset is read by an encoder of its own choice, then assets that move together look at each other.

Attention over the neighbours of a graph (Veličković et al. 2018, section 2.1), with the scores of a transformer. Who is
whose neighbour is measured once, on training rows, and stored with the weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from configs.errors import UserError
from data.market import CLOSE, Market
from encoders.base import Encoder, make_encoder
from encoders.config import EncoderConfig
from encoders.layers import AttentionBlock, RMSNorm, WindowDropout

SHARED_BARS = 100
"""returns that two assets must share: on so many, a correlation above 0.3 comes by chance three times in a thousand"""


class Graph(Encoder):
    """attention across assets that move together, over any encoder above

    An asset that is absent on the bar of the decision shows zeros there, and no other looks at it.
    """

    edges: Tensor  # (N, N) bool: the row looks at the column

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        # features are hidden here already, from the inner encoder and the direct path alike
        inner = replace(config, name=config.over, layers=config.over_layers, input_dropout=0.0)
        self.inner = make_encoder(features, inner, assets)
        self.link = config.link
        self.register_buffer("edges", torch.eye(assets, dtype=torch.bool))
        self.blocks = nn.ModuleList(AttentionBlock(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width)
        self.dropout = WindowDropout(config.dropout)

    def prepare(self, market: Market, rows: np.ndarray) -> None:
        """Link the assets whose absolute correlation on training `rows` exceeds the config's `link`."""
        self.inner.prepare(market, rows)
        self.edges.copy_(torch.from_numpy(linked(market, rows, self.link)))

    def encode(self, x: Tensor) -> Tensor:
        """(B, N, W, F) -> (B, N, D), the assets in the order of `prepare`'s market."""
        batch, assets, window, features = x.shape
        if assets != len(self.edges):
            raise UserError(f"a graph encoder of {len(self.edges)} assets was given {assets}; embed all of them at "
                            "once, or pretrain on the market that is meant")
        there = (x[:, :, -1] != 0).any(-1)  # (B, N)
        itself = torch.eye(assets, dtype=torch.bool, device=x.device)
        seen = (self.edges & there[:, None] | itself).unsqueeze(1)  # (B, 1, N, N)

        x = self.hide_features(x.reshape(batch * assets, window, features)).reshape(x.shape)
        embedding = self.inner.encode(x)  # (B, N, D)
        for block in self.blocks:
            embedding = block(embedding, seen)
        return self.dropout(self.norm(embedding)) + self.now(x[:, :, -1])


def linked(market: Market, rows: np.ndarray, link: float) -> np.ndarray:
    """(N, N) bool: assets whose log returns correlate by more than `link`, up or down, and each with itself.

    Only returns between two bars of `rows` are looked at, within a segment, and of a pair only bars that both have.

    >>> linked(Market.flat(200, assets=("BTC", "ETH")), np.arange(200), link=0.3).tolist()
    [[True, False], [False, True]]
    """
    after = np.intersect1d(rows, rows + 1)
    after = np.setdiff1d(after, market.segments[:, 0])  # the bar before belongs to another segment
    close = np.log(market.prices[:, :, CLOSE])
    returns = pd.DataFrame(close[after] - close[after - 1])  # NaN where an asset is absent
    # a price that never moves correlates with nothing: NaN, which exceeds no link
    correlation = returns.corr(min_periods=SHARED_BARS).to_numpy()
    return (np.abs(correlation) > link) | np.eye(len(market.assets), dtype=bool)
