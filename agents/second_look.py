"""A second look at an agent that the validation rows alone leave in doubt.

What has a Sharpe ratio of 3 needs 23 weeks to earn twice its standard error, and two years of hours leave sixteen to
choose on. But the training rows can speak as well, if what they judge has not learnt from them: two more agents of the
same settings are trained, each on one half of the training rows, with encoders and an ensemble taught on that half
alone, and each is judged on the other. Rows whose windows or labels meet those that are judged teach nobody
(`data.folds.purged_kfold`). Weights are chosen on the validation rows as ever. These agents have learnt from fewer rows
than the one that is asked about, so what they earn is, if anything, modest; though who learns from the later half has
seen what came after the rows that it judges, so it is evidence that there is something to earn, and no track record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agents.bundle import Bundle
from agents.callbacks import Say
from agents.watch.validation import Validation
from configs.errors import UserError
from data.dataset import Dataset
from data.folds import KFoldConfig, purged_kfold
from encoders.ensemble.online import only

CLEAR = 1.645  # standard errors: by luck alone once in twenty times
NAMES = ("late", "early")  # of the half that is learnt from

Learn = Callable[[Dataset, str], Bundle]


class Half(NamedTuple):
    dataset: Dataset  # its training rows are those of one half
    judging: slice  # rows of the other


class Earned(NamedTuple):
    """Log growth of a bar."""

    mean: float
    error: float  # standard error of the mean

    @classmethod
    def of(cls, growths: np.ndarray) -> Earned:
        return cls(float(growths.mean()), float(growths.std()) / np.sqrt(len(growths)))

    @property
    def clear(self) -> bool:
        return self.mean > CLEAR * self.error

    def __str__(self) -> str:
        return f"{self.mean * 1e4:+.2f} bps a bar, give or take {self.error * 1e4:.2f}"


def halves(dataset: Dataset, window: int, embargo: int) -> list[Half]:
    """The training rows cut in two, to learn from one half and be judged on the other.

    The scaler, which knows the spread of all training rows, stays as it is.

    >>> from data.dataset import DataConfig, KnownConfig, load_dataset
    >>> data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_real", bars=2_000)))
    >>> [(half.dataset.split.train, half.judging) for half in halves(data, window=8, embargo=0)]
    [(slice(631, 1200, None), slice(0, 600, None)), (slice(0, 569, None), slice(600, 1200, None))]
    """
    first, last, _ = dataset.split.train.indices(len(dataset.market))
    found = []
    for fold in purged_kfold(last - first, dataset.labels.reach, window, KFoldConfig(2, embargo)):
        [learnt], [judged] = fold.train, fold.test
        known = np.ones(len(dataset.market), bool)
        known[first:last] = False
        known[first + learnt.start : first + learnt.stop] = True
        split = replace(dataset.split, train=slice(first + learnt.start, first + learnt.stop))
        found.append(Half(replace(dataset, labels=only(dataset.labels, known), split=split),
                          slice(first + judged.start, first + judged.stop)))
    return found


def pays(bundle: Bundle, dataset: Dataset, embargo: int, learn: Learn, device: str, cache: Path | None, say: Say
         ) -> bool:
    """Whether it pays to trade, by the agent on its validation rows and two of its kind on rows that taught neither."""
    market, env, window = dataset.market, bundle.env, bundle.window
    try:
        parts = halves(dataset, window, embargo)
    except UserError as error:
        say(f"no second look at {bundle.name}: {error}")
        return False

    def growths(of: Bundle, rows: slice) -> np.ndarray:
        return Validation(market, env, window, rows).run(of.policy(market, device, cache)).growths

    chosen = growths(bundle, dataset.split.valid)
    say(f"the validation rows leave open whether it pays to trade as {bundle.name} does ({Earned.of(chosen)}): two "
        "more are trained, each on half of the training rows, and judged on the other half (--agent.second_look False "
        "goes without)")
    found = Earned.of(np.concatenate([chosen, *(growths(learn(half.dataset, name), half.judging)
                                                for half, name in zip(parts, NAMES, strict=True))]))
    say(f"on the validation rows and the other halves: {found}; {'it trades' if found.clear else 'not clear enough'}")
    return found.clear
