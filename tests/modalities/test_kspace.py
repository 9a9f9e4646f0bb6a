"""The crop is fastMRI's centre, and what is cropped is the image."""

from __future__ import annotations

import fastmri
import pytest
import torch
from fastmri.data.transforms import center_crop
from torch import Tensor

from knee_i2m2.modalities.fourier import kspace_to_image
from knee_i2m2.modalities.kspace import centre_crop, reconstruct, zero_fill


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 7), (13, 12)])
@pytest.mark.parametrize("matrix", [(6, 6), (5, 7), (7, 6), (7, 7)])
def test_the_crop_is_that_of_fastmri(size: tuple[int, int], matrix: tuple[int, int]) -> None:
    image = noise(2, *size).real
    torch.testing.assert_close(centre_crop(image, matrix), center_crop(image, matrix), rtol=0, atol=0)


def test_a_crop_to_its_own_size_changes_nothing() -> None:
    image = noise(3, 5)
    torch.testing.assert_close(centre_crop(image, (3, 5)), image, rtol=0, atol=0)


@pytest.mark.parametrize("matrix", [(9, 4), (4, 7), (9, 7)])
def test_a_crop_larger_than_the_image_is_refused_in_words(matrix: tuple[int, int]) -> None:
    sentence = f"cannot crop 8 x 6 to {matrix[0]} x {matrix[1]}: the image is smaller"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        centre_crop(noise(8, 6), matrix)


WIDTHS = (320, 322, 338, 356, 368, 370, 372, 386, 388, 400, 454, 480, 550, 640, 644, 321, 335, 369)
"""All widths of fastMRI's knees, and odd ones."""


@pytest.mark.parametrize(
    ("size", "matrix"), [*(((640, width), (320, 320)) for width in WIDTHS), ((15, 9), (7, 8)), ((16, 9), (5, 9))]
)
def test_the_magnitude_is_that_of_fastmri_s_single_coil_reconstruction(
    size: tuple[int, int], matrix: tuple[int, int]
) -> None:
    k = noise(*size).to(torch.complex64)
    oracle = center_crop(fastmri.complex_abs(fastmri.ifft2c(torch.view_as_real(k.to(torch.complex128)))), matrix)
    assert (reconstruct(k, matrix).abs() - oracle).norm() <= 1e-6 * oracle.norm()


@pytest.mark.parametrize(("size", "matrix"), [((8, 8), (6, 6)), ((9, 7), (4, 5)), ((8, 9), (8, 9)), ((7, 6), (5, 3))])
def test_cropping_between_the_passes_is_cropping_after_them(size: tuple[int, int], matrix: tuple[int, int]) -> None:
    k = noise(2, *size)
    torch.testing.assert_close(reconstruct(k, matrix), centre_crop(kspace_to_image(k), matrix))


def test_a_reconstruction_larger_than_the_image_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="cannot crop 8 x 6 to 8 x 7"):
        reconstruct(noise(8, 6), (8, 7))


@pytest.mark.parametrize(("before", "after"), [(6, 10), (7, 10), (6, 9), (7, 9), (8, 8)])
def test_zero_filling_keeps_the_centre_and_samples_the_same_image_more_finely(before: int, after: int) -> None:
    k = noise(4, before)
    filled = zero_fill(k, after)
    torch.testing.assert_close(filled[:, after // 2], k[:, before // 2], rtol=0, atol=0)
    assert filled.shape == (4, after) and filled.ne(0).sum() == k.numel()
    centre = [kspace_to_image(x)[..., x.shape[-1] // 2] * x.shape[-1] ** 0.5 for x in (k, filled)]
    torch.testing.assert_close(*centre)


def test_filling_up_to_less_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="cannot fill 8 columns up to 6"):
        zero_fill(noise(2, 8), 6)
