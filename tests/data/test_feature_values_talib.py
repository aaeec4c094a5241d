"""Bar features against TA-Lib, on simulated bars and on real ones."""

import numpy as np
import pytest
import talib as ta

from data.features.base import values_in
from tests.data.feature_bars import BY_COLUMN, bars_of, crash, simulated

BURNT_IN = 1_200  # rows after which it no longer shows where an average began


@pytest.fixture(scope="module", params=["simulated", "real"])
def frame(request):
    return simulated(2_600, 5) if request.param == "simulated" else crash()


def smooth(x, *periods):
    """EMA of EMA, begun where the series begins."""
    for period in periods:
        x = np.concatenate([np.full(np.isnan(x).sum(), np.nan), ta.EMA(x[~np.isnan(x)], period)])
    return x


def channel(b, n):
    return ta.MAX(b.h, n), ta.MIN(b.l, n)


def place(value, low, high):
    return (value - low) / (high - low)


def ago(x, n):
    return np.append(np.full(n, np.nan), x[:-n])


def gained(x, n):
    return x - ago(x, n)


def middle(b, n):
    return sum(channel(b, n)) / 2


def pvo(b):
    return ta.EMA(b.v, 12) / ta.EMA(b.v, 26) - 1


def kst(b):
    return sum(w * ta.SMA(ta.ROC(b.c, n), m) for w, n, m in ((1, 10, 10), (2, 15, 10), (3, 20, 10), (4, 30, 15)))


def cloud(b):
    leading, lagging = (middle(b, 9) + middle(b, 26)) / 2, middle(b, 52)
    top, bottom = np.maximum(leading, lagging), np.minimum(leading, lagging)
    return np.where(b.c > top, b.c - top, np.where(b.c < bottom, b.c - bottom, 0.0)) / b.c


def tsi(b):
    moves = np.append(np.nan, np.diff(b.c))
    return smooth(moves, 25, 13) / smooth(np.abs(moves), 25, 13)


def stochastic_rsi(b):
    rsi = ta.RSI(b.c, 14)
    return ta.SMA(2 * place(rsi, ta.MIN(rsi, 14), ta.MAX(rsi, 14)) - 1, 3)


def choppiness(b):
    return np.log10(ta.SUM(ta.TRANGE(b.h, b.l, b.c), 14) / np.subtract(*channel(b, 14))) / np.log10(14)


def keltner_place(b):
    low, high = (ta.SMA(x, 20) for x in ((4 * b.l - 2 * b.h + b.c) / 3, (4 * b.h - 2 * b.l + b.c) / 3))
    return place(b.c, low, high) - 0.5


def flow_volume(b):
    return (2 * b.c - b.h - b.l) / (b.h - b.l) * b.v


