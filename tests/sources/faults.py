"""Bad files as data: name -> how to make one, and the sentence that refuses it or what is read all the same."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.sources.fastmri_file import cut, header, kspace, without, write

Case = tuple[Callable[[Path], Any], str | dict[str, Any]]
"""What a maker returns is closed after the reading."""

SHAPE = (3, 16, 12)
_SLICE = 16 * 12 * 8


def canary_of(path: Path) -> Path:
    """Returns where the canary lies that goes with a file."""
    return path.parent.parent / "elsewhere" / "canary.h5"


def _digest(values: np.ndarray) -> dict[str, str]:
    return {"kspace": hashlib.sha256(values.astype(np.complex64).tobytes()).hexdigest()}


# Structure ------------------------------------------------------------------------------------------------------------


def _replaced(path: Path, name: str, put: Callable[[h5py.File], Any]) -> None:
    """Puts something else at the place of a dataset."""
    with h5py.File(write(path), "a") as file:
        if name in file:
            del file[name]
        put(file)


def _linked(path: Path, name: str = "kspace") -> None:
    _replaced(path, name, lambda file: file.__setitem__(name, h5py.ExternalLink(str(canary_of(path)), name)))


def _loop(file: h5py.File) -> None:
    file["kspace"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/kspace")


def _soft(file: h5py.File) -> None:
    file["other"], file["kspace"] = kspace(), h5py.SoftLink("/other")


def _external(path: Path, name: str = "kspace", kind: str = "c8") -> None:
    with h5py.File(canary_of(path)) as file:
        found = file["kspace"].id
        place = (str(canary_of(path)), found.get_offset(), found.get_storage_size())
    _replaced(path, name, lambda file: file.create_dataset(name, SHAPE, kind, external=[place]))


def _virtual(path: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "c8")
    layout[:] = h5py.VirtualSource(canary_of(path), "kspace", SHAPE)
    _replaced(path, "kspace", lambda file: file.create_virtual_dataset("kspace", layout))


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


def _sparse(path: Path) -> None:
    """Claims 7 TiB, and has them, as a hole that takes no room on the disk."""
    shape = ((7 << 40) // (8 * 1024 * 1024), 1024, 1024)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    make = partial(h5py.h5d.create, name=b"kspace", tid=h5py.h5t.py_create(np.dtype("c8")), dcpl=plist)
    _replaced(path, "kspace", lambda file: make(file.id, space=h5py.h5s.create_simple(shape)))


def _bomb(path: Path) -> None:
    """Shrinks half a gigabyte of zeros to half a megabyte."""
    shape = (64, 1024, 1024)
    chunk = zlib.compress(bytes(8 * 1024 * 1024), 9)

    def put(file: h5py.File) -> None:
        made = file.create_dataset("kspace", shape, "c8", chunks=(1, *shape[1:]), compression="gzip")
        for index in range(shape[0]):
            made.id.write_direct_chunk((index, 0, 0), chunk)

    _replaced(path, "kspace", put)


def _with_chunk(path: Path, raw: bytes, compression: str | None = "gzip", **options) -> None:
    """Puts bytes of our own in the place of a chunk."""

    def put(file: h5py.File) -> None:
        options_ = {"chunks": (1, *SHAPE[1:]), "compression": compression, **options}
        file.create_dataset("kspace", data=kspace(), **options_).id.write_direct_chunk((1, 0, 0), raw)

    _replaced(path, "kspace", put)


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
    "kspace a group": (lambda path: _replaced(path, "kspace", _group), "kspace is a group"),
    "loop of links": (lambda path: _replaced(path, "kspace", _loop), "kspace is a link"),
    "soft link": (lambda path: _replaced(path, "kspace", _soft), "kspace is a link"),
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
        lambda path: _replaced(path, "kspace", lambda file: file.create_dataset("kspace", SHAPE, "c8")),
        "kspace was never written",
    ),
    "unknown filter": (lambda path: _replaced(path, "kspace", _filtered), "kspace went through HDF5 filter 32099"),
    "compressed twice": (lambda path: _replaced(path, "kspace", _twice), "its filters in an odd order"),
    "claims 7 TiB": (
        lambda path: _claiming(path, (7 << 40) // _SLICE),
        "kspace claims 7696581394[0-9]{3}|kspace cannot be read",
    ),
    "claims a few slices too many": (lambda path: _claiming(path, 40), "kspace claims 61440|kspace cannot be read"),
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
    "link that stays": (_inside, _digest(kspace())),
    "link to itself": (_chased, "cannot be read"),
    "pipe": (os.mkfifo, "this is a pipe, not a file"),
    "socket": (_socket, "this is a socket, not a file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a link out of its folder"),
    "open by a writer": (lambda path: h5py.File(write(path), "a"), "is open in a program that writes it"),
}


# Values ---------------------------------------------------------------------------------------------------------------


def _values(values: np.ndarray) -> Callable[[Path], Path]:
    return lambda path: write(path, "bare", values=values)


def _one(value: complex, kind: str = "c8") -> np.ndarray:
    values = kspace().astype(kind)
    values[1, 4, 5] = value
    return values


def _slice_of(value: complex) -> np.ndarray:
    values = kspace()
    values[1] = value
    return values


def _kept(values: np.ndarray) -> Case:
    return _values(values), _digest(values)


_PAIRS = np.zeros(SHAPE, [("re", "f4"), ("im", "f4")])

VALUES: dict[str, Case] = {
    "int16": (_values(np.ones(SHAPE, np.int16)), "kspace holds int16, not complex"),
    "float": (_values(kspace().real), "kspace holds float32, not complex"),
    "text": (_values(np.full(SHAPE, b"text")), r"kspace holds \|S4, not complex"),
    "other compound": (_values(_PAIRS), "kspace holds .*, not complex"),
    "extended precision": (_values(kspace().astype(np.clongdouble)), "kspace holds .*, not complex"),
    "double precision": _kept(kspace().astype("c16") * (1 + 1e-12)),
    "double precision that does not fit": (_values(_one(1e300, "c16")), "slice 1 of kspace holds NaN or Inf"),
    "big-endian": _kept(kspace().astype(">c8")),
    "big-endian double precision": _kept(kspace().astype(">c16")),
    "NaN": (_values(_one(np.nan)), "slice 1 of kspace holds NaN or Inf"),
    "NaN in the imaginary part": (_values(_one(complex(0, np.nan))), "slice 1 of kspace holds NaN or Inf"),
    "infinity": (_values(_one(np.inf)), "slice 1 of kspace holds NaN or Inf"),
    "minus infinity": (_values(_one(-np.inf)), "slice 1 of kspace holds NaN or Inf"),
    "zeros": (_values(_slice_of(0)), "slice 1 of kspace is constant, 0"),
    "constant": (_values(_slice_of(1 + 1j)), "slice 1 of kspace is constant"),
    "constant but for a value": _kept(np.pad(np.ones((3, 1, 1), "c8"), ((0, 0), (4, 11), (5, 6)))),
    "1e30": _kept(kspace() * np.float32(1e34)),
    "denormal": _kept((kspace() * np.float32(1e-36)).astype("c8")),
    "spike": _kept(_one(1e6)),
}


# Header and attributes ------------------------------------------------------------------------------------------------


def _text(text: Any) -> Callable[[Path], Path]:
    return lambda path: write(path, text=text)


def _swapped(old: str, new: str) -> Callable[[Path], Path]:
    assert old in header()
    return _text(header().replace(old, new))


def _attribute(name: str, value: Any) -> Callable[[Path], None]:
    return lambda path: _replaced(path, "", lambda file: file.attrs.__setitem__(name, value))


def _claimed_text(path: Path) -> None:
    """Lets the header's length be four gigabytes."""
    with h5py.File(write(path)) as file:
        offset = file["ismrmrd_header"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 4] = b"\xff" * 4
    path.write_bytes(content)


