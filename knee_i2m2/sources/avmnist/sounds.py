"""Spoken digits of the Free Spoken Digit Dataset, and environmental noise: WAV files of 8 kHz, 16 bit, one channel.

Recordings come from a folder or a zip. Each file of noise is cut in time into train, val and test.
"""

from __future__ import annotations

import re
import wave
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int16, Int64

from knee_i2m2 import files
from knee_i2m2.data.left_out import files_in
from knee_i2m2.errors import DataError

__all__ = [
    "PARTS",
    "RATE",
    "Noise",
    "Recording",
    "is_recording",
    "noise_files",
    "read_noises",
    "read_recordings",
    "read_wav",
    "seconds",
    "speech_fingerprint",
    "zip_entries",
]

RATE = 8000
"""Samples a second."""

_CONVERT = "convert it with `sox IN.wav -r 8000 -c 1 -b 16 OUT.wav`"

PARTS = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
"""Which part of each file belongs to which split, as fractions of its duration."""

_SHORTEST = 5
"""Seconds: then a fifth of the file is one second."""

_STEP = RATE // 100

_NAME = re.compile(r"([0-9])_(.+)_([0-9]+)\.wav", re.IGNORECASE)
_INDICES = {"train": "10 and above", "val": "5 to 9", "test": "0 to 4"}
_FSDD = "point --fsdd at the recordings of the Free Spoken Digit Dataset, a folder or a zip"
_NOISE = "point --noise at a folder with 8 kHz mono WAV files, such as ESC-50 resampled"


@dataclass(frozen=True)
class Recording:
    """One spoken digit.

    Attributes:
        name: File name `digit_speaker_index.wav`, its suffix in any case.
        digit: The spoken digit.
        split: `test` for indices 0 to 4, as the data set's authors have it, `val` for 5 to 9, else `train`.
        speech: The first second, of shape (samples,).
    """

    name: str
    digit: int
    split: str
    speech: Int16[np.ndarray, " samples"]


def read_recordings(place: Path) -> list[Recording]:
    """Returns the recordings in the order of their names; zip entries are read in memory.

    Raises:
        DataError: The place is neither a folder nor a zip, a recording is damaged or silent, a recording stands there
            twice, or a digit has no recording in one of the parts.
    """
    recordings = _from_folder(place) if place.is_dir() else _from_zip(place)
    recordings.sort(key=lambda recording: recording.name)
    _check(recordings, place)
    return recordings


def speech_fingerprint(place: Path) -> dict[str, str]:
    """Returns the SHA-256 of a zip, or one over names and contents of a folder's recordings, by the place's name."""
    if not place.is_dir():
        return {place.name: files.sha256(_existing(place))}
    lines = sorted(f"{path.name} {files.sha256(path)}\n" for path in _recorded(place))
    return {f"{place.resolve().name}/": sha256("".join(lines).encode()).hexdigest()}


def _from_folder(place: Path) -> list[Recording]:
    return [_recording(path.name, path, partial(path.open, "rb")) for path in _recorded(place)]


def _from_zip(place: Path) -> list[Recording]:
    with _opened(place) as zipped:
        spoken = [(name.rpartition("/")[2], name) for name in zipped.namelist() if is_recording(name)]
        return [_recording(name, place / name, partial(zipped.open, entry)) for name, entry in spoken]


def zip_entries(place: Path) -> list[str]:
    """Returns the files in a zip of recordings, with slashes."""
    with _opened(place) as zipped:
        return [entry.filename for entry in zipped.infolist() if not entry.is_dir()]


