"""MNIST's handwritten digits in the three parts of AV-MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from knee_i2m2.errors import DataError
from knee_i2m2.sources.avmnist.idx import read_idx

__all__ = ["Digits", "mnist_files", "read_digits"]

_NAMES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_VAL = 12
"""The last twelfth of the training file is for validation: rows 55,000 to 59,999 of MNIST, as in the reference."""


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

    Raises:
        DataError: The folder or one of the files is missing.
    """
    if not folder.is_dir():
        raise DataError(folder, "is no folder", "point --mnist at the folder with MNIST's four IDX files")
    return {name: _file(folder, name) for name in _NAMES}


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


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(folder, f"has neither {name} nor {name}.gz", "download MNIST's four IDX files into it")


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
