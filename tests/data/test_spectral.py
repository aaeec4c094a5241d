"""Wavelets and spectra of series whose periods are known, and against PyWavelets and numpy's own transform."""

import numpy as np
import pandas as pd
import pytest
import pywt

from data.features.base import values_in
from data.features.spectral import SPECTRAL, doubled, haar, spectrum

BY_NAME = {feature.name: feature for feature in SPECTRAL}


def last(name, returns):
    """The last row of a feature of closes with these log returns."""
    close = 100 * np.exp(np.cumsum(np.append(0.0, returns)))
    return values_in(pd.DataFrame({"close": close}), BY_NAME[name]).iloc[-1]


def wave(period, bars=600):
    return 0.01 * np.sin(2 * np.pi * np.arange(bars) / period + 0.3)


@pytest.mark.parametrize("level", range(1, 9))
def test_details_are_those_of_pywavelets(level):
    x = np.random.default_rng(level).normal(size=1_024)
    detail = haar(x)[0][level - 1]
    theirs = pywt.swt(x, "haar", level=level, norm=True, trim_approx=True)[1]  # it wraps round at the ends
    span = 2**level
    inside = np.abs(detail[span - 1 :])
    # the same numbers, written at another row of their window, and with the other sign
    shifts = [shift for shift in range(2 * span) if np.allclose(inside, np.abs(np.roll(theirs, -shift))[: len(inside)])]
    assert len(shifts) == 1


def test_details_and_the_rest_add_up():
    """Each step parts a mean into a detail and a longer mean, so all together are the series again."""
    x = np.random.default_rng(0).normal(size=1_024)
    details, rest = haar(x)
    np.testing.assert_allclose((sum(details) + rest)[255:], x[255:], atol=1e-12)


def test_energies_by_hand():
    r = np.random.default_rng(1).normal(0, 0.01, 511)
    energies = []
    for level in range(1, 9):
        half = 2 ** (level - 1)
        details = [(r[t - half + 1 : t + 1].mean() - r[t - 2 * half + 1 : t - half + 1].mean()) / 2
                   for t in range(255, 511)]
        energies.append(np.sum(np.square(details)))
    rest = np.sum([r[t - 255 : t + 1].mean() ** 2 for t in range(255, 511)])
    np.testing.assert_allclose(last("wavelet", r), energies / (np.sum(energies) + rest), rtol=1e-9)


@pytest.mark.parametrize(("period", "level"), [(2, 1), (3, 1), (6, 2), (12, 3), (24, 4), (48, 5), (96, 6), (192, 7)])
def test_a_wave_lands_in_its_octave(period, level):
    assert int(np.argmax(last("wavelet", wave(period)))) + 1 == level


def test_white_noise_halves_from_level_to_level():
    r = np.random.default_rng(2).normal(0, 0.01, 20_000)
    close = pd.DataFrame({"close": np.exp(np.cumsum(r))})
    shares = values_in(close, BY_NAME["wavelet"]).mean().to_numpy()
    np.testing.assert_allclose(shares, 0.5 ** np.arange(1, 9), rtol=0.1)


def test_a_steady_rise_has_no_details():
    np.testing.assert_allclose(last("wavelet", np.full(600, 0.01)), 0.0, atol=1e-12)
    np.testing.assert_array_equal(last("fourier", np.full(600, 0.01)), 0.0)


@pytest.mark.parametrize("bars", [8, 64, 256])
def test_power_is_that_of_numpy(bars):
    x = np.random.default_rng(bars).normal(3.0, 1.0, 300)
    taper = np.hanning(bars + 1)[:-1]
    for t in (bars - 1, 280, 299):
        piece = x[t - bars + 1 : t + 1]
        theirs = np.abs(np.fft.rfft((piece - piece.mean()) * taper)) ** 2
        theirs[1:-1] *= 2  # both signs of a frequency
        np.testing.assert_allclose(spectrum(x, bars)[t], theirs[1:], rtol=1e-9, atol=1e-12 * theirs.max())


@pytest.mark.parametrize("period", [2, 4, 8, 16, 32, 64, 128])
def test_dominant_period_of_a_wave(period):
    found = last("fourier", wave(period))
    assert 2 ** found["dominant_period"] == pytest.approx(period)
    shares = found[[f"fourier_{2 << band}" for band in range(6)]]
    assert shares.sum() == pytest.approx(1.0)
    assert found["spectral_entropy"] < 0.25


@pytest.mark.parametrize(("period", "octave"), [(3, 2), (6, 4), (12, 8), (24, 16), (48, 32), (96, 64)])
def test_power_lies_in_the_octave_of_a_wave(period, octave):
    assert last("fourier", wave(period))[f"fourier_{octave}"] > 0.95


def test_a_wave_in_noise_is_found_and_noise_has_high_entropy():
    noise = np.random.default_rng(3).normal(0, 0.01, 600)
    assert 2 ** last("fourier", noise + wave(24))["dominant_period"] == pytest.approx(24, rel=0.1)
    assert last("fourier", noise)["spectral_entropy"] > 0.88
    assert last("fourier", noise)["spectral_entropy"] > last("fourier", noise + wave(24))["spectral_entropy"]


def test_entropy_and_shares_by_hand():
    r = np.random.default_rng(4).normal(0, 0.01, 256)
    power = np.abs(np.fft.rfft((r - r.mean()) * np.hanning(257)[:-1])) ** 2
    power[1:-1] *= 2
    share = power[1:] / power[1:].sum()
    found = last("fourier", r)
    assert found["spectral_entropy"] == pytest.approx(-np.sum(share * np.log(share)) / np.log(128))
    assert found["fourier_2"] == pytest.approx(share[64:].sum())
    assert found["fourier_16"] == pytest.approx(share[8:16].sum())
    assert found["fourier_64"] == pytest.approx(share[:4].sum())


def test_doubled_sums():
    x = np.arange(20.0)
    np.testing.assert_array_equal(doubled(x, 3)[7:], [x[t - 7 : t + 1].sum() for t in range(7, 20)])
