"""SB3 feature extractors on `Dict(row, account)`: the row is looked up, the account's numbers are put beside it.

One of them reads all assets' columns as one; the other reads every asset by the same network, whatever their order.
"""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from agents.feature_table import PUBLISHED, FeatureTable, TableLookup
from agents.finetuning import EncoderLookup, Settled
from configs.errors import UserError
from envs.observations import PER_ASSET


class Gate(Settled):
    """(B, N, D) of several encoders to (B, N, width): each encoder's numbers through a matrix of its own, and of these
    the mean by weights that all the row's numbers decide (a mixture of experts: Jacobs et al. 1991).

    It starts at equal weights. What the ensemble says is no expert's view: it is passed on as it is, and the gate reads
    it too.
    """

    def __init__(self, table: FeatureTable, width: int) -> None:
        super().__init__()
        self.blocks = list(table.blocks)
        self.rest = table.each - sum(self.blocks)
        self.views = nn.ModuleList(nn.Linear(block, width) for block in self.blocks)
        self.weigh = nn.Linear(table.each, len(self.blocks))
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)
        self.dim = width + self.rest

    def forward(self, seen: Tensor) -> Tensor:
        *blocks, rest = seen.split([*self.blocks, self.rest], dim=2)
        views = torch.stack([view(block) for view, block in zip(self.views, blocks)], dim=3)  # (B, N, width, K)
        weights = torch.softmax(self.weigh(seen), dim=2)  # (B, N, K)
        return torch.cat([(views * weights[:, :, None]).sum(dim=3), rest], dim=2)


class RowExtractor(BaseFeaturesExtractor):
    """(B, N * D + A): the row only indexes, so moving rows and table together changes nothing.

    Args:
        observation_space: `Dict(row, account)`.
        table: key of a published table.
        account: which of the account's numbers the policy sees.
        gated: numbers that a gate makes of all encoders; 0: they stand side by side.
    """

    def __init__(self, observation_space: spaces.Dict, table: str, account: tuple[int, ...], gated: int = 0) -> None:
        if table not in PUBLISHED:
            raise UserError(f"no table {table} in this process: load the agent through agents.bundle.Bundle")
        found = PUBLISHED[table]
        gate = Gate(found, gated) if gated else None
        each = gate.dim if gate else found.each
        super().__init__(observation_space, features_dim=found.assets * each + len(account))
        self.lookup = EncoderLookup(found) if found.model is not None else TableLookup(found)
        self.gate = gate
        self.account = list(account)
        self.assets, self.each = found.assets, each

    def market(self, observations: dict[str, Tensor]) -> Tensor:
        """(B, N * D) what the rows say of the market."""
        seen = self.lookup(observations["row"][:, 0].long())
        return seen if self.gate is None else self.gate(seen.unflatten(1, (self.assets, -1))).flatten(1)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        return torch.cat([self.market(observations), observations["account"][:, self.account]], dim=1)


class AssetExtractor(RowExtractor):
    """(B, N * 2 W): each asset's columns and account numbers through one network, beside them the mean over assets.

    To permute the assets permutes the features (Zaheer et al. 2017, lemma 3). Numbers of the whole account, such as its
    drawdown, are shown to every asset.
    """

    def __init__(self, observation_space: spaces.Dict, table: str, account: tuple[int, ...], gated: int = 0,
                 width: int = 32, activation: type[nn.Module] = nn.Tanh) -> None:
        super().__init__(observation_space, table, account, gated)
        own = len(PER_ASSET) * self.assets  # places of the account that come first, name by name
        self.own, self.whole = [i for i in account if i < own], [i for i in account if i >= own]
        numbers = self.each + len(self.own) // self.assets + len(self.whole)
        self.network = nn.Sequential(nn.Linear(numbers, width), activation())
        self._features_dim = self.assets * 2 * width

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        market = self.market(observations).unflatten(1, (self.assets, -1))  # (B, N, D)
        account = observations["account"]
        own = account[:, self.own].unflatten(1, (-1, self.assets)).transpose(1, 2) if self.own else market[..., :0]
        whole = account[:, None, self.whole].expand(-1, self.assets, -1)
        each = self.network(torch.cat([market, own, whole], dim=2))  # (B, N, W)
        together = each.mean(dim=1, keepdim=True).expand_as(each)
        return torch.cat([each, together], dim=2).flatten(1)
