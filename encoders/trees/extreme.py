"""Gradient boosting by XGBoost (Chen and Guestrin 2016), for those who have it: the extra `xgboost`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from configs.errors import UserError
from encoders.trees.config import TreeConfig
from encoders.trees.targets import Classes, Examples, Quantile, Target


class Extreme:
    """As `Boosting`, but for one thing: XGBoost measures a leaf by its second derivatives, not by its rows."""

    def __init__(self, target: Target, files: tuple[bytes, ...], summaries: int) -> None:
        library = xgboost_library()
        self.target = target
        self.files = files
        (file,) = files
        self.booster = library.Booster()
        try:
            self.booster.load_model(bytearray(file))
        except library.core.XGBoostError as error:
            raise ValueError(str(error).strip().splitlines()[0]) from None
        if self.booster.num_features() != summaries:
            raise ValueError(f"its trees read {self.booster.num_features()} columns, not {summaries}")

    @classmethod
    def grower(cls, train: Examples, valid: Examples, config: TreeConfig, least: int, seed: int
               ) -> Callable[[Target], Extreme]:
        library = xgboost_library()
        given = {"tree_method": "hist", "grow_policy": "lossguide", "max_depth": 0, "max_leaves": config.leaves,
                 "max_bin": config.bins, "subsample": config.bag, "colsample_bytree": config.columns,
                 "eta": config.rate, "lambda": config.l2, "nthread": config.cores, "seed": seed, "verbosity": 0}
        rows = library.QuantileDMatrix(train.x, max_bin=config.bins, nthread=config.cores)
        held_out = library.QuantileDMatrix(valid.x, ref=rows, max_bin=config.bins, nthread=config.cores)

        def grow(target: Target) -> Extreme:
            start = target.start(target.labels(train))
            for matrix, examples in ((rows, train), (held_out, valid)):
                labels = target.labels(examples)
                matrix.set_info(label=labels, base_margin=np.tile(start, (len(labels), 1)))
            booster = library.train({**given, **loss(target, least)}, rows, config.trees, evals=[(held_out, "valid")],
                                    early_stopping_rounds=config.patience, verbose_eval=False)
            best = booster[: booster.best_iteration + 1]
            return cls(target, (bytes(best.save_raw("ubj")),), train.x.shape[1])

        return grow

    def added(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        """(n, S) -> (n, K) beyond the base rates."""
        still = np.zeros((len(x), self.target.outputs))
        matrix = xgboost_library().DMatrix(x, base_margin=still, nthread=threads)
        self.booster.set_param({"nthread": threads})
        return self.booster.predict(matrix, output_margin=True).reshape(still.shape).astype(np.float64)


def xgboost_library() -> Any:
    """The module, or one line on how to get it."""
    try:
        import xgboost
    except ImportError:
        raise UserError("trees of the kind xgboost need XGBoost, which is not installed: pip install "
                        "'coinarena[xgboost]', or choose forest or boosting") from None
    return xgboost


def loss(target: Target, least: int) -> dict[str, Any]:
    """The objective, the metric that stops early, and the weight of `least` rows: 1 each where leaves are quantiles or
    log variances, and 2 p (1 - p) = 4/9 where three classes are as likely as each other."""
    if isinstance(target, Classes):
        return {"objective": "multi:softprob", "num_class": target.outputs, "eval_metric": "mlogloss",
                "min_child_weight": least * 4 / 9}
    if isinstance(target, Quantile):
        return {"objective": "reg:quantileerror", "quantile_alpha": target.level, "eval_metric": "quantile",
                "min_child_weight": least}
    return {"objective": "reg:gamma", "eval_metric": "gamma-deviance", "min_child_weight": least}
