"""Random forest (Breiman 2001): trees that each see other rows and columns, averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from encoders.trees.config import TreeConfig
from encoders.trees.library import binned, lightgbm_library, parsed, settings
from encoders.trees.targets import Classes, Examples, Quantile, Target
from encoders.trees.text import cut


class Forest:
    """LightGBM's `rf` mode, only with losses whose leaves it gets right.

    A tree of a forest sees the base rates, not what other trees have left over, and LightGBM finds its leaves with a
    single Newton step from there: exact for means, and quantiles are taken anew from the rows of a leaf. For log loss
    the step falls short, and for gamma deviance it goes wrong by orders of magnitude. So there is one forest of means
    for each class (least squares on an indicator is Gini's criterion), and one of the log of the variance.
    """

    def __init__(self, target: Target, files: tuple[bytes, ...], summaries: int) -> None:
        if len(files) != target.outputs:
            raise ValueError(f"a forest has {target.outputs} files for {target.name}, found {len(files)}")
        self.target = target
        self.files = files
        self.boosters = [parsed(file, summaries, outputs=1) for file in files]

    @classmethod
    def grower(cls, train: Examples, valid: Examples, config: TreeConfig, least: int, seed: int
               ) -> Callable[[Target], Forest]:
        """Averages do not learn by heart as they grow, so the examples of `valid` are left to `Part.fit`."""
        given = {**settings(config, least, seed), "boosting": "rf", "feature_fraction_bynode": config.columns}
        rows = binned(train, given)

        def grow(target: Target) -> Forest:
            files = []
            for labels, loss in columns(target, target.labels(train)):
                rows.set_label(labels)
                booster = lightgbm_library().train({**given, **loss}, rows, config.trees)
                files.append(cut(booster.model_to_string()))
            return cls(target, tuple(files), train.x.shape[1])

        return grow

    def added(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """(n, S) -> (n, K) beyond the base rates."""
        # not the raw score, which in a forest is the sum of its trees; of these losses the other is their mean
        said = np.stack([booster.predict(x, num_threads=threads) for booster in self.boosters], axis=1)
        # shares of a class relative to its base rate; with trees of many leaves one may be 0 in all of them
        return np.log(np.maximum(said, 1e-6)) if isinstance(self.target, Classes) else said


def columns(target: Target, labels: np.ndarray) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """What each forest of a target averages, measured from its base rates, and by which loss."""
    start = target.start(labels)
    if isinstance(target, Classes):
        return [((labels == label) / np.exp(start[label]), {"objective": "regression"}) for label in range(len(start))]
    if isinstance(target, Quantile):
        return [(labels - start, {"objective": "quantile", "alpha": target.level})]
    return [(np.log(labels) - start, {"objective": "regression"})]
