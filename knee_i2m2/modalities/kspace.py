"""From raw k-space to the complex image that a radiologist sees: zero-filling, transform, crop."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

__all__ = ["centre_crop", "reconstruct", "reconstruct_parts", "zero_fill"]


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

    Equals `centre_crop(kspace_to_image(kspace), matrix)`; the *image* is cropped, so the pixel size is kept.

    Raises:
        ValueError: The image is smaller than the crop.
    """
    return torch.complex(*reconstruct_parts(kspace, matrix))


def reconstruct_parts(
    kspace: Complex[Tensor, "*batch rows columns"], matrix: tuple[int, int]
) -> Float[Tensor, "2 *batch cropped_rows cropped_columns"]:
    r"""Returns real and imaginary part of what `reconstruct` returns, each by itself.

    The readout is transformed and cropped first, so that the second pass has half as many rows. Both crops take the two
    ends of an axis, where the centre lies before a shift, and lay them in their places at once. That the centre of
    k-space is its entry :math:`c = \lfloor n / 2 \rfloor` and not its first one turns pixel x by
    :math:`e^{-2 \pi i c x / n}`: on the crop that is cheaper than a shift of k-space.

    Raises:
        ValueError: The image is smaller than the crop.
    """
    _refuse_larger(matrix, kspace.shape)
    rows, columns = kspace.shape[-2:]
    parts = torch.empty((2, *kspace.shape[:-2], *matrix), dtype=kspace.real.dtype, device=kspace.device)
    hybrid = torch.fft.ifft(kspace, dim=-2, norm="ortho")
    for end, place in _ends(rows, matrix[0]):
        image = torch.fft.ifft(hybrid[..., end, :], dim=-1, norm="ortho")
        for other_end, beside in _ends(columns, matrix[1]):
            parts[..., place, beside] = torch.view_as_real(image[..., other_end]).movedim(-1, 0)
    return _turned(parts, *_turn((rows, columns), matrix, parts.dtype, parts.device))


def _ends(size: int, wanted: int) -> list[tuple[slice, slice]]:
    """Returns where the parts of the central `wanted` entries of `fftshift(x)` lie in x, and where in the crop."""
    before = size // 2 - (size - wanted) // 2
    ends = [(slice(size - before, size), slice(0, before)), (slice(0, wanted - before), slice(before, wanted))]
    return [(end, place) for end, place in ends if end.stop > end.start]


@lru_cache(maxsize=64)
def _turn(
    size: tuple[int, int], matrix: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Returns cosine and sine of each pixel's turn; no sine where both sizes are even and all turns are by 0 or pi."""
    rows, columns = (_turn_along(n, wanted) for n, wanted in zip(size, matrix, strict=True))
    turn = rows[:, None] * columns
    odd = size[0] % 2 or size[1] % 2
    return turn.real.to(device, dtype), turn.imag.to(device, dtype) if odd else None


def _turn_along(size: int, wanted: int) -> Tensor:
    x = torch.arange(wanted) - size // 2 + (size - wanted) // 2
    return torch.exp(-2j * torch.pi * (x * (size // 2) % size).double() / size)


def _turned(parts: Tensor, cosine: Tensor, sine: Tensor | None) -> Tensor:
    if sine is None:
        return parts.mul_(cosine)
    real, imaginary = parts
    return torch.stack((real * cosine - imaginary * sine, real * sine + imaginary * cosine))


def _refuse_larger(matrix: tuple[int, int], shape: torch.Size) -> None:
    rows, columns = shape[-2:]
    if rows < matrix[0] or columns < matrix[1]:
        raise ValueError(f"cannot crop {rows} x {columns} to {matrix[0]} x {matrix[1]}: the image is smaller")
