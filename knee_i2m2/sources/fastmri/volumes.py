"""Single-coil k-space volumes in fastMRI's HDF5 format.

A file holds `kspace` (slices, rows, columns), the XML text `ismrmrd_header` and attributes. Train and val files hold
`reconstruction_esc` too; test files come undersampled, with the `mask` of their sampled columns (Zbontar et al., 2018,
arXiv:1811.08839). Rows run along the readout, the header's x; columns along the phase encoding, its y.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Complex64, Float32

from knee_i2m2.errors import DataError
from knee_i2m2.identity import canonical_id, canonical_name, subgroup_spellings
from knee_i2m2.sources.fastmri.folder import entries, is_volume, part, unused_files
from knee_i2m2.sources.fastmri.hdf5 import AGAIN, EXPORT, File, opened, os_errors, stamp
from knee_i2m2.sources.fastmri.hdf5_array import Array, find_array
from knee_i2m2.sources.fastmri.ismrmrd import MOST_BYTES, PHANTOM, Header, header_warnings, parse_header
from knee_i2m2.sources.fastmri.sampling import sampling

__all__ = [
    "Volume",
    "find_volumes",
    "kspace_slice",
    "read_kspace",
    "read_reconstruction",
    "read_volume",
    "volume_in_memory",
    "volume_or_error",
    "volume_table",
]


_MASK = ("b1", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), "f4", "f8")
"""Types that a mask may be stored in."""


@dataclass(frozen=True)
class Volume:
    """What a file says about itself.

    Attributes:
        path: The file.
        name: Its name without `.h5`; annotations and splits know it by this name.
        patient_id: The attribute as it was written; None where the file has none.
        patient: Its one spelling; None where it is missing or a placeholder, it is never guessed.
        sequence: The attribute `acquisition`, such as `CORPD_FBK`; `unknown` where it is missing or a placeholder.
        field_strength: In tesla, from the header; None where the header has none.
        slices: Number of slices.
        rows: k-space samples along the readout.
        columns: k-space samples along the phase encoding; it differs between volumes.
        matrix: Rows and columns of the reconstructed image: the header's reconSpace x (readout) and y.
        acquired: Half-open range of the columns that were measured; outside it k-space is padded with zeros.
        acceleration: How much faster the scan was than one of all acquired lines, by the slice in the middle; 1 where
            none was left out.
        offset: Byte of the file where k-space begins, if it lies there as numpy's complex64 does in memory; else None.
        stamp: Size (bytes), time of the last change of the content, and of anything (ns), when the header was read.
        simulated: Whether the header says that a phantom was scanned.
        warnings: What does not fit together in the file, by kind.
    """

    path: Path
    name: str
    patient_id: str | None
    patient: str | None
    sequence: str
    field_strength: float | None
    slices: int
    rows: int
    columns: int
    matrix: tuple[int, int]
    acquired: tuple[int, int]
    acceleration: float
    offset: int | None
    stamp: tuple[int, int, int]
    simulated: bool = False
    warnings: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def undersampled(self) -> bool:
        """Whether lines of k-space were left out that belong to the acquired ones."""
        return self.acceleration > 1

    @property
    def middle(self) -> int:
        """The slice by which the volume is checked."""
        return self.slices // 2

    @property
    def kspace(self) -> Complex64[np.ndarray, "slices rows columns"]:
        """All slices, read at every call; see `read_kspace`."""
        return read_kspace(self)


def find_volumes(folder: Path) -> list[Path]:
    """Returns the `.h5` files of a folder and of fastMRI's subfolders in it (`singlecoil_train`, `val`, ...), sorted.

    Raises:
        DataError: There is no such folder, it may not be read, holds no file, or one name in two of its subfolders.
    """
    if not folder.is_dir():
        raise DataError(folder, "there is no such folder", "give the folder that holds the .h5 files")
    paths = [path for path in entries(folder) if is_volume(path)]
    if not paths:
        others = Counter(row.why for row in unused_files(folder))
        passed = "".join(f"; passed over: {times} {why}" for why, times in others.items())
        reason = f"holds no .h5 file, nor do singlecoil_train, _val or _test in it{passed}"
        raise DataError(folder, reason, "give another folder")
    name, times = Counter(path.name for path in paths).most_common(1)[0]
    if times > 1:
        raise DataError(folder, f"holds {name} in {times} of its subfolders", "keep one of them")
    by_name: dict[str, Path] = {}
    for path in paths:
        if (other := by_name.setdefault(canonical_name(path.name), path)) != path:
            raise DataError(
                folder, f"holds {other.name} and {path.name}, which annotations cannot tell apart", "rename one"
            )
    return paths


def read_volume(path: str | Path) -> Volume:
    """Returns what a file says about itself: its attributes, shapes and header, and one slice for how it was sampled.

    All of `kspace` is read when asked for. What does not fit together is among the volume's `warnings`.

    Raises:
        DataError: It is no whole HDF5 file, leads out of itself, claims more than it holds, or `kspace` or
            `ismrmrd_header` is missing, not of fastMRI's format or contradicts the other.
    """
    path = Path(path)
    with opened(path) as file:
        kspace, header = _kspace(file), _header(file)
        patient_id, sequence = file.attribute("patient_id"), file.attribute("acquisition")
        slices, rows, columns = kspace.shape
        warnings = header_warnings(header, rows, columns, path)
        acceleration, odd = _sampling(file, kspace, header.acquired(columns))
        volume = Volume(
            path=path,
            name=path.stem,
            patient_id=patient_id,
            patient=canonical_id(patient_id),
            sequence=subgroup_spellings([sequence])[sequence],
            field_strength=header.field_strength,
            slices=slices,
            rows=rows,
            columns=columns,
            matrix=header.matrix,
            acquired=header.acquired(columns),
            acceleration=acceleration,
            offset=kspace.offset if kspace.item == np.dtype(np.complex64).itemsize else None,
            stamp=file.stamp,
            simulated=header.vendor == PHANTOM,
            warnings=odd | warnings,
        )
    _refuse_misfit(volume)
    return volume


def volume_in_memory(kspace: np.ndarray, matrix: tuple[int, int], name: str = "kspace") -> Volume:
    """Returns what a file with this k-space would say about itself; columns of zeros were not acquired.

    Args:
        kspace: Complex, of shape (slices, rows, columns).
        matrix: Rows and columns of the image.
        name: What errors call it.

    Raises:
        DataError: It is no k-space, its image is smaller than `matrix`, or a slice holds NaN or Inf or one constant
            value.
    """
    if kspace.ndim != 3 or not np.iscomplexobj(kspace) or not kspace.size:
        coils = ": several coils, it seems" if kspace.ndim == 4 else ""
        reason = f"is of type {kspace.dtype} and shape {kspace.shape}{coils}"
        raise DataError(name, reason, "give complex numbers of shape (slices, rows, columns)")
    for index, values in enumerate(kspace.astype(np.complex64)):
        _refuse_useless(values, index, Path(name))
    measured = np.flatnonzero(kspace.any(axis=(0, 1)))
    acquired = (int(measured[0]), int(measured[-1]) + 1)
    acceleration, odd = sampling(kspace[len(kspace) // 2], acquired)
    about = (Path(name), name, None, None, "unknown", None, *kspace.shape, matrix, acquired, acceleration)
    volume = Volume(*about, offset=None, stamp=(0, 0, 0), warnings=odd)
    _refuse_misfit(volume)
    return volume


def volume_or_error(path: Path) -> Volume | DataError:
    """Returns what a file says about itself, or why it cannot be used."""
    try:
        return read_volume(path)
    except DataError as error:
        return error


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

    Double precision and foreign byte order are cast. Spikes, and values so large or small that a Fourier transform
    leaves float32, are k-space all the same: they are returned.

    Raises:
        DataError: The file has changed or cannot be read, or a slice holds NaN or Inf or one constant value.
    """
    indices = range(*(slices or slice(None)).indices(volume.slices))
    kspace = _read(volume, indices)
    for index, values in zip(indices, kspace, strict=True):
        _refuse_useless(values, index, volume.path)
    return kspace


