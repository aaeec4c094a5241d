"""`LiveEnsemble`: from the bar that has just closed to the fused forecast."""

from __future__ import annotations

import numpy as np
import torch

from configs.errors import UserError
from data.labels import make_labels
from data.market import Market
from encoders.ensemble.ensemble import Ensemble
from encoders.ensemble.nets import Nets
from encoders.ensemble.online import only
from encoders.fitting import check_columns
from encoders.forecast import Forecast, mean
from encoders.live.fusion import LiveFusion
from encoders.live.nets import LiveNet, live_net
from encoders.live.past import Past
from encoders.model import in_returns
from encoders.scale import TargetScale


class LiveEnsemble:
    """Goes on where `history` ends, whose features must be scaled as the members' were (`Ensemble.check_fits`).

    The history is what a later start needs: there is nothing else to save. One bar costs the same however long it is.
    """

    def __init__(self, ensemble: Ensemble, history: Market) -> None:
        self.assets, self.width = len(history.assets), len(history.columns)
        self.members: dict[str, tuple[LiveNet, ...]] = {}
        for name, member in ensemble.members.items():
            if not isinstance(member, Nets) or member.passes:
                raise UserError(f"{name} cannot decide live: an ensemble's live members are nets with passes 0; train "
                                "the ensemble with such members alone")
            for checkpoint in member.checkpoints:
                check_columns(checkpoint, history, "checkpoint", "train the ensemble again")
            self.members[name] = tuple(live_net(checkpoint, self.assets) for checkpoint in member.checkpoints)
        self.order = ensemble.fusion.members
        self.fusion = LiveFusion(ensemble.fusion, ensemble.labels.reach)
        self.past = Past(history, ensemble.labels, ensemble.since, [net.scale for net in self._nets()])
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
            for net in self._nets():
                net.after(bars)

    def after(self, time: np.datetime64, features: np.ndarray | None, prices: np.ndarray,
              absent: np.ndarray | None = None, gap: bool = False) -> Forecast | None:
        """The forecast (1, N, ...) on a bar that has closed, or None before the members' windows are full.

        features (N, F), prices (N, 5) and absent (N,) are a row of a `Market`'s. A bar without features lies outside
        every segment; after it, and with `gap`, everything but the track record begins anew.
        """
        self._check(time, features, prices)
        if gap or features is None:
            self.fusion.forget()
            for net in self._nets():
                net.forget()
        self.past.add(time, prices, absent, inside=features is not None, gap=gap)
        if features is None:
            return None
        bar = torch.from_numpy(np.ascontiguousarray(features, np.float32))[None]  # (1, N, F)
        said = {name: [net.after(bar) for net in nets] for name, nets in self.members.items()}
        expected: dict[TargetScale, np.ndarray] = {}  # nets that were trained on the same rows have the same scale
        members = []
        for name in self.order:
            told = []
            for net, outputs in zip(self.members[name], said[name]):
                if outputs is None:
                    return None
                if net.scale not in expected:
                    expected[net.scale] = self.past.expected(net.scale)
                told.append(in_returns(outputs, net.scale, expected[net.scale]))
            members.append(told[0] if len(told) == 1 else mean(told))
        return self.fusion.after(members, self.past.outcome())

    def _nets(self) -> list[LiveNet]:
        return [net for nets in self.members.values() for net in nets]

    def _check(self, time: np.datetime64, features: np.ndarray | None, prices: np.ndarray) -> None:
        before = self.past.market.time[-1:]
        if not (time > before).all():
            raise UserError(f"bars must come in order: {time} does not come after {before[0]}")
        if prices.shape != (self.assets, 5):
            raise UserError(f"a bar has prices {(self.assets, 5)}, found {prices.shape}")
        if features is None:
            return
        if features.shape != (self.assets, self.width):
            raise UserError(f"a bar has features {(self.assets, self.width)}, found {features.shape}; leave them out "
                            "where they are not known")
        if not np.isfinite(features).all():
            asset, column = (int(place) for place in np.argwhere(~np.isfinite(features))[0])
            raise UserError(f"feature {column} of asset {asset} is {features[asset, column]} at {time}: mend the "
                            "source, or leave the features of this bar out, which begins a new window")
