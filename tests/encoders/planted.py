"""A market in which one feature leads the next bar's return, and the pieces that pretraining takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.labels import LabelConfig, Labels, make_labels
from data.market import Market, hourly_times
from data.scaling import Scaler
from data.splits import Split, SplitConfig, chronological
from encoders.config import EncoderConfig
from encoders.training.config import PretrainConfig

WINDOW = 6
ROWS = 1600
TINY = {"width": 16, "layers": 1, "heads": 2, "ff": 16, "state": 4, "chunk": 4, "dropout": 0.1}
QUICK = PretrainConfig(epochs=6, rows_per_epoch=600, batch=50, lr=5e-3, weight_decay=0.1, patience=3, threads=1)


@dataclass
class Pieces:
    market: Market
    labels: Labels
    split: Split
    scaler: Scaler


def tiny(name: str, **changes) -> EncoderConfig:
    return EncoderConfig(name=name, **{**TINY, **changes})


def planted(lead: float, seed: int = 0, horizon: int = 1) -> Pieces:
    """`lead` is the correlation of feature 'lead' with the next log return; two assets, a gap, a warm-up."""
    rng = np.random.default_rng(seed)
    ahead = rng.normal(size=(ROWS, 2))
    noise = rng.normal(size=(ROWS, 2))
    returns = 0.01 * (lead * np.roll(ahead, 1, axis=0) + np.sqrt(1 - lead**2) * noise)
    close = 100 * np.exp(np.cumsum(returns, axis=0))
    prices = np.repeat(close[:, :, None], 5, axis=2)
    segments = np.array([[20, 700], [710, ROWS]])
    features = rng.normal(size=(ROWS, 2, 4)).astype(np.float32)
    features[:, :, 1] = ahead
    outside = np.ones(ROWS, bool)
    for start, stop in segments:
        outside[start:stop] = False
    features[outside] = np.nan
    columns = ("noise_a", "lead", "noise_b", "noise_c")
    market = Market(hourly_times(ROWS), ("A", "B"), prices, features, columns, np.zeros((ROWS, 2)), segments, 8760.0)
    labels = make_labels(prices, segments, LabelConfig(horizon=horizon))
    split = chronological(ROWS, horizon, WINDOW, SplitConfig(embargo=2))
    return Pieces(market, labels, split, Scaler(columns, np.zeros(4), np.ones(4), 8.0))
