"""How the moves of the last days divide among fast and slow: wavelet energies and the Fourier spectrum of log returns.

Nothing here is recursive and no transform is longer than its window, so a value is the same to the bit wherever the
rows begin or end. A sliding Fourier transform would gather rounding, and a library's is free to add in another order
when the array is longer; so the transform is written out.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from data.features.arrays import array_feature, before, log_returns, ratio
from data.features.kernels import compiled

LEVELS = 8
WINDOW = 256  # returns, a power of two: doubled sums, and the Fourier transform
BANDS = 6  # octaves of period: 2 to 4 bars, ... 32 to 64, and all that is slower
CLOSE = ("close",)
feature = partial(array_feature, "spectral")


def doubled(x: np.ndarray, times: int) -> np.ndarray:
    """Sum of 2**times rows, by doubling.

    >>> doubled(np.array([1.0, 2.0, 3.0, 4.0]), 1).tolist()
    [nan, 3.0, 5.0, 7.0]
    """
    for step in range(times):
        x = before(x, 2**step) + x
    return x


def haar(x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Details of levels 1 to 8 and what is left: the maximal overlap transform of Percival and Walden 2000, chapter 5.

    With Haar filters, a trous, each detail is half the difference of the means of the newer and the older half of
    2**level rows. Its band is periods of 2**level to 2**(level + 1) bars. Longer filters part the bands better, but
    their level 8 needs 766 rows where this needs 256.

    >>> details, rest = haar(np.array([1.0, 3.0] * 128))
    >>> details[0][1:4].tolist(), details[1][3:5].tolist(), rest[-1:].tolist()
    ([1.0, -1.0, 1.0], [0.0, 0.0], [2.0])
    """
    details = []
    for level in range(LEVELS):
        older = before(x, 2**level)
        details.append((x - older) / 2)
        x = (x + older) / 2
    return details, x


def wavelet(close: np.ndarray) -> list[np.ndarray]:
    """Shares of the energy in 256 rows of details; what is missing to 1 is slower than they can tell."""
    details, rest = haar(log_returns(close))
    energies = [doubled(part**2, LEVELS) for part in details]
    whole = sum(energies, doubled(rest**2, LEVELS))
    return [ratio(energy, whole) for energy in energies]


@compiled
def transform(re: np.ndarray, im: np.ndarray, turn_re: np.ndarray, turn_im: np.ndarray) -> None:
    """Fourier transform in place, radix 2 (Cooley and Tukey 1965); `turn` holds exp(-2 pi i k / n) for k < n / 2."""
    n = len(re)
    j = 0
    for i in range(1, n):
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j |= bit
        if i < j:
            re[i], re[j] = re[j], re[i]
            im[i], im[j] = im[j], im[i]
    half = 1
    while half < n:
        stride = n // (2 * half)
        for start in range(0, n, 2 * half):
            for k in range(half):
                low, high = start + k, start + k + half
                c, s = turn_re[k * stride], turn_im[k * stride]
                turned_re = re[high] * c - im[high] * s
                turned_im = re[high] * s + im[high] * c
                re[high], im[high] = re[low] - turned_re, im[low] - turned_im
                re[low], im[low] = re[low] + turned_re, im[low] + turned_im
        half *= 2


@compiled
def powers(x: np.ndarray, taper: np.ndarray, turn_re: np.ndarray, turn_im: np.ndarray) -> np.ndarray:
    """(T, n / 2) power of the last n rows of `x`, mean taken off and tapered, at 1 to n / 2 turns; 0 for a constant.

    The rows go through a transform of half the length as real and imaginary parts by turns, and are taken apart after.
    """
    n = len(taper)
    half = n // 2
    out = np.full((len(x), half), np.nan)
    re, im = np.empty(half), np.empty(half)
    coarse_re, coarse_im = turn_re[::2].copy(), turn_im[::2].copy()
    for t in range(n - 1, len(x)):
        mean = size = 0.0
        for i in range(n):
            mean += x[t - n + 1 + i]
        mean /= n
        for i in range(half):
            re[i] = (x[t - n + 1 + 2 * i] - mean) * taper[2 * i]
            im[i] = (x[t - n + 2 + 2 * i] - mean) * taper[2 * i + 1]
            size = max(size, abs(re[i]), abs(im[i]))
        if size <= 1e-9 * abs(mean):
            re[:], im[:] = 0.0, 0.0
        transform(re, im, coarse_re, coarse_im)
        for k in range(1, half):
            even_re, even_im = (re[k] + re[half - k]) / 2, (im[k] - im[half - k]) / 2
            odd_re, odd_im = (im[k] + im[half - k]) / 2, (re[half - k] - re[k]) / 2
            real = even_re + turn_re[k] * odd_re - turn_im[k] * odd_im
            imaginary = even_im + turn_re[k] * odd_im + turn_im[k] * odd_re
            out[t, k - 1] = 2 * (real * real + imaginary * imaginary)
        out[t, half - 1] = (re[0] - im[0]) ** 2
    return out


def spectrum(x: np.ndarray, bars: int) -> np.ndarray:
    """(T, bars / 2) Hann-tapered power of the last `bars` rows at 1 to bars / 2 turns.

    >>> wave = np.sin(2 * np.pi * np.arange(16) / 4)
    >>> spectrum(wave, 16)[-1].round(1).tolist()
    [0.0, 0.0, 8.0, 32.0, 8.0, 0.0, 0.0, 0.0]
    """
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(bars) / bars)
    angles = 2 * np.pi * np.arange(bars // 2) / bars
    return powers(x, taper, np.cos(angles), -np.sin(angles))


@compiled
def described(power: np.ndarray, octaves: int) -> np.ndarray:
    """(T, octaves + 2): shares of the octaves from the fastest on, entropy of the shares, log2 of the strongest period.

    The entropy is 1 for an even spectrum; the last octave holds all that is slower. All are 0 where nothing moves.
    """
    rows, turns = power.shape
    out = np.zeros((rows, octaves + 2))
    for t in range(rows):
        whole, strongest = 0.0, 0
        for k in range(turns):
            whole += power[t, k]
            if power[t, k] > power[t, strongest]:
                strongest = k
        if whole == 0.0:
            continue
        octave, floor = 0, turns >> 1
        for k in range(turns - 1, -1, -1):
            if k < floor and octave < octaves - 1:
                octave, floor = octave + 1, floor >> 1
            share = power[t, k] / whole
            out[t, octave] += share
            if share > 0.0:
                out[t, octaves] -= share * np.log(share) / np.log(turns)
        out[t, octaves + 1] = np.log2(2.0 * turns / (strongest + 1))
    return out


def fourier(close: np.ndarray) -> np.ndarray:
    return described(spectrum(log_returns(close), WINDOW), BANDS).T


SPECTRAL = [
    feature("wavelet", 512, CLOSE, "shares of 8 octaves in the energy of returns (Haar, 256 bars), fastest first",
            wavelet, 0.0, tuple(f"wavelet_{level}" for level in range(1, LEVELS + 1))),
    feature("fourier", WINDOW + 1, CLOSE, "shares of periods from 2, 4, ... 64 bars in the power of 256 returns; "
            "entropy of their spectrum, 0 to 1; log2 of its strongest period", fourier, 0.0,
            (*(f"fourier_{2 << band}" for band in range(BANDS)), "spectral_entropy", "dominant_period")),
]
