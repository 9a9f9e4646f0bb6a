"""From raw k-space to the complex image that a radiologist sees: zero-filling, transform, crop."""

from __future__ import annotations

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
    """Returns the centre-cropped complex image; its modulus is fastMRI's `reconstruction_esc`.

    Equals `centre_crop(kspace_to_image(kspace), matrix)`. The readout is transformed and cropped first, so that the
    second pass has half as many rows; the *image* is cropped, so the pixel size is kept.

    Raises:
        ValueError: The image is smaller than the crop.
    """
    _refuse_larger(matrix, kspace.shape)
    shifted = torch.fft.ifftshift(kspace, dim=(-2, -1))
    hybrid = _centre(torch.fft.ifft(shifted, dim=-2, norm="ortho"), matrix[0], -2)
    return _centre(torch.fft.ifft(hybrid, dim=-1, norm="ortho"), matrix[1], -1)


def _centre(image: Complex[Tensor, "..."], wanted: int, dim: int) -> Complex[Tensor, "..."]:
    """Returns the centre crop of `fftshift(image)` along one axis, without the shift of what is cropped away."""
    size = image.shape[dim]
    before = size // 2 - (size - wanted) // 2
    return torch.cat((image.narrow(dim, size - before, before), image.narrow(dim, 0, wanted - before)), dim)


def _refuse_larger(matrix: tuple[int, int], shape: torch.Size) -> None:
    rows, columns = shape[-2:]
    if rows < matrix[0] or columns < matrix[1]:
        raise ValueError(f"cannot crop {rows} x {columns} to {matrix[0]} x {matrix[1]}: the image is smaller")
