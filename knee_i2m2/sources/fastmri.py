"""Single-coil k-space volumes in fastMRI's HDF5 format.

A file holds `kspace` (slices, rows, columns), the XML text `ismrmrd_header` and attributes. Train and val files hold
`reconstruction_esc` too; test files come undersampled, with the `mask` of their sampled columns (Zbontar et al., 2018,
arXiv:1811.08839). Rows run along the readout, the header's x; columns along the phase encoding, its y.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Complex64, Float32

from knee_i2m2.errors import DataError
from knee_i2m2.sources.ismrmrd import MOST_BYTES, Header, parse_header

__all__ = ["Volume", "find_volumes", "part", "read_kspace", "read_reconstruction", "read_volume", "volume_table"]

_PART = re.compile(r"(train|val|test|challenge)|singlecoil_(train|val|test|challenge).*")
_SIGNS = {
    "truncated": "the file is cut short",
    "signature not found": "this is no HDF5 file",
    "Is a directory": "this is a folder, not a file",
}
_AGAIN = "copy the file again from its source"
_EXPORT = "export it again in fastMRI's single-coil format"


@dataclass(frozen=True)
class Volume:
    """What a file says about itself.

    Attributes:
        path: The file.
        name: Its name without `.h5`; annotations and splits know it by this name.
        patient: The attribute `patient_id`; None where the file has none, it is never guessed.
        sequence: The attribute `acquisition`, such as `CORPD_FBK`; `unknown` where the file has none.
        field_strength: In tesla, from the header; None where the header has none.
        slices: Number of slices.
        rows: k-space samples along the readout.
        columns: k-space samples along the phase encoding; it differs between volumes.
        matrix: Rows and columns of the reconstructed image: the header's reconSpace x (readout) and y.
        acquired: Half-open range of the columns that were measured; outside it k-space is padded with zeros.
        undersampled: Whether a `mask` says that columns were left out.
    """

    path: Path
    name: str
    patient: str | None
    sequence: str
    field_strength: float | None
    slices: int
    rows: int
    columns: int
    matrix: tuple[int, int]
    acquired: tuple[int, int]
    undersampled: bool


def find_volumes(folder: Path) -> list[Path]:
    """Returns the `.h5` files of a folder and of fastMRI's subfolders in it (`singlecoil_train`, `val`, ...), sorted.

    Raises:
        DataError: There is no such folder, no file in it, or one name stands in two of its subfolders.
    """
    if not folder.is_dir():
        raise DataError(folder, "there is no such folder", "give the folder that holds the .h5 files")
    places = [folder, *(place for place in folder.iterdir() if place.is_dir() and _PART.fullmatch(place.name))]
    paths = sorted(path for place in places for path in place.glob("*.h5") if not path.name.startswith("."))
    if not paths:
        raise DataError(
            folder, "holds no .h5 file, nor do singlecoil_train, _val or _test in it", "give another folder"
        )
    name, times = Counter(path.name for path in paths).most_common(1)[0]
    if times > 1:
        raise DataError(folder, f"holds {name} in {times} of its subfolders", "keep one of them")
    return paths


def part(path: Path) -> str:
    """Returns fastMRI's own part by the folder's name: `train`, `val`, `test` (also challenge), or nothing."""
    found = _PART.fullmatch(path.parent.name)
    name = (found[1] or found[2]) if found else ""
    return "test" if name == "challenge" else name


def read_volume(path: Path) -> Volume:
    """Returns what a file says about itself, from its attributes, shapes and header; k-space is not read.

    Raises:
        DataError: It is no whole HDF5 file, or `kspace` or `ismrmrd_header` is missing or not of fastMRI's format.
    """
    with _opened(path) as file:
        slices, rows, columns = _shape(file, path)
        header = _header(file, path)
        volume = Volume(
            path=path,
            name=path.stem,
            patient=_attribute(file, path, "patient_id"),
            sequence=_attribute(file, path, "acquisition") or "unknown",
            field_strength=header.field_strength,
            slices=slices,
            rows=rows,
            columns=columns,
            matrix=header.matrix,
            acquired=header.acquired(columns),
            undersampled=_dataset(file, path, "mask") is not None,
        )
    _refuse_misfit(volume)
    return volume


def volume_table(volumes: Sequence[Volume]) -> pd.DataFrame:
    """Returns one row per volume: `name, patient, part, sequence, field_strength, slices, columns`.

    What is unknown is None, but for field strengths, where it is NaN.
    """
    names = ["name", "patient", "part", "sequence", "field_strength", "slices", "columns"]
    rows = [(v.name, v.patient, part(v.path), v.sequence, v.field_strength, v.slices, v.columns) for v in volumes]
    numbers = {"field_strength": float, "slices": int, "columns": int}
    return pd.DataFrame(rows, columns=names, dtype=object).astype(numbers)


def read_kspace(volume: Volume, slices: slice | None = None) -> Complex64[np.ndarray, "slices rows columns"]:
    """Returns the k-space of all slices or of some, in the scanner's arbitrary units.

    Raises:
        DataError: The file cannot be read to its end, or a slice holds NaN or Inf or one constant value.
    """
    wanted = slices or slice(None)
    indices = range(*wanted.indices(volume.slices))
    with _opened(volume.path) as file, _h5py_errors(volume.path, "kspace"):
        stored = file["kspace"][wanted]
    with np.errstate(over="ignore"):
        kspace = stored.astype(np.complex64, copy=False)
    if kspace.shape != (len(indices), volume.rows, volume.columns):
        raise DataError(volume.path, "has changed since it was looked at", "start again")
    for index, values in zip(indices, kspace, strict=True):
        _refuse_useless(values, index, volume.path)
    return kspace


def read_reconstruction(volume: Volume) -> Float32[np.ndarray, "slices rows columns"] | None:
    """Returns `reconstruction_esc`, the cropped magnitude of the emulated single coil; None in test files.

    `reconstruction_rss` is made of 15 coils and cannot be had from this k-space: it is not read.
    """
    with _opened(volume.path) as file:
        stored = _dataset(file, volume.path, "reconstruction_esc")
        with _h5py_errors(volume.path, "reconstruction_esc"):
            return None if stored is None else stored[()].astype(np.float32, copy=False)


@contextmanager
def _h5py_errors(path: Path, what: str) -> Iterator[None]:
    """Says in words what h5py raises on a damaged file; for calls of h5py alone, so that our own bugs stay bugs."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(path, "there is no such file", "check the path") from error
    except (OSError, KeyError, RuntimeError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        reasons = [reason for sign, reason in _SIGNS.items() if sign in text]
        raise DataError(path, [*reasons, f"{what} cannot be read ({text})"][0], _AGAIN) from error


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    with _h5py_errors(path, "the file"):
        file = h5py.File(path, "r")
    with file:
        yield file


def _dataset(file: h5py.File, path: Path, name: str) -> h5py.Dataset | None:
    with _h5py_errors(path, name):
        found = file.get(name)
    return found if isinstance(found, h5py.Dataset) else None


def _shape(file: h5py.File, path: Path) -> tuple[int, int, int]:
    kspace = _dataset(file, path, "kspace")
    if kspace is None:
        raise DataError(path, "holds no kspace", _EXPORT)
    with _h5py_errors(path, "kspace"):
        shape, kind = kspace.shape or (), kspace.dtype
    if len(shape) != 3:
        raise DataError(path, f"kspace has {len(shape)} axes, not 3 (slices, rows, columns)", "use single-coil files")
    if kind.kind != "c":
        raise DataError(path, f"kspace holds {kind}, not complex numbers", _EXPORT)
    if 0 in shape:
        raise DataError(path, f"kspace is empty, of shape {shape}", _EXPORT)
    return shape


def _attribute(file: h5py.File, path: Path, name: str) -> str | None:
    with _h5py_errors(path, f"attribute {name}"):
        value = file.attrs.get(name)
    if value is None or isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray):
        raise DataError(path, f"attribute {name} is a list, not one value", _EXPORT)
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text.strip() or None


