"""HDF5 files from untrusted sources: references out of a file, and sizes beyond its own, are refused before reading.

A file of 1.4 kB can name other files of the machine (links, external storage, virtual datasets), claim terabytes or
inflate to gigabytes. So only hard links are followed, and the storage of a dataset is checked before its
data are read. Only calls of h5py stand inside `h5py_errors`, so that our own bugs stay bugs.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py

from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.hdf5_text import attribute_values, heap_text, text_length

__all__ = ["AGAIN", "EXPORT", "File", "h5py_errors", "opened", "os_errors", "stamp"]

AGAIN = "copy the file again from its source"
EXPORT = "export it again in fastMRI's single-coil format"

_CACHE = 128 << 20
"""Bytes of decompressed chunks that HDF5 may keep, so that a chunk of many slices is decompressed once."""
_MOST_ATTRIBUTE = 4096
"""Bytes of an attribute: they are names and numbers."""

_FILTERS = {getattr(h5py.h5z, f"FILTER_{name}") for name in ("SHUFFLE", "FLETCHER32", "DEFLATE", "LZF")}
"""Those whose result can be measured beforehand; to ask for others would load what lies in HDF5's plugin folder."""

_DENIED = ("may not be read by you", "ask its owner for permission to read it")
_NUMBERS = {
    errno.ENOENT: ("there is no such file", "check the path"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
}
_SIGNS = {
    "truncated": ("the file is cut short", AGAIN),
    "signature not found": ("this is no HDF5 file", AGAIN),
    "unable to lock": ("is open in a program that writes it", "wait until that has finished"),
    "already open for write": ("was not closed by the program that wrote it", AGAIN),
}
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Says in words what the system refuses, as a DataError; for calls of the system alone."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # the latter: a loop of links, NUL in a name
        text = getattr(error, "strerror", None) or str(error)
        raise DataError(
            path, *_NUMBERS.get(getattr(error, "errno", None), (f"cannot be read ({text})", AGAIN))
        ) from error


@contextmanager
def h5py_errors(path: Path, what: str) -> Iterator[None]:
    """Says in words what h5py raises on a damaged file, which is nearly anything; for calls of h5py alone."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        known = [words for sign, words in _SIGNS.items() if sign in text]
        known += [words for number, words in _NUMBERS.items() if getattr(error, "errno", None) == number]
        raise DataError(path, *[*known, (f"{what} cannot be read ({text})", AGAIN)][0]) from error


def stamp(descriptor: int) -> tuple[int, int, int]:
    """Returns size (bytes), time of the last change of the content, and of anything (both ns), of an open file.

    Whoever sets the second back leaves a trace in the third, which copies, links and new owners change too.
    """
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """Yields an HDF5 file that is open for reading.

    Raises:
        DataError: It is no regular file, a link out of its own folder, not readable or no HDF5.
    """
    _refuse_irregular(path)
    with h5py_errors(path, "the file"):
        file = h5py.File(path, "r", rdcc_nbytes=_CACHE)
    with file:
        yield File(path, file)


@dataclass(frozen=True)
class File:
    """An open file, and where it lies."""

    path: Path
    file: h5py.File

    @property
    def stamp(self) -> tuple[int, int, int]:
        """The `stamp` of what is open, whatever now lies at the path."""
        return stamp(self.file.id.get_vfd_handle())

    def dataset(self, name: str) -> h5py.Dataset | None:
        """Returns a dataset that lies in this file and can be decoded; None where there is nothing of that name.

        Raises:
            DataError: It is a link, a group, or its data lie elsewhere or went through an unknown filter.
        """
        with h5py_errors(self.path, name):
            links, key = self.file.id.links, name.encode()
            kind = links.get_info(key).type if links.exists(key) else None
        if kind is None:
            return None
        if kind != h5py.h5l.TYPE_HARD:
            raise DataError(self.path, f"{name} is a link to something else, which is not followed", EXPORT)
        with h5py_errors(self.path, name):
            item = h5py.h5o.open(self.file.id, key)
        if not isinstance(item, h5py.h5d.DatasetID):
            raise DataError(self.path, f"{name} is a group, not an array", EXPORT)
        self._refuse_elsewhere(item, name)
        return h5py.Dataset(item)

    def text(self, name: str, most: int) -> bytes | None:
        """Returns a dataset that is one text, whose length is known before it is read; None where there is none.

        Raises:
            DataError: It is no single text, or has more than `most` bytes.
        """
        dataset = self.dataset(name)
        if dataset is None:
            return None
        with h5py_errors(self.path, name):
            kind = h5py.check_string_dtype(dataset.dtype) if dataset.shape == () else None
        if kind is None:
            raise DataError(self.path, f"{name} is no text", EXPORT)
        if kind.length is None:
            return self._text(self._reference(dataset, name), name, most)
        self._refuse_long(kind.length, name, most)
        with h5py_errors(self.path, name):
            return bytes(dataset[()])

    def attribute(self, name: str) -> str | None:
        """Returns an attribute as text, whether it was written as text, bytes or a number; None where it is empty.

        Raises:
            DataError: It is a list, neither text nor number, or far too long.
        """
        with h5py_errors(self.path, f"attribute {name}"):
            if not h5py.h5a.exists(self.file.id, name.encode()):
                return None
            item = h5py.h5a.open(self.file.id, name.encode())
            null = item.get_space().get_simple_extent_type() == h5py.h5s.NULL
            shape, kind, size = item.shape, item.dtype, item.get_type().get_size()
        if null:
            return None
        if shape != ():
            raise DataError(self.path, f"attribute {name} is a list, not one value", EXPORT)
        if kind.kind not in "biufSU" and not h5py.check_string_dtype(kind):
            raise DataError(self.path, f"attribute {name} is neither text nor a number", EXPORT)
        if kind.kind == "O":
            return self._attribute_text(name)
        self._refuse_long(size, f"attribute {name}", _MOST_ATTRIBUTE)
        with h5py_errors(self.path, f"attribute {name}"):
            value = self.file.attrs[name]
        return _legible(value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape"))

    def number(self, name: str) -> float | None:
        """Returns an attribute that is a finite number above 0; None where it is none, or the file has none."""
        try:
            value = float(self.attribute(name) or "nan")
        except (ValueError, DataError):
            return None
        return value if 0 < value < float("inf") else None

    def _refuse_elsewhere(self, dataset: h5py.h5d.DatasetID, name: str) -> None:
        """Asks for no dataspace: HDF5 opens the sources of a virtual dataset to answer."""
        with h5py_errors(self.path, name):
            plist = dataset.get_create_plist()
            virtual, external = plist.get_layout() == h5py.h5d.VIRTUAL, plist.get_external_count()
            filters = {plist.get_filter(place)[0] for place in range(0 if virtual else plist.get_nfilters())}
        if virtual or external:
            raise DataError(self.path, f"the data of {name} lie in other files, which are not read", EXPORT)
        if unknown := filters - _FILTERS:
            raise DataError(
                self.path, f"{name} went through HDF5 filter {min(unknown)}", "write it uncompressed or as gzip"
            )

    def _refuse_long(self, length: int, name: str, most: int) -> None:
        if length > most:
            raise DataError(self.path, f"{name} has {length} bytes, more than the {most} that are read", EXPORT)

    def _reference(self, dataset: h5py.Dataset, name: str) -> bytes | None:
        """Returns what a dataset of one text holds: where that text is."""
        with h5py_errors(self.path, name):
            contiguous = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
            offset = dataset.id.get_offset() if contiguous else None
        return None if offset is None else self._bytes(16, offset)

    def _attribute_text(self, name: str) -> str | None:
        with h5py_errors(self.path, f"attribute {name}"):
            address, base = h5py.h5o.get_info(self.file.id).addr, self.file.userblock_size
        values = attribute_values(lambda size, at: self._bytes(size, base + at), address)
        return _legible(self._text(values.get(name.encode()), f"attribute {name}", _MOST_ATTRIBUTE))

    def _text(self, reference: bytes | None, name: str, most: int) -> bytes:
        """Returns the text that a reference leads to."""
        with h5py_errors(self.path, name):
            usual, base = self.file.id.get_create_plist().get_sizes() == (8, 8), self.file.userblock_size
        if reference is None or len(reference) != 16 or not usual:
            raise DataError(self.path, f"{name} is a text stored in a way that is not read", EXPORT)
        self._refuse_long(text_length(reference), name, most)
        text = heap_text(lambda size, at: self._bytes(size, base + at), reference)
        if text is None:
            raise DataError(self.path, f"{name} is not where the file says", AGAIN)
        return text

    def _bytes(self, size: int, at: int) -> bytes:
        """Returns bytes of the file, fewer where it ends."""
        with os_errors(self.path):
            return os.pread(self.file.id.get_vfd_handle(), size, at) if at < self.stamp[0] else b""


def _legible(text: bytes) -> str | None:
    return text.decode(errors="replace").strip() or None


def _refuse_irregular(path: Path) -> None:
    """Raises DataError for what would block or lead elsewhere when opened; a folder may be reached through a link."""
    with os_errors(path):
        mode = path.stat().st_mode
        inside = not path.is_symlink() or path.resolve().is_relative_to(path.parent.resolve())
    if not inside:
        raise DataError(path, "is a link out of its folder", "put the file itself there")
    if not stat.S_ISREG(mode):
        raise DataError(path, f"this is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a file", "give the .h5 file")
