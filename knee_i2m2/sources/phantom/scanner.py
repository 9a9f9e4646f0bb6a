"""A simulated single-coil scanner that writes files of exactly fastMRI's knee format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from knee_i2m2.files import whole
from knee_i2m2.modalities.fourier import image_to_kspace, kspace_to_image
from knee_i2m2.modalities.kspace import centre_crop
from knee_i2m2.sources.fastmri.ismrmrd import PHANTOM
from knee_i2m2.sources.phantom.anatomy import Grid, grid

__all__ = [
    "FIELDS",
    "WIDTHS",
    "Protocol",
    "draw_coil",
    "draw_protocol",
    "observe",
    "scan",
    "write_kspace",
    "write_volume",
]

WIDTHS = {322: 12, 356: 10, 368: 332, 372: 332, 388: 318, 400: 340}
"""k-space columns of some fastMRI volumes at matrix 320, and how many of them were acquired."""

FIELDS = {1.494: 1.1, 2.894: 0.95}
"""Field strengths in T, and the noise at each relative to the phantom's."""

_INTENSITY = 1e-4
_RECEIVERS = 4
_NAMESPACE = "http://www.ismrm.org/ISMRMRD"


@dataclass(frozen=True)
class Protocol:
    """How a series is acquired.

    Attributes:
        matrix: Rows and columns of the reconstruction; k-space has twice as many rows.
        columns: Columns of k-space.
        acquired: Half-open range of acquired columns; the rest is zero.
        sequence: fastMRI's name of the sequence.
        field_strength: In T.
        noise: Standard deviation of the real and of the imaginary part of acquired k-space, in units of the signal.
    """

    matrix: int
    columns: int
    acquired: tuple[int, int]
    sequence: str
    field_strength: float
    noise: float

    @property
    def pixels(self) -> Grid:
        """The grid of the oversampled image."""
        return grid(2 * self.matrix, self.columns, self.matrix)

    def zero_padded(self, kspace: torch.Tensor) -> torch.Tensor:
        """Returns k-space that is zero outside the acquired columns."""
        padded = torch.zeros_like(kspace)
        left, right = self.acquired
        padded[..., left:right] = kspace[..., left:right]
        return padded


def draw_protocol(generator: np.random.Generator, matrix: int, sequence: str, noise: float) -> Protocol:
    """Draws one of fastMRI's widths, in proportion to the matrix, and a field strength."""
    width = int(generator.choice([w for w in WIDTHS if WIDTHS[w] > 100] + [322, 356]))
    columns = max(matrix, 2 * round(width * matrix / 640))
    padding = round(columns * (18 / 368))
    field = float(generator.choice(list(FIELDS)))
    return Protocol(matrix, columns, (padding, columns - padding), sequence, field, noise * FIELDS[field])


