"""Pictures of files and zips, decoded to one size.

A picture that is missing, broken, of another format or suspiciously large is a fault to be listed, never replaced.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from knee_i2m2.errors import DataError

__all__ = ["Fault", "FilePicture", "Picture", "ZipPicture", "decode", "listing", "opening", "read_pictures"]

_FORMATS = ("PNG", "JPEG")
_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_PIXELS = 50_000_000
"""More are no photograph of a benchmark; below the bound at which Pillow warns of decompression bombs."""
_BYTES = 1 << 28
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error)
"""What Pillow raises for damaged files."""


@runtime_checkable
class Picture(Protocol):
    """A picture that is read when it is asked for."""

    @property
    def path(self) -> Path:
        """What a fault names."""

    def size(self) -> int | None:
        """Returns the bytes it has, None where it is missing."""

    def content(self) -> bytes:
        """Returns these bytes; raises FileNotFoundError where it is missing."""


@dataclass(frozen=True)
class FilePicture:
    """A picture that is a file.

    Attributes:
        places: Where it may stand; the first that is there counts.
    """

    places: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The place where it stands, or should."""
        return next((path for path in self.places if path.is_file()), self.places[0])

    def size(self) -> int | None:
        """Returns the bytes it has, None where it is missing."""
        try:
            return self.path.stat().st_size
        except OSError:
            return None

    def content(self) -> bytes:
        """Returns these bytes; raises FileNotFoundError where it is missing."""
        with self.path.open("rb") as opened:
            return opened.read(_BYTES + 1)


@dataclass(frozen=True)
class ZipPicture:
    """A picture within a zip.

    Attributes:
        zip: The zip.
        name: Of the entry.
    """

    zip: Path
    name: str

    @property
    def path(self) -> Path:
        """The zip, then the entry."""
        return self.zip / self.name

    def size(self) -> int | None:
        """Returns the bytes it has, None where it is missing."""
        try:
            return _entry(self.zip, self.name).file_size
        except FileNotFoundError:
            return None

    def content(self) -> bytes:
        """Returns these bytes; raises FileNotFoundError where it is missing."""
        entry = _entry(self.zip, self.name)
        with _opened(self.zip, opening(self.zip)).open(entry) as opened:
            return opened.read(_BYTES + 1)


class Fault(NamedTuple):
    """Why an example's pictures cannot be used.

    Attributes:
        picture: The picture.
        why: `missing` or `unreadable`.
        reason: What is wrong with it.
    """

    picture: str
    why: str
    reason: str


def opening(path: Path) -> tuple[int, ...]:
    """Returns a key under which an open file is kept: each process opens its own, and a changed file anew.

    Raises:
        DataError: It cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "check the path and who may read it") from error
    return os.getpid(), status.st_ino, status.st_size, status.st_mtime_ns


def listing(pictures: Sequence[Picture]) -> str:
    """Returns a SHA-256 over names and sizes, which notices added and changed pictures without reading them all."""
    lines = sorted(f"{picture.path.name} {picture.size()}\n" for picture in pictures)
    return sha256("".join(lines).encode()).hexdigest()


def read_pictures(side: int, pictures: Sequence[Picture]) -> UInt8[np.ndarray, "channels side side"] | Fault:
    """Returns pictures one behind the other, of shape (3 pictures, side, side), or the first fault.

    Args:
        side: Rows and columns.
        pictures: The left one first.
    """
    images = []
    for picture in pictures:
        try:
            images.append(decode(picture.content(), side, picture.path))
        except FileNotFoundError:
            return Fault(str(picture.path), "missing", "is not there")
        except DataError as error:
            return Fault(str(picture.path), "unreadable", error.reason)
        except (*_BROKEN, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # as zipfile has them
            return Fault(str(picture.path), "unreadable", f"cannot be read ({error})")
    return np.concatenate(images)


def decode(content: bytes, side: int, path: Path) -> UInt8[np.ndarray, "3 side side"]:
    """Returns a PNG or JPEG as red, green and blue, resized bicubically without a crop; what is transparent is white.

    Args:
        content: The file's bytes.
        side: Rows and columns.
        path: What an error names.

    Raises:
        DataError: It is damaged or neither PNG nor JPEG, has more than 8 bits a channel, or more than 50 million
            pixels.
    """
    if len(content) > _BYTES:
        raise DataError(path, f"has more than {_BYTES >> 20} MiB, which no picture of the benchmark has")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow warns of is refused or does not touch the pixels
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _check(image, path)
                resized = _on_white(image).resize((side, side), Image.Resampling.BICUBIC)
    except Image.DecompressionBombError as error:
        raise DataError(path, f"is too large ({error})") from error
    except Image.UnidentifiedImageError as error:
        known = content.startswith(_MAGIC)
        raise DataError(path, "is damaged (in its header)" if known else "is neither PNG nor JPEG") from error
    except _BROKEN as error:
        raise DataError(path, f"is damaged ({error})") from error
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _check(image: Image.Image, path: Path) -> None:
    if image.width * image.height > _PIXELS:
        limit = f"more than the {_PIXELS // 10**6} million that are decoded"
        raise DataError(path, f"has {image.width} x {image.height} pixels, {limit}")
    if image.mode not in _MODES:
        raise DataError(path, f"has pixels of mode {image.mode}, not 8 bits a channel")


def _on_white(image: Image.Image) -> Image.Image:
    """Returns a picture as RGB, as a browser shows it."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    above = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")


def _entry(path: Path, name: str) -> zipfile.ZipInfo:
    try:
        return _opened(path, opening(path)).getinfo(name)
    except KeyError:
        raise FileNotFoundError(name) from None


@lru_cache(maxsize=4)
def _opened(path: Path, key: tuple[int, ...]) -> zipfile.ZipFile:
    """Returns a zip that is open under a key."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(path, f"is no readable zip ({error})", "download it again") from error
