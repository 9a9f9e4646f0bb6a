r"""Magnitude and phase of a complex image: :math:`x = m\, e^{i\varphi}`."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

__all__ = ["cos_sin", "magnitude", "phase"]


def magnitude(
    volume: Complex[Tensor, "slices rows columns"],
) -> Float[Tensor, "slices 1 rows columns"]:
    """Returns the magnitude in units of the volume's root mean square.

    Raw intensities are about 1e-4 and differ between series; a positive factor on the k-space cancels. A volume
    without any signal stays zero.
    """
    m = volume.abs()
    rms = m.square().mean().sqrt()
    return (m / torch.where(rms > 0, rms, torch.ones_like(rms))).unsqueeze(1)


def phase(
    volume: Complex[Tensor, "slices rows columns"],
) -> Float[Tensor, "slices 1 rows columns"]:
    r"""Returns the phase in rad, in :math:`(-\pi, \pi]`; in air it is uniform noise."""
    return volume.angle().unsqueeze(1)


def cos_sin(
    angle: Float[Tensor, "batch channels rows columns"],
) -> Float[Tensor, "batch twice_channels rows columns"]:
    r"""Returns :math:`(\cos\varphi, \sin\varphi)` as channels: the phase without its jump at :math:`\pm\pi`."""
    return torch.cat((angle.cos(), angle.sin()), dim=1)
