"""`LiveEnsemble`: from the bar that has just closed to the fused forecast."""

from __future__ import annotations

import numpy as np
import torch

from configs.errors import UserError
from data.labels import make_labels
from data.market import VOLUME, Market
from data.returns import adjoin
from encoders.ensemble.ensemble import Ensemble, Member
from encoders.ensemble.nets import Nets
from encoders.ensemble.online import only
from encoders.fitting import check_columns
from encoders.forecast import Forecast, mean
from encoders.live.fusion import LiveFusion
from encoders.live.nets import live_net
from encoders.live.past import Past
from encoders.live.reader import Reader
from encoders.live.trees import LiveTrees
from encoders.model import in_returns
from encoders.scale import TargetScale


class LiveEnsemble:
    """Goes on where `history` ends, whose features must be scaled as the members' were (`Ensemble.check_fits`).

    The history is what a later start needs: there is nothing else to save. One bar costs the same however long it is.
    """

    def __init__(self, ensemble: Ensemble, history: Market) -> None:
        self.assets, self.width = len(history.assets), len(history.columns)
        self.members: dict[str, tuple[Reader, ...]] = {}
        for name, member in ensemble.members.items():
            for fitted in member.checkpoints if isinstance(member, Nets) else (member,):
                check_columns(fitted, history, "ensemble", "train the ensemble again")
            self.members[name] = self._readers(name, member)
        self.order = ensemble.fusion.members
        self.fusion = LiveFusion(ensemble.fusion, ensemble.labels.reach)
        self.past = Past(history, ensemble.labels, ensemble.since, [reader.scale for reader in self._all()])
        if len(history):
            self._read(ensemble, history)

    def _read(self, ensemble: Ensemble, history: Market) -> None:
        forecasts = ensemble.members_of(history)
        ordered = [forecasts[name] for name in self.order]
        labels = make_labels(history.prices, history.segments, ensemble.labels, history.absent)
        since = int(np.searchsorted(history.time, np.datetime64(ensemble.since)))
        start, stop = history.segments[-1] if len(history.segments) else (0, 0)
        first = int(start) if stop == len(history) else len(history)  # of the rows that the next one follows
        told = np.all([member.known for member in ordered], axis=0) & (np.arange(len(history)) >= first)
        self.fusion.read(ordered, only(labels, slice(since, None)), np.flatnonzero(told))
        if first < len(history):
            bars = torch.from_numpy(np.ascontiguousarray(history.features[first:], np.float32))
            for reader in self._all():
                reader.after(bars)

    def after(self, time: np.datetime64, features: np.ndarray | None, prices: np.ndarray,
              absent: np.ndarray | None = None, gap: bool | None = None) -> Forecast | None:
        """The forecast (1, N, ...) on a bar that has closed, or None before the members' windows are full.

        features (N, F), prices (N, 5) and absent (N,) are a row of a `Market`'s. A bar without features lies outside
        every segment; after it, and with `gap`, everything but the track record begins anew. Bars that are missing are
        refused unless the caller says what they are: a gap, or, with False, a hole that a segment passes over.
        """
        self._check(time, features, prices, absent, gap)
        self.past.add(time, prices, absent, inside=features is not None, gap=bool(gap))
        if gap or features is None:
            self.fusion.forget()
            for reader in self._all():
                reader.forget()
        if features is None:
            return None
        bar = torch.from_numpy(np.ascontiguousarray(features, np.float32))[None]  # (1, N, F)
        said = {name: [reader.after(bar) for reader in readers] for name, readers in self.members.items()}
        expected: dict[TargetScale, np.ndarray] = {}  # what was trained on the same rows has the same scale
        members = []
        for name in self.order:
            told = []
            for reader, outputs in zip(self.members[name], said[name]):
                if outputs is None:
                    return None
                if reader.scale not in expected:
                    expected[reader.scale] = self.past.expected(reader.scale)
                told.append(in_returns(outputs, reader.scale, expected[reader.scale]))
            members.append(told[0] if len(told) == 1 else mean(told))
        return self.fusion.after(members, self.past.outcome())

    def _readers(self, name: str, member: Member) -> tuple[Reader, ...]:
        if not isinstance(member, Nets):
            return (LiveTrees(member, self.assets),)
        if member.passes:
            raise UserError(f"{name} cannot decide live: it was trained to be asked {member.passes} times with other "
                            "parts dropped; train the ensemble with passes 0")
        return tuple(live_net(checkpoint, self.assets) for checkpoint in member.checkpoints)

    def _all(self) -> list[Reader]:
        return [reader for readers in self.members.values() for reader in readers]

    def _check(self, time: np.datetime64, features: np.ndarray | None, prices: np.ndarray, absent: np.ndarray | None,
               gap: bool | None) -> None:
        before = self.past.market.time[-1:]
        if not (time > before).all():
            raise UserError(f"bars must come in order: {time} does not come after {before[0]}")
        whole = not len(before) or adjoin(np.append(before, time), self.past.market.bars_per_year).all()
        if gap is None and features is not None and self.past.open and not whole:
            raise UserError(f"bars are missing between {before[0]} and {time}: give them first, or say gap=True, which "
                            "begins new windows")
        missing = np.zeros(self.assets, bool) if absent is None else absent
        if prices.shape != (self.assets, 5) or missing.shape != (self.assets,):
            raise UserError(f"a bar has prices {(self.assets, 5)} and absent {(self.assets,)}, found {prices.shape} "
                            f"and {missing.shape}")
        there = np.isfinite(prices).all(axis=1) & (prices[:, :VOLUME] > 0).all(axis=1)
        right = np.where(missing, np.isnan(prices).all(axis=1), there)
        if not right.all():
            asset = int(np.argmin(right))
            raise UserError(f"the prices of asset {asset} at {time} are {prices[asset]}: they must be positive and "
                            "finite, or all NaN where it is said to be absent")
        if features is None:
            return
        if features.shape != (self.assets, self.width):
            raise UserError(f"a bar has features {(self.assets, self.width)}, found {features.shape}; leave them out "
                            "where they are not known")
        if not np.isfinite(features).all():
            asset, column = (int(place) for place in np.argwhere(~np.isfinite(features))[0])
            raise UserError(f"feature {column} of asset {asset} is {features[asset, column]} at {time}: mend the "
                            "source, or leave the features of this bar out, which begins a new window")
        if features[missing].any():
            raise UserError(f"an asset that is absent at {time} has features: they must be zeros")
