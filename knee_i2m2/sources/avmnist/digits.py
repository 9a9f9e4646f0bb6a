"""MNIST's handwritten digits in the three parts of AV-MNIST, from IDX files, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from knee_i2m2.data.left_out import files_in
from knee_i2m2.errors import DataError

__all__ = ["Digits", "is_digits", "mnist_files", "read_digits", "read_idx"]

_NAMES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_VAL = 12
"""The last twelfth of the training file is for validation: rows 55,000 to 59,999 of MNIST, as in the reference."""

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8
_AGAIN = "download it again"


@dataclass(frozen=True)
class Digits:
    """The digits of one part.

    Attributes:
        file: Name of the IDX file that holds the pictures.
        rows: Rows in that file, of shape (digits,).
        images: Pictures, 0 to 255, of shape (digits, 28, 28).
        labels: Classes 0 to 9, of shape (digits,).
    """

    file: str
    rows: Int64[np.ndarray, " digits"]
    images: UInt8[np.ndarray, "digits 28 28"]
    labels: UInt8[np.ndarray, " digits"]


def mnist_files(folder: Path) -> dict[str, Path]:
    """Returns the paths of the four IDX files by name without `.gz`; a plain file comes before a gzipped one.

    They may stand in folders below, and be named in any case and with a dot, as in `train-images.idx3-ubyte`.

    Raises:
        DataError: The folder or one of the files is missing, or there are two that differ.
    """
    if not folder.is_dir():
        raise DataError(folder, "is no folder", "point --mnist at the folder with MNIST's four IDX files")
    files = files_in(folder)
    return {name: _file(folder, name, [path for path in files if _canonical(path.name) == name]) for name in _NAMES}


def read_digits(files: Mapping[str, Path]) -> dict[str, Digits]:
    """Returns the digits of `train`, `val` (the last twelfth of the training file) and `test` (the test file).

    Raises:
        DataError: A file is damaged, pictures are not 28 x 28, or pictures and labels do not belong together.
    """
    train, test = (
        _digits(files[f"{part}-images-idx3-ubyte"], files[f"{part}-labels-idx1-ubyte"]) for part in ("train", "t10k")
    )
    border = len(train.rows) - len(train.rows) // _VAL
    return {"train": _part(train, slice(border)), "val": _part(train, slice(border, None)), "test": test}


def is_digits(name: str) -> bool:
    """Returns whether a path ends in a name of one of the four files."""
    return _canonical(name.rpartition("/")[2]) in _NAMES


def _canonical(name: str) -> str:
    """Returns what all spellings of an IDX file's name share."""
    return re.sub(r"[._]", "-", name.lower().removesuffix(".gz"))


def _file(folder: Path, name: str, paths: Sequence[Path]) -> Path:
    """Returns one of the files of a name, all of which must hold the same."""
    if not paths:
        raise DataError(folder, f"has neither {name} nor {name}.gz", "download MNIST's four IDX files into it")
    first, *others = sorted(paths, key=lambda path: (path.suffix.lower() == ".gz", len(path.parts), path.name != name))
    for path in others:
        if _content(path) != _content(first):
            reason = f"differs from {first.relative_to(folder)}, which is named alike"
            raise DataError(path, reason, "point --mnist at a folder with one of them")
    return first


def _digits(pictures: Path, answers: Path) -> Digits:
    images, labels = read_idx(pictures, 3), read_idx(answers, 1)
    if images.shape[1:] != (28, 28):
        size = " x ".join(map(str, images.shape[1:]))
        raise DataError(pictures, f"holds pictures of {size}, not 28 x 28", "use the files of MNIST")
    if len(images) != len(labels):
        raise DataError(
            answers, f"holds {len(labels)} labels for {len(images)} pictures", "use two files of one download"
        )
    if labels.max(initial=0) > 9:
        raise DataError(answers, f"holds the label {labels.max()}, digits end at 9", "use the files of MNIST")
    return Digits(pictures.name, np.arange(len(images)), images, labels)


def _part(digits: Digits, rows: slice) -> Digits:
    return Digits(digits.file, digits.rows[rows], digits.images[rows], digits.labels[rows])


def read_idx(path: Path, rank: int) -> UInt8[np.ndarray, "*axes"]:
    """Returns the array of an IDX file of unsigned bytes, read-only.

    Args:
        path: The file; gzip is recognised by its first bytes, not by its name.
        rank: The number of axes wanted: 1 for labels, 3 for pictures.

    Raises:
        DataError: The file cannot be read, is no IDX file of this rank, or is shorter or longer than its header says.

    References:
        The MNIST database of handwritten digits (LeCun, Cortes, Burges, 1998), section "file formats"
    """
    content = _content(path)
    if content[:4] != bytes((0, 0, _UNSIGNED_BYTE, rank)):
        wanted = f"it begins with {content[:4].hex(' ') or 'nothing'}, not 00 00 08 {rank:02x}"
        raise DataError(path, f"is no IDX file of {rank} axes of bytes ({wanted})", _AGAIN)
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(path, "is truncated within its header", _AGAIN)
    shape = struct.unpack(f">{rank}I", content[4:start])
    surplus = len(content) - start - math.prod(shape)
    if surplus:
        fault = "is truncated" if surplus < 0 else "is too long"
        raise DataError(
            path, f"{fault}: {abs(surplus)} bytes {'less' if surplus < 0 else 'more'} than announced", _AGAIN
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(path, f"is truncated or damaged ({error})", _AGAIN) from error
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from error
