"""A second look at an agent that the validation rows alone leave in doubt.

What has a Sharpe ratio of 3 needs 16 weeks to earn 1.65 times its standard error, and few histories have as much to
choose on. But the training rows can speak as well, if what they judge has not learnt from them: two more agents of the
same settings are trained, each on one half of the training rows, with encoders and an ensemble taught on that half
alone, and each is judged on the other. Their weights are chosen on the validation rows as ever.

Rows whose windows or labels meet those that are judged teach nobody (`encoders.ensemble.heldout`); what features look
back over does reach across the border. These agents have learnt from fewer rows than the one that is asked about, so
what they earn is, if anything, modest. Who learns from the later half has seen what came after the rows that it judges:
it is evidence that there is something to earn, and no track record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from agents.bundle import Bundle
from agents.callbacks import Say
from agents.earned import Earned
from agents.watch.validation import Validation
from configs.errors import UserError
from data.dataset import Dataset
from encoders.ensemble.heldout import Held, without_block

NAMES = ("late", "early")  # of the half that is learnt from

Learn = Callable[[Dataset, str], Bundle]


def halves(dataset: Dataset, window: int, embargo: int) -> list[Held]:
    """The training rows cut in two, to learn from one half and be judged on the other.

    >>> from data.dataset import DataConfig, KnownConfig, load_dataset
    >>> data = load_dataset(DataConfig(source="known", known=KnownConfig("ou_real", bars=2_000)))
    >>> [(half.dataset.split.train, half.block) for half in halves(data, window=8, embargo=0)]
    [(slice(631, 1200, None), slice(0, 600, None)), (slice(0, 569, None), slice(600, 1200, None))]
    """
    return [half._replace(dataset=replace(half.dataset, split=replace(dataset.split, train=half.taught[0])))
            for half in without_block(dataset, window, 2, embargo)]


def in_doubt(bundle: Bundle) -> bool:
    """Whether it stays out although it trades and does not clearly lose."""
    found = bundle.validated
    return bundle.stays_out and found is not None and not found.idle and not found.hopeless


def second_look(bundle: Bundle, dataset: Dataset, embargo: int, block: float, learn: Learn, device: str,
                cache: Path | None, say: Say) -> Bundle:
    """The bundle as it is after a second look. Neighbours in blocks of so many bars may resemble each other.

    `learn` makes an agent of each half, asked for no evidence; where one cannot be made there is none.
    """
    market, growths = dataset.market, []
    say(f"the validation rows leave open whether it pays to trade as {bundle.name} does ({bundle.validated}): two more "
        "are trained, each on half of the training rows, and judged on the other half (--agent.second_look False does "
        "without)")
    try:
        for half, name in zip(halves(dataset, bundle.window, embargo), NAMES, strict=True):
            policy = learn(half.dataset, name).policy(market, device, cache)
            growths.append(Validation(market, bundle.env, bundle.window, half.block).run(policy).growths)
    except UserError as error:
        say(f"there is no second look: {error}")
        return bundle
    found = Earned.of(np.concatenate(growths), block=max(round(block), 1))
    say(f"the halves earned {found}; {bundle.name} {'trades' if found.clear else 'stays out'}")
    return replace(bundle, halves=found, stays_out=not found.clear)