def _patched_heap(path: Path, place: int, replacement: bytes) -> None:
    """Changes bytes of the heap that holds the texts."""
    content = bytearray(write(path).read_bytes())
    start = content.index(b"GCOL") + place
    content[start : start + len(replacement)] = replacement
    path.write_bytes(content)


def _dense(path: Path) -> None:
    """Has more attributes than an object header holds."""
    with h5py.File(write(path)) as old, h5py.File(path.with_name("b.h5"), "w", libver="latest") as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update({f"a{number}": "text" for number in range(9)}, patient_id="abc")
    path.with_name("b.h5").replace(path)


def _compact(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    kind, space = h5py.h5t.py_create(h5py.string_dtype(), logical=True), h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.Dataset(h5py.h5d.create(file.id, b"ismrmrd_header", kind, space, dcpl=plist))[()] = header()


def _no_maximum(path: Path) -> None:
    with h5py.File(write(path), "a") as file:
        del file.attrs["max"], file.attrs["norm"]


_BOMB = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
_BOMB = f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "lol">{_BOMB}]><l>&l9;</l>'
_READ = _digest(kspace())

HEADERS: dict[str, Case] = {
    "none": (lambda path: without(write(path), "ismrmrd_header"), "holds no ismrmrd_header"),
    "empty": (_text(""), "ismrmrd_header is no XML"),
    "a number": (_text(1.0), "ismrmrd_header is no text"),
    "a list": (_text([header(), header()]), "ismrmrd_header is no text"),
    "a list of one": (_text([header()]), "ismrmrd_header is no text"),
    "bytes": (_text(np.bytes_(header().encode())), _READ),
    "not UTF-8": (_text(np.bytes_(header().replace("encoding>", "encoding>\xfc").encode("latin-1"))), "is no UTF-8"),
    "UTF-16": (_text(np.void(header().encode("utf-16"))), "ismrmrd_header is no text"),
    "no XML": (_text("<ismrmrdHeader"), "ismrmrd_header is no XML"),
    "entity bomb": (_text(_BOMB), "ismrmrd_header declares a document type or entities"),
    "entity bomb in UTF-16": (_text(np.bytes_(_BOMB.encode("utf-16"))), "is no UTF-8"),
    "depth of 100,000": (_text("<a>" * 100_000 + "</a>" * 100_000), "nested deeper than 64"),
    "over 1 MB": (_text(header() + " " * (1 << 20)), "has 1049153 bytes, more than the 1048576"),
    "over 1 MB of fixed length": (_text(np.bytes_(b" " * (1 << 21))), "has 2097152 bytes, more than the 1048576"),
    "claims 4 GB": (_claimed_text, "has 4294967295 bytes, more than the 1048576"),
    "compact": (lambda path: _replaced(path, "ismrmrd_header", _compact), "stored in a way that is not read"),
    "in no heap": (lambda path: _patched_heap(path, 0, b"LOCG"), "ismrmrd_header is not where the file says"),
    "heap that leads round": (
        lambda path: _patched_heap(path, 24, struct.pack("<q", -16)),
        "attribute patient_id is not where the file says",
    ),
    "foreign namespace": (_swapped("ISMRMRD", "OTHER"), "has no encoding/reconSpace/matrixSize/x"),
    "no matrix": (_swapped("reconSpace", "space"), "has no encoding/reconSpace/matrixSize/x"),
    "no limits": (_swapped("kspace_encoding_step_1", "step"), "has no encoding/encodingLimits"),
    "matrix zero": (_text(header(matrix=(0, 8))), "has '0' as"),
    "matrix negative": (_text(header(matrix=(8, -8))), "has '-8' as"),
    "matrix huge": (_text(header(matrix=(8, 10**9))), "has '1000000000' as"),
    "matrix endless": (_text(header(matrix=(8, "9" * 10_000))), "has '9{40}' as"),
    "matrix no number": (_text(header(matrix=("eight", 8))), "has 'eight' as"),
    "matrix too high": (_text(header(matrix=(17, 8))), "17 x 8 is larger than the k-space of 16 x 12"),
    "matrix too wide": (_text(header(matrix=(8, 13))), "8 x 13 is larger than the k-space of 16 x 12"),
    "nothing measured": (_text(header(center=900)), "no column was measured"),
    "field strength no number": (_text(header(field_strength="nan")), "has 'nan' as"),
    "no acquisition": (lambda path: write(path, acquisition=None), {**_READ, "sequence": "unknown"}),
    "no max": (_no_maximum, _READ),
    "patient of bytes": (_attribute("patient_id", b"abc"), {**_READ, "patient": "abc"}),
    "patient of numpy's bytes": (_attribute("patient_id", np.bytes_(b"abc")), {**_READ, "patient": "abc"}),
    "patient a number": (_attribute("patient_id", 17), {**_READ, "patient": "17"}),
    "patient of blanks": (_attribute("patient_id", " abc "), {**_READ, "patient": "abc"}),
    "patient empty": (_attribute("patient_id", h5py.Empty("S1")), {**_READ, "patient": None}),
    "patient not UTF-8": (_attribute("patient_id", b"M\xfcller"), {**_READ, "patient": "M\ufffdller"}),
    "patient a list": (_attribute("patient_id", ["a", "b"]), "attribute patient_id is a list"),
    "patient a pair": (_attribute("patient_id", np.array((1, 2), "i4,i4")), "is neither text nor a number"),
    "patient of many": (_dense, "attribute patient_id is a text stored in a way that is not read"),
    "patient huge": (_attribute("patient_id", "a" * 50_000), "attribute patient_id has 50000 bytes"),
    "patient huge of bytes": (_attribute("patient_id", np.bytes_(b"a" * 50_000)), "patient_id has 50000 bytes"),
}


