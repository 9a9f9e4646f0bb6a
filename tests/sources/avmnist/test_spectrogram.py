"""The spectrogram is scipy's, and a mix has the ratio that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import get_window, stft

from knee_i2m2.sources.avmnist.spectrogram import HOP, WINDOW, mix, quantised, spectrogram, to_decibels, to_peak

RATE = 8000


def clips(count: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, RATE)).astype(np.float32)


def speech(lengths: np.ndarray, starts: np.ndarray) -> np.ndarray:
    time = np.arange(RATE)
    inside = (time >= starts[:, None]) & (time < (starts + lengths)[:, None])
    return np.where(inside, clips(len(lengths), seed=1), 0).astype(np.float32)


def test_the_magnitudes_are_those_of_scipy() -> None:
    heard = clips()
    _, _, spectra = stft(
        heard.astype(float), window="hann", nperseg=WINDOW, noverlap=WINDOW - HOP, boundary=None, padded=False
    )
    oracle = np.abs(spectra) * get_window("hann", WINDOW).sum()
    found = spectrogram(heard)
    assert found.shape == (3, 112, 112)
    np.testing.assert_allclose(found[:, ::-1], oracle, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("hertz", [300, 1000, 3500])
def test_a_tone_is_a_line_as_high_as_its_frequency(hertz: int) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)[None]
    row = spectrogram(tone)[0].mean(axis=1).argmax()
    assert 111 - row == pytest.approx(hertz / RATE * WINDOW, abs=0.5)


@pytest.mark.parametrize("snr", [-18.0, -1.0, 0.0, 12.0])
def test_the_measured_ratio_is_the_one_asked_for(snr: float) -> None:
    lengths, starts = np.array([1500, 8000, 3000]), np.array([100, 0, 5000])
    said, noise = speech(lengths, starts), 0.1 * clips(seed=2)
    added = mix(said, lengths, noise, np.full(3, snr)).astype(float) - said
    spoken = [np.mean(np.square(s[i : i + n], dtype=float)) for s, i, n in zip(said, starts, lengths, strict=True)]
    np.testing.assert_allclose(10 * np.log10(spoken / np.square(added).mean(axis=1)), snr, atol=1e-3)


def test_the_ratio_does_not_know_the_loudness_of_the_noise() -> None:
    lengths, noise, snr = np.array([4000]), clips(1, seed=2), np.array([-7.0])
    said = speech(lengths, np.array([2000]))
    np.testing.assert_allclose(
        mix(said, lengths, noise, snr), mix(said, lengths, 40 * noise, snr), rtol=1e-4, atol=1e-5
    )


def test_the_loudest_sample_is_one_and_loudness_is_nothing() -> None:
    heard = clips()
    np.testing.assert_allclose(np.abs(to_peak(heard)).max(axis=1), 1)
    np.testing.assert_allclose(to_peak(7 * heard), to_peak(heard), rtol=1e-5)


def test_decibels_run_from_black_to_white() -> None:
    magnitudes = np.array([0.0, 1e-3, 1.0, 100.0, 1e4])
    np.testing.assert_allclose(to_decibels(magnitudes), [0, 0, 0.6, 1, 1], atol=1e-4)


def test_eight_bits_lose_half_a_step_at_most() -> None:
    levels = np.linspace(0, 1, 1001)
    steps = quantised(levels)
    assert (steps.dtype, steps.min(), steps.max()) == (np.uint8, 0, 255)
    assert np.abs(steps / 255 - levels).max() <= 0.5 / 255 + 1e-12
