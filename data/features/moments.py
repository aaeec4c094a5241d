"""Returns, part two: more horizons, the shape and order of returns, the trailing extremes, and volume beside them.

Group `returns_more`: the small preset takes `returns` as a whole, and its columns must not change under its name.
Realised moments are around zero, as the mean of a bar is far below its noise. `n` is a number of bars throughout.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import ndtr

from data.features.arrays import array_feature, before, change, log_returns, ratio
from data.features.kernels import correlation, highest, lowest, since_highest, spread, total

Array = np.ndarray
CLOSE, TRADED = ("close",), ("close", "volume")
feature = partial(array_feature, "returns_more")


def mean_square(x: Array, n: int) -> Array:
    return total(x * x, n) / n


def volatility(close: Array, n: int) -> Array:
    """Root mean square log return."""
    return np.sqrt(mean_square(log_returns(close), n))


def move(close: Array, n: int) -> Array:
    return change(np.log(close), n) / (volatility(close, 168) * np.sqrt(n))


def volatility_spread(close: Array) -> Array:
    """How unsteady volatility itself is: the spread over a week of its value on a day, over their mean."""
    day = volatility(close, 24)
    return spread(day, 168) / (total(day, 168) / 168)


def skewness(close: Array, n: int) -> Array:
    """Realised skewness: Amaya, Christoffersen, Jacobs and Vasquez 2015, equation 4."""
    r = log_returns(close)
    return np.sqrt(n) * total(r**3, n) / total(r**2, n) ** 1.5


def kurtosis(close: Array, n: int) -> Array:
    """Realised kurtosis less the normal's 3: Amaya, Christoffersen, Jacobs and Vasquez 2015, equation 5."""
    r = log_returns(close)
    return n * total(r**4, n) / total(r**2, n) ** 2 - 3


def downside(close: Array, n: int) -> Array:
    return np.sqrt(mean_square(np.minimum(log_returns(close), 0.0), n))


def jump_share(close: Array, n: int) -> Array:
    """Share of the variance that bipower variation leaves out: Barndorff-Nielsen and Shephard 2004, section 3."""
    size = np.abs(log_returns(close))
    steady = np.pi / 2 * total(size * before(size, 1), n) * (n + 1) / n  # n products of n + 1 returns
    return np.maximum(1 - steady / total(size**2, n + 1), 0.0)


def autocorrelation(close: Array, lag: int, n: int) -> Array:
    r = log_returns(close)
    return correlation(r, before(r, lag), n)


def clustering(close: Array, n: int) -> Array:
    size = np.abs(log_returns(close))
    return correlation(size, before(size, 1), n)


def efficiency(close: Array, n: int) -> Array:
    """Kaufman's efficiency ratio with its sign: what is left of the way that was travelled."""
    return ratio(change(close, n), total(np.abs(change(close)), n))


def variance_ratio(close: Array, step: int, n: int) -> Array:
    """Variance of returns over `step` bars against `step` times that of one (Lo and MacKinlay 1988), minus 1."""
    one, many = log_returns(close), change(np.log(close), step)
    return total(many**2, n) / (step * total(one**2, n)) - 1


def up_share(close: Array, n: int) -> Array:
    """Bars that closed up less those that closed down, as a share."""
    return total(np.sign(change(close)), n) / n


def drawdown(close: Array, n: int) -> Array:
    return close / highest(close, n) - 1


def below_high(high: Array, close: Array, n: int) -> Array:
    return np.log(highest(high, n) / close)


def above_low(low: Array, close: Array, n: int) -> Array:
    return np.log(close / lowest(low, n))


def volume_z(volume: Array, n: int) -> Array:
    return ratio(volume - total(volume, n) / n, spread(volume, n))


def volume_trend(volume: Array) -> Array:
    return ratio(total(volume, 24) / 24, total(volume, 168) / 168) - 1


def illiquidity(close: Array, volume: Array, n: int) -> Array:
    """Amihud 2002, equation 1: mean of absolute return over money traded; a bar without trades says nothing."""
    sold = volume > 0
    impact = np.where(sold, ratio(np.abs(log_returns(close)), volume * close), 0.0)
    impact[0] = np.nan
    return ratio(total(impact, n), total(sold.astype(float), n))


def illiquidity_ratio(close: Array, volume: Array, short: int, long: int) -> Array:
    return np.log1p(ratio(illiquidity(close, volume, short), illiquidity(close, volume, long)))


def bulk(close: Array, volume: Array) -> Array:
    """Bought less sold volume of a bar, judged by its return in volatilities of 168.

    Bulk classification: Easley, Lopez de Prado and O'Hara 2012, section 1.2, with the normal distribution.
    """
    return volume * (2 * ndtr(np.nan_to_num(ratio(log_returns(close), volatility(close, 168)))) - 1)


