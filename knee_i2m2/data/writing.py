"""How a prepared folder is written, and when it is finished; `prepared` says what it holds.

An array that takes hours is filled part by part by several processes, and an interrupted run resumes::

    DATA/.progress.jsonl      the plan's fingerprint, then one line for every part that is finished
    DATA/.<name>.npy.part     the array, of its full size from the beginning
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa

from knee_i2m2.clusters import CLUSTERS, ClusterRecord
from knee_i2m2.data.prepared import Compute, open_arrays, read_data, read_index
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import sweep, whole, write_text, writing
from knee_i2m2.identity import canonical_text

__all__ = ["Filling", "finish_prepared", "finished", "forget", "npy_header", "write_prepared", "write_rows"]

_NOTES = ".progress.jsonl"


def write_prepared(
    out: Path,
    index: pd.DataFrame,
    parts: Iterable[Mapping[str, np.ndarray]],
    data: dict,
    last: Callable[[], None] = lambda: None,
) -> None:
    """Writes arrays, index and, last, `data.json`: a folder without it is not finished.

    A fault in the parts leaves nothing behind. Arrays are streamed to plain .npy files and not through memory maps: a
    full disk would then kill the process.

    Args:
        out: The folder.
        index: One row a sample.
        parts: Modality -> the samples that come next in its array.
        data: Content of `data.json`; its `modalities` give each array's `shape` (without samples) and `dtype`.
        last: Writes what else belongs to the folder.

    Raises:
        DataError: The folder cannot be written.
    """
    with writing(out):
        (out / "data.json").unlink(missing_ok=True)
    with ExitStack() as stack:
        written = {name: stack.enter_context(_array(out, name, len(index), data)) for name in data["modalities"]}
        for part in parts:
            for name, values in part.items():
                written[name].write(np.ascontiguousarray(values, data["modalities"][name]["dtype"]).tobytes())
    finish_prepared(out, index, data, last=last)


def finish_prepared(
    out: Path,
    index: pd.DataFrame,
    data: Mapping[str, Any],
    schema: pa.Schema | None = None,
    last: Callable[[], None] = lambda: None,
) -> None:
    """Writes index, clusters and, when `last` has done what else belongs to the folder, `data.json`.

    Args:
        out: The folder, which holds the arrays or gets them by `last`.
        index: One row a sample.
        data: Content of `data.json`.
        schema: Types of the index's columns, where they do not follow from the values.
        last: Writes what else belongs to the folder.

    Raises:
        DataError: The folder cannot be written.
    """
    spellings = {cluster: canonical_text(cluster) for cluster in index["cluster"].unique()}
    index = index.assign(cluster=index["cluster"].map(spellings))
    with whole(out / "index.parquet") as path:
        index.to_parquet(path, index=False, schema=schema)
    last()
    ClusterRecord.of(index).write(out)
    sweep(out)
    write_text(out / "data.json", json.dumps(data, indent=2) + "\n")


@contextmanager
def _array(out: Path, name: str, samples: int, data: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """Yields the opened .npy of a modality, its header written."""
    about = data["modalities"][name]
    with whole(out / f"{name}.npy") as path, path.open("wb") as opened:
        opened.write(npy_header((samples, *about["shape"]), about["dtype"]))
        yield opened


def finished(out: Path, wanted: Mapping[str, Any], compute: Compute | None = None) -> dict[str, Any] | None:
    """Returns the `data.json` of a finished folder made in the wanted way, None where there is none.

    Args:
        out: The folder.
        wanted: What is known before the work: `task`, `settings` and `sources` (file name -> SHA-256).
        compute: Makes the array where the folder stores none.

    Raises:
        ConfigError: The folder was made of other sources or with other settings.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; give --out a folder")
    if (out / "config.yaml").exists():
        raise ConfigError(f"{out}: is a run folder; choose another --out")
    if not (out / "data.json").is_file():
        _refuse_occupied(out)
        return None
    before = read_data(out)
    if before.get("task") != wanted["task"]:
        raise ConfigError(f"{out}: holds the data of task {before.get('task')}; choose another --out")
    for name in ("settings", "sources"):
        _refuse_other(out, name, before.get(name, {}), wanted[name])
    return before if _is_whole(out, before, compute) else None


def _refuse_occupied(out: Path) -> None:
    """Raises ConfigError if a folder holds anything but what an interrupted `prepare` leaves."""
    beside = {"split.csv", "left_out.csv", "warnings.csv", "placeholders.csv", "volumes.json", "ideal.parquet"}
    ours = {"index.parquet", CLUSTERS, *beside}
    for entry in out.iterdir() if out.is_dir() else ():
        if entry.name not in ours and entry.suffix != ".npy" and not entry.name.startswith("."):
            raise ConfigError(f"{out}: holds {entry.name} and is no prepared folder; choose another --out")


def _is_whole(out: Path, data: Mapping[str, Any], compute: Compute | None) -> bool:
    """Returns whether everything that belongs to a prepared folder is there and can be read."""
    try:
        open_arrays(out, data, read_index(out / "index.parquet"), compute)
    except DataError:
        return False
    return all((out / name).is_file() for name in (*data.get("beside", ()), CLUSTERS))


def _refuse_other(out: Path, name: str, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in [*wanted, *before]:
        if before.get(key) != wanted.get(key):
            was = f"{key} {before.get(key)}, not {wanted.get(key)}" if name == "settings" else f"another {key}"
            raise ConfigError(f"{out}: was prepared with {was}; choose another --out or remove that folder")


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
        lines = _lines(out / _NOTES)
        header = npy_header(shape, dtype)
        size = len(header) + int(np.prod(shape)) * np.dtype(dtype).itemsize
        if array is not None and not array.exists() and lines[:1] == [head] and (out / f"{name}.npy").is_file():
            os.replace(out / f"{name}.npy", array)  # killed between its last two steps
        discarded = 0
        if lines[:1] != [head] or (array is not None and not _has_size(array, size)):
            lines, discarded = [head], max(len(lines) - 1, 0)
            forget(out)  # first, so that notes never speak of another plan's array
            _allocate(array, header, size)
        write_text(out / _NOTES, "".join(json.dumps(line) + "\n" for line in lines))
        return cls(out, array, {line["part"]: line for line in lines[1:]}, discarded)

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
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            read = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            read = None
        if not isinstance(read, dict) or not {"plan", "part"} & set(read):
            break
        lines.append(read)
    return lines


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
