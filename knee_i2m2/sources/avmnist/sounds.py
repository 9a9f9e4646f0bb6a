"""Spoken digits of the Free Spoken Digit Dataset, from a folder or a zip."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from jaxtyping import Int16

from knee_i2m2 import files
from knee_i2m2.errors import DataError
from knee_i2m2.sources.avmnist.wav import RATE, read_wav

__all__ = ["Recording", "read_recordings", "speech_fingerprint"]

_NAME = re.compile(r"(\d)_[A-Za-z]+_(\d+)\.wav")
_INDICES = {"train": "10 and above", "val": "5 to 9", "test": "0 to 4"}
_WHERE = "point --fsdd at the recordings of the Free Spoken Digit Dataset, a folder or a zip"


@dataclass(frozen=True)
class Recording:
    """One spoken digit.

    Attributes:
        name: File name `digit_speaker_index.wav`.
        digit: What is said.
        split: `test` for indices 0 to 4, as the data set's authors have it, `val` for 5 to 9, else `train`.
        speech: The first second, of shape (samples,).
    """

    name: str
    digit: int
    split: str
    speech: Int16[np.ndarray, " samples"]


def read_recordings(place: Path) -> list[Recording]:
    """Returns the recordings in the order of their names; zip entries are read in memory, other names are passed over.

    Raises:
        DataError: The place is neither a folder nor a zip, a recording is damaged or silent, a name stands there
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
    try:
        with zipfile.ZipFile(_existing(place)) as zipped:
            named = [(PurePosixPath(entry.filename).name, entry) for entry in zipped.infolist()]
            spoken = [(name, entry) for name, entry in named if _NAME.fullmatch(name)]
            return [_recording(name, place / name, partial(zipped.open, entry)) for name, entry in spoken]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(place, f"is neither a folder nor a readable zip ({error})", _WHERE) from error


def _recording(name: str, path: Path, opener: Callable[[], IO[bytes]]) -> Recording:
    digit, index = map(int, _NAME.fullmatch(name).groups())
    speech = read_wav(path, opener, limit=RATE)
    if not speech.any():
        raise DataError(path, "holds only silence in its first second", "download it again")
    return Recording(name, digit, "test" if index < 5 else "val" if index < 10 else "train", speech)


def _recorded(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.wav")) if _NAME.fullmatch(path.name)]


def _existing(place: Path) -> Path:
    if place.is_file():
        return place
    raise DataError(place, "is not there", _WHERE)


def _check(recordings: list[Recording], place: Path) -> None:
    names = [recording.name for recording in recordings]
    twice = next((name for name, after in pairwise(names) if name == after), None)
    if twice:
        raise DataError(place, f"holds {twice} twice", "keep one of them")
    there = {(recording.digit, recording.split) for recording in recordings}
    for digit, split in product(range(10), _INDICES):
        if (digit, split) not in there:
            raise DataError(place, f"has no recording of digit {digit} for {split} (index {_INDICES[split]})", _WHERE)
