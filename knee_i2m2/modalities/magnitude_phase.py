r"""Magnitude and phase of a complex image: :math:`x = m\, e^{i\varphi}`."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

__all__ = ["cos_sin", "magnitude", "phase", "polar", "rms"]


def polar(
    image: Complex[Tensor, "*batch rows columns"],
) -> tuple[Float[Tensor, "*batch rows columns"], Float[Tensor, "*batch rows columns"]]:
    r"""Returns :math:`m` in the unit of the image and :math:`\varphi` in rad, in :math:`[-\pi, \pi]`.

    Real and imaginary parts are laid apart first: on a CPU this is three times as fast as `abs` and `angle`.
    """
    real, imaginary = image.real.contiguous(), image.imag.contiguous()
    return torch.hypot(real, imaginary), torch.atan2(imaginary, real)


def rms(volume: Complex[Tensor, "*batch rows columns"]) -> float:
    r"""Returns :math:`\sqrt{\overline{m^2}}`, summed in double precision: the unit of a volume's magnitude.

    Raw intensities are about 1e-4 and differ between series; in this unit a positive factor on the k-space cancels.
    """
    return float(torch.view_as_real(volume).double().square().mean().mul(2).sqrt())


def magnitude(
    volume: Complex[Tensor, "slices rows columns"],
) -> Float[Tensor, "slices 1 rows columns"]:
    """Returns the magnitude in units of the volume's root mean square; a volume without any signal stays zero."""
    return (polar(volume)[0] / (rms(volume) or 1.0)).unsqueeze(1)


def phase(
    volume: Complex[Tensor, "slices rows columns"],
) -> Float[Tensor, "slices 1 rows columns"]:
    r"""Returns the phase in rad; in air it is uniform noise."""
    return polar(volume)[1].unsqueeze(1)


def cos_sin(
    angle: Float[Tensor, "batch channels rows columns"],
) -> Float[Tensor, "batch twice_channels rows columns"]:
    r"""Returns :math:`(\cos\varphi, \sin\varphi)` as channels: the phase without its jump at :math:`\pm\pi`."""
    return torch.cat((angle.cos(), angle.sin()), dim=1)
