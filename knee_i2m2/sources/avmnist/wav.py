"""WAV sounds at 8 kHz, 16 bit, one channel."""

from __future__ import annotations

import wave
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int16

from knee_i2m2.errors import DataError

__all__ = ["RATE", "read_wav"]

RATE = 8000
"""Samples a second."""

_CONVERT = "convert it with `sox IN.wav -r 8000 -c 1 -b 16 OUT.wav`"


def read_wav(path: Path, opener: Callable[[], IO[bytes]], limit: int | None = None) -> Int16[np.ndarray, " samples"]:
    """Returns the samples of a sound.

    Args:
        path: What to call it in an error.
        opener: Opens the file, or the entry of a zip, for reading.
        limit: Read this many samples at most; what follows is not looked at.

    Raises:
        DataError: It is no PCM WAV file, has another rate, width or number of channels, or ends too early.
    """
    try:
        with opener() as opened, wave.open(opened) as sound:
            _check_format(sound, path)
            wanted = sound.getnframes() if limit is None else min(limit, sound.getnframes())
            samples = np.frombuffer(sound.readframes(wanted), "<i2")
    except (wave.Error, EOFError) as error:
        raise DataError(path, f"is no PCM WAV file ({str(error) or 'it ends too early'})", _CONVERT) from error
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(path, f"cannot be read ({error})", "download it again") from error
    if len(samples) < wanted:
        raise DataError(path, f"is truncated: {len(samples)} of {wanted} samples", "download it again")
    return samples.astype(np.int16, copy=False)


def _check_format(sound: wave.Wave_read, path: Path) -> None:
    found = {
        "samples a second": sound.getframerate(),
        "bits": 8 * sound.getsampwidth(),
        "channels": sound.getnchannels(),
    }
    for (name, value), wanted in zip(found.items(), (RATE, 16, 1), strict=True):
        if value != wanted:
            raise DataError(path, f"has {value} {name}, not {wanted}", _CONVERT)