def _header(file: h5py.File, path: Path) -> Header:
    stored = _dataset(file, path, "ismrmrd_header")
    if stored is None:
        raise DataError(path, "holds no ismrmrd_header", _EXPORT)
    with _h5py_errors(path, "ismrmrd_header"):
        text = stored[()] if stored.shape == () and stored.dtype.itemsize <= MOST_BYTES else None
    if not isinstance(text, str | bytes):
        raise DataError(path, "ismrmrd_header is no text of at most 1 MB", _EXPORT)
    return parse_header(text.encode() if isinstance(text, str) else text, path)


def _refuse_misfit(volume: Volume) -> None:
    (x, y), (left, right) = volume.matrix, volume.acquired
    stored = f"the k-space of {volume.rows} x {volume.columns}"
    if x > volume.rows or y > volume.columns:
        raise DataError(volume.path, f"the reconstructed matrix of {x} x {y} is larger than {stored}", _EXPORT)
    if left >= right:
        raise DataError(volume.path, f"by its ismrmrd_header no column was measured of {stored}", _EXPORT)


def _refuse_useless(values: np.ndarray, index: int, path: Path) -> None:
    if not np.isfinite(values).all():
        raise DataError(path, f"slice {index} of kspace holds NaN or Inf", _AGAIN)
    if (values == values[0, 0]).all():
        raise DataError(path, f"slice {index} of kspace is constant, {values[0, 0]:g} throughout", _AGAIN)