def kspace_slice(volume: Volume, index: int) -> Complex64[np.ndarray, "1 rows columns"]:
    """Returns the k-space of a slice that `read_kspace` has returned before: its values are not checked again.

    Raises:
        DataError: The file has changed since, or cannot be read.
    """
    return _read(volume, range(index, index + 1))


def _read(volume: Volume, indices: range) -> np.ndarray:
    kspace = np.empty((len(indices), volume.rows, volume.columns), np.complex64)
    fill = _fill_through_h5py if volume.offset is None else _fill_from_offset
    fill(kspace, volume, indices)
    return kspace


def read_reconstruction(volume: Volume) -> Float32[np.ndarray, "slices rows columns"] | None:
    """Returns `reconstruction_esc`, the cropped magnitude of the emulated single coil; None in test files.

    `reconstruction_rss` is made of 15 coils and cannot be had from this k-space: it is not read.

    Raises:
        DataError: The file has changed or cannot be read.
    """
    with opened(volume.path) as file:
        _refuse_changed(volume, file.stamp)
        stored = find_array(file, "reconstruction_esc", 3, ("f4", "f8"))
        if stored is None:
            return None
        return np.stack([values.astype(np.float32, copy=False) for values in stored.slices(range(stored.shape[0]))])


def _fill_from_offset(kspace: np.ndarray, volume: Volume, indices: range) -> None:
    """Reads slices that lie in the file as they do in memory: those that follow each other at once, without HDF5."""
    each = volume.rows * volume.columns * kspace.itemsize
    with os_errors(volume.path):
        descriptor = os.open(volume.path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _refuse_changed(volume, stamp(descriptor))
        if indices.step == 1:
            _fill(kspace, descriptor, volume, indices.start * each)
        else:
            for values, index in zip(kspace, indices, strict=True):
                _fill(values, descriptor, volume, index * each)
    finally:
        os.close(descriptor)


def _fill(values: np.ndarray, descriptor: int, volume: Volume, start: int) -> None:
    left, place = memoryview(values.reshape(-1).view(np.uint8)), volume.offset + start
    while left:
        with os_errors(volume.path):
            read = os.preadv(descriptor, [left], place)
        if not read:
            raise DataError(volume.path, "the file is cut short", AGAIN)
        left, place = left[read:], place + read


def _fill_through_h5py(kspace: np.ndarray, volume: Volume, indices: range) -> None:
    with opened(volume.path) as file, np.errstate(over="ignore"):
        array = _kspace(file)
        _refuse_changed(volume, file.stamp, array.shape)
        for values, stored in zip(kspace, array.slices(indices), strict=True):
            values[:] = stored


def _refuse_changed(volume: Volume, now: tuple[int, int, int], shape: tuple[int, ...] | None = None) -> None:
    if now[:2] != volume.stamp[:2] or shape not in (None, (volume.slices, volume.rows, volume.columns)):
        raise DataError(volume.path, "has changed since its header was read", "start again")


def _kspace(file: File) -> Array:
    array = find_array(file, "kspace", 3, ("c8", "c16"))
    if array is None:
        raise DataError(file.path, "holds no kspace", EXPORT)
    return array


def _sampling(file: File, kspace: Array, acquired: tuple[int, int]) -> tuple[float, dict[str, str]]:
    """Returns the acceleration of the slice in the middle, and what is odd about it."""
    middle = kspace.shape[0] // 2
    (values,) = kspace.slices(range(middle, middle + 1))
    array = find_array(file, "mask", 1, _MASK)
    mask = None if array is None else np.array(list(array.slices(range(array.shape[0]))))
    if mask is not None and len(mask) != kspace.shape[2]:
        raise DataError(file.path, f"mask has {len(mask)} values, but k-space {kspace.shape[2]} columns", EXPORT)
    return sampling(values, acquired, mask, file.number("acceleration"))


def _header(file: File) -> Header:
    text = file.text("ismrmrd_header", MOST_BYTES)
    if text is None:
        raise DataError(file.path, "holds no ismrmrd_header", EXPORT)
    return parse_header(text, file.path)


def _refuse_misfit(volume: Volume) -> None:
    (x, y), (left, right) = volume.matrix, volume.acquired
    stored = f"the k-space of {volume.rows} x {volume.columns}"
    if x > volume.rows or y > volume.columns:
        raise DataError(volume.path, f"the reconstructed matrix of {x} x {y} is larger than {stored}", EXPORT)
    if left >= right:
        raise DataError(volume.path, f"by its ismrmrd_header no column was measured of {stored}", EXPORT)


def _refuse_useless(values: np.ndarray, index: int, path: Path) -> None:
    """Checks every value only where the energy of a slice is not finite or its middle row is constant."""
    flat = values.reshape(-1).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.dot(flat, flat)
    if not np.isfinite(energy) and not np.isfinite(flat).all():
        raise DataError(path, f"slice {index} of kspace holds NaN or Inf", AGAIN)
    middle, first = values[len(values) // 2], values[0, 0]
    if (middle == first).all() and (values == first).all():
        raise DataError(path, f"slice {index} of kspace is constant, {first:g} throughout", AGAIN)