# Labels ---------------------------------------------------------------------------------------------------------------

_COLUMNS = "file,slice,study_level,x,y,width,height,label"
_ROW = "a,3,No,10,20,30,40,Meniscus Tear\n"
_TEAR = {"labels": {"a": [[3, "meniscus"]]}, "quirks": {}}


def _csv(rows: str, head: str = _COLUMNS + "\n", encoding: str = "utf-8") -> Callable[[Path], int]:
    return lambda path: path.write_bytes((head + rows).encode(encoding))


def _row(**cells: str) -> Callable[[Path], int]:
    """Writes a good row and one with other cells."""
    sound = dict(zip(_COLUMNS.split(","), _ROW.strip().split(","), strict=True))
    return _csv(_ROW + ",".join((sound | cells).values()) + "\n")


def _without(column: str) -> Callable[[Path], int]:
    return _csv("a,1,1,1,1,1,1\n", ",".join(name for name in _COLUMNS.split(",") if name != column) + "\n")


LABELS: dict[str, Case] = {
    **{f"no column {name}": (_without(name), f"has no column {name};") for name in _COLUMNS.split(",")},
    "slice negative": (_row(slice="-1"), "line 3 has '-1' as slice"),
    "slice between two": (_row(slice="1.5"), "line 3 has '1.5' as slice"),
    "slice empty": (_row(slice=""), "line 3 has '' as slice"),
    "slice that no volume has": (_row(slice="7"), "line 3 is about slice 7 of a, which has 5"),
    "box above the image": (_row(y="-1"), {**_TEAR, "quirks": {"negative_y": 1}}),
    "box beside the image": (_row(x="9999"), _TEAR),
    "box of no height": (_row(height="0"), {**_TEAR, "quirks": {"flat_boxes": 1}}),
    "box of negative width": (_row(width="-3"), "line 3 has a box of negative width or height"),
    "box of negative height": (_row(height="-3"), "line 3 has a box of negative width or height"),
    "box without a number": (_row(width=""), "line 3 has a box that is no four numbers"),
    "box without end": (_row(width="inf"), "line 3 has a box that is no four numbers"),
    "duplicates": (_csv(_ROW + _ROW), {**_TEAR, "quirks": {"duplicates": 1}}),
    "unknown label": (_row(label="Meniscus tear"), "line 3 has the unknown label 'Meniscus tear'; .* 'Meniscus Tear'"),
    "label without its last blank": (_row(label="Joint Effusion"), "did you mean 'Joint Effusion '"),
    "byte-order mark": (_csv(_ROW, encoding="utf-8-sig"), _TEAR),
    "lines of Windows": (_csv(_ROW.replace("\n", "\r\n"), _COLUMNS + "\r\n"), _TEAR),
    "empty": (_csv("", ""), "has no column file, slice"),
    "no row": (_csv(""), "holds no annotation"),
    "absent": (lambda path: None, "there is no such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read as text"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe\0f"), "cannot be read as text"),
    "a study's artifact": (
        _csv("a,0,Yes,,,,,artifact\n"),
        {"labels": {"a": []}, "quirks": {"artifact_rows": 1}},
    ),
    "a study's finding": (_row(study_level="Yes"), "line 3 gives 'Meniscus Tear' to a whole study"),
    "study level unsaid": (_row(study_level="Maybe"), "line 3 has 'Maybe' as study_level"),
    "formula as label": (_row(label="=1+1"), "line 3 has the unknown label"),
    "formula as box": (_row(x="=A1"), "line 3 has a box that is no four numbers"),
    "formula as file": (_csv(_ROW.replace("a", "=A1", 1)), {"labels": {"=A1": [[3, "meniscus"]]}}),
    "file empty": (_row(file=""), "line 3 leaves the file empty"),
    "NUL": (_row(label="Meniscus\0Tear"), "holds NUL bytes"),
    "cells too few": (_csv("a,1,No,1,2,3,4\n"), "line 2 has the unknown label ''"),
    "cells too many": (_csv("\n" + _ROW + _ROW.replace("\n", ",more\n")), "line 4 has more cells"),
    "quotes that do not end": (_csv('a,1,No,1,2,3,4,"Meniscus Tear\n'), "no CSV"),
    "cell too long": (_row(file="a" * 200_000), "no CSV"),
}
