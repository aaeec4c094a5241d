"""Bar features that TA-Lib has not, against their definitions written plainly, on simulated bars and on real ones.

An entry of `BY_HAND` makes the last value of a column from the bars so far; those of `TALIB` are next door. What is
spectral or fractal has tests of its own with known answers.
"""

from math import erf

import numpy as np
import pytest
import talib as ta

from data.features.base import values_in
from tests.data.feature_bars import BY_COLUMN, bars_of, crash, simulated
from tests.data.test_feature_values_talib import BURNT_IN, TALIB


@pytest.fixture(scope="module", params=["simulated", "real"])
def frame(request):
    return simulated(2_600, 5) if request.param == "simulated" else crash()


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


def gaps_and_bodies(b):
    return np.log(b.o[1:] / b.c[:-1]), np.log(b.c[1:] / b.o[1:])


def rogers_satchell(b, n):
    o, h, l, c = (np.log(x[-n:]) for x in (b.o, b.h, b.l, b.c))  # noqa: E741
    return np.mean((h - c) * (h - o) + (l - c) * (l - o))


def yang_zhang(b, n):
    gaps, bodies = gaps_and_bodies(b)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    return np.sqrt(gaps[-n:].var(ddof=1) + k * bodies[-n:].var(ddof=1) + (1 - k) * rogers_satchell(b, n))


def garman_klass(b, n):
    h, c = np.log(b.h / b.l)[-n:], np.log(b.c / b.o)[-n:]
    return np.sqrt(np.mean(h**2 / 2 - (2 * np.log(2) - 1) * c**2))


def quoted_spread(b):
    found = []
    for t in range(len(b.c) - 24, len(b.c)):
        h, l, c = b.h[t], b.l[t], b.c[t - 1]  # noqa: E741
        if l > c:
            h, l = h - (l - c), c  # noqa: E741
        elif h < c:
            h, l = c, l + (c - h)  # noqa: E741
        beta = np.log(b.h[t - 1] / b.l[t - 1]) ** 2 + np.log(h / l) ** 2
        gamma = np.log(max(h, b.h[t - 1]) / min(l, b.l[t - 1])) ** 2
        alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / (3 - 8**0.5) - np.sqrt(gamma / (3 - 8**0.5))
        found.append(max(0.0, 2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha))))
    return np.mean(found)


def illiquidity(b, n):
    return np.mean([abs(r) / (c * v) for r, c, v in zip(b.r[-n:], b.c[-n:], b.v[-n:]) if v > 0])


def bought(b, n):
    """Bought less sold volume of the last `n` bars."""
    found = []
    for t in range(len(b.r) - n, len(b.r)):
        z = b.r[t] / rms(b.r[t - 167 : t + 1])
        found.append(b.v[t + 1] * erf(z / np.sqrt(2)))
    return np.array(found)


def ease(b):
    found = []
    for t in range(len(b.c) - 14, len(b.c)):
        effort = b.v[t] / b.v[t - 13 : t + 1].mean()
        found.append((b.mid[t] - b.mid[t - 1]) * (b.h[t] - b.l[t]) / b.c[t] ** 2 / effort if effort > 0 else 0.0)
    return 1e4 * np.mean(found)


def jump_share(b):
    size = np.abs(b.r[-169:])
    return max(0.0, 1 - np.pi / 2 * np.sum(size[1:] * size[:-1]) * 169 / 168 / np.sum(size**2))


def explained(b, n):
    return np.corrcoef(np.arange(n), np.log(b.c[-n:]))[0, 1] ** 2


def profile(b):
    """Volume of 168 bars by price, a bar's share of a bin being the overlap of the two."""
    h, l, v, close = b.h[-168:], b.l[-168:], b.v[-168:], b.c[-1]  # noqa: E741
    edges = np.linspace(l.min(), h.max(), 25)
    held, under = np.zeros(24), 0.0
    for top, bottom, volume in zip(h, l, v):
        for k in range(24):
            overlap = min(top, edges[k + 1]) - max(bottom, edges[k])
            if top > bottom:
                held[k] += volume * max(0.0, overlap) / (top - bottom)
            elif edges[k] <= top and (top < edges[k + 1] or k == 23):
                held[k] += volume
    at = min(int(np.searchsorted(edges, close, side="right")) - 1, 23)
    under = held[:at].sum() + held[at] * (close - edges[at]) / (edges[1] - edges[0])
    low = high = int(np.argmax(held))
    while held[low : high + 1].sum() < 0.7 * v.sum() * (1 - 1e-12):
        if low == 0 or (high < 23 and held[high + 1] >= held[low - 1]):
            high += 1
        else:
            low -= 1
    control = int(np.argmax(held))
    return (2 * close / (edges[control] + edges[control + 1]) - 1, 2 * under / v.sum() - 1,
            (edges[high + 1] - edges[low]) / close)


def vwap_z(b):
    price, v = b.typical[-168:], b.v[-168:]
    mean = np.average(price, weights=v)
    return (b.c[-1] - mean) / np.sqrt(np.average((price - mean) ** 2, weights=v))