def draw_coil(generator: np.random.Generator, pixels: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Draws the coil's smooth sensitivity (about 1) and a smooth phase in rad, each of shape (rows, columns)."""
    a, b = generator.uniform(-0.15, 0.15, size=2)
    c = generator.uniform(-0.5, 0.5)
    p, q = generator.uniform(-0.4, 0.4, size=2)
    r = generator.uniform(-0.3, 0.3, size=3)
    x, y = np.broadcast_arrays(np.clip(pixels.x, -1, 1), np.clip(pixels.y, -1, 1))
    return 1 + a * x + b * y, c + p * x + q * y + r[0] * x * x + r[1] * y * y + r[2] * x * y


def observe(image: np.ndarray, protocol: Protocol) -> torch.Tensor:
    """Returns noise-free k-space on the acquired columns, complex128, of the image's shape."""
    return protocol.zero_padded(image_to_kspace(torch.from_numpy(image)))


def scan(image: np.ndarray, protocol: Protocol, generator: np.random.Generator) -> torch.Tensor:
    """Returns k-space with white noise on the acquired columns, of shape (slices, rows, columns)."""
    noise = generator.normal(scale=protocol.noise, size=(*image.shape, 2))
    return observe(image, protocol) + protocol.zero_padded(torch.view_as_complex(torch.from_numpy(noise)))


def write_volume(
    path: Path,
    images: np.ndarray,
    kspace: torch.Tensor,
    protocol: Protocol,
    patient: str,
    generator: np.random.Generator,
) -> None:
    """Writes one series as fastMRI's single-coil files are: k-space, both reconstructions, header, attributes."""
    stored = (kspace * _INTENSITY).to(torch.complex64)
    write_kspace(path, stored, _multi_coil(images, protocol, generator), protocol, patient)


def write_kspace(path: Path, kspace: torch.Tensor, rss: torch.Tensor, protocol: Protocol, patient: str) -> None:
    """Writes k-space (complex64) and a multi-coil reconstruction as a file of fastMRI's format, whole or not at all."""
    esc = _modulus(kspace, protocol.matrix)
    with whole(path) as temporary, h5py.File(temporary, "w") as file:
        file["kspace"] = kspace.numpy()
        file["reconstruction_esc"] = esc.numpy()
        file["reconstruction_rss"] = rss.numpy()
        file["ismrmrd_header"] = header(protocol, len(kspace)).encode()
        file.attrs["acquisition"] = protocol.sequence
        file.attrs["patient_id"] = patient
        file.attrs["max"] = float(esc.max())
        file.attrs["norm"] = float(torch.linalg.vector_norm(esc, dtype=torch.float64))


def _modulus(kspace: torch.Tensor, matrix: int) -> torch.Tensor:
    return centre_crop(kspace_to_image(kspace).abs(), (matrix, matrix))


def _multi_coil(images: np.ndarray, protocol: Protocol, generator: np.random.Generator) -> torch.Tensor:
    """Returns the root sum of squares over receivers of their own, which single-coil k-space does not tell."""
    total = torch.zeros(len(images), protocol.matrix, protocol.matrix)
    for _ in range(_RECEIVERS):
        sensitivity, angle = draw_coil(generator, protocol.pixels)
        seen = scan(images * sensitivity * np.exp(1j * angle), protocol, generator) * _INTENSITY
        total += _modulus(seen.to(torch.complex64), protocol.matrix).square()
    return (total / _RECEIVERS).sqrt()


def header(protocol: Protocol, slices: int) -> str:
    """Returns the ISMRMRD header: matrices, fields of view in mm, limits of the acquired columns, the system."""
    left, right = protocol.acquired
    n, w = protocol.matrix, protocol.columns
    limits = f"<minimum>0</minimum><maximum>{right - left - 1}</maximum><center>{w // 2 - left}</center>"
    return f"""<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="{_NAMESPACE}">
  <measurementInformation><patientPosition>FFS</patientPosition><protocolName>COR</protocolName></measurementInformation>
  <acquisitionSystemInformation>
    <systemVendor>{PHANTOM}</systemVendor>
    <systemFieldStrength_T>{protocol.field_strength}</systemFieldStrength_T>
    <receiverChannels>{_RECEIVERS}</receiverChannels>
  </acquisitionSystemInformation>
  <experimentalConditions>
    <H1resonanceFrequency_Hz>{round(42577478 * protocol.field_strength)}</H1resonanceFrequency_Hz>
  </experimentalConditions>
  <encoding>
    <encodedSpace>{_space(2 * n, w, 1, 280.0, 140.0 * w / n, 4.5)}</encodedSpace>
    <reconSpace>{_space(n, n, 1, 140.0, 140.0, 3.0)}</reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1>{limits}</kspace_encoding_step_1>
      <slice><minimum>0</minimum><maximum>{slices - 1}</maximum><center>0</center></slice>
    </encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
  <sequenceParameters><TR>2800</TR><TE>33</TE><flipAngle_deg>140</flipAngle_deg></sequenceParameters>
</ismrmrdHeader>
"""


def _space(x: int, y: int, z: int, *millimetres: float) -> str:
    size = f"<matrixSize><x>{x}</x><y>{y}</y><z>{z}</z></matrixSize>"
    mm = "".join(f"<{axis}>{length:g}</{axis}>" for axis, length in zip("xyz", millimetres, strict=True))
    return f"{size}<fieldOfView_mm>{mm}</fieldOfView_mm>"
