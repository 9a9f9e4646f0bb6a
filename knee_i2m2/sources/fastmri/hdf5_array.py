"""Arrays in HDF5 files of strangers: how much they claim is compared with what is stored before anything is read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

import h5py
import numpy as np

from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.hdf5 import AGAIN, EXPORT, File, h5py_errors

__all__ = ["Array", "find_array"]

_MOST_ARRAY = 8 << 30
"""Bytes. A sparse file can claim any size; the largest volume of fastMRI has 165 MB."""
_MOST_SLICE = 256 << 20
"""Bytes. Slices are read one by one, and one must fit in memory; the largest of fastMRI has 3.3 MB."""
_MOST_CHUNK = 128 << 20
"""Bytes. A chunk is decompressed as a whole; a whole volume of fastMRI's usual size in one chunk has 66 MB."""
_MOST_RATIO = 100
"""gzip shrinks zeros to a thousandth, but k-space is noise, which it shrinks by 6 %."""

_COILS = "give fastMRI's single-coil files (singlecoil_train, singlecoil_val), or combine the coils first"
_COMPRESSORS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF)
_CHECKSUM = 4
"""Bytes that the filter Fletcher32 adds."""
_MARGIN = 64
"""Bytes. A chunk that cannot be compressed grows by a few; one of twice its size is no such."""