def supertrend(b, begin):
    """Level and side of the line that begins at row `begin`."""
    atr = ta.ATR(b.h, b.l, b.c, 10)
    line, side = None, 1 if b.c[begin] >= b.mid[begin] else -1
    for t in range(begin, len(b.c)):
        lower, upper = b.mid[t] - 3 * atr[t], b.mid[t] + 3 * atr[t]
        if line is not None:
            below, above = line
            lower = max(lower, below) if b.c[t - 1] >= below else lower
            upper = min(upper, above) if b.c[t - 1] <= above else upper
            side = (1 if b.c[t] >= lower else -1) if side == 1 else (1 if b.c[t] > upper else -1)
        line = lower, upper
    return line[0] if side == 1 else line[1], side


def sar(b):
    return ta.SAR(b.h[-256:], b.l[-256:], 0.02, 0.2)[-1]


def volatility_spread(b):
    days = [rms(b.r[t - 23 : t + 1]) for t in range(len(b.r) - 168, len(b.r))]
    return np.std(days) / np.mean(days)


def vortex(b):
    rise, fall = np.abs(b.h[1:] - b.l[:-1])[-14:].sum(), np.abs(b.l[1:] - b.h[:-1])[-14:].sum()
    return (rise - fall) / ta.TRANGE(b.h, b.l, b.c)[-14:].sum()


def by_volume(b, sign):
    return sum(r for r, more in zip(b.r[-168:], np.diff(b.v)[-168:]) if np.sign(more) == sign)


BY_HAND = {
    **{f"return_{n}": lambda b, n=n: np.log(b.c[-1] / b.c[-1 - n]) for n in (1, 2, 4, 8, 12, 24, 48, 72, 168)},
    **{f"move_{n}": lambda b, n=n: b.r[-n:].sum() / rms(b.r[-168:]) / np.sqrt(n) for n in (1, 6, 12, 24, 72, 168)},
    **{f"volatility_{n}": lambda b, n=n: rms(b.r[-n:]) for n in (8, 24, 72, 168, 720)},
    "volatility_ratio": lambda b: rms(b.r[-24:]) / rms(b.r[-168:]) - 1,
    "volatility_spread": volatility_spread,
    "signed_volatility": lambda b: np.sum(b.r[-48:] * np.abs(b.r[-48:])) / np.sum(b.r[-48:] ** 2),
    "parkinson": lambda b: rms(np.log(b.h / b.l)[-24:]) / np.sqrt(4 * np.log(2)),
    "parkinson_168": lambda b: rms(np.log(b.h / b.l)[-168:]) / np.sqrt(4 * np.log(2)),
    **{f"garman_klass_{n}": lambda b, n=n: garman_klass(b, n) for n in (24, 168)},
    **{f"rogers_satchell_{n}": lambda b, n=n: np.sqrt(rogers_satchell(b, n)) for n in (24, 168)},
    **{f"yang_zhang_{n}": lambda b, n=n: yang_zhang(b, n) for n in (24, 168)},
    "candle_body": lambda b: (b.c[-1] - b.o[-1]) / (b.h[-1] - b.l[-1]),
    "close_place": lambda b: (2 * b.c[-1] - b.h[-1] - b.l[-1]) / (b.h[-1] - b.l[-1]),
    "upper_wick": lambda b: (b.h[-1] - max(b.o[-1], b.c[-1])) / (b.h[-1] - b.l[-1]),
    "lower_wick": lambda b: (min(b.o[-1], b.c[-1]) - b.l[-1]) / (b.h[-1] - b.l[-1]),
    "candle_range": lambda b: np.log(b.h[-1] / b.l[-1]),
    "gap": lambda b: np.log(b.o[-1] / b.c[-2]),
    "quoted_spread": quoted_spread,
    **{f"volume_ratio_{n}": lambda b, n=n: np.log(1 + b.v[-1] / b.v[-n:].mean()) for n in (24, 168)},
    **{f"skewness_{n}": lambda b, n=n: np.mean(b.r[-n:] ** 3) / rms(b.r[-n:]) ** 3 for n in (48, 168)},
    **{f"kurtosis_{n}": lambda b, n=n: np.mean(b.r[-n:] ** 4) / rms(b.r[-n:]) ** 4 - 3 for n in (48, 168)},
    **{f"downside_{n}": lambda b, n=n: rms(np.minimum(b.r[-n:], 0)) for n in (24, 168)},
    "jump_share": jump_share,
    "autocorrelation_1": lambda b: np.corrcoef(b.r[-168:], b.r[-169:-1])[0, 1],
    "autocorrelation_24": lambda b: np.corrcoef(b.r[-168:], b.r[-192:-24])[0, 1],
    "clustering": lambda b: np.corrcoef(np.abs(b.r[-168:]), np.abs(b.r[-169:-1]))[0, 1],
    **{f"efficiency_{n}": lambda b, n=n: (b.c[-1] - b.c[-1 - n]) / np.abs(np.diff(b.c[-1 - n :])).sum()
       for n in (24, 168)},
    "variance_ratio": lambda b: np.sum(np.log(b.c[-168:] / b.c[-192:-24]) ** 2) / 24 / np.sum(b.r[-168:] ** 2) - 1,
    "up_share": lambda b: np.mean(np.sign(np.diff(b.c[-25:]))),
    **{f"drawdown_{n}": lambda b, n=n: b.c[-1] / b.c[-n:].max() - 1 for n in (168, 720)},
    **{f"below_high_{n}": lambda b, n=n: np.log(b.h[-n:].max() / b.c[-1]) for n in (168, 720)},
    **{f"above_low_{n}": lambda b, n=n: np.log(b.c[-1] / b.l[-n:].min()) for n in (168, 720)},
    "since_high": lambda b: (167 - np.argmax(b.h[-168:])) / 167,
    "since_low": lambda b: (167 - np.argmin(b.l[-168:])) / 167,
    **{f"volume_z_{n}": lambda b, n=n: (b.v[-1] - b.v[-n:].mean()) / b.v[-n:].std() for n in (24, 168)},
    "volume_trend": lambda b: b.v[-24:].mean() / b.v[-168:].mean() - 1,
    "amihud_24": lambda b: np.log(1 + illiquidity(b, 24) / illiquidity(b, 168)),
    "amihud_168": lambda b: np.log(1 + illiquidity(b, 168) / illiquidity(b, 720)),
    **{f"signed_volume_{n}": lambda b, n=n: bought(b, n).sum() / b.v[-n:].sum() for n in (24, 168)},
    "toxicity": lambda b: np.abs(bought(b, 48)).sum() / b.v[-48:].sum(),
    "volume_correlation": lambda b: np.corrcoef(np.abs(b.r[-168:]), b.v[-168:])[0, 1],
    "vortex": vortex,
    # of equal highs the oldest counts, as in `ta`; TA-Lib's takes the newest
    "aroon": lambda b: (np.argmax(b.h[-26:]) - np.argmin(b.l[-26:])) / 25,
    "kama": lambda b: ta.KAMA(b.c[-266:], 10)[-1] / b.c[-1] - 1,
    "fit_24": lambda b: explained(b, 24),
    "fit_168": lambda b: explained(b, 168),
    "psar": lambda b: b.c[-1] / sar(b) - 1,
    "psar_side": lambda b: 1 if sar(b) < b.c[-1] else -1,
    "supertrend": lambda b: b.c[-1] / supertrend(b, len(b.c) - 256)[0] - 1,
    "supertrend_side": lambda b: supertrend(b, len(b.c) - 256)[1],
    "cmo": lambda b: (b.c[-1] - b.c[-15]) / np.abs(np.diff(b.c[-15:])).sum(),
    **{f"vpt_{n}": lambda b, n=n: 100 * np.average(np.expm1(b.r[-n:]), weights=b.v[-n:]) for n in (24, 168)},
    "ease_of_movement": ease,
    "pvi": lambda b: by_volume(b, 1),
    "nvi": lambda b: by_volume(b, -1),
    "vwap_z": vwap_z,
    "profile_control": lambda b: profile(b)[0],
    "profile_below": lambda b: profile(b)[1],
    "profile_width": lambda b: profile(b)[2],
}
"""Column -> its last value by its definition."""


