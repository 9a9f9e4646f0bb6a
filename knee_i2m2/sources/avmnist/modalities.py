"""The two modalities of AV-MNIST, made from the table of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Float16, UInt8
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from knee_i2m2.errors import ConfigError
from knee_i2m2.sources.avmnist.digits import Digits
from knee_i2m2.sources.avmnist.sounds import RATE, Noise, Recording
from knee_i2m2.sources.avmnist.spectrogram import mix, quantised, spectrogram, to_decibels, to_peak

__all__ = ["audio", "fit_components", "images"]

_TOGETHER = 256
"""Pairs made at once: about 100 MB of frames and spectra."""


def fit_components(pictures: UInt8[np.ndarray, "digits 28 28"], components: int) -> PCA:
    """Returns the principal components of centred pictures in [0, 1], from their exact covariance.

    One thread does it: the sums of several depend on how many they are, and the same seed must give the same bytes.

    Raises:
        ConfigError: There are fewer pixels or pictures than components.
    """
    most = min(784, len(pictures))
    if not 1 <= components <= most:
        raise ConfigError(f"--components {components} is out of range; give 1 to {most}, 4 for the published recipe")
    with threadpool_limits(limits=1):
        return PCA(components, svd_solver="covariance_eigh").fit(_flat(pictures))


def images(
    pairs: pd.DataFrame, digits: Mapping[str, Digits], components: PCA
) -> Iterator[Float16[np.ndarray, "pairs 1 28 28"]]:
    """Yields the pictures as mean plus projection on the components; they leave [0, 1] slightly and are not clipped."""
    for split, rows in pairs.groupby("split", sort=False):
        places = np.searchsorted(digits[split].rows, rows["digit_row"])
        for begin in range(0, len(places), _TOGETHER):
            pictures = digits[split].images[places[begin : begin + _TOGETHER]]
            with threadpool_limits(limits=1):
                kept = components.inverse_transform(components.transform(_flat(pictures)))
            yield kept.reshape(-1, 1, 28, 28).astype(np.float16)


def audio(
    pairs: pd.DataFrame, recordings: Sequence[Recording], noises: Sequence[Noise]
) -> Iterator[UInt8[np.ndarray, "pairs 1 112 112"]]:
    """Yields the spectrograms: speech at its place in a second of noise, to its peak, in decibels, in 256 steps."""
    spoken = {recording.name: recording.speech for recording in recordings}
    sounds = {noise.name: noise.samples for noise in noises}
    for begin in range(0, len(pairs), _TOGETHER):
        rows = pairs.iloc[begin : begin + _TOGETHER]
        speech = [spoken[name] for name in rows["recording"]]
        noise = [sounds[name][i : i + RATE] for name, i in zip(rows["noise_file"], rows["noise_start"], strict=True)]
        lengths = np.array([len(clip) for clip in speech])
        heard = mix(_placed(speech, rows["speech_start"]), lengths, _scaled(np.stack(noise)), rows["snr_db"].to_numpy())
        yield quantised(to_decibels(spectrogram(to_peak(heard))))[:, None]


def _flat(pictures: UInt8[np.ndarray, "digits 28 28"]) -> Float[np.ndarray, "digits 784"]:
    return pictures.reshape(len(pictures), -1) / 255


def _placed(speech: Sequence[np.ndarray], starts: pd.Series) -> Float[np.ndarray, "pairs samples"]:
    """Returns each recording at its start in a second of zeros."""
    placed = np.zeros((len(speech), RATE), dtype=np.float32)
    for clip, samples, start in zip(placed, speech, starts, strict=True):
        clip[start : start + len(samples)] = _scaled(samples)
    return placed


def _scaled(samples: np.ndarray) -> Float[np.ndarray, "*shape"]:
    """Returns 16-bit samples in [-1, 1)."""
    return samples.astype(np.float32) / 32768
