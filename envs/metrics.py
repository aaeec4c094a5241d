"""What an equity curve says about the account behind it. Formulas: the names are used as the field uses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TAIL = 0.05  # share of the bars that value at risk and expected shortfall are about


@dataclass(frozen=True)
class Metrics:
    total_return: float  # equity at the end over equity at the start, minus 1
    annual_return: float  # the same, compounded to a year
    volatility: float  # deviation of a bar's return, times sqrt(bars_per_year)
    sharpe: float  # mean over deviation of a bar's return, times sqrt(bars_per_year); every bar counts
    sortino: float  # the same over the root mean square of the losing bars' returns
    calmar: float  # annual return over largest drawdown
    max_drawdown: float  # largest fall from the highest equity so far, the starting equity included
    turnover: float  # value traded over equity, per year
    costs: float  # fees, slippage, carry and interest over starting equity
    trades: int  # steps in which an order was sent
    win_rate: float  # share of bars with a gain among those with a position
    exposure: float  # mean sum of absolute weights
    profit_factor: float  # what the winning bars gained over what the losing ones lost; 0 where none lost
    value_at_risk: float  # return of a bar that one in twenty falls short of
    expected_shortfall: float  # mean return of these


def returns_of(equity: np.ndarray) -> np.ndarray:
    """Net simple return of each step."""
    return equity[1:] / equity[:-1] - 1.0


def sharpe(returns: np.ndarray, bars_per_year: float) -> np.ndarray:
    """Annual Sharpe ratio along the last axis; 0 where nothing moved."""
    deviation = returns.std(axis=-1, ddof=1)
    mean = returns.mean(axis=-1)
    # a constant series has a deviation of rounding size, not of zero
    moved = deviation > 1e-14
    return np.where(moved, mean / np.where(moved, deviation, 1.0), 0.0) * np.sqrt(bars_per_year)


def information_ratio(returns: np.ndarray, benchmark: np.ndarray, bars_per_year: float) -> float:
    """Mean over deviation of what was earned beyond a benchmark on the same bars, of a year; 0 where nothing was.

    >>> information_ratio(np.array([0.02, 0.0]), np.array([0.01, -0.03]), bars_per_year=1.0).__round__(3)
    1.414
    """
    return float(sharpe(returns - benchmark, bars_per_year))


def measure(equity: np.ndarray, weights: np.ndarray, turnover: np.ndarray, costs: float, years: float,
            bars_per_year: float) -> Metrics:
    """Metrics of one account.

    Args:
        equity: (K + 1,) at each close, the starting capital first.
        weights: (K, N) held over each step.
        turnover: (K,) value traded over equity in each step.
        costs: everything paid, in the unit of equity.
        years: time that passed, gaps in the data included; what is annual is per year of it.
        bars_per_year: bars in a year, 8760 for hourly ones; Sharpe, Sortino and volatility count a step across a gap
            as one bar.

    >>> flat = measure(np.full(4, 100.0), np.zeros((3, 1)), np.zeros(3), 0.0, years=3 / 8760, bars_per_year=8760)
    >>> flat.total_return, flat.sharpe, flat.max_drawdown
    (0.0, 0.0, 0.0)
    """
    returns = returns_of(equity)
    growth = equity[-1] / equity[0]
    annual = growth ** (1 / years) - 1 if growth > 0 else -1.0
    drawdown = float(np.max(1 - equity / np.maximum.accumulate(equity)))
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))
    gained, lost = float(returns[returns > 0].sum()), -float(returns[returns < 0].sum())
    held = np.abs(weights).sum(axis=1)
    active = held > 0
    return Metrics(
        total_return=float(growth - 1),
        annual_return=float(annual),
        volatility=float(returns.std(ddof=1) * np.sqrt(bars_per_year)),
        sharpe=float(sharpe(returns, bars_per_year)),
        sortino=float(returns.mean() / downside * np.sqrt(bars_per_year)) if downside > 0 else 0.0,
        calmar=float(annual / drawdown) if drawdown > 0 else 0.0,
        max_drawdown=drawdown,
        turnover=float(turnover.sum() / years),
        costs=float(costs / equity[0]),
        trades=int((turnover > 0).sum()),
        win_rate=float((returns[active] > 0).mean()) if active.any() else 0.0,
        exposure=float(held.mean()),
        profit_factor=gained / lost if lost else 0.0,
        value_at_risk=float(np.quantile(returns, TAIL)),
        expected_shortfall=float(np.sort(returns)[: int((len(returns) - 1) * TAIL) + 1].mean()),
    )
