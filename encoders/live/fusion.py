"""`Fusion.apply` row by row: what follows the market goes on from the row before, the rest has no memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from data.labels import Labels
from encoders.ensemble.fitted import Follower
from encoders.ensemble.fusion import Fusion
from encoders.ensemble.online import arrived
from encoders.forecast import Forecast
from encoders.live.past import unknown

Said = Any  # what a stage is given: the members' forecasts, or one forecast


class LiveFusion:
    """A row's outcome is known `reach` rows later, so what each stage was given is kept for as long."""

    def __init__(self, fusion: Fusion, reach: int) -> None:
        self.stages = (fusion.combiner, *fusion.calibrations.values())
        self.reach = reach
        self.carried: list[dict[str, Any]] = [{} for _ in self.stages]
        self.given: list[deque[Said]] = [deque(maxlen=reach + 1) for _ in self.stages]

    def forget(self) -> None:
        """The next row does not follow the last. What has been learnt so far stays; outcomes across a gap are none."""
        for given in self.given:
            given.clear()

    def read(self, members: Sequence[Forecast], labels: Labels, rows: np.ndarray) -> None:
        """A whole past at once, `rows` being those at its end that the next row follows."""
        said: Said = members
        for k, stage in enumerate(self.stages):
            self.given[k].extend(one_row(said, int(row)) for row in rows[-self.reach :])
            news = arrived(stage.news(said, labels), self.reach) if isinstance(stage, Follower) else None
            said = self._told(k, said, news, labels)

    def after(self, members: Sequence[Forecast], outcome: Labels) -> Forecast:
        """Of one row, whose bar made the `outcome` of the row `reach` before it known."""
        nothing = unknown(outcome.forward.shape[1], self.reach)
        said: Said = members
        for k, stage in enumerate(self.stages):
            self.given[k].append(said)
            news = None
            if isinstance(stage, Follower):
                judged = len(self.given[k]) > self.reach
                news = stage.news(self.given[k][0], outcome if judged else nothing)
            said = self._told(k, said, news, replace(outcome, reach=0))  # it has arrived already
        return said

    def _told(self, k: int, said: Said, news: np.ndarray | None, labels: Labels) -> Forecast:
        """What stage `k` makes of it."""
        stage: Any = self.stages[k]
        if news is not None:
            return stage.follow(said, news, self.reach, self.carried[k])
        return stage.apply(said, labels)


def one_row(said: Said, row: int) -> Said:
    here = slice(row, row + 1)
    return said[here] if isinstance(said, Forecast) else [member[here] for member in said]
