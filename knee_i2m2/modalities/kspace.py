"""Crops, and the way from raw k-space to the complex image that a radiologist sees."""

from __future__ import annotations

from jaxtyping import Complex, Shaped
from torch import Tensor

from knee_i2m2.modalities.fourier import kspace_to_image

__all__ = ["centre_crop", "reconstruct"]


def centre_crop(
    image: Shaped[Tensor, "*batch rows columns"], matrix: tuple[int, int]
) -> Shaped[Tensor, "*batch cropped_rows cropped_columns"]:
    """Returns the central `matrix` (rows, columns), at fastMRI's offset `(size - wanted) // 2`.

    Raises:
        ValueError: The image is smaller than the crop.
    """
    rows, columns = image.shape[-2:]
    if rows < matrix[0] or columns < matrix[1]:
        raise ValueError(f"cannot crop {rows} x {columns} to {matrix[0]} x {matrix[1]}: the image is smaller")
    top, left = (rows - matrix[0]) // 2, (columns - matrix[1]) // 2
    return image[..., top : top + matrix[0], left : left + matrix[1]]


def reconstruct(
    kspace: Complex[Tensor, "*batch rows columns"], matrix: tuple[int, int]
) -> Complex[Tensor, "*batch cropped_rows cropped_columns"]:
    """Returns the centre-cropped complex image; its modulus is fastMRI's `reconstruction_esc`.

    The whole k-space is transformed and the *image* is cropped, so the pixel size is kept.
    """
    return centre_crop(kspace_to_image(kspace), matrix)
