"""Prepared data: the folder that `prepare` writes and that every training reads.

::

    DATA/index.parquet    one row a sample: sample, series, cluster, split, one column a target, ...
    DATA/<array>.npy      one array for the modalities of one shape, memory-mapped when read
    DATA/data.json        task, targets, modalities, settings, sources with hashes; written last

A modality has an array of its own, or is a channel of one that it shares (`array`, `channel` in `data.json`). Its
values times `scale`, and times the index column `scaled_by` where there is one, are in its unit. The samples of an
array are in the index's order, or where its column `row` says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
import torch.utils.data
from jaxtyping import Int64

from knee_i2m2.errors import ConfigError, DataError, suggestion
from knee_i2m2.files import reading
from knee_i2m2.types import Batch, Task

__all__ = ["Array", "Compute", "Labelled", "Prepared", "described_by", "open_arrays", "read_data", "read_index"]

_TECHNICAL = {
    *("split", "row", "scale", "slice", "boxes"),
    *("digit_file", "digit_row", "recording", "speech_start", "noise_file", "noise_start", "snr_db"),
    *("image_digit", "audio_digit"),
    *("sentence", "pair", "sided"),
}
"""Index columns of our own sources that say how a sample is stored or made, and divide nobody into subgroups."""

_MAKE = "make it with `knee-i2m2 prepare`"


def read_data(folder: Path, hint: str = "remove the folder and prepare it again") -> dict[str, Any]:
    """Returns `data.json` of a finished folder.

    Raises:
        DataError: It is missing or unreadable.
    """
    path = folder / "data.json"
    if not path.is_file():
        raise DataError(folder, "holds no finished prepared data", _MAKE)
    with reading(path, hint):
        data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or "task" not in data:
        raise DataError(path, "does not say of which task it is", hint)
    return data


def described_by(index: pd.DataFrame, targets: Sequence[str]) -> list[str]:
    """Returns the columns that say who a sample is: the first three, `position`, and every subgroup column."""
    return [name for name in index.columns if name not in {*_TECHNICAL, *targets}]


@runtime_checkable
class Array(Protocol):
    """Samples by their row: a tensor of shape (channels, rows, columns) each."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all samples."""

    @property
    def dtype(self) -> torch.dtype:
        """How they are stored."""

    def __getitem__(self, row: int) -> torch.Tensor:
        """Returns one sample as it is stored."""


Compute = Callable[[Path, Mapping[str, Any], pd.DataFrame], Array]
"""(folder, its `data.json`, its index) -> the array of a folder that stores none: samples are computed on demand."""


class Labelled:
    """Samples with one row of an index each.

    Attributes:
        index: Columns `sample, series, cluster` and one a target, among others.
        task: What is asked.
    """

    index: pd.DataFrame
    task: Task

    @property
    def clusters(self) -> np.ndarray:
        """Whose sample each is."""
        return self.index["cluster"].to_numpy()

    def truth(self, target: str) -> Int64[np.ndarray, " samples"]:
        """Returns the classes of a target; -1 is unknown.

        Raises:
            ConfigError: There is no such target.
        """
        if target not in self.task.targets:
            raise ConfigError(f"there is no target {target}; {suggestion(target, self.task.targets)}")
        return self.index[target].to_numpy()


