"""The losses that nets are scored by in pretraining, of a forecast made without one."""

from __future__ import annotations

import numpy as np
import torch

from encoders.forecast import LEVELS, Forecast
from encoders.heads import TargetScale
from encoders.losses import pinball, qlike
from encoders.trees.targets import Examples


def scores(forecast: Forecast, truth: Examples, scale: TargetScale) -> dict[str, float]:
    """Of a forecast of n rows and one asset; the names and units of `pretrain.evaluate`."""
    direction = forecast.direction[:, 0]  # (n, 3)
    quantiles, volatility = (torch.from_numpy(values[:, 0] / unit) for values, unit in
                             ((forecast.quantiles, scale.forward), (forecast.volatility, scale.volatility)))
    losses = {
        "direction": float(-np.log(direction[np.arange(len(direction)), truth.direction]).mean()),
        "quantiles": float(pinball(quantiles, torch.from_numpy(truth.forward), torch.tensor(LEVELS))),
        "volatility": float(qlike(volatility, torch.from_numpy(truth.volatility))),
    }
    return {"loss": sum(losses.values()), **losses,
            "accuracy": float((direction.argmax(axis=1) == truth.direction).mean())}
