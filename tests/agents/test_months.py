"""Months of an equity curve multiply to the whole, and are those of empyrical."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agents.arena.months import by_year, monthly


def hours(first: str, bars: int) -> np.ndarray:
    return np.datetime64(first, "us") + np.arange(bars) * np.timedelta64(1, "h")


def test_months_multiply_to_the_whole():
    time = hours("2022-11-17T05:00", 9_000)
    equity = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 9_000)))
    found = monthly(time, equity)
    assert len(found) == 13
    assert np.prod(1 + found) == pytest.approx(equity[-1] / equity[0])


def test_months_are_those_of_empyrical():
    """Whose days carry the date that they begin with: an hour is named by its start here."""
    empyrical = pytest.importorskip("empyrical")
    time = hours("2023-01-01T00:00", 24 * 400)
    equity = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, len(time))))
    theirs = empyrical.aggregate_returns(pd.Series(equity[1:] / equity[:-1] - 1, pd.DatetimeIndex(time[:-1])),
                                         "monthly")
    np.testing.assert_allclose(monthly(time, equity), theirs.to_numpy(), rtol=1e-10)


def test_a_month_without_a_bar_is_missing():
    time = np.concatenate([hours("2023-01-30T00:00", 40), hours("2023-03-02T00:00", 40)])
    found = monthly(time, np.linspace(100, 200, 80))
    assert [str(month) for month in found.index] == ["2023-01", "2023-03"]
    table = by_year(found)
    assert table.shape == (1, 12)
    assert table.loc[2023].notna().tolist() == [month in (1, 3) for month in range(1, 13)]