@dataclass(frozen=True)
class Prepared(Labelled):
    """The samples of one split.

    Attributes:
        index: One row a sample.
        task: What is asked.
        arrays: Name -> array of all splits: a memory-mapped file, or values computed when asked for.
        modalities: Modality -> what `data.json` says of it.
        rows: Positions of this split's samples in the arrays.
    """

    index: pd.DataFrame
    task: Task
    arrays: Mapping[str, Array]
    modalities: Mapping[str, Mapping[str, Any]]
    rows: np.ndarray

    @classmethod
    def open(cls, folder: Path, split: str, compute: Compute | None = None) -> Prepared:
        """Returns the samples of `split`.

        Args:
            folder: The prepared folder.
            split: One of its splits.
            compute: Makes the array where the folder stores none.

        Raises:
            DataError: The folder is unfinished, its arrays do not fit its index, or the split is empty.
        """
        data = read_data(folder)
        for name in {"targets", "classes", "modalities"} - set(data):
            raise DataError(folder / "data.json", f"says nothing of {name}", "remove the folder and prepare it again")
        index = read_index(folder / "index.parquet")
        mine = np.flatnonzero((index["split"] == split).to_numpy())
        if not len(mine):
            raise DataError(folder, f"holds no sample of split {split}", _MAKE)
        task = Task(data["task"], tuple(data["targets"]), int(data["classes"]))
        arrays = open_arrays(folder, data, index, compute)
        return cls(index.iloc[mine].reset_index(drop=True), task, arrays, data["modalities"], _rows(index)[mine])

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of the first modality."""
        rows, columns = next(iter(self.arrays.values())).shape[-2:]
        return rows, columns

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> Batch:
        stored = {name: _gathered(array, self.rows[positions]) for name, array in self.arrays.items()}
        x = {name: self._in_unit(name, stored, positions) for name in self.modalities}
        if self._position is not None:
            x["position"] = self._position[positions]
        return Batch(x, self.y[positions], torch.tensor(positions))

    def _in_unit(self, name: str, stored: Mapping[str, torch.Tensor], positions: list[int]) -> torch.Tensor:
        """Returns a modality in its unit, of shape (batch, channels, rows, columns), as float32 or still as float16."""
        about = self.modalities[name]
        values, channel = stored[about.get("array", name)], about.get("channel")
        values = values.movedim(0, 1) if channel is None else values[channel].unsqueeze(1)
        if values.dtype != torch.float16:
            values = values.float()
        if about.get("scale", 1.0) != 1:
            values = values * about["scale"]
        if about.get("scaled_by"):
            factors = self.index[about["scaled_by"]].to_numpy(np.float32)[positions]
            values = values.float() * torch.from_numpy(factors)[:, None, None, None]
        return values

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


@dataclass(frozen=True)
class _Mapped:
    """A memory-mapped .npy file that another process opens anew, instead of getting its content by pickle."""

    path: Path

    @cached_property
    def _values(self) -> torch.Tensor:
        with reading(self.path, _MAKE):
            return torch.from_numpy(np.load(self.path, mmap_mode="c", allow_pickle=False))

    def __reduce__(self) -> tuple:
        return _Mapped, (self.path,)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._values.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self._values.dtype

    def __getitem__(self, row: int) -> torch.Tensor:
        return self._values[row]


def _gathered(array: Array, rows: np.ndarray) -> torch.Tensor:
    """Returns samples as float32, of shape (channels, batch, rows, columns): read and converted in one pass.

    In a loader's process they stay as they are stored, so that half the bytes travel to where they are used.
    """
    dtype = array.dtype if torch.utils.data.get_worker_info() else torch.float32
    gathered = torch.empty((array.shape[1], len(rows), *array.shape[2:]), dtype=dtype)
    for place, row in enumerate(rows.tolist()):
        gathered[:, place] = array[row]
    return gathered


def open_arrays(
    folder: Path, data: Mapping[str, Any], index: pd.DataFrame, compute: Compute | None = None
) -> dict[str, Array]:
    """Returns the arrays by name, each long enough for the index.

    Raises:
        DataError: An array is missing, too short or unreadable, or has to be computed and nothing here can.
    """
    if data.get("computed"):
        if compute is None:
            reason = "stores no arrays (--no-cache), and nothing here computes them"
            raise DataError(folder, reason, f"open it with the reader of {data['task']}, or prepare it with a cache")
        return {data["computed"]: compute(folder, data, index)}
    names = dict.fromkeys(about.get("array", name) for name, about in data["modalities"].items())
    return {name: _fitting(_Mapped(folder / f"{name}.npy"), index) for name in names}


def _fitting(array: _Mapped, index: pd.DataFrame) -> _Mapped:
    samples, needed = array.shape[0], int(_rows(index).max(initial=-1)) + 1
    if samples < needed or ("row" not in index and samples != needed):
        raise DataError(array.path, f"holds {samples} samples, the index {needed}", _MAKE)
    return array


def _rows(index: pd.DataFrame) -> np.ndarray:
    """Returns where the samples stand in the arrays."""
    return index["row"].to_numpy(np.int64) if "row" in index else np.arange(len(index))


def read_index(path: Path) -> pd.DataFrame:
    """Returns the rows of an `index.parquet`.

    Raises:
        DataError: It is missing or damaged.
    """
    with reading(path, _MAKE):
        return pd.read_parquet(path)
