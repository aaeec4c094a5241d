"""SB3 feature extractors on `Dict(row, account)`: the row is looked up, the account's numbers are put beside it."""

from __future__ import annotations

import copy

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from agents.feature_table import PUBLISHED, FeatureTable, TableLookup
from configs.errors import UserError
from encoders.layers import drop_nothing


class EncoderLookup(nn.Module):
    """Row numbers (B,) to (B, N * D) through an encoder that learns on: windows are gathered and encoded each time."""

    center: Tensor
    scale: Tensor

    def __init__(self, table: FeatureTable) -> None:
        super().__init__()
        assert table.model is not None
        assert table.windows is not None
        # a copy, for DQN's target network needs weights of its own; and without dropout, for noise between rollout and
        # update would make PPO's ratios wrong from the start
        self.model = copy.deepcopy(table.model)
        drop_nothing(self.model)
        self.windows = table.windows
        self.dim = table.dim
        self.register_buffer("center", torch.from_numpy(table.scaler.center).float(), persistent=False)
        self.register_buffer("scale", torch.from_numpy(table.scaler.scale).float(), persistent=False)
        self.clip = table.scaler.clip

    def forward(self, rows: Tensor) -> Tensor:
        embedding = self.model.encode(self.windows(rows)).flatten(1)  # (B, N * D)
        return ((embedding - self.center) / self.scale).clamp(-self.clip, self.clip)


class RowExtractor(BaseFeaturesExtractor):
    """(B, D + A): the row only indexes, so moving rows and table together changes nothing.

    Args:
        observation_space: `Dict(row, account)`.
        table: key of a published table.
        account: which of the account's numbers the policy sees.
    """

    def __init__(self, observation_space: spaces.Dict, table: str, account: tuple[int, ...]) -> None:
        if table not in PUBLISHED:
            raise UserError(f"no table {table} in this process: load the agent through agents.bundle.Bundle")
        found = PUBLISHED[table]
        lookup = EncoderLookup(found) if found.model is not None else TableLookup(found)
        super().__init__(observation_space, features_dim=lookup.dim + len(account))
        self.lookup = lookup
        self.account = list(account)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        rows = observations["row"][:, 0].long()
        return torch.cat([self.lookup(rows), observations["account"][:, self.account]], dim=1)
