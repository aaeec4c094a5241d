import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.market import Market
from encoders.trees.summaries import SUMMARIES, moments, summaries
from tests.encoders.planted import Pieces


def slowly(bars: np.ndarray) -> np.ndarray:
    """(W, F) -> (S,), as a textbook has it."""
    steps = np.arange(len(bars))
    slope = np.zeros(bars.shape[1]) if len(bars) == 1 else np.polyfit(steps, bars, 1)[0]
    return np.concatenate([bars[-1], bars.mean(0), bars.std(0), slope, bars[-max(len(bars) // 4, 1):].mean(0)])


@pytest.mark.parametrize("window", [1, 2, 5, 6, 48])
def test_every_row_is_its_window_summarised(pieces: Pieces, window: int) -> None:
    market = pieces.market
    values, names = summaries(market, window)
    rows = market.decision_rows(window)
    assert values.shape == (len(market), 2, len(SUMMARIES) * 4)
    assert names[:5] == ("noise_a.last", "lead.last", "noise_b.last", "noise_c.last", "noise_a.mean")
    for row in rows[:: len(rows) // 40]:
        bars = market.window_at(int(row), window).astype(np.float64)
        for asset in range(2):
            np.testing.assert_allclose(values[row, asset], slowly(bars[:, asset]), rtol=1e-6, atol=1e-7)
    outside = np.ones(len(market), bool)
    outside[rows] = False
    assert np.isnan(values[outside]).all()
    assert np.isfinite(values[rows]).all()


def test_later_bars_change_no_earlier_row_to_the_bit(pieces: Pieces) -> None:
    wanted, _ = summaries(pieces.market, 6)
    for cut in (30, 400, 1200):
        features = pieces.market.features.copy()
        features[cut + 1 :] *= -1e4
        found, _ = summaries(dataclasses.replace(pieces.market, features=features), 6)
        assert found[: cut + 1].tobytes() == wanted[: cut + 1].tobytes()
        assert not np.array_equal(found[cut + 1 :], wanted[cut + 1 :], equal_nan=True)


def test_a_row_is_a_function_of_its_window_to_the_bit(pieces: Pieces) -> None:
    """Serving shows no more than a window, training a whole market: both must meet the same numbers."""
    whole, _ = summaries(pieces.market, 11)
    for row in (40, 500, 900):
        alone, _ = summaries(pieces.market.slice(slice(row - 10, row + 1)), 11)
        assert alone[-1].tobytes() == whole[row].tobytes()


def test_a_calm_window_after_a_wild_one_keeps_its_digits() -> None:
    bars = np.concatenate([np.full(5000, 1e6), np.tile([0.5 - 1e-6, 0.5 + 1e-6], 24)])[:, None]
    found = moments(bars, 48)
    assert found.deviation[-1, 0] == pytest.approx(1e-6, rel=1e-6)
    assert found.deviation[:4000].max() == 0.0  # of a constant, exactly


@given(st.integers(1, 40), st.floats(-3, 3), st.floats(-2, 2))
def test_a_straight_line_has_its_slope(count: int, start: float, slope: float) -> None:
    bars = (start + slope * np.arange(50.0))[:, None]
    found = moments(bars, count)
    assert found.slope.shape == (51 - count, 1)
    np.testing.assert_allclose(found.slope, slope if count > 1 else 0.0, atol=1e-12)
    np.testing.assert_allclose(found.mean, bars[count - 1 :] - slope * (count - 1) / 2, atol=1e-12)


def test_a_market_shorter_than_the_window_has_none() -> None:
    assert np.isnan(summaries(Market.flat(5), 6)[0]).all()
