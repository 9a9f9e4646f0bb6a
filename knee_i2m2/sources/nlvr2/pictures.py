"""Pictures of files and zips, decoded to one size.

A picture that is missing, broken, of another format or suspiciously large is a fault to be listed, never replaced.
What decodes may be the placeholder of a picture that is gone: of one colour, tiny, or the same many times.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image

from knee_i2m2.errors import DataError
from knee_i2m2.files import reading

__all__ = [
    "Decoded",
    "Fault",
    "FilePicture",
    "Picture",
    "ZipPicture",
    "decode",
    "listing",
    "missing",
    "opening",
    "read_pictures",
    "upright",
    "zip_entries",
]

_FORMATS = ("PNG", "JPEG")
_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_PIXELS = 50_000_000
"""More are no photograph of a benchmark; below the bound at which Pillow warns of decompression bombs."""
_BYTES = 1 << 28
_TINY = 8
"""Pixels: no photograph of a benchmark has so short a side."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation -> what shows the picture upright."""
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
        path: Where it stands, or should.
    """

    path: Path

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


class Look(NamedTuple):
    """By what the placeholder of a picture that is gone is recognised.

    Attributes:
        picture: Its path.
        digest: Of its pixels.
        flaw: `one colour`, `tiny` or nothing.
    """

    picture: str
    digest: bytes
    flaw: str


class Decoded(NamedTuple):
    """The pictures of a pair.

    Attributes:
        pixels: One behind the other, of shape (3 pictures, side, side).
        looks: Of each picture.
    """

    pixels: UInt8[np.ndarray, "channels side side"]
    looks: tuple[Look, ...]


def read_pictures(side: int, pictures: Sequence[Picture]) -> Decoded | Fault:
    """Returns pictures, or the first fault.

    Args:
        side: Rows and columns.
        pictures: The left one first.
    """
    images, looks = [], []
    for picture in pictures:
        try:
            image = upright(picture.content(), picture.path)
        except FileNotFoundError:
            return missing(picture)
        except DataError as error:
            return Fault(str(picture.path), "unreadable", error.reason)
        except (*_BROKEN, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # as zipfile has them
            return Fault(str(picture.path), "unreadable", f"cannot be read ({error})")
        images.append(_resized(image, side))
        looks.append(Look(str(picture.path), sha256(images[-1]).digest(), _flaw(image)))
    return Decoded(np.concatenate(images), tuple(looks))


def missing(picture: Picture) -> Fault:
    """Returns the fault of a picture that is not there."""
    return Fault(str(picture.path), "missing", "is not there")


def _flaw(image: Image.Image) -> str:
    if min(image.size) < _TINY:
        return "tiny"
    return "one colour" if all(low == high for low, high in image.getextrema()) else ""


def decode(content: bytes, side: int, path: Path) -> UInt8[np.ndarray, "3 side side"]:
    """Returns a PNG or JPEG as red, green and blue, resized bicubically without a crop; see `upright`."""
    return _resized(upright(content, path), side)


def upright(content: bytes, path: Path) -> Image.Image:
    """Returns a PNG or JPEG as a browser shows it: RGB, turned as its EXIF says, on white where it is transparent.

    Args:
        content: The file's bytes.
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
                return _turned(image, _on_white(image))
    except Image.DecompressionBombError as error:
        raise DataError(path, f"is too large ({error})") from error
    except Image.UnidentifiedImageError as error:
        known = content.startswith(_MAGIC)
        raise DataError(path, "is damaged (in its header)" if known else "is neither PNG nor JPEG") from error
    except _BROKEN as error:
        raise DataError(path, f"is damaged ({error})") from error


def _turned(image: Image.Image, pixels: Image.Image) -> Image.Image:
    """Returns the pixels of a decoded picture turned by its EXIF, and by nothing else: browsers do not read XMP."""
    exif, orientation = Image.Exif(), None
    with suppress(*_BROKEN):  # a damaged header turns nothing
        exif.load(image.info.get("exif") or b"")
        orientation = exif.get(ExifTags.Base.Orientation)
    return pixels.transpose(_TURNS[orientation]) if orientation in _TURNS else pixels


def _resized(image: Image.Image, side: int) -> UInt8[np.ndarray, "3 side side"]:
    resized = image.resize((side, side), Image.Resampling.BICUBIC)
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


def zip_entries(path: Path) -> list[str]:
    """Returns the files in a zip."""
    return [entry.filename for entry in _opened(path, opening(path)).infolist() if not entry.is_dir()]


def _entry(path: Path, name: str) -> zipfile.ZipInfo:
    try:
        return _opened(path, opening(path)).getinfo(name)
    except KeyError:
        raise FileNotFoundError(name) from None


@lru_cache(maxsize=4)
def _opened(path: Path, key: tuple[int, ...]) -> zipfile.ZipFile:
    """Returns a zip that is open under a key."""
    with reading(path, "download it again", "is no readable zip", (zipfile.BadZipFile,)):
        return zipfile.ZipFile(path)
