"""One asset among its company.

A frame of a market of several assets also has `close:<ASSET>` and `volume:<ASSET>` of every asset, its own included,
on the same bars, and `company`, how many they are. The first of them leads. Features of the whole company, such as the
alt season, are the same number for each of its assets.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from data.features.base import Feature, Series, one
from data.features.kernels import correlation, spread, total

WEEK, MONTH = 168, 720
PRICED, TRADED = ("close", "company"), ("close", "volume", "company")


def assets(f: pd.DataFrame, column: str) -> np.ndarray:
    """(1 + N, T) `column` of the asset itself, then of everyone, the leader foremost.

    One array, so that numpy takes the logarithm of an asset the same way twice and own less own is exactly 0.
    """
    names = [column, *(name for name in f.columns if str(name).startswith(f"{column}:"))]
    return np.stack([f[name].to_numpy(float) for name in names])


def returns(f: pd.DataFrame, bars: int) -> np.ndarray:
    """(1 + N, T) log returns."""
    logs = np.log(assets(f, "close"))
    moved = np.full(logs.shape, np.nan)
    moved[:, bars:] = logs[:, bars:] - logs[:, :-bars]
    return moved


def factors(f: pd.DataFrame, bars: int) -> np.ndarray:
    """(1 + N, T) close over close: a division always rounds alike, so equal moves tie."""
    close = assets(f, "close")
    moved = np.full(close.shape, np.nan)
    moved[:, bars:] = close[:, bars:] / close[:, :-bars]
    return moved


def series(f: pd.DataFrame, values: np.ndarray) -> pd.Series:
    return pd.Series(values, index=f.index)


def versus_leader(bars: int) -> Series:
    """
    >>> pair = pd.DataFrame({"close": [1.0, 2.0], "close:BTC": [8.0, 8.0], "close:ETH": [1.0, 2.0]})
    >>> versus_leader(1)(pair).round(3).tolist()
    [nan, 0.693]
    >>> alt_season(1)(pair).iloc[-1].item(), rank(1)(pair).iloc[-1].item()
    (1.0, 1.0)
    """

    def value(f: pd.DataFrame) -> pd.Series:
        own, leader, *_ = returns(f, bars)
        return series(f, own - leader)

    return value


def versus_mean(bars: int) -> Series:
    def value(f: pd.DataFrame) -> pd.Series:
        own, *company = returns(f, bars)
        return series(f, own - np.mean(company, axis=0))

    return value


def ties(own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and beta of a week; missing where one of the two stands still."""
    shared = correlation(own, other, WEEK)
    return shared, shared * spread(own, WEEK) / spread(other, WEEK)


def with_others(f: pd.DataFrame) -> pd.DataFrame:
    own, *company = returns(f, 1)
    found, beta = ties(own, (np.sum(company, axis=0) - own) / (len(company) - 1))
    return pd.DataFrame({"others_correlation": found, "others_beta": beta}, index=f.index)


def with_leader(f: pd.DataFrame) -> pd.DataFrame:
    close, moved = assets(f, "close"), returns(f, 1)
    found, beta = ties(moved[0], moved[1])
    against = pd.DataFrame({"leader_correlation": found, "leader_beta": beta}, index=f.index)
    leads = total((close[0] == close[1]).astype(float), WEEK + 1) == WEEK + 1
    return against.mask(series(f, leads), with_others(f).set_axis(against.columns, axis=1))


def alt_season(bars: int) -> Series:
    """Share of the others that beat the leader; a draw is half a win."""

    def value(f: pd.DataFrame) -> pd.Series:
        moved = factors(f, bars)
        leader, alts = moved[1], moved[2:]
        return series(f, ((alts > leader) + 0.5 * (alts == leader)).sum(axis=0) / len(alts))

    return value


def money(f: pd.DataFrame) -> np.ndarray:
    """(1 + N, T) share of a week's turnover, close times volume; equal ones where nobody traded."""
    week = np.stack([total(turnover, WEEK) for turnover in assets(f, "close") * assets(f, "volume")])
    whole = week[1:].sum(axis=0)
    return np.divide(week, whole, out=np.full(week.shape, 1 / (len(week) - 1)), where=whole > 0)


def dominance(f: pd.DataFrame) -> pd.DataFrame:
    own, leader, *_ = money(f)
    return pd.DataFrame({"dominance": own, "leader_dominance": leader}, index=f.index)


def dispersion(f: pd.DataFrame) -> pd.Series:
    return series(f, returns(f, 24)[1:].std(axis=0))


def rank(bars: int) -> Series:
    """-1 for the worst of the company, 1 for the best, 0 in the middle or level with all."""

    def value(f: pd.DataFrame) -> pd.Series:
        own, *company = factors(f, bars)
        return series(f, np.sign(own - company).sum(axis=0) / (len(company) - 1))

    return value


def mean_correlation(f: pd.DataFrame) -> pd.Series:
    """Mean over all pairs, weighted by their deviations: what is left of the variance of the sum without its diagonal.

    Var(sum) = sum of s_i^2 + sum over pairs of 2 c_ij s_i s_j, so one more deviation stands for N (N - 1) / 2 pairs.
    """
    moved = returns(f, 1)[1:]
    each = np.stack([spread(own, WEEK) for own in moved])  # (N, T)
    alone = (each**2).sum(axis=0)
    pairs = each.sum(axis=0) ** 2 - alone
    shared = spread(moved.sum(axis=0), WEEK) ** 2 - alone
    return series(f, np.where(pairs > 1e-12 * alone, shared / pairs, np.nan)).clip(-1, 1)


def line(name: str, lookback: int, needs: tuple[str, ...], meaning: str, value: Series,
         neutral: float | None = None) -> Feature:
    return Feature(name, "cross_asset", lookback, needs, meaning, one(name, value), neutral)


CROSS_ASSET = [
    *(line(f"versus_leader_{n}", n + 1, PRICED, f"log return of {n} bars less the leader's", versus_leader(n))
      for n in (1, 24, WEEK)),
    *(line(f"versus_mean_{n}", n + 1, PRICED, f"log return of {n} bars less the company's mean", versus_mean(n))
      for n in (1, 24, WEEK)),
    Feature("leader_correlation", "cross_asset", WEEK + 1, PRICED,
            "correlation and beta of 168 returns to the leader; the leader's own are to the mean of the others",
            with_leader, 0.0, ("leader_correlation", "leader_beta")),
    Feature("others_correlation", "cross_asset", WEEK + 1, PRICED,
            "correlation and beta of 168 returns to the mean of the others", with_others, 0.0,
            ("others_correlation", "others_beta")),
    *(line(f"alt_season_{n}", n + 1, PRICED, f"share of the others that beat the leader over {n} bars", alt_season(n),
           0.5) for n in (WEEK, MONTH)),
    Feature("dominance", "cross_asset", WEEK, TRADED, "own and the leader's share of the money traded in 168 bars",
            dominance, outputs=("dominance", "leader_dominance")),
    line("dispersion_24", 25, PRICED, "deviation of returns of 24 bars across the company", dispersion),
    *(line(f"rank_{n}", n + 1, PRICED, f"own place by return of {n} bars, -1 to 1", rank(n), 0.0)
      for n in (24, WEEK)),
    line("mean_correlation", WEEK + 1, PRICED, "mean correlation of 168 returns between pairs", mean_correlation, 0.0),
]
