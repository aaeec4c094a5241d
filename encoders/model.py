"""`ForecastModel`: an encoder with its heads, the thing that is pretrained, stored, embedded with and fine-tuned."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from encoders.base import Encoder, make_encoder
from encoders.config import EncoderConfig
from encoders.forecast import LEVELS, Forecast
from encoders.heads import Heads, Outputs
from encoders.scale import TargetScale


class ForecastModel(nn.Module):
    """`encode` is differentiable, so an agent may train it on; `forecast` is in log returns."""

    def __init__(self, encoder: Encoder, heads: Heads, scale: TargetScale) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads
        self.scale = scale

    @classmethod
    def build(cls, features: int, config: EncoderConfig, scale: TargetScale, levels: tuple[float, ...] = LEVELS,
              assets: int = 1) -> ForecastModel:
        """Fresh weights."""
        return cls(make_encoder(features, config, assets), Heads(config.width, len(levels), config.head), scale)

    @property
    def dim(self) -> int:
        return self.encoder.dim

    def encode(self, x: Tensor) -> Tensor:
        """(B, N, W, F) -> (B, N, D)."""
        return self.encoder.encode(x)

    def forward(self, x: Tensor) -> Outputs:
        """(B, N, W, F) -> outputs in units of the targets' scale."""
        return self.heads(self.encode(x))

    def said(self, embedding: Tensor) -> Outputs:
        """(B, N, D) -> outputs in those units, the direction as chances."""
        outputs = self.heads(embedding)
        return outputs._replace(direction=torch.softmax(outputs.direction, dim=-1))

    @torch.no_grad()
    def forecast(self, embedding: Tensor, expected: np.ndarray) -> Forecast:
        """(B, N, D), volatility `scale` expects (B, N) -> Forecast in log returns."""
        return in_returns(self.said(embedding), self.scale, expected)


def in_returns(said: Outputs, scale: TargetScale, expected: np.ndarray) -> Forecast:
    """What a model `said`, in log returns."""
    return Forecast(
        direction=said.direction.cpu().numpy(),
        quantiles=said.quantiles.cpu().numpy() * (scale.forward * expected)[..., None],
        volatility=said.volatility.cpu().numpy() * (scale.volatility * expected),
    )
