"""What lies far back is found within the small budget: a return that follows the mean of a feature over a day."""

import numpy as np
import pytest

from configs.loader import parse, preset
from data.labels import LabelConfig, make_labels
from data.market import Market, hourly_times
from data.scaling import Scaler
from data.splits import SplitConfig, chronological
from encoders.config import EncoderConfig
from encoders.pretrain import pretrain
from encoders.training.config import PretrainConfig
from tests.encoders.planted import Pieces

ROWS, DAY, WINDOW, LEAD = 8000, 24, 48, 0.7
COLUMNS = ("leads", "noise_a", "noise_b", "noise_c")


def of_a_day() -> Pieces:
    """`LEAD` is the correlation of the mean of 'leads' over the last 24 bars with the next log return."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(ROWS, 1, len(COLUMNS))).astype(np.float32)
    days = np.convolve(features[:, 0, 0], np.full(DAY, DAY**-0.5))[:ROWS]  # (T,) of variance 1 after the first day
    returns = 0.01 * (LEAD * np.append(0.0, days[:-1]) + np.sqrt(1 - LEAD**2) * rng.normal(size=ROWS))
    prices = np.repeat(100 * np.exp(np.cumsum(returns))[:, None, None], 5, axis=2)
    segments = np.array([[0, ROWS]])
    market = Market(hourly_times(ROWS), ("A",), prices, features, COLUMNS, np.zeros((ROWS, 1)), segments, 8760.0)
    labels = make_labels(prices, segments, LabelConfig(horizon=1))
    scaler = Scaler(COLUMNS, np.zeros(len(COLUMNS)), np.ones(len(COLUMNS)), 8.0)
    return Pieces(market, labels, chronological(ROWS, 1, WINDOW, SplitConfig()), scaler)


@pytest.mark.parametrize("name", ["lstm", "attention_lstm", "transformer", "mamba"])
def test_a_mean_of_many_bars_is_found(name: str) -> None:
    pieces = of_a_day()
    config = parse(PretrainConfig, ["--threads", "1"], preset("pretrain", "small"))
    scores = pretrain(pieces.market, pieces.labels, pieces.split, pieces.scaler, WINDOW,
                      parse(EncoderConfig, [], preset("encoder", f"{name}.small")), config, progress=False).scores
    assert scores["loss"] < scores["base_loss"] - 0.1
