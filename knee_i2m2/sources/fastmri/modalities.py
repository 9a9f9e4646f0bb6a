"""From a volume's k-space to its magnitude and phase, as a prepared folder holds them.

A slice is two channels of float16: the magnitude in units of its volume's root mean square, and the phase in rad. That
unit is kept beside them; stored as they are, magnitudes of 1e-4 would lose half of their digits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Complex, Float, Float16
from torch import Tensor

from knee_i2m2.data.writing import write_rows
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import reading, sha256
from knee_i2m2.modalities.kspace import reconstruct_parts, zero_fill
from knee_i2m2.modalities.magnitude_phase import polar, rms
from knee_i2m2.modalities.undersampling import Undersampling, undersample, undersampling
from knee_i2m2.sources.fastmri.sampling import columns_measured, refuse_uneven
from knee_i2m2.sources.fastmri.stored_images import image_warnings
from knee_i2m2.sources.fastmri.volumes import Volume, kspace_slice, read_kspace

__all__ = [
    "MODALITIES",
    "Computed",
    "Transform",
    "fill_rows",
    "kspace_modalities",
    "read_volumes",
    "volume_modalities",
    "volumes_text",
]

MODALITIES = ("magnitude", "phase")
"""The channels, in their order."""

_LEAST, _MOST = 1e-15, 1e15
_VOLUMES = "volumes.json"


@dataclass(frozen=True)
class Transform:
    """What happens to k-space before and in its reconstruction.

    Attributes:
        columns: k-space is zero-filled to so many, which makes the pixels smaller; None keeps them as they are.
        undersampling: Columns that a faster scan would have left out.
    """

    columns: int | None = None
    undersampling: Undersampling | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Transform:
        """Returns the transform that the settings of prepared data tell.

        Raises:
            ConfigError: The undersampling cannot be.
        """
        wanted = undersampling(settings["mask"], settings["acceleration"], settings["center_fraction"])
        if settings["columns"] is not None and settings["columns"] < 1:
            raise ConfigError(f"--columns {settings['columns']}: give the number to fill k-space up to, such as 400")
        return cls(settings["columns"], wanted)

    def __call__(
        self, volume: Volume, kspace: Complex[Tensor, "slices rows columns"]
    ) -> Float[Tensor, "2 slices image_rows image_columns"]:
        """Returns real and imaginary part of the images of some slices of a volume, on the device of the k-space.

        Raises:
            DataError: The file is undersampled already, or wider than `columns`.
        """
        if self.columns is not None and volume.columns > self.columns:
            reason = f"its k-space has {volume.columns} columns, more than the {self.columns} to fill up to"
            raise DataError(volume.path, reason, "use data that keep their columns, or leave this volume out")
        if self.undersampling is not None:
            self.refuse(volume)
            chosen = self.undersampling.columns(volume.path.name, volume.columns, volume.acquired)
            kspace = undersample(kspace, chosen.to(kspace.device))
        return reconstruct_parts(kspace if self.columns is None else zero_fill(kspace, self.columns), volume.matrix)

    def check(self, volumes: Sequence[Volume]) -> None:
        """Raises ConfigError where the undersampling cannot be that of the narrowest volume."""
        if self.undersampling is not None:
            narrowest = min(volumes, key=lambda volume: volume.columns)
            self.undersampling.columns(narrowest.path.name, narrowest.columns, narrowest.acquired)

    def refuse(self, volume: Volume) -> None:
        """Raises DataError where a volume cannot be undersampled: it is already, or what was acquired is not known."""
        for kind, words in (("undersampled", "is undersampled already: "), ("acquired columns", "")):
            if self.undersampling is not None and kind in volume.warnings:
                hint = "give --acceleration 1, which reads it as it is"
                raise DataError(volume.path, words + volume.warnings[kind], hint)


def volume_modalities(
    volume: Volume, transform: Transform, device: torch.device | str = "cpu"
) -> tuple[Float16[Tensor, "slices 2 rows columns"], float]:
    """Returns the channels of all slices, and the root mean square that is the unit of their magnitude.

    A CPU transforms slice by slice, which fits its cache, a GPU all slices at once.

    Raises:
        DataError: The volume cannot be read or used, or its values are too small or large for their squares.
    """
    at_once = torch.device(device).type != "cpu"
    return _in_unit(_all_at_once(volume, transform, device) if at_once else _one_by_one(volume, transform), volume)


def kspace_modalities(
    kspace: np.ndarray, volume: Volume, transform: Transform
) -> tuple[Float16[Tensor, "slices 2 rows columns"], float]:
    """Returns what `volume_modalities` would of a file with this k-space.

    Args:
        kspace: Complex, of shape (slices, rows, columns).
        volume: What `volume_in_memory` says of it.
        transform: From k-space to image.

    Raises:
        DataError: Its values are too small or large for their squares.
    """
    return _in_unit(transform(volume, torch.from_numpy(kspace.astype(np.complex64))), volume)


def _in_unit(
    parts: Float[Tensor, "2 slices rows columns"], volume: Volume
) -> tuple[Float16[Tensor, "slices 2 rows columns"], float]:
    unit = float(np.float32(rms(parts)))
    if not _LEAST < unit < _MOST:
        reason = f"the root mean square of its image is {unit:g}, not between {_LEAST:g} and {_MOST:g}"
        raise DataError(volume.path, reason, "scale its k-space")
    return _channels(parts, unit), unit


def fill_rows(transform: Transform, array: Path | None, item: tuple[Volume, int]) -> dict[str, Any]:
    """Writes a volume's rows; returns its hash, the unit of its magnitude and warnings, or why it cannot be used.

    Args:
        transform: From k-space to image.
        array: An .npy file of full size; None writes nothing.
        item: The volume, and the row of its first slice.

    Raises:
        DataError: The array cannot be written.
    """
    volume, first = item
    try:
        digest = sha256(volume.path)
        values, unit = volume_modalities(volume, transform)
        warnings = volume.warnings | image_warnings(volume)
    except DataError as error:
        return {"reason": error.reason, "hint": error.hint}
    if array is not None:
        write_rows(array, first, values.numpy())
    return {"sha256": digest, "scale": unit, "warnings": warnings}


def _all_at_once(volume: Volume, transform: Transform, device: torch.device | str) -> Tensor:
    kspace = read_kspace(volume)
    refuse_uneven(columns_measured(kspace), volume.path)
    return transform(volume, torch.from_numpy(kspace).to(device))


def _one_by_one(volume: Volume, transform: Transform) -> Tensor:
    parts = torch.empty((2, volume.slices, *volume.matrix))
    measured = []
    for index in range(volume.slices):
        kspace = read_kspace(volume, slice(index, index + 1))
        measured += columns_measured(kspace)
        parts[:, index : index + 1] = transform(volume, torch.from_numpy(kspace))
    refuse_uneven(measured, volume.path)
    return parts


def _channels(parts: Float[Tensor, "2 slices rows columns"], unit: float) -> Float16[Tensor, "slices 2 rows columns"]:
    m, angle = polar(parts)
    channels = torch.empty((len(m), len(MODALITIES), *m.shape[-2:]), dtype=torch.float16, device=m.device)
    channels[:, 0], channels[:, 1] = m.div_(unit), angle
    return channels


@dataclass(frozen=True)
class Computed:
    """Stands in for the array of magnitude and phase: the same values to the bit, computed from k-space when asked for.

    Attributes:
        slices: Row -> (volume, its slice).
        units: Row -> unit of the magnitude.
        transform: From k-space to image.
        shape: Of the array.
        dtype: Of the array.
    """

    slices: Mapping[int, tuple[Volume, int]]
    units: Mapping[int, float]
    transform: Transform
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float16

    @classmethod
    def open(cls, folder: Path, data: Mapping[str, Any], index: pd.DataFrame) -> Computed:
        """Returns the slices of a folder that was prepared with `--no-cache`.

        Raises:
            DataError: `volumes.json` is missing or damaged.
        """
        volumes = read_volumes(folder)["volumes"]
        rows = [int(row) for row in index["row"]]
        try:
            slices = [(volumes[name], int(i)) for name, i in zip(index["series"], index["slice"], strict=True)]
        except KeyError as error:
            raise DataError(folder / _VOLUMES, f"says nothing of {error.args[0]}", "prepare the data again") from error
        shape = (max(rows) + 1, len(MODALITIES), *data["matrix"])
        units = dict(zip(rows, index["scale"].astype(float), strict=True))
        return cls(dict(zip(rows, slices, strict=True)), units, Transform.of(data["settings"]), shape)

    def __getitem__(self, row: int) -> Float16[Tensor, "2 rows columns"]:
        """Returns a slice.

        Raises:
            DataError: The file has changed since it was prepared, or is gone.
        """
        volume, index = self.slices[row]
        kspace = torch.from_numpy(kspace_slice(volume, index))  # checked when it was prepared, and unchanged since
        return _channels(self.transform(volume, kspace), self.units[row])[0]


def volumes_text(volumes: list[Volume], quarantined: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns `volumes.json`: where the volumes lie and what they looked like when they were prepared."""
    rows = {volume.name: {**asdict(volume), "path": str(volume.path)} for volume in volumes}
    return json.dumps({"volumes": rows, "quarantined": quarantined}, indent=1) + "\n"


def read_volumes(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns `volumes` (name -> Volume) and `quarantined` (name -> stamp, reason, hint) of a prepared folder.

    Raises:
        DataError: `volumes.json` is missing or damaged.
    """
    with reading(folder / _VOLUMES, "prepare the data again"):
        content = json.loads((folder / _VOLUMES).read_text(encoding="utf-8"))
        volumes = {name: _volume(about) for name, about in content["volumes"].items()}
        aside = {n: {k: about[k] for k in ("stamp", "reason", "hint")} for n, about in content["quarantined"].items()}
        return {"volumes": volumes, "quarantined": aside}


def _volume(about: Mapping[str, Any]) -> Volume:
    tuples = {name: tuple(value) for name, value in about.items() if isinstance(value, list)}
    return Volume(**{**about, **tuples, "path": Path(about["path"])})
