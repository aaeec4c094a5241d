"""The losses that nets are scored by in pretraining, of a forecast made without one."""

from __future__ import annotations

import numpy as np
import torch

from encoders.forecast import LEVELS, Forecast
from encoders.losses import pinball, qlike
from encoders.trees.targets import Examples


def scores(forecast: Forecast, truth: Examples) -> dict[str, float]:
    """Of a forecast of n rows and one asset in units; the names and units of pretraining's `Exam`."""
    direction = forecast.direction[:, 0]  # (n, 3)
    quantiles, volatility = (torch.from_numpy(values[:, 0]) for values in (forecast.quantiles, forecast.volatility))
    losses = {
        "direction": float(-np.log(direction[np.arange(len(direction)), truth.direction]).mean()),
        "quantiles": float(pinball(quantiles, torch.from_numpy(truth.forward), torch.tensor(LEVELS))),
        "volatility": float(qlike(volatility, torch.from_numpy(truth.volatility))),
    }
    return {"loss": sum(losses.values()), **losses,
            "accuracy": float((direction.argmax(axis=1) == truth.direction).mean())}
