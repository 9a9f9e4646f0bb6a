"""Fault family A: how a file is built."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from tests.sources.fastmri.fastmri_file import cut, kspace, without, write
from tests.sources.fastmri.faults import SHAPE, Case, canary_of, digest, replaced

__all__ = ["STRUCTURE"]

_SLICE = 16 * 12 * 8


def _linked(path: Path, name: str = "kspace") -> None:
    replaced(path, name, lambda file: file.__setitem__(name, h5py.ExternalLink(str(canary_of(path)), name)))


def _loop(file: h5py.File) -> None:
    file["kspace"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/kspace")


def _soft(file: h5py.File) -> None:
    file["other"], file["kspace"] = kspace(), h5py.SoftLink("/other")


def _external(path: Path, name: str = "kspace", kind: str = "c8") -> None:
    with h5py.File(canary_of(path)) as file:
        found = file["kspace"].id
        place = (str(canary_of(path)), found.get_offset(), found.get_storage_size())
    replaced(path, name, lambda file: file.create_dataset(name, SHAPE, kind, external=[place]))


def _virtual(path: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "c8")
    layout[:] = h5py.VirtualSource(canary_of(path), "kspace", SHAPE)
    replaced(path, "kspace", lambda file: file.create_virtual_dataset("kspace", layout))


def _filtered(file: h5py.File) -> None:
    """Writes with a filter that nobody has; as it is optional, HDF5 lets it be."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((1, *SHAPE[1:]))
    plist.set_filter(32099, h5py.h5z.FLAG_OPTIONAL)
    made = h5py.h5d.create(
        file.id, b"kspace", h5py.h5t.py_create(np.dtype("c8")), h5py.h5s.create_simple(SHAPE), dcpl=plist
    )
    h5py.Dataset(made)[...] = kspace()


def _claiming(path: Path, slices: int) -> None:
    """Changes the shape and the size where the file says them, and nothing else."""
    content = write(path, "bare").read_bytes()
    for form in (lambda n: struct.pack("<3Q", n, *SHAPE[1:]), lambda n: struct.pack("<Q", n * _SLICE)):
        assert form(SHAPE[0]) in content
        content = content.replace(form(SHAPE[0]), form(slices))
    path.write_bytes(content)


def _displaced(path: Path) -> None:
    """Says that k-space begins where the file has ended."""
    with h5py.File(write(path, "bare")) as file:
        before = struct.pack("<QQ", file["kspace"].id.get_offset(), SHAPE[0] * _SLICE)
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, struct.pack("<QQ", len(content) - 8, SHAPE[0] * _SLICE)))


