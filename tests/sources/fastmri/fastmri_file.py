"""Tiny files of exactly fastMRI's single-coil format, whole or with one fault."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <acquisitionSystemInformation><systemFieldStrength_T>{field_strength}</systemFieldStrength_T>
  </acquisitionSystemInformation>
  <encoding>
    <encodedSpace><matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize></encodedSpace>
    <reconSpace><matrixSize><x>{matrix[0]}</x><y>{matrix[1]}</y><z>1</z></matrixSize></reconSpace>
    <encodingLimits><kspace_encoding_step_1>
      <minimum>0</minimum><maximum>{maximum}</maximum><center>{center}</center>
    </kspace_encoding_step_1></encodingLimits>
  </encoding>
</ismrmrdHeader>
"""


def header(rows=16, columns=12, matrix=(8, 8), maximum=9, center=5, field_strength=2.8936) -> str:
    return HEADER.format(**locals())


def kspace(slices=3, rows=16, columns=12, left=1, right=11, seed=0) -> np.ndarray:
    """Returns noise on the columns from `left` to `right`, zeros beside."""
    generator = np.random.default_rng(seed)
    parts = generator.normal(scale=1e-4, size=(2, slices, rows, columns))
    values = (parts[0] + 1j * parts[1]).astype(np.complex64)
    values[..., :left] = values[..., right:] = 0
    return values


def reconstruction(values: np.ndarray, matrix=(8, 8)) -> np.ndarray:
    """Returns the centre crop of abs(IFFT), as in `reconstruction_esc`."""
    axes = (-2, -1)
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(values, axes), norm="ortho"), axes)
    top, left = ((have - want) // 2 for have, want in zip(values.shape[1:], matrix, strict=True))
    return np.abs(image[:, top : top + matrix[0], left : left + matrix[1]]).astype(np.float32)


def write(path: Path, layout="train", patient="p1", acquisition="CORPD_FBK", values=None, text=None, **sizes) -> Path:
    """Writes a file; `values` and `text` replace k-space and header, `sizes` are those of `header` (and `slices`)."""
    slices = sizes.pop("slices", 3)
    geometry = {key: sizes[key] for key in ("rows", "columns") if key in sizes}
    values = kspace(slices, **geometry) if values is None else values
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["kspace"] = values
        file["ismrmrd_header"] = header(**sizes) if text is None else text
        attributes = {"patient_id": patient, "acquisition": acquisition}
        file.attrs.update({name: value for name, value in attributes.items() if value is not None})
        _LAYOUTS[layout](file, values, sizes.get("matrix", (8, 8)))
    return path


def _with_reconstruction(file: h5py.File, values: np.ndarray, matrix: tuple[int, int]) -> None:
    image = reconstruction(values, matrix)
    file["reconstruction_esc"], file["reconstruction_rss"] = image, 2 * image
    file.attrs.update({"max": float(image.max()), "norm": float(np.linalg.norm(image))})


def _with_mask(file: h5py.File, values: np.ndarray, matrix: tuple[int, int]) -> None:
    file["mask"] = np.arange(values.shape[-1]) % 2 == 0
    file.attrs.update({"acceleration": 4, "num_low_frequency": 2})


_LAYOUTS = {"train": _with_reconstruction, "test": _with_mask, "bare": lambda *_: None}


def without(path: Path, name: str) -> Path:
    """Takes a dataset out of a file."""
    with h5py.File(path, "a") as file:
        del file[name]
    return path


def cut(path: Path, share: float) -> Path:
    """Keeps the first share of a file's bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path
