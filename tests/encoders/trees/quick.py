"""Trees that are grown in a second, and what is asked of two forecasts."""

from __future__ import annotations

import dataclasses

import numpy as np

from encoders.forecast import Forecast
from encoders.trees.config import TreeConfig
from encoders.trees.fit import fit_trees
from encoders.trees.model import TreeForecaster
from tests.encoders.planted import WINDOW, Pieces

QUICK = {
    "boosting": TreeConfig("boosting", trees=60, rate=0.1, columns=0.5, patience=10),
    "forest": TreeConfig("forest", trees=30, leaves=12, least=10, bag=0.3, columns=0.5),
    "xgboost": TreeConfig("xgboost", trees=40, rate=0.1, columns=0.5, patience=10),
}


def fitted(pieces: Pieces, name: str, seed: int = 0, **changes) -> TreeForecaster:
    config = dataclasses.replace(QUICK[name], **changes)
    return fit_trees(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW, config, seed, progress=False)


def same(one: Forecast, other: Forecast, rows: slice = slice(None)) -> bool:
    return all(np.array_equal(getattr(one, name)[rows], getattr(other, name)[rows], equal_nan=True)
               for name in ("direction", "quantiles", "volatility"))