@contextmanager
def _opened(place: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(_existing(place)) as zipped:
            yield zipped
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(place, f"is neither a folder nor a readable zip ({error})", _FSDD) from error


def is_recording(name: str) -> bool:
    """Returns whether a path ends in the name of a recording, `digit_speaker_index.wav`."""
    return _NAME.fullmatch(name.rpartition("/")[2]) is not None


def _identity(recording: Recording) -> tuple[str, str, int]:
    """Returns digit, speaker and index: no case and no zero in front makes another recording."""
    digit, speaker, index = _NAME.fullmatch(recording.name).groups()
    return digit, speaker.casefold(), int(index)


def _recording(name: str, path: Path, opener: Callable[[], IO[bytes]]) -> Recording:
    digit, index = map(int, _NAME.fullmatch(name).group(1, 3))
    speech = read_wav(path, opener, limit=RATE)
    if not speech.any():
        raise DataError(path, "holds only silence in its first second", "download it again")
    return Recording(name, digit, "test" if index < 5 else "val" if index < 10 else "train", speech)


def _recorded(folder: Path) -> list[Path]:
    return [path for path in files_in(folder) if is_recording(path.name)]


def _existing(place: Path) -> Path:
    if place.is_file():
        return place
    raise DataError(place, "is not there", _FSDD)


def _check(recordings: list[Recording], place: Path) -> None:
    by_identity = sorted(recordings, key=_identity)
    for one, other in pairwise(by_identity):
        if _identity(one) == _identity(other):
            both = "twice" if one.name == other.name else f"and {other.name}, which are one recording"
            raise DataError(place, f"holds {one.name} {both}", "keep one of them")
    there = {(recording.digit, recording.split) for recording in recordings}
    for digit, split in product(range(10), _INDICES):
        if (digit, split) not in there:
            raise DataError(place, f"has no recording of digit {digit} for {split} (index {_INDICES[split]})", _FSDD)


@dataclass(frozen=True)
class Noise:
    """One sound: its file below the folder, with slashes, and its samples, of shape (samples,)."""

    name: str
    samples: Int16[np.ndarray, " samples"]


def noise_files(folder: Path) -> list[Path]:
    """Returns the WAV files of a folder and those below, sorted.

    Raises:
        DataError: The folder is missing or has none.
    """
    if not folder.is_dir():
        raise DataError(folder, "is no folder", _NOISE)
    paths = [path for path in files_in(folder) if path.suffix.lower() == ".wav" and not path.name.startswith(".")]
    if not paths:
        raise DataError(folder, "has no WAV file", _NOISE)
    return paths


def read_noises(folder: Path) -> list[Noise]:
    """Returns the sounds of a folder in the order of their names.

    Raises:
        DataError: There is none, one is damaged, of another format or shorter than 5 s, or a part has only silence.
    """
    paths = noise_files(folder)
    noises = [Noise(path.relative_to(folder).as_posix(), read_wav(path, partial(path.open, "rb"))) for path in paths]
    for noise in noises:
        if len(noise.samples) < _SHORTEST * RATE:
            lasts = f"lasts {len(noise.samples) / RATE:.2f} s, and a fifth of it, for val or test, is less than 1 s"
            raise DataError(folder / noise.name, lasts, "take it out of the folder or join it with another")
    for split in PARTS:
        if not any(len(seconds(noise, split)) for noise in noises):
            raise DataError(folder, f"has only silence in the part of its files that is for {split}", _NOISE)
    return noises


def seconds(noise: Noise, split: str) -> Int64[np.ndarray, " starts"]:
    """Returns where a second of noise may start (samples): every 10 ms of the split's part that is not pure silence."""
    begin, end = (round(fraction * len(noise.samples)) for fraction in PARTS[split])
    starts = np.arange(begin, end - RATE + 1, _STEP)
    energy = np.concatenate([[0], np.cumsum(np.square(noise.samples, dtype=np.int64))])
    return starts[energy[starts + RATE] > energy[starts]]


def read_wav(path: Path, opener: Callable[[], IO[bytes]], limit: int | None = None) -> Int16[np.ndarray, " samples"]:
    """Returns the samples of a sound.

    Args:
        path: What to call it in an error.
        opener: Opens the file, or the entry of a zip, for reading.
        limit: Read this many samples at most; the rest is not read.

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
    values = {
        "samples a second": sound.getframerate(),
        "bits": 8 * sound.getsampwidth(),
        "channels": sound.getnchannels(),
    }
    for (name, value), wanted in zip(values.items(), (RATE, 16, 1), strict=True):
        if value != wanted:
            raise DataError(path, f"has {value} {name}, not {wanted}", _CONVERT)
