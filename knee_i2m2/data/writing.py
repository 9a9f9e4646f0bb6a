"""How a prepared folder is written, and when it is finished; what it holds stands in `prepared`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa

from knee_i2m2.data.filling import npy_header
from knee_i2m2.data.prepared import Compute, open_arrays, read_data, read_index
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import sweep, whole, write_text, writing

__all__ = ["finish_prepared", "finished", "write_prepared"]


def write_prepared(out: Path, index: pd.DataFrame, parts: Iterable[Mapping[str, np.ndarray]], data: dict) -> None:
    """Writes arrays, index and, last, `data.json`: a folder without it is not finished.

    A fault in the parts leaves nothing behind. Arrays are streamed to plain .npy files and not through memory maps: a
    full disk would then kill the process.

    Args:
        out: The folder.
        index: One row a sample.
        parts: Modality -> the samples that come next in its array.
        data: Content of `data.json`; its `modalities` give each array's `shape` (without samples) and `dtype`.

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
    finish_prepared(out, index, data)


def finish_prepared(
    out: Path,
    index: pd.DataFrame,
    data: Mapping[str, Any],
    schema: pa.Schema | None = None,
    last: Callable[[], None] = lambda: None,
) -> None:
    """Writes the index and, when `last` has done what else belongs to the folder, `data.json`.

    Args:
        out: The folder, which holds the arrays or gets them by `last`.
        index: One row a sample.
        data: Content of `data.json`.
        schema: Types of the index's columns, where they do not follow from the values.
        last: Writes what else belongs to the folder.

    Raises:
        DataError: The folder cannot be written.
    """
    with whole(out / "index.parquet") as path:
        index.to_parquet(path, index=False, schema=schema)
    last()
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
    found = read_data(out)
    if found.get("task") != wanted["task"]:
        raise ConfigError(f"{out}: holds the data of task {found.get('task')}; choose another --out")
    for name in ("settings", "sources"):
        _refuse_other(out, name, found.get(name, {}), wanted[name])
    return found if _is_whole(out, found, compute) else None


def _refuse_occupied(out: Path) -> None:
    """Raises ConfigError if a folder holds anything but what an interrupted `prepare` leaves."""
    ours = {"index.parquet", "split.csv", "left_out.csv", "volumes.json", "ideal.parquet"}
    for entry in out.iterdir() if out.is_dir() else ():
        if entry.name not in ours and entry.suffix != ".npy" and not entry.name.startswith("."):
            raise ConfigError(f"{out}: holds {entry.name} and is no prepared folder; choose another --out")


def _is_whole(out: Path, found: Mapping[str, Any], compute: Compute | None) -> bool:
    """Returns whether everything that belongs to a prepared folder is there and can be read."""
    try:
        open_arrays(out, found, read_index(out / "index.parquet"), compute)
    except DataError:
        return False
    return all((out / name).is_file() for name in found.get("beside", ()))


def _refuse_other(out: Path, name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in [*wanted, *found]:
        if found.get(key) != wanted.get(key):
            was = f"{key} {found.get(key)}, not {wanted.get(key)}" if name == "settings" else f"another {key}"
            raise ConfigError(f"{out}: was prepared with {was}; choose another --out or remove that folder")
