"""The best forecast that anybody could make, where the law of the market is known."""

from __future__ import annotations

import numpy as np

from configs.errors import UserError
from data.dataset import DataConfig, Dataset, load_raw
from data.labels import flat_band
from data.simulator.best import best_forecast
from encoders.forecast import LEVELS, Forecast


def has_bound(config: DataConfig) -> bool:
    """Whether `best_possible` can tell: on the simulated market, for one asset and a band that follows volatility."""
    return (config.source == "simulated" and len(config.simulator.assets) == 1 and config.labels.threshold is None)


def best_possible(config: DataConfig, dataset: Dataset) -> Forecast:
    """What the simulator's law says at each close, given all that is visible there; NaN where no window fits.

    >>> from data.dataset import load_dataset
    >>> from data.simulator.config import SimulatorConfig
    >>> config = DataConfig(simulator=SimulatorConfig(bars=900))
    >>> data = load_dataset(config)
    >>> bool((best_possible(config, data).known == np.isin(np.arange(900), data.market.decision_rows(48))).all())
    True
    """
    if not has_bound(config):
        raise UserError("the best possible forecast is known for the simulated market with one asset and no fixed "
                        f"labels.threshold, not for source {config.source!r} with "
                        f"{', '.join(dataset.market.assets)}")
    market, labels = dataset.market, config.labels
    band = flat_band(market.prices, market.segments, labels)
    found = best_forecast(load_raw(config), config.simulator, horizon=labels.horizon, band=np.nan_to_num(band),
                          volatility_bars=labels.volatility_bars, levels=LEVELS)
    blind = np.ones(len(market), bool)
    blind[market.decision_rows(config.window)] = False
    said = (found.direction, found.quantiles, found.volatility)
    return Forecast(*(np.where(blind.reshape(-1, *[1] * (part.ndim - 1)), np.nan, part)[:, None] for part in said))
