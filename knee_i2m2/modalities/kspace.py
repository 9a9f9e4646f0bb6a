"""From raw k-space to the complex image that a radiologist sees: zero-filling, transform, crop."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Complex, Shaped
from torch import Tensor

__all__ = ["centre_crop", "reconstruct", "zero_fill"]


def centre_crop(
    image: Shaped[Tensor, "*batch rows columns"], matrix: tuple[int, int]
) -> Shaped[Tensor, "*batch cropped_rows cropped_columns"]:
    """Returns the central `matrix` (rows, columns), at fastMRI's offset `(size - wanted) // 2`.

    Raises:
        ValueError: The image is smaller than the crop.
    """
    _refuse_larger(matrix, image.shape)
    top, left = ((have - want) // 2 for have, want in zip(image.shape[-2:], matrix, strict=True))
    return image[..., top : top + matrix[0], left : left + matrix[1]]


def zero_fill(
    kspace: Complex[Tensor, "*batch rows columns"], columns: int
) -> Complex[Tensor, "*batch rows more_columns"]:
    """Returns k-space with zeros on both sides, its centre column `n // 2` still in the centre.

    The image keeps its field of view and gets more, smaller pixels along the columns: anatomy appears
    `columns / before` times as wide.

    Raises:
        ValueError: k-space has more columns already.
    """
    before = kspace.shape[-1]
    if columns < before:
        raise ValueError(f"cannot fill {before} columns up to {columns}: there are more")
    left = columns // 2 - before // 2
    return torch.nn.functional.pad(kspace, (left, columns - before - left))


def reconstruct(
    kspace: Complex[Tensor, "*batch rows columns"], matrix: tuple[int, int]
) -> Complex[Tensor, "*batch cropped_rows cropped_columns"]:
    r"""Returns the centre-cropped complex image; its modulus is fastMRI's `reconstruction_esc`.

    Equals `centre_crop(kspace_to_image(kspace), matrix)`. The readout is transformed and cropped first, so that the
    second pass has half as many rows; the *image* is cropped, so the pixel size is kept. That the centre of k-space is
    its entry :math:`c = \lfloor n / 2 \rfloor` and not its first one turns pixel x by
    :math:`e^{-2 \pi i c x / n}`: on the crop that is cheaper than a shift of k-space.

    Raises:
        ValueError: The image is smaller than the crop.
    """
    _refuse_larger(matrix, kspace.shape)
    hybrid = _centre(torch.fft.ifft(kspace, dim=-2, norm="ortho"), matrix[0], -2)
    image = _centre(torch.fft.ifft(hybrid, dim=-1, norm="ortho"), matrix[1], -1)
    rows, columns = kspace.shape[-2:]
    return image * _turn((rows, columns), matrix, kspace.dtype, kspace.device)


def _centre(image: Complex[Tensor, "..."], wanted: int, dim: int) -> Complex[Tensor, "..."]:
    """Returns the centre crop of `fftshift(image)` along one axis, without the shift of what is cropped away."""
    size = image.shape[dim]
    before = size // 2 - (size - wanted) // 2
    return torch.cat((image.narrow(dim, size - before, before), image.narrow(dim, 0, wanted - before)), dim)


@lru_cache(maxsize=64)
def _turn(size: tuple[int, int], matrix: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the factor of each pixel of the crop that moves the centre of k-space to its first entry."""
    rows, columns = (_turn_along(n, wanted) for n, wanted in zip(size, matrix, strict=True))
    return (rows[:, None] * columns).to(dtype).to(device)


def _turn_along(size: int, wanted: int) -> Tensor:
    x = torch.arange(wanted) - size // 2 + (size - wanted) // 2
    return torch.exp(-2j * torch.pi * (x * (size // 2) % size).double() / size)


def _refuse_larger(matrix: tuple[int, int], shape: torch.Size) -> None:
    rows, columns = shape[-2:]
    if rows < matrix[0] or columns < matrix[1]:
        raise ValueError(f"cannot crop {rows} x {columns} to {matrix[0]} x {matrix[1]}: the image is smaller")
