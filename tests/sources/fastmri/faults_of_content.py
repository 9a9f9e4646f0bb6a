"""Fault families B and C: values, header and attributes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.sources.fastmri.fastmri_file import header, kspace, without, write
from tests.sources.fastmri.faults import SHAPE, Case, digest, replaced

__all__ = ["HEADERS", "VALUES"]


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
    return _values(values), digest(values)


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


def _text(text: Any) -> Callable[[Path], Path]:
    return lambda path: write(path, text=text)


def _swapped(old: str, new: str) -> Callable[[Path], Path]:
    assert old in header()
    return _text(header().replace(old, new))


def _attribute(name: str, value: Any) -> Callable[[Path], None]:
    return lambda path: replaced(path, "", lambda file: file.attrs.__setitem__(name, value))


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
_READ = digest(kspace())

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
    "compact": (lambda path: replaced(path, "ismrmrd_header", _compact), "stored in a way that is not read"),
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
    "patient not UTF-8": (_attribute("patient_id", b"M\xfcller"), {**_READ, "patient": "m\ufffdller"}),
    "patient a list": (_attribute("patient_id", ["a", "b"]), "attribute patient_id is a list"),
    "patient a pair": (_attribute("patient_id", np.array((1, 2), "i4,i4")), "is neither text nor a number"),
    "patient of many": (_dense, "attribute patient_id is a text stored in a way that is not read"),
    "patient huge": (_attribute("patient_id", "a" * 50_000), "attribute patient_id has 50000 bytes"),
    "patient huge of bytes": (_attribute("patient_id", np.bytes_(b"a" * 50_000)), "patient_id has 50000 bytes"),
}
