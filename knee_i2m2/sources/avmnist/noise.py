"""Environmental noise: a folder of 8 kHz sounds, each cut in time into train, val and test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Int64

from knee_i2m2.errors import DataError
from knee_i2m2.sources.avmnist.wav import RATE, read_wav

__all__ = ["PARTS", "Noise", "noise_files", "read_noises", "seconds"]

PARTS = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
"""Which part of each file belongs to which split, as fractions of its duration."""

_SHORTEST = 5
"""Seconds: then a fifth of the file is one second."""

_STEP = RATE // 100
_WHERE = "point --noise at a folder with 8 kHz mono WAV files, such as ESC-50 resampled"


@dataclass(frozen=True)
class Noise:
    """One sound: the name of its file and its samples, of shape (samples,)."""

    name: str
    samples: Int16[np.ndarray, " samples"]


def noise_files(folder: Path) -> list[Path]:
    """Returns the WAV files of a folder by name.

    Raises:
        DataError: The folder is missing or has none.
    """
    if not folder.is_dir():
        raise DataError(folder, "is no folder", _WHERE)
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".wav")
    if not found:
        raise DataError(folder, "has no WAV file", _WHERE)
    return found


def read_noises(folder: Path) -> list[Noise]:
    """Returns the sounds of a folder in the order of their names.

    Raises:
        DataError: There is none, one is damaged, of another format or shorter than 5 s, or a part has only silence.
    """
    noises = [Noise(path.name, read_wav(path, partial(path.open, "rb"))) for path in noise_files(folder)]
    for noise in noises:
        if len(noise.samples) < _SHORTEST * RATE:
            lasts = f"lasts {len(noise.samples) / RATE:.2f} s, and a fifth of it, for val or test, is less than 1 s"
            raise DataError(folder / noise.name, lasts, "take it out of the folder or join it with another")
    for split in PARTS:
        if not any(len(seconds(noise, split)) for noise in noises):
            raise DataError(folder, f"has only silence in the part of its files that is for {split}", _WHERE)
    return noises


def seconds(noise: Noise, split: str) -> Int64[np.ndarray, " starts"]:
    """Returns where a second of noise may start (samples): every 10 ms of the split's part that is not pure silence."""
    begin, end = (round(fraction * len(noise.samples)) for fraction in PARTS[split])
    starts = np.arange(begin, end - RATE + 1, _STEP)
    energy = np.concatenate([[0], np.cumsum(np.square(noise.samples, dtype=np.int64))])
    return starts[energy[starts + RATE] > energy[starts]]
