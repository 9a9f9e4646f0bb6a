r"""Speech in noise as a spectrogram of 112 x 112.

One second at 8 kHz, cut into 112 frames of 222 samples (27.75 ms) every 70 samples (8.75 ms), gives 112 frequencies
from 0 to 4 kHz. Axes: clips, then samples; or clips, frequencies (the highest first, as one looks at it), frames.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.fft import rfft
from scipy.signal import get_window

__all__ = ["HOP", "WINDOW", "mix", "quantised", "spectrogram", "to_decibels", "to_peak"]

WINDOW, HOP = 222, 70
"""Samples in a frame, and from one frame to the next."""

_FLOOR, _RANGE = -60.0, 100.0
"""What is drawn black, and how far above it white lies (dB)."""


def mix(
    speech: Float[np.ndarray, "clips samples"],
    lengths: Int[np.ndarray, " clips"],
    noise: Float[np.ndarray, "clips samples"],
    snr: Float[np.ndarray, " clips"],
) -> Float[np.ndarray, "clips samples"]:
    r"""Returns :math:`s + g n` with the gain :math:`g` that gives the signal-to-noise ratio asked for.

    .. math:: \mathrm{snr} = 10 \log_{10} \frac{\sum s^2 / \mathrm{length}}{g^2 \, \overline{n^2}}

    Args:
        speech: Speech between zeros.
        lengths: Samples of speech without the zeros, which are no part of its mean power.
        noise: Noise; a clip of zeros has no ratio and gives values that are not finite.
        snr: Signal-to-noise ratio (dB).
    """
    power = np.square(speech).sum(axis=1) / lengths
    gain = np.sqrt(power / np.square(noise).mean(axis=1) / 10 ** (snr / 10))
    return speech + gain.astype(noise.dtype)[:, None] * noise


def to_peak(clips: Float[np.ndarray, "clips samples"]) -> Float[np.ndarray, "clips samples"]:
    """Returns the clips divided by their largest absolute value, which must not be zero."""
    return clips / np.abs(clips).max(axis=1, keepdims=True)


def spectrogram(clips: Float[np.ndarray, "clips samples"]) -> Float[np.ndarray, "clips frequencies frames"]:
    """Returns the magnitudes of the short-time Fourier transform, Hann window, not normalised, nothing padded."""
    frames = np.lib.stride_tricks.sliding_window_view(clips, WINDOW, axis=1)[:, ::HOP]
    spectra = rfft(frames * get_window("hann", WINDOW).astype(clips.dtype), axis=-1)
    return np.abs(spectra).swapaxes(1, 2)[:, ::-1]


def to_decibels(magnitudes: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    r"""Returns :math:`20 \log_{10}(|\cdot| + 10^{-6})` with -60 dB at 0 and 40 dB at 1, clipped to [0, 1]."""
    return np.clip((20 * np.log10(magnitudes + 1e-6) - _FLOOR) / _RANGE, 0, 1)


def quantised(levels: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Returns levels in [0, 1] as the nearest of 256 steps; times 1/255 they come back to within half a step."""
    return np.rint(255 * levels).astype(np.uint8)
