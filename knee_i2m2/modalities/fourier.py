r"""The centred, orthonormal Fourier pair between k-space and image.

.. math:: x = \mathrm{fftshift}\, F^{-1}\, \mathrm{ifftshift}\, k, \qquad \|x\|_2 = \|k\|_2

The convention is fastMRI's (`fastmri.ifft2c`), over the last two axes.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex
from torch import Tensor

__all__ = ["image_to_kspace", "kspace_to_image"]

_AXES = (-2, -1)


def kspace_to_image(kspace: Complex[Tensor, "*batch rows columns"]) -> Complex[Tensor, "*batch rows columns"]:
    """Returns the image of centred k-space."""
    shifted = torch.fft.ifftshift(kspace, dim=_AXES)
    return torch.fft.fftshift(torch.fft.ifft2(shifted, dim=_AXES, norm="ortho"), dim=_AXES)


def image_to_kspace(image: Complex[Tensor, "*batch rows columns"]) -> Complex[Tensor, "*batch rows columns"]:
    """Returns the centred k-space of an image; inverse and adjoint of `kspace_to_image`."""
    shifted = torch.fft.ifftshift(image, dim=_AXES)
    return torch.fft.fftshift(torch.fft.fft2(shifted, dim=_AXES, norm="ortho"), dim=_AXES)
