"""Prepared data: the folder that `prepare` writes and that every training reads.

::

    DATA/index.parquet    one row a sample: sample, series, cluster, split, one column a target, ...
    DATA/<modality>.npy   one array a modality, its rows in the index's order, memory-mapped when read
    DATA/data.json        task, targets, modalities, settings, sources with hashes; written last
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import torch

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import whole, write_text
from knee_i2m2.types import Batch, Task

__all__ = ["Prepared", "finished", "read_data", "write_prepared"]

_MAKE = "make it with `knee-i2m2 prepare`"


def write_prepared(
    out: Path,
    index: pd.DataFrame,
    parts: Iterable[Mapping[str, np.ndarray]],
    data: dict,
    beside: Callable[[], None] | None = None,
) -> None:
    """Writes arrays, index and, last, `data.json`: a folder without it is not finished.

    A fault in the parts leaves nothing behind. Arrays are streamed to plain .npy files and not through memory maps: a
    full disk would then kill the process.

    Args:
        out: The folder.
        index: One row a sample.
        parts: Modality -> the samples that come next in its array.
        data: Content of `data.json`; its `modalities` give each array's `shape` (without samples) and `dtype`.
        beside: Writes what else belongs to the folder.

    Raises:
        DataError: The folder cannot be written.
    """
    try:
        (out / "data.json").unlink(missing_ok=True)
        with ExitStack() as stack:
            written = {name: stack.enter_context(_array(out, name, len(index), data)) for name in data["modalities"]}
            for part in parts:
                for name, values in part.items():
                    written[name].write(np.ascontiguousarray(values, data["modalities"][name]["dtype"]).tobytes())
        with whole(out / "index.parquet") as path:
            index.to_parquet(path, index=False)
        if beside:
            beside()
        write_text(out / "data.json", json.dumps(data, indent=2) + "\n")
    except OSError as error:
        raise DataError(out, f"cannot be written ({error.strerror})", "choose another --out or make room") from error


@contextmanager
def _array(out: Path, name: str, samples: int, data: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """Yields the opened .npy of a modality, its header written."""
    about = data["modalities"][name]
    descr = np.lib.format.dtype_to_descr(np.dtype(about["dtype"]))
    header = {"descr": descr, "fortran_order": False, "shape": (samples, *about["shape"])}
    with whole(out / f"{name}.npy") as path, path.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, header)
        yield opened


def finished(out: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the `data.json` of a finished folder made in the wanted way, None where there is none.

    Args:
        out: The folder.
        wanted: What is known before the work: `task`, `settings` and `sources` (file name -> SHA-256).

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
    return found if _is_whole(out, found) else None


def _refuse_occupied(out: Path) -> None:
    """Raises ConfigError if a folder holds anything but what an interrupted `prepare` leaves."""
    ours = {"index.parquet", "split.csv", "ideal.parquet"}
    for entry in out.iterdir() if out.is_dir() else ():
        if entry.name not in ours and entry.suffix != ".npy" and not entry.name.startswith("."):
            raise ConfigError(f"{out}: holds {entry.name} and is no prepared folder; choose another --out")


def _is_whole(out: Path, found: Mapping[str, Any]) -> bool:
    """Returns whether everything that belongs to a prepared folder is there and can be read."""
    try:
        samples = len(_read_index(out / "index.parquet"))
        for name in found.get("modalities", ()):
            _read_array(out / f"{name}.npy", samples)
    except DataError:
        return False
    return all((out / name).is_file() for name in found.get("beside", ()))


def _refuse_other(out: Path, name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in [*wanted, *found]:
        if found.get(key) != wanted.get(key):
            was = f"{key} {found.get(key)}, not {wanted.get(key)}" if name == "settings" else f"another {key}"
            raise ConfigError(f"{out}: was prepared with {was}; choose another --out or remove that folder")


def read_data(folder: Path, hint: str = "remove the folder and prepare it again") -> dict[str, Any]:
    """Returns `data.json` of a finished folder.

    Raises:
        DataError: It is missing or unreadable.
    """
    path = folder / "data.json"
    if not path.is_file():
        raise DataError(folder, "holds no finished prepared data", _MAKE)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(path, f"cannot be read ({error})", hint) from error
    if not isinstance(found, dict) or "task" not in found:
        raise DataError(path, "does not say of which task it is", hint)
    return found


@dataclass(frozen=True)
class Prepared:
    """The samples of one split.

    Attributes:
        index: One row a sample.
        task: What is asked.
        arrays: Modality -> memory-mapped array of all splits.
        scales: Modality -> factor that gives its unit.
        rows: Positions of this split's samples in the arrays.
    """

    index: pd.DataFrame
    task: Task
    arrays: Mapping[str, np.ndarray]
    scales: Mapping[str, float]
    rows: np.ndarray

    @classmethod
    def open(cls, folder: Path, split: str) -> Prepared:
        """Returns the samples of `split`.

        Raises:
            DataError: The folder is unfinished, its arrays do not fit its index, or the split is empty.
        """
        data = read_data(folder)
        for name in {"targets", "classes", "modalities"} - set(data):
            raise DataError(folder / "data.json", f"says nothing of {name}", "remove the folder and prepare it again")
        index = _read_index(folder / "index.parquet")
        rows = np.flatnonzero((index["split"] == split).to_numpy())
        if not len(rows):
            raise DataError(folder, f"holds no sample of split {split}", _MAKE)
        arrays = {name: _read_array(folder / f"{name}.npy", len(index)) for name in data["modalities"]}
        scales = {name: float(about.get("scale", 1.0)) for name, about in data["modalities"].items()}
        task = Task(data["task"], tuple(data["targets"]), int(data["classes"]))
        return cls(index.iloc[rows].reset_index(drop=True), task, arrays, scales, rows)

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of the first modality."""
        rows, columns = next(iter(self.arrays.values())).shape[-2:]
        return rows, columns

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> Batch:
        rows = self.rows[positions]
        x = {name: self._gather(name, rows) for name in self.arrays}
        if self._position is not None:
            x["position"] = self._position[positions]
        return Batch(x, self.y[positions], torch.tensor(positions))

    def _gather(self, name: str, rows: np.ndarray) -> torch.Tensor:
        values = torch.from_numpy(np.asarray(self.arrays[name][rows])).float()
        return values if self.scales[name] == 1 else values * self.scales[name]

    @cached_property
    def _position(self) -> torch.Tensor | None:
        """Place in the series, of shape (samples, 1), where the index has it."""
        if "position" not in self.index:
            return None
        return torch.from_numpy(self.index["position"].to_numpy(np.float32)[:, None].copy())

    @cached_property
    def y(self) -> torch.Tensor:
        """Truth of all samples, of shape (samples, *targets)."""
        truth = torch.from_numpy(self.index[list(self.task.targets)].to_numpy(np.int64).copy())
        return truth.reshape(len(truth), *self.task.answers[:-1])


def _read_index(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read ({error})", _MAKE) from error


def _read_array(path: Path, samples: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(path, f"cannot be read ({error})", _MAKE) from error
    if len(array) != samples:
        raise DataError(path, f"holds {len(array)} samples, the index {samples}", _MAKE)
    return array
