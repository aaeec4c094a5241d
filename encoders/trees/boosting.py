"""Gradient boosting (Friedman 2001): each tree learns what those before it have left over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from encoders.trees.config import TreeConfig
from encoders.trees.library import binned, lightgbm_library, parsed, settings
from encoders.trees.targets import Classes, Examples, Quantile, Target
from encoders.trees.text import cut


class Boosting:
    """LightGBM from the base rates on, with as many trees as the validation rows ask for."""

    def __init__(self, target: Target, files: tuple[bytes, ...], summaries: int) -> None:
        self.target = target
        self.files = files
        (file,) = files
        self.booster = parsed(file, summaries, target.outputs)

    @classmethod
    def grower(cls, train: Examples, valid: Examples, config: TreeConfig, least: int, seed: int
               ) -> Callable[[Target], Boosting]:
        given = {**settings(config, least, seed), "learning_rate": config.rate, "lambda_l2": config.l2,
                 "feature_fraction": config.columns, "boost_from_average": False}
        rows = binned(train, given)
        held_out = binned(valid, given, like=rows)

        def grow(target: Target) -> Boosting:
            library = lightgbm_library()
            start = target.start(target.labels(train))
            for dataset, examples in ((rows, train), (held_out, valid)):
                labels = target.labels(examples)
                dataset.set_label(labels).set_init_score(np.repeat(start, len(labels)))  # one class after the other
            stop = library.early_stopping(config.patience, verbose=False)
            booster = library.train({**given, **loss(target)}, rows, config.trees, valid_sets=[held_out],
                                    callbacks=[stop])
            text = booster.model_to_string(num_iteration=booster.best_iteration)
            return cls(target, (cut(text),), train.x.shape[1])

        return grow

    def added(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """(n, S) -> (n, K) beyond the base rates."""
        return np.asarray(self.booster.predict(x, raw_score=True, num_threads=threads)).reshape(len(x), -1)


def loss(target: Target) -> dict[str, Any]:
    """The objective, and the metric that stops early: the same loss."""
    if isinstance(target, Classes):
        return {"objective": "multiclass", "num_class": target.outputs, "metric": "multi_logloss"}
    if isinstance(target, Quantile):
        return {"objective": "quantile", "alpha": target.level, "metric": "quantile"}
    return {"objective": "gamma", "metric": "gamma_deviance"}
