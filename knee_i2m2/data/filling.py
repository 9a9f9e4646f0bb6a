"""An array that several processes fill part by part, and that goes on where it was killed.

::

    DATA/.progress.jsonl      the plan's fingerprint, then one line for every part that is finished
    DATA/.<name>.npy.part     the array, of its full size from the beginning
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from knee_i2m2.files import whole, write_text, writing

__all__ = ["Filling", "forget", "npy_header", "write_rows"]

_NOTES = ".progress.jsonl"


@dataclass(frozen=True)
class Filling:
    """What is finished of a plan.

    Attributes:
        out: The folder.
        array: The unfinished array's file; None where nothing is stored.
        done: Part -> what was noted when it was finished.
        discarded: How many finished parts of another plan were thrown away.
    """

    out: Path
    array: Path | None
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    discarded: int = 0

    @classmethod
    def open(cls, out: Path, plan: Any, name: str | None, shape: Sequence[int], dtype: str = "float16") -> Filling:
        """Returns what an interrupted run finished of this very plan, or begins anew.

        Args:
            out: The folder; it is made.
            plan: All that the content depends on, as JSON.
            name: Of the array; None stores none.
            shape: Of the array.
            dtype: Of the array.

        Raises:
            DataError: The folder cannot be written or has no room for the array.
        """
        whole_plan = json.dumps([plan, name, list(shape), dtype], sort_keys=True)
        head = {"plan": hashlib.sha256(whole_plan.encode()).hexdigest()}
        array = None if name is None else out / f".{name}.npy.part"
        found = _lines(out / _NOTES)
        header = npy_header(shape, dtype)
        size = len(header) + int(np.prod(shape)) * np.dtype(dtype).itemsize
        if array is not None and not array.exists() and found[:1] == [head] and (out / f"{name}.npy").is_file():
            os.replace(out / f"{name}.npy", array)  # killed between its last two steps
        discarded = 0
        if found[:1] != [head] or (array is not None and not _has_size(array, size)):
            found, discarded = [head], max(len(found) - 1, 0)
            forget(out)  # first, so that notes never speak of another plan's array
            _allocate(array, header, size)
        write_text(out / _NOTES, "".join(json.dumps(line) + "\n" for line in found))
        return cls(out, array, {line["part"]: line for line in found[1:]}, discarded)

    def note(self, part: str, **record: Any) -> None:
        """Notes that a part is finished; its rows must be on the disk."""
        self.done[part] = {"part": part, **record}
        with writing(self.out), (self.out / _NOTES).open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(self.done[part]) + "\n")
            opened.flush()
            os.fsync(opened.fileno())

    def publish(self) -> None:
        """Gives the array its name; `forget` follows when everything beside it is written too."""
        if self.array is not None:
            with writing(self.out):
                os.replace(self.array, self.array.with_name(self.array.name[1:].removesuffix(".part")))


def forget(out: Path) -> None:
    """Removes the notes of a plan, and arrays that were not finished."""
    with writing(out):
        for path in [*out.glob(_NOTES), *out.glob(".*.npy.part")]:
            path.unlink()


def npy_header(shape: Sequence[int], dtype: str) -> bytes:
    """Returns the first bytes of a .npy file of this shape and type, in C order."""
    opened = BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    about = {"descr": descr, "fortran_order": False, "shape": tuple(int(n) for n in shape)}
    np.lib.format.write_array_header_1_0(opened, about)
    return opened.getvalue()


def write_rows(array: Path, first: int, values: np.ndarray) -> None:
    """Writes rows into a .npy file that has its full size, to the disk; others may write other rows meanwhile.

    Raises:
        DataError: The disk is full or gone.
    """
    with writing(array), array.open("rb+", buffering=0) as opened:
        np.lib.format.read_magic(opened)
        np.lib.format.read_array_header_1_0(opened)
        opened.seek(first * values[0].nbytes, os.SEEK_CUR)
        content = memoryview(np.ascontiguousarray(values)).cast("B")
        while content:
            content = content[opened.write(content) :]
        os.fsync(opened.fileno())


def _lines(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a file up to the first that is not whole: the last one may have been cut by a kill."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            read = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            read = None
        if not isinstance(read, dict) or not {"plan", "part"} & set(read):
            break
        found.append(read)
    return found


def _has_size(array: Path, size: int) -> bool:
    return array.is_file() and array.stat().st_size == size


def _allocate(array: Path | None, header: bytes, size: int) -> None:
    """Makes the file with all its room, so that a full disk is noticed now and not after hours."""
    if array is None:
        return
    with whole(array) as path, path.open("wb") as opened:
        opened.write(header)
        opened.flush()
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, size)
        else:
            opened.truncate(size)