@dataclass(frozen=True)
class Array:
    """A dataset that is safe to read, of which nothing is read yet.

    Attributes:
        path: The file.
        name: The dataset's name.
        dataset: The dataset.
        shape: Slices first.
        item: Bytes of a value.
        chunk: Shape of its chunks; None where it has none.
        offset: Byte of the file where the values begin; None where they are in chunks or not stored as numpy would.
    """

    path: Path
    name: str
    dataset: h5py.Dataset
    shape: tuple[int, ...]
    item: int
    chunk: tuple[int, ...] | None
    offset: int | None

    def slices(self, indices: range) -> Iterator[np.ndarray]:
        """Yields slices one by one, as they are stored.

        Raises:
            DataError: They cannot be read, or a chunk decompresses to another size than it should.
        """
        rows = set()
        for index in indices:
            if self.chunk and (row := index // self.chunk[0]) not in rows:
                _refuse_misfit(self, row)
                rows.add(row)
            with h5py_errors(self.path, self.name):
                values = self.dataset[index]
            yield values


def find_array(file: File, name: str, axes: int, kinds: Sequence[str]) -> Array | None:
    """Returns an array; None where the file has none of that name.

    Args:
        file: The file.
        name: The array's name.
        axes: How many it must have.
        kinds: Numpy's names of the types it may have, such as `c8`, in either byte order.

    Raises:
        DataError: It is no such array, is empty, lies elsewhere, or claims more than the file holds.
    """
    dataset = file.dataset(name)
    if dataset is None:
        return None
    with h5py_errors(file.path, name):
        shape, kind = dataset.shape, dataset.dtype
    if shape is None or 0 in shape:
        raise DataError(file.path, f"{name} is empty, of shape {shape}", EXPORT)
    if len(shape) != axes:
        coils = "is a multi-coil file: " if name == "kspace" and len(shape) == 4 else ""
        raise DataError(file.path, f"{coils}{name} has {len(shape)} axes, not {axes}", _COILS if coils else EXPORT)
    if kind.str[1:] not in kinds:
        wanted = {"c": "complex numbers", "f": "real numbers", "b": "a mask"}[kinds[0][0]]
        raise DataError(file.path, f"{name} holds {str(kind)[:60]}, not {wanted}", EXPORT)
    return _claimed(file, name, dataset)


def _claimed(file: File, name: str, dataset: h5py.Dataset) -> Array:
    """Returns an array whose claims its file can fulfil."""
    with h5py_errors(file.path, name):
        stored, kind = dataset.id.get_storage_size(), dataset.id.get_type()
        contiguous = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
        offset = dataset.id.get_offset() if contiguous else None
        as_numpy = dataset.dtype.isnative and kind.equal(h5py.h5t.py_create(dataset.dtype))
        shape, chunk, item = dataset.shape, dataset.chunks, kind.get_size()
    array = Array(file.path, name, dataset, shape, item, chunk, offset if as_numpy else None)
    size, claim = file.stamp[0], prod(shape) * item
    if not stored or (contiguous and offset is None):
        raise DataError(file.path, f"{name} was never written", AGAIN)
    if contiguous and offset + claim > size:
        raise DataError(file.path, f"{name} claims {claim} bytes from {offset} on, but the file has {size}", AGAIN)
    if stored > size or claim > (_MOST_RATIO if chunk else 1) * stored:
        raise DataError(file.path, f"{name} claims {claim} bytes, but {stored} are stored", EXPORT)
    for what, bytes_, most in (
        ("", claim, _MOST_ARRAY),
        ("a slice of ", claim // shape[0], _MOST_SLICE),
        ("a chunk of ", prod(chunk or ()) * item, _MOST_CHUNK),
    ):
        if bytes_ > most:
            raise DataError(file.path, f"{what}{name} has {bytes_} bytes, more than the {most} that are read", EXPORT)
    return array


def _refuse_misfit(array: Array, row: int) -> None:
    """Raises DataError where a chunk among those of some slices decompresses to another size than it should.

    HDF5 does not look: too long a chunk fills the memory, and behind too short a chunk it reads memory of others.
    """
    filters, wanted = _filters(array), prod(array.chunk) * array.item
    places = (range(0, size, step) for size, step in zip(array.shape[1:], array.chunk[1:], strict=True))
    for start in product([row * array.chunk[0]], *places):
        with h5py_errors(array.path, array.name):
            chunk = array.dataset.id.get_chunk_info_by_coord(start)
            raw = array.dataset.id.read_direct_chunk(start)[1] if 0 < chunk.size <= 2 * wanted + _MARGIN else b""
        used = [code for place, code in enumerate(filters) if not chunk.filter_mask >> place & 1]
        if chunk.size and not _fits(raw, used, wanted):
            raise DataError(array.path, f"the chunk of {array.name} at {start} does not have its size", AGAIN)


def _filters(array: Array) -> list[int]:
    """Returns the filters in the order of writing; after the one that compresses there may be a checksum only."""
    with h5py_errors(array.path, array.name):
        plist = array.dataset.id.get_create_plist()
        filters = [plist.get_filter(place)[0] for place in range(plist.get_nfilters())]
    last = [place for place, code in enumerate(filters) if code in _COMPRESSORS]
    if len(last) > 1 or (last and set(filters[last[0] + 1 :]) - {h5py.h5z.FILTER_FLETCHER32}):
        raise DataError(array.path, f"{array.name} went through its filters in an odd order", "write it uncompressed")
    return filters


def _fits(raw: bytes, filters: Sequence[int], wanted: int) -> bool:
    """Returns whether a chunk has as many bytes as wanted after the filters are undone."""
    place = next((place for place, code in enumerate(filters) if code in _COMPRESSORS), len(filters))
    inner, outer = (part.count(h5py.h5z.FILTER_FLETCHER32) * _CHECKSUM for part in (filters[:place], filters[place:]))
    if place == len(filters):
        return len(raw) == wanted + inner
    sized = _inflated if filters[place] == h5py.h5z.FILTER_DEFLATE else _expanded
    return sized(raw[: len(raw) - outer], wanted + inner) == wanted + inner


def _inflated(raw: bytes, most: int) -> int:
    """Returns the bytes that gzip makes of a chunk, of which it makes one too many at the most."""
    try:
        return len(zlib.decompressobj().decompress(raw, most + 1))
    except zlib.error:
        return -1


def _expanded(raw: bytes, most: int) -> int:
    """Returns the bytes that LZF makes of a chunk: a run of literals or a repetition follows each control byte."""
    place = size = 0
    while place < len(raw) and size <= most:
        control = raw[place]
        long = control >> 5 == 7 and place + 1 < len(raw)
        size += control + 1 if control < 32 else (control >> 5) + 2 + (raw[place + 1] if long else 0)
        place += control + 2 if control < 32 else 2 + long
    return size
