"""The supervised ensemble: its members, what fuses them, and both on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import UserError
from configs.run import plain, write_json
from data.labels import LabelConfig, make_labels
from data.market import Market
from data.scaling import Scaler
from encoders.checkpoint import Checkpoint
from encoders.ensemble.fusion import Fusion
from encoders.ensemble.nets import Nets
from encoders.forecast import Forecast
from encoders.trees.model import TreeForecaster
from encoders.trees.store import load_trees, save_trees

FORMAT = 2  # of the JSON; raise it when the meaning of a key changes
SETTINGS = "ensemble.json"

Member = Nets | TreeForecaster


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A `Forecaster`. What follows the market goes by labels that its own prices give, once their bars have closed."""

    members: Mapping[str, Member]
    fusion: Fusion
    labels: LabelConfig
    since: str  # time of the first row that taught no member: the track record begins there

    def at(self, device: str, cache: Path | None) -> Ensemble:
        """The same, asked on another device and with other embeddings at hand."""
        return replace(self, members={name: replace(member, device=device, cache=cache) if isinstance(member, Nets)
                                      else member for name, member in self.members.items()})

    def forecast(self, market: Market) -> Forecast:
        return self.fuse(self.members_of(market), market)

    def members_of(self, market: Market) -> dict[str, Forecast]:
        """Each member's own forecast."""
        return {name: member.forecast(market) for name, member in self.members.items()}

    def fuse(self, forecasts: Mapping[str, Forecast], market: Market) -> Forecast:
        """The one forecast that members' forecasts of `market` become."""
        labels = make_labels(market.prices, market.segments, self.labels, market.absent)
        since = int(np.searchsorted(market.time, np.datetime64(self.since)))
        return self.fusion.apply(forecasts, labels, since=since)

    def check_fits(self, market: Market, scaler: Scaler, window: int | None = None) -> None:
        for member in self.members.values():
            for fitted in member.checkpoints if isinstance(member, Nets) else (member,):
                fitted.check_fits(market, scaler, window)

    def save(self, path: Path | str) -> Path:
        """Write the folder. The settings come last and name the members' fingerprints: half a save, or members of
        another ensemble, are never taken for this one."""
        folder = Path(path)
        described: dict[str, Any] = {}
        for name, member in self.members.items():
            if isinstance(member, Nets):
                for number, checkpoint in enumerate(member.checkpoints):
                    checkpoint.save(folder / name / str(number))
                described[name] = {"nets": [checkpoint.fingerprint for checkpoint in member.checkpoints],
                                   "passes": member.passes}
            else:
                save_trees(member, folder / name)
                described[name] = {"trees": member.fingerprint}
        write_json(folder / SETTINGS, {"format": FORMAT, "members": described, "fusion": self.fusion.plain(),
                                       "labels": plain(self.labels), "since": self.since})
        return folder

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu", cache: Path | None = None) -> Ensemble:
        folder = Path(path)
        try:
            stored = json.loads((folder / SETTINGS).read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"no ensemble at {folder}: {SETTINGS} must be there; train one with "
                            "scripts/train_ensemble.py or give another folder") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{folder / SETTINGS} is damaged ({error}); train the ensemble again") from None
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            found = stored.get("format") if isinstance(stored, dict) else type(stored).__name__
            raise UserError(f"{folder / SETTINGS} has format {found!r}, this version reads {FORMAT}; train the "
                            "ensemble again")
        try:
            members: dict[str, Member] = {}
            for name, described in stored["members"].items():
                if not name.isidentifier():  # it names a folder, which must be inside this one
                    raise ValueError(f"{name!r} is no member's name")
                if "trees" in described:
                    trees = load_trees(folder / name)
                    found, wanted = [trees.fingerprint], [described["trees"]]
                    members[name] = trees
                else:
                    wanted = described["nets"]
                    nets = tuple(Checkpoint.load(folder / name / str(number)) for number in range(len(wanted)))
                    found = [checkpoint.fingerprint for checkpoint in nets]
                    members[name] = Nets(nets, described["passes"], device, cache)
                if found != wanted:
                    raise UserError(f"{folder / name} is not the member that {SETTINGS} was written for; train the "
                                    "ensemble again")
            return cls(members, Fusion.of(stored["fusion"]), LabelConfig(**stored["labels"]), stored["since"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{folder / SETTINGS} is not complete ({type(error).__name__}: {error}); train the "
                            "ensemble again") from None