def hull(c, n, root):
    return ta.WMA(2 * ta.WMA(c, n // 2) - ta.WMA(c, n), root)


TALIB = {
    **{f"sma_{n}": lambda b, n=n: ta.SMA(b.c, n) / b.c - 1 for n in (24, 168, 50, 100, 200)},
    **{f"ema_{n}": lambda b, n=n: ta.EMA(b.c, n) / b.c - 1 for n in (12, 36, 8, 21, 50, 100)},
    **{f"wma_{n}": lambda b, n=n: ta.WMA(b.c, n) / b.c - 1 for n in (20, 50)},
    **{f"hull_{n}": lambda b, n=n, m=m: hull(b.c, n, m) / b.c - 1 for n, m in ((16, 4), (49, 7))},
    "dema_20": lambda b: ta.DEMA(b.c, 20) / b.c - 1,
    "tema_20": lambda b: ta.TEMA(b.c, 20) / b.c - 1,
    "sma_cross": lambda b: ta.SMA(b.c, 50) / ta.SMA(b.c, 200) - 1,
    **{f"slope_{n}": lambda b, n=n: 100 * ta.LINEARREG_SLOPE(np.log(b.c), n) for n in (24, 168)},
    "macd": lambda b: 100 * ta.MACD(b.c)[0] / b.c,
    "macd_diff": lambda b: 100 * ta.MACD(b.c)[2] / b.c,
    "adx": lambda b: ta.ADX(b.h, b.l, b.c, 10) / 100,
    "adx_up": lambda b: ta.PLUS_DI(b.h, b.l, b.c, 10) / 100,
    "adx_down": lambda b: ta.MINUS_DI(b.h, b.l, b.c, 10) / 100,
    "cci": lambda b: ta.CCI(b.h, b.l, b.c, 20) / 100,
    "trix": lambda b: ta.TRIX(b.c, 15),
    "dpo": lambda b: (ago(b.c, 11) - ta.SMA(b.c, 20)) / b.c,
    **{f"ichimoku_{n}": lambda b, n=n: middle(b, n) / b.c - 1 for n in (9, 26, 52)},
    "cloud": cloud,
    "cloud_thickness": lambda b: ((middle(b, 9) + middle(b, 26)) / 2 - middle(b, 52)) / b.c,
    "kst": kst,
    "kst_diff": lambda b: kst(b) - ta.SMA(kst(b), 9),
    "rsi": lambda b: ta.RSI(b.c, 14) / 50 - 1,
    "stoch_rsi": stochastic_rsi,
    "stoch": lambda b: ta.STOCHF(b.h, b.l, b.c, 14, 3)[0] / 50 - 1,
    "stoch_signal": lambda b: ta.STOCHF(b.h, b.l, b.c, 14, 3)[1] / 50 - 1,
    "tsi": tsi,
    "ultimate": lambda b: ta.ULTOSC(b.h, b.l, b.c, 7, 14, 28) / 50 - 1,
    "awesome": lambda b: (ta.SMA(b.mid, 5) - ta.SMA(b.mid, 34)) / b.c,
    "pvo": pvo,
    "pvo_diff": lambda b: pvo(b) - smooth(pvo(b), 9),
    "atr": lambda b: ta.NATR(b.h, b.l, b.c, 14) / 100,
    "bollinger_place": lambda b: place(b.c, ta.BBANDS(b.c, 20)[2], ta.BBANDS(b.c, 20)[0]) - 0.5,
    "bollinger_width": lambda b: 100 * (ta.BBANDS(b.c, 20)[0] - ta.BBANDS(b.c, 20)[2]) / ta.SMA(b.c, 20),
    "keltner_place": keltner_place,
    "keltner_width": lambda b: 200 * ta.SMA(b.h - b.l, 20) / ta.SMA(b.typical, 20),
    "donchian_place": lambda b: place(b.c, *reversed(channel(b, 20))) - 0.5,
    "donchian_width": lambda b: 100 * np.subtract(*channel(b, 20)) / ta.SMA(b.c, 20),
    "donchian_55_place": lambda b: place(b.c, *reversed(channel(b, 55))) - 0.5,
    "donchian_55_width": lambda b: 100 * np.subtract(*channel(b, 55)) / b.c,
    "ulcer": lambda b: np.sqrt(ta.SMA((100 * (b.c / ta.MAX(b.c, 14) - 1)) ** 2, 14)),
    "mfi": lambda b: ta.MFI(b.h, b.l, b.c, b.v, 14) / 50 - 1,
    "cmf": lambda b: ta.SUM(flow_volume(b), 20) / ta.SUM(b.v, 20),
    "vwap": lambda b: ta.SUM(b.typical * b.v, 24) / ta.SUM(b.v, 24) / b.c - 1,
    "vwap_168": lambda b: ta.SUM(b.typical * b.v, 168) / ta.SUM(b.v, 168) / b.c - 1,
    "williams": lambda b: ta.WILLR(b.h, b.l, b.c, 14) / 100,
    **{f"roc_{n}": lambda b, n=n: ta.ROC(b.c, n) for n in (10, 20)},
    "momentum": lambda b: ta.MOM(b.c, 10) / ta.ATR(b.h, b.l, b.c, 14),
    "coppock": lambda b: ta.WMA(ta.ROC(b.c, 14) + ta.ROC(b.c, 11), 10),
    "mass_index": lambda b: ta.SMA(smooth(b.h - b.l, 9) / smooth(b.h - b.l, 9, 9), 25),
    "choppiness": choppiness,
    "bull_power": lambda b: (b.h - ta.EMA(b.c, 13)) / b.c,
    "bear_power": lambda b: (b.l - ta.EMA(b.c, 13)) / b.c,
    "deviation": lambda b: ta.STDDEV(b.c, 20) / b.c,
    "squeeze": lambda b: 2 * ta.STDDEV(b.c, 20) / (1.5 * ta.SMA(ta.TRANGE(b.h, b.l, b.c), 20)),
    **{f"obv_{n}": lambda b, n=n: gained(ta.OBV(b.c, b.v), n) / ta.SUM(b.v, n) for n in (24, 168)},
    "accumulation": lambda b: gained(ta.AD(b.h, b.l, b.c, b.v), 168) / ta.SUM(b.v, 168),
    "chaikin": lambda b: ta.ADOSC(b.h, b.l, b.c, b.v, 3, 10) / ta.SMA(b.v, 24),
    "force": lambda b: 100 * smooth(ta.ROCP(b.c, 1) * b.v, 13) / ta.SMA(b.v, 168),
    "range_over_atr": lambda b: ta.TRANGE(b.h, b.l, b.c) / ta.ATR(b.h, b.l, b.c, 14),
}
"""Column -> its whole series by TA-Lib."""


@pytest.mark.parametrize("column", TALIB)
def test_talib_agrees(column, frame):
    found = values_in(frame, BY_COLUMN[column])[column].to_numpy()[BURNT_IN:]
    expected = TALIB[column](bars_of(frame))[BURNT_IN:]
    same = np.isclose(found, expected, rtol=1e-6, atol=1e-6 * found.std())
    assert same.all()