def _sparse(path: Path) -> None:
    """Claims 7 TiB, and has them, as a hole that takes no room on the disk."""
    shape = ((7 << 40) // (8 * 1024 * 1024), 1024, 1024)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    make = partial(h5py.h5d.create, name=b"kspace", tid=h5py.h5t.py_create(np.dtype("c8")), dcpl=plist)
    replaced(path, "kspace", lambda file: make(file.id, space=h5py.h5s.create_simple(shape)))


def _bomb(path: Path) -> None:
    """Shrinks half a gigabyte of zeros to half a megabyte."""
    shape = (64, 1024, 1024)
    chunk = zlib.compress(bytes(8 * 1024 * 1024), 9)

    def put(file: h5py.File) -> None:
        made = file.create_dataset("kspace", shape, "c8", chunks=(1, *shape[1:]), compression="gzip")
        for index in range(shape[0]):
            made.id.write_direct_chunk((index, 0, 0), chunk)

    replaced(path, "kspace", put)


def _with_chunk(path: Path, raw: bytes, compression: str | None = "gzip", **options) -> None:
    """Puts bytes of our own in the place of a chunk."""

    def put(file: h5py.File) -> None:
        options_ = {"chunks": (1, *SHAPE[1:]), "compression": compression, **options}
        file.create_dataset("kspace", data=kspace(), **options_).id.write_direct_chunk((1, 0, 0), raw)

    replaced(path, "kspace", put)


def _zeros(megabytes: int) -> bytes:
    """Returns zeros as gzip has them, every megabyte like the next."""
    made = zlib.compressobj(9)
    first, other = (made.compress(bytes(1 << 20)) + made.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + other * (megabytes - 1) + made.flush()


def _twice(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((1, *SHAPE[1:]))
    for _ in range(2):
        plist.set_filter(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FLAG_MANDATORY, (4,))
    made = h5py.h5d.create(
        file.id, b"kspace", h5py.h5t.py_create(np.dtype("c8")), h5py.h5s.create_simple(SHAPE), dcpl=plist
    )
    h5py.Dataset(made)[...] = kspace()


def _unreadable(path: Path) -> None:
    write(path).chmod(0)


def _symlink(path: Path) -> None:
    path.symlink_to(canary_of(path))


def _inside(path: Path) -> None:
    path.symlink_to(write(path.with_name("b.h5")).name)


def _chased(path: Path) -> None:
    path.symlink_to(path.name)


def _socket(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(os.path.relpath(path))
    return made


def _cut_at_last_byte(path: Path) -> None:
    path.write_bytes(write(path).read_bytes()[:-1])


def _group(file: h5py.File) -> None:
    file.create_group("kspace/a")


STRUCTURE: dict[str, Case] = {
    "missing": (lambda path: None, "there is no such file"),
    "empty": (lambda path: path.write_bytes(b""), "this is no HDF5 file"),
    "garbage": (lambda path: path.write_bytes(b"no HDF5" * 100), "this is no HDF5 file"),
    "cut to a quarter": (lambda path: cut(write(path), 0.25), "the file is cut short"),
    "cut to a half": (lambda path: cut(write(path), 0.5), "the file is cut short"),
    "cut to 99 %": (lambda path: cut(write(path), 0.99), "the file is cut short"),
    "cut at the last byte": (_cut_at_last_byte, "the file is cut short"),
    "no kspace": (lambda path: without(write(path), "kspace"), "holds no kspace"),
    "kspace a group": (lambda path: replaced(path, "kspace", _group), "kspace is a group"),
    "loop of links": (lambda path: replaced(path, "kspace", _loop), "kspace is a link"),
    "soft link": (lambda path: replaced(path, "kspace", _soft), "kspace is a link"),
    "external link": (_linked, "kspace is a link"),
    "external link to a mask": (lambda path: _linked(path, "mask"), "mask is a link"),
    "external link to a header": (lambda path: _linked(path, "ismrmrd_header"), "ismrmrd_header is a link"),
    "external link to an image": (lambda path: _linked(path, "reconstruction_esc"), "reconstruction_esc is a link"),
    "external storage": (_external, "the data of kspace lie in other files"),
    "external storage of a header": (
        lambda path: _external(path, "ismrmrd_header", "S8"),
        "the data of ismrmrd_header lie in other files",
    ),
    "virtual": (_virtual, "the data of kspace lie in other files"),
    "no axis": (lambda path: write(path, "bare", values=np.complex64(1)), "kspace has 0 axes, not 3"),
    "two axes": (lambda path: write(path, "bare", values=kspace()[0]), "kspace has 2 axes, not 3"),
    "four axes": (lambda path: write(path, "bare", values=kspace()[None]), "kspace has 4 axes, not 3"),
    "no slice": (lambda path: write(path, "bare", values=kspace()[:0]), "kspace is empty"),
    "no dataspace": (lambda path: write(path, "bare", values=h5py.Empty("c8")), "kspace is empty"),
    "never written": (
        lambda path: replaced(path, "kspace", lambda file: file.create_dataset("kspace", SHAPE, "c8")),
        "kspace was never written",
    ),
    "unknown filter": (lambda path: replaced(path, "kspace", _filtered), "kspace went through HDF5 filter 32099"),
    "compressed twice": (lambda path: replaced(path, "kspace", _twice), "its filters in an odd order"),
    "claims 7 TiB": (
        lambda path: _claiming(path, (7 << 40) // _SLICE),
        "kspace claims 7696581393408 bytes from|kspace cannot be read",
    ),
    "claims a few slices too many": (
        lambda path: _claiming(path, 40),
        "kspace claims 61440 bytes from|kspace cannot be read",
    ),
    "begins at the end": (_displaced, "kspace claims 4608 bytes from|kspace cannot be read"),
    "7 TiB of nothing": (_sparse, "kspace has 7696581394432 bytes, more than"),
    "gzip bomb": (_bomb, "kspace claims 536870912 bytes"),
    "gzip bomb in a chunk": (lambda path: _with_chunk(path, _zeros(600)), r"the chunk of kspace at \(1, 0, 0\)"),
    "chunk too short": (lambda path: _with_chunk(path, zlib.compress(b"short")), "does not have its size"),
    "chunk of no gzip": (lambda path: _with_chunk(path, b"nothing"), "does not have its size"),
    "chunk too short in LZF": (lambda path: _with_chunk(path, b"\4short", "lzf"), "does not have its size"),
    "chunk too short in no compression": (
        lambda path: _with_chunk(path, b"short", None, shuffle=True),
        "does not have its size|kspace cannot be read",
    ),
    "unreadable": (_unreadable, "may not be read by you"),
    "folder": (lambda path: path.mkdir(), "this is a folder, not a file"),
    "link out": (_symlink, "is a link out of its folder"),
    "link that stays": (_inside, digest(kspace())),
    "link to itself": (_chased, "cannot be read"),
    "pipe": (os.mkfifo, "this is a pipe, not a file"),
    "socket": (_socket, "this is a socket, not a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a link out of its folder"),
    "open by a writer": (lambda path: h5py.File(write(path), "a"), "is open in a program that writes it"),
}
