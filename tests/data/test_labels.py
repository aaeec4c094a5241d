"""Labels with a fixed threshold and two horizons, against a loop over rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import UserError
from configs.loader import parse
from data.labels import DOWN, FLAT, UNKNOWN, UP, LabelConfig, make_labels
from data.market import CLOSE

LONG = LabelConfig(horizon=90, threshold=0.05, volatility_horizon=30)


def bars(close: np.ndarray) -> np.ndarray:
    """(T, N, 5) whose closes are `close` (T, N) and whose other prices would spoil a label that read them."""
    prices = np.full((*close.shape, 5), 1e9)
    prices[:, :, CLOSE] = close
    return prices


def walk(rows: int, assets: int = 1, seed: int = 0) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, (rows, assets)), axis=0))


def by_hand(close: np.ndarray, segments, config: LabelConfig, row: int, asset: int) -> tuple[int, float, float]:
    """Direction, forward return and volatility of one row, in plain Python."""
    nothing = UNKNOWN, math.nan, math.nan
    ends = [stop for start, stop in segments if start <= row < stop]
    if not ends or row + config.reach >= ends[0]:
        return nothing
    now, then = close[row, asset], close[row + config.horizon, asset]
    ahead = [math.log(close[i + 1, asset] / close[i, asset]) for i in range(row, row + config.volatility_bars)]
    volatility = math.sqrt(sum(x * x for x in ahead) / len(ahead))
    assert config.threshold is not None
    simple = then / now - 1
    direction = UP if simple > config.threshold else DOWN if simple < -config.threshold else FLAT
    return direction, math.log(then / now), volatility


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.none() | st.integers(1, 20), st.floats(0, 0.1), st.integers(0, 99))
def test_every_label_is_what_a_loop_over_bars_finds(horizon, volatility_horizon, threshold, seed):
    config = LabelConfig(horizon=horizon, volatility_horizon=volatility_horizon, threshold=threshold)
    close, segments = walk(60, 2, seed), np.array([[3, 21], [22, 23], [25, 60]])
    labels = make_labels(bars(close), segments, config)
    for row in range(60):
        for asset in range(2):
            direction, forward, volatility = by_hand(close, segments.tolist(), config, row, asset)
            assert labels.direction[row, asset] == direction
            assert labels.forward[row, asset] == pytest.approx(forward, rel=1e-5, abs=1e-7, nan_ok=True)
            assert labels.volatility[row, asset] == pytest.approx(volatility, rel=1e-5, abs=1e-7, nan_ok=True)


def test_ninety_days_by_hand():
    close = np.full((200, 1), 100.0)
    close[95] = 105.0  # exactly five percent over row 5 still is flat, a cent more is not
    close[96] = 105.01
    close[97] = 95.0
    close[98] = 94.99
    labels = make_labels(bars(close), np.array([[0, 200]]), LONG)
    assert labels.direction[:9, 0].tolist() == [FLAT] * 6 + [UP, FLAT, DOWN]
    assert labels.forward[6, 0] == pytest.approx(math.log(1.0501))
    assert labels.volatility[6, 0] == 0  # thirty quiet days, whatever the ninetieth brings
    assert labels.volatility[66, 0] == pytest.approx(np.sqrt(np.mean(np.diff(np.log(close[66:97, 0])) ** 2)))
    assert labels.known.tolist() == [True] * 110 + [False] * 90
    assert labels.reach == LONG.reach == 90


@pytest.mark.parametrize(("config", "reach"), [
    (LabelConfig(), 24), (LabelConfig(horizon=5, volatility_horizon=9), 9),
    (LabelConfig(horizon=5, volatility_horizon=3), 5), (LONG, 90),
])
def test_no_label_knows_of_more_than_its_reach(config, reach):
    """And the reach is no longer than it must be: the bar at its end does matter to some label."""
    assert config.reach == reach
    close, row, last = walk(300), 120, 120 + reach
    labels = make_labels(bars(close), np.array([[0, 300]]), config)

    def moved(first: int) -> bool:
        other = close.copy()
        other[first:] *= 1.7
        found = make_labels(bars(other), np.array([[0, 300]]), config)
        return any(not np.array_equal(getattr(found, part)[: row + 1], getattr(labels, part)[: row + 1], equal_nan=True)
                   for part in ("direction", "forward", "volatility"))

    assert not moved(last + 1)
    assert moved(last)


def test_a_threshold_needs_no_history_and_the_band_does():
    close = walk(40)
    fixed = make_labels(bars(close), np.array([[0, 40]]), LabelConfig(horizon=3, threshold=0.0))
    adaptive = make_labels(bars(close), np.array([[0, 40]]), LabelConfig(horizon=3))
    assert np.flatnonzero(fixed.known).tolist() == list(range(37))
    assert np.flatnonzero(adaptive.known).tolist() == list(range(2, 37))
    np.testing.assert_array_equal(fixed.forward[2:37], adaptive.forward[2:37])
    assert set(fixed.direction[:37, 0]) == {UP, DOWN}, "no walk of floats ends where it began"


def test_a_longer_look_at_volatility_changes_nothing_else():
    close = walk(80)
    plain = make_labels(bars(close), np.array([[0, 80]]), LabelConfig(horizon=4))
    longer = make_labels(bars(close), np.array([[0, 80]]), LabelConfig(horizon=4, volatility_horizon=10))
    np.testing.assert_array_equal(plain.direction[:70], longer.direction[:70])
    np.testing.assert_array_equal(plain.forward[:70], longer.forward[:70])
    assert (longer.direction[70:] == UNKNOWN).all(), "where one of the three is unknown, so is the row"
    assert (plain.direction[70:76] != UNKNOWN).all()


def test_a_segment_too_short_for_its_labels_has_none():
    labels = make_labels(bars(walk(30)), np.array([[0, 5], [6, 30]]), LabelConfig(horizon=2, volatility_horizon=5,
                                                                                  threshold=0.01))
    assert not labels.known[:6].any()
    assert labels.known[6:25].all()


@pytest.mark.parametrize(("wrong", "said"), [
    ({"threshold": -0.01}, "0.05 for 5 %"), ({"threshold": 5.0}, "below 1"), ({"threshold": math.nan}, "nan"),
    ({"volatility_horizon": 0}, "volatility_horizon must be at least 1, found 0"),
])
def test_impossible_settings_are_refused_by_name(wrong, said):
    with pytest.raises(UserError, match=said):
        LabelConfig(**wrong)


def test_they_can_be_set_and_unset_from_the_command_line():
    assert parse(LabelConfig, ["--horizon", "90", "--threshold", "0.05", "--volatility-horizon", "30"]) == LONG
    assert parse(LabelConfig, ["--threshold", "None"], {"threshold": 0.05}) == LabelConfig()
