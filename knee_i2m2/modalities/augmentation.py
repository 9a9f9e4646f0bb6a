r"""Augmentation: what another scan of the same knee could have looked like, a draw and its deterministic apply.

The modalities are composed to :math:`x = m\, e^{i\varphi}`, changed as one complex image, and split again:

.. math:: x \mapsto T(F x)\, e^{i p(u, v)} + n

with the left-right flip :math:`F`, rotation and shift :math:`T`, a quadratic :math:`p` in the image's coordinates and
thermal noise :math:`n`. Draws and their replay after TorchIO (Perez-Garcia et al., 2021).
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float, Int64
from torch import Tensor

from knee_i2m2.errors import ConfigError
from knee_i2m2.modalities.magnitude_phase import parts_of, polar
from knee_i2m2.types import Modalities

__all__ = [
    "Augmentation",
    "Draw",
    "add_noise",
    "apply",
    "check_modalities",
    "flip",
    "move",
    "offset_phase",
    "symmetric",
]

Images = Complex[Tensor, "batch channels rows columns"]

_POLYNOMIAL = 6
"""Coefficients of a quadratic in two coordinates."""


@dataclass(frozen=True)
class Draw:
    """What happens to each image of a batch; applied again, it gives the same bits on the same device.

    Attributes:
        flipped: Whether left and right change places.
        shift: How far down and to the right, as shares of the rows and columns.
        angle: Rotation about the centre, counter-clockwise as the image is looked at (rad).
        offsets: Coefficients of 1, u, v, u^2, uv, v^2 in the phase that is added (rad).
        snr: The image's root mean square over the noise's (dB); infinity adds none.
        seeds: Of the noise.
    """

    flipped: Bool[Tensor, " batch"]
    shift: Float[Tensor, "batch 2"]
    angle: Float[Tensor, " batch"]
    offsets: Float[Tensor, "batch 6"]
    snr: Float[Tensor, " batch"]
    seeds: Int64[Tensor, " batch"]


@dataclass(frozen=True)
class Augmentation:
    """How strongly images are changed; called, it draws and applies.

    Attributes:
        flip: Probability of a left-right flip: a left knee for a right one.
        shift: At most, along each axis, as a share of the matrix: 4 % are 13 of 320 pixels.
        rotation: At most, in either direction (degrees).
        phase: Largest coefficient of the phase that is added (rad). On 2,000 slices of the phantom .4 and more kept the
            phase expert from learning anything, .2 did not.
        snr: Lowest and highest ratio of the image's root mean square to the noise's (dB): 20 is a tenth.
    """

    flip: float = 0.5
    shift: float = 0.04
    rotation: float = 10.0
    phase: float = 0.2
    snr: tuple[float, float] = (20.0, 40.0)

    def draw(self, batch: int, generator: torch.Generator) -> Draw:
        """Returns a draw for `batch` images: uniform within the strengths, from a generator on the CPU."""
        lowest, highest = self.snr
        return Draw(
            flipped=torch.rand(batch, generator=generator) < self.flip,
            shift=self.shift * symmetric((batch, 2), generator),
            angle=math.radians(self.rotation) * symmetric((batch,), generator),
            offsets=self.phase * symmetric((batch, _POLYNOMIAL), generator),
            snr=lowest + (highest - lowest) * torch.rand(batch, generator=generator),
            seeds=torch.randint(2**62, (batch,), generator=generator),
        )

    def __call__(self, x: Modalities, generator: torch.Generator) -> Modalities:
        """Returns the modalities after a fresh draw.

        Raises:
            ConfigError: Magnitude or phase is missing.
        """
        check_modalities(x)
        return apply(self.draw(len(x["magnitude"]), generator), x)


def check_modalities(names: Container[str]) -> None:
    """Raises ConfigError unless there are magnitude and phase, the two halves of what is augmented."""
    missing = [name for name in ("magnitude", "phase") if name not in names]
    if missing:
        reason = f"augmentation changes the complex image, of which {' and '.join(missing)} is not here"
        raise ConfigError(f"{reason}; prepare both magnitude and phase, or leave out --augment")


def apply(draw: Draw, x: Modalities) -> dict[str, Tensor]:
    r"""Returns the magnitude and the phase (rad, in :math:`(-\pi, \pi]`) of the changed image; the rest as it is.

    Raises:
        ConfigError: Magnitude or phase is missing.
    """
    check_modalities(x)
    image = torch.polar(x["magnitude"], x["phase"])
    moved = move(flip(image, draw.flipped), draw.shift, draw.angle)
    magnitude, angle = polar(parts_of(add_noise(offset_phase(moved, draw.offsets), draw.snr, draw.seeds)))
    return {**x, "magnitude": magnitude, "phase": angle.masked_fill(angle <= -math.pi, math.pi)}


def flip(images: Images, flipped: Bool[Tensor, " batch"]) -> Images:
    """Returns the images with left and right exchanged where asked for."""
    return torch.where(_each(flipped, images), images.flip(-1), images)


def move(images: Images, shift: Float[Tensor, "batch 2"], angle: Float[Tensor, " batch"]) -> Images:
    """Returns the images rotated about their centre and then shifted; what enters is zero.

    One bicubic resampling of real and imaginary part: an angle, which jumps from pi to -pi, is never interpolated.

    Args:
        images: Complex.
        shift: Down and to the right, as shares of the rows and columns.
        angle: Counter-clockwise as the image is looked at (rad).
    """
    batch, channels, rows, columns = images.shape
    parts = torch.cat((images.real, images.imag), dim=1)
    theta = _where_from(shift.to(parts), angle.to(parts), rows / columns)
    grid = torch.nn.functional.affine_grid(theta, [batch, 2 * channels, rows, columns], align_corners=False)
    moved = torch.nn.functional.grid_sample(parts, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    return torch.complex(*(part.contiguous() for part in moved.chunk(2, dim=1)))


def offset_phase(images: Images, offsets: Float[Tensor, "batch 6"]) -> Images:
    r"""Returns :math:`x\, e^{i p}` with :math:`p = c_0 + c_1 u + c_2 v + c_3 u^2 + c_4 uv + c_5 v^2` (rad).

    The coordinates :math:`u` (columns) and :math:`v` (rows) go from -1 to 1 between the centres of the outermost
    pixels. A constant is the receiver's phase, a slope an echo off the centre of k-space, the rest a smooth field.
    """
    v, u = (torch.linspace(-1, 1, n, dtype=images.real.dtype, device=images.device) for n in images.shape[-2:])
    v, u = torch.meshgrid(v, u, indexing="ij")
    terms = torch.stack((torch.ones_like(u), u, v, u**2, u * v, v**2))
    angle = torch.einsum("bk,krc->brc", offsets.to(terms), terms).unsqueeze(1)
    return images * torch.polar(torch.ones_like(angle), angle)


def add_noise(images: Images, snr: Float[Tensor, " batch"], seeds: Int64[Tensor, " batch"]) -> Images:
    r"""Returns :math:`x + n`, complex Gaussian noise of :math:`20 \log_{10}(x_{\mathrm{rms}} / n_{\mathrm{rms}})` dB.

    Each image's noise is drawn from its own seed, on its device: another kind of device draws other numbers.
    """
    generator = torch.Generator(device=images.device)
    noise = [_seeded(seed, images, generator) for seed in seeds.tolist()]
    rms = images.abs().square().mean(dim=(1, 2, 3)).sqrt()
    return images + _each(rms * 10 ** (-snr.to(rms) / 20), images) * torch.stack(noise)


def _where_from(shift: Float[Tensor, "batch 2"], angle: Float[Tensor, " batch"], aspect: float):
    """Returns where each pixel comes from, (batch, 2, 3), in coordinates from -1 to 1 over columns and rows.

    Args:
        shift: Shares of rows and columns.
        angle: Counter-clockwise (rad).
        aspect: Rows over columns, so that a rotation leaves distances as they are.
    """
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack((torch.stack((cos, -sin * aspect), -1), torch.stack((sin / aspect, cos), -1)), -2)
    back = -2 * shift.flip(-1).unsqueeze(-1)
    return torch.cat((turn, turn @ back), dim=-1)


def _seeded(seed: int, images: Images, generator: torch.Generator) -> Complex[Tensor, "channels rows columns"]:
    """Returns complex Gaussian noise of unit variance for one image."""
    generator.manual_seed(seed)
    return torch.randn(images.shape[1:], dtype=images.dtype, device=images.device, generator=generator)


def symmetric(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Returns numbers uniform in [-1, 1)."""
    return 2 * torch.rand(shape, generator=generator) - 1


def _each(values: Tensor, images: Images) -> Tensor:
    """Returns one value for each image, in a shape that goes with them, on their device."""
    return values.to(images.device)[:, None, None, None]