def test_every_column_has_its_reference():
    assert set(TALIB) | set(BY_HAND) == set(BY_COLUMN)
    assert not set(TALIB) & set(BY_HAND)


@pytest.mark.parametrize("column", BY_HAND)
def test_the_definition_agrees(column, frame):
    found = values_in(frame, BY_COLUMN[column])[column]
    for row in (1_200, 1_201, 1_337, 1_800, len(frame) - 1):
        expected = BY_HAND[column](bars_of(frame.iloc[: row + 1]))
        assert found[row] == pytest.approx(expected, rel=1e-6, abs=1e-6 * found.std())


def test_stops_mostly_are_those_of_the_whole_history(frame):
    """What `data/features/stops.py` says of its window."""
    b = bars_of(frame)
    sar_side = np.where(ta.SAR(b.h, b.l, 0.02, 0.2) < b.c, 1.0, -1.0)
    assert np.mean(values_in(frame, BY_COLUMN["psar"])["psar_side"][BURNT_IN:] == sar_side[BURNT_IN:]) > 0.99
    level = b.c / (1 + values_in(frame, BY_COLUMN["psar"])["psar"].to_numpy())
    assert np.mean(np.isclose(level, ta.SAR(b.h, b.l, 0.02, 0.2), rtol=1e-6)[BURNT_IN:]) > 0.99
    trend = values_in(frame, BY_COLUMN["supertrend"])["supertrend"].to_numpy()
    rows = range(BURNT_IN, len(frame), 40)
    whole = [b.c[t] / supertrend(bars_of(frame.iloc[: t + 1]), 20)[0] - 1 for t in rows]
    assert np.mean(np.isclose(trend[list(rows)], whole, atol=1e-6)) > 0.97
