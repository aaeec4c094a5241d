"""From a dataset to an ensemble: every member trained, then fused on rows that taught none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.dataset import Dataset
from data.labels import LabelConfig
from encoders import ENCODERS
from encoders.batches import labelled_rows
from encoders.checkpoint import Checkpoint
from encoders.ensemble.config import EnsembleConfig
from encoders.ensemble.ensemble import Ensemble, Member
from encoders.ensemble.fusion import fit_fusion
from encoders.ensemble.nets import Nets
from encoders.forecast import Forecast
from encoders.trees.model import TreeForecaster

NetOf = Callable[[str, int], Checkpoint]
TreesOf = Callable[[str], TreeForecaster]


def train_ensemble(dataset: Dataset, labels: LabelConfig, window: int, config: EnsembleConfig, seed: int,
                   net_of: NetOf, trees_of: TreesOf, device: str = "cpu", cache: Path | None = None
                   ) -> tuple[Ensemble, dict[str, Forecast]]:
    """The ensemble, and its members' forecasts, which it can `fuse`.

    `net_of(name, seed)` and `trees_of(name)` train a member, or find it where it was trained before. Members are fused
    on the validation rows: these have chosen when to stop, but no weight was ever fitted to them. The fused forecast of
    those rows themselves is therefore a little better than it will be on new ones.
    """
    market = dataset.market
    members: dict[str, Member] = {}
    for name in config.members:
        if name in ENCODERS:
            nets = tuple(net_of(name, seed + number) for number in range(config.seeds))
            members[name] = Nets(nets, config.passes, device, cache)
        else:
            members[name] = trees_of(name)
    forecasts = {name: member.forecast(market) for name, member in members.items()}
    rows = labelled_rows(market, dataset.labels, window, dataset.split.valid)
    fusion = fit_fusion(forecasts, dataset.labels, rows, config.fusion)
    return Ensemble(members, fusion, labels, str(market.time[dataset.split.valid.start])), forecasts