def signed_volume(close: Array, volume: Array, n: int) -> Array:
    return ratio(warm(total(bulk(close, volume), n), 167 + n), total(volume, n))


def toxicity(close: Array, volume: Array, n: int) -> Array:
    """Imbalance of bought and sold volume whichever way it leans, over volume: VPIN with a bar for a bucket."""
    return ratio(warm(total(np.abs(bulk(close, volume)), n), 167 + n), total(volume, n))


def warm(x: Array, rows: int) -> Array:
    """The first `rows` are no values yet."""
    return np.where(np.arange(len(x)) < rows, np.nan, x)


def volume_correlation(close: Array, volume: Array, n: int) -> Array:
    return correlation(np.abs(log_returns(close)), volume, n)


MOMENTS = [
    *(feature(f"return_{n}", n + 1, CLOSE, f"log return of the last {n} bars",
              lambda close, n=n: change(np.log(close), n)) for n in (2, 8, 12, 48, 168)),
    *(feature(f"move_{n}", 169, CLOSE, f"log return of {n} bars over the volatility of 168", partial(move, n=n), 0.0)
      for n in (12, 72, 168)),
    *(feature(f"volatility_{n}", n + 1, CLOSE, f"root mean square log return of {n} bars", partial(volatility, n=n))
      for n in (8, 72, 720)),
    feature("volatility_spread", 192, CLOSE, "spread of the 24 bar volatility over 168 bars, over its mean",
            volatility_spread, 0.0),
    *(feature(f"skewness_{n}", n + 1, CLOSE, f"realised skewness of {n} bars", partial(skewness, n=n), 0.0)
      for n in (48, 168)),
    *(feature(f"kurtosis_{n}", n + 1, CLOSE, f"realised kurtosis of {n} bars, less 3", partial(kurtosis, n=n), 0.0)
      for n in (48, 168)),
    *(feature(f"downside_{n}", n + 1, CLOSE, f"root mean square of the falls of {n} bars", partial(downside, n=n))
      for n in (24, 168)),
    feature("jump_share", 170, CLOSE, "share of jumps in the variance of 169 bars", partial(jump_share, n=168), 0.0),
    *(feature(f"autocorrelation_{lag}", 169 + lag, CLOSE, f"of 168 returns with those {lag} bars earlier",
              partial(autocorrelation, lag=lag, n=168), 0.0) for lag in (1, 24)),
    feature("clustering", 170, CLOSE, "correlation of 168 absolute returns with the ones before",
            partial(clustering, n=168), 0.0),
    *(feature(f"efficiency_{n}", n + 1, CLOSE, f"way made in {n} bars over way travelled, -1 to 1",
              partial(efficiency, n=n), 0.0) for n in (24, 168)),
    feature("variance_ratio", 192, CLOSE, "variance of 168 day-long returns over that of their bars, minus 1",
            partial(variance_ratio, step=24, n=168), 0.0),
    feature("up_share", 25, CLOSE, "bars up less bars down of 24, as a share", partial(up_share, n=24)),
    *(feature(f"drawdown_{n}", n, CLOSE, f"close over the highest close of {n} bars, minus 1", partial(drawdown, n=n))
      for n in (168, 720)),
    *(feature(f"below_high_{n}", n, ("high", "close"), f"log distance up to the high of {n} bars",
              partial(below_high, n=n)) for n in (168, 720)),
    *(feature(f"above_low_{n}", n, ("low", "close"), f"log distance down to the low of {n} bars",
              partial(above_low, n=n)) for n in (168, 720)),
    feature("since_high", 168, ("high",), "bars since the high of 168, as a share",
            lambda high: since_highest(high, 168) / 167),
    feature("since_low", 168, ("low",), "bars since the low of 168, as a share",
            lambda low: since_highest(-low, 168) / 167),
    *(feature(f"volume_z_{n}", n, ("volume",), f"volume in spreads from its mean of {n} bars",
              partial(volume_z, n=n), 0.0) for n in (24, 168)),
    feature("volume_trend", 168, ("volume",), "mean volume of 24 bars over that of 168, minus 1", volume_trend, 0.0),
    *(feature(f"amihud_{short}", long + 1, TRADED,
              f"log of 1 + Amihud's illiquidity of {short} bars over that of {long}",
              partial(illiquidity_ratio, short=short, long=long), 0.0) for short, long in ((24, 168), (168, 720))),
    *(feature(f"signed_volume_{n}", 168 + n, TRADED, f"bought less sold volume of {n} bars, judged by returns, a share",
              partial(signed_volume, n=n), 0.0) for n in (24, 168)),
    feature("toxicity", 216, TRADED, "imbalance of bought and sold volume over 48 bars, a share",
            partial(toxicity, n=48), 0.0),
    feature("volume_correlation", 169, TRADED, "correlation of absolute returns and volume over 168 bars",
            partial(volume_correlation, n=168), 0.0),
]
