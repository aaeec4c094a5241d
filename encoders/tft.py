"""`tft`: the temporal fusion transformer (Lim et al. 2021, sections 4.1 to 4.5), for a window and its last bar.

Static covariates and known future inputs, which a market has none of, are left out; of the decoder's positions only the
decision's is computed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.base import Encoder
from encoders.config import EncoderConfig
from encoders.layers import RMSNorm, WindowDropout, recur

EACH = 8  # numbers that one feature at one bar is turned into


class GatedSkip(nn.Module):
    """norm(skip + GLU(x)): a gate that can shut off what stands before it (section 4.1, equations 4 and 5)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = WindowDropout(dropout)
        self.gate = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.norm(skip + functional.glu(self.gate(self.dropout(x)), dim=-1))


class GatedResidual(nn.Module):
    """Two layers behind a gate and beside a skip (section 4.1): (..., into) -> (..., out)."""

    def __init__(self, into: int, hidden: int, out: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(into, hidden), nn.ELU(), nn.Linear(hidden, out))
        self.gated = GatedSkip(out, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.gated(self.layers(x), skip=x)


class VariableSelection(nn.Module):
    """Each feature through a small net of its own, then their sum with weights that the whole bar decides on (4.2).

    Features here are numbers, so the linear embedding of one and its net's first layer are together slope * x + shift,
    and the selecting net reads the bar itself. The paper gives each feature matrices of D x D; here one of EACH x D
    brings it to the width, since at 100 features theirs would cost more than all else. `weights` (B, W, F) are those of
    the last call, for pictures; over the features they sum to one.
    """

    weights: Tensor | None = None

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.select = GatedResidual(features, width, features, dropout)
        self.slope = nn.Parameter(torch.randn(features, EACH))
        self.shift = nn.Parameter(torch.randn(features, EACH))
        self.join = nn.Linear(features * EACH, width, bias=False)
        self.norm = RMSNorm(width)  # weights of about 1 / F make the sum small

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.select(x), dim=-1)  # (B, W, F), float32 under autocast too
        self.weights = weights.detach()
        each = functional.elu(x.unsqueeze(-1) * self.slope + self.shift)  # (B, W, F, EACH)
        return self.norm(self.join((weights.unsqueeze(-1) * each).flatten(2)))  # (B, W, D)


class InterpretableAttention(nn.Module):
    """The last bar asks, all bars answer; heads share their values, so their mean weight is the weight (section 4.4).

    `weights` (B, W) are those of the last call, oldest first.
    """

    weights: Tensor | None = None

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # one would shift all of a softmax's scores alike
        self.value = nn.Linear(width, width // heads)
        self.out = nn.Linear(width // heads, width)

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x[:, -1]).unflatten(-1, (self.heads, -1))  # (B, heads, P)
        key = self.key(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, W, P)
        scores = (key @ query.unsqueeze(-1)).squeeze(-1) / query.shape[-1] ** 0.5  # (B, heads, W)
        weights = torch.softmax(scores, dim=-1).mean(dim=1)  # (B, W), float32 under autocast too
        self.weights = weights.detach()
        value = self.value(x)  # (B, W, P)
        return self.out((weights.to(value.dtype).unsqueeze(1) @ value).squeeze(1))  # (B, D)


class TFT(Encoder):
    """temporal fusion transformer: features are weighed bar by bar, an LSTM reads them, the last bar asks the others"""

    def __init__(self, features: int, config: EncoderConfig, assets: int = 1) -> None:
        super().__init__(features, config, assets)
        width, dropout = config.width, config.dropout
        self.selection = VariableSelection(features, width, dropout)
        self.lstm = nn.LSTM(width, width, config.layers, batch_first=True,
                            dropout=dropout if config.layers > 1 else 0.0)
        self.after_lstm = GatedSkip(width, dropout)
        self.enrich = GatedResidual(width, width, width, dropout)
        self.attention = InterpretableAttention(width, config.heads)
        self.after_attention = GatedSkip(width, dropout)
        self.forward_net = GatedResidual(width, width, width, dropout)
        self.after_all = GatedSkip(width, dropout)

    @property
    def variable_weights(self) -> Tensor | None:
        """(B, W, F) weight of each feature at each hour in the last call; over the features they sum to one."""
        return self.selection.weights

    @property
    def hour_weights(self) -> Tensor | None:
        """(B, W) weight of each hour in the last call, oldest first; each row sums to one."""
        return self.attention.weights

    def forward_sequence(self, x: Tensor) -> Tensor:
        selected = self.selection(x)  # (B, W, D)
        hours, _ = recur(self.lstm, selected)
        local = self.after_lstm(hours, skip=selected)
        enriched = self.enrich(local)
        answer = self.after_attention(self.attention(enriched), skip=enriched[:, -1])  # (B, D)
        return self.after_all(self.forward_net(answer), skip=local[:, -1])
