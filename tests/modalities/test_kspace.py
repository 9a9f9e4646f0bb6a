"""The crop is fastMRI's centre, and what is cropped is the image."""

from __future__ import annotations

import fastmri
import pytest
import torch
from fastmri.data.transforms import center_crop
from torch import Tensor

from knee_i2m2.modalities.kspace import centre_crop, reconstruct


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


@pytest.mark.parametrize(("size", "matrix"), [((640, 368), (320, 320)), ((640, 335), (320, 320)), ((15, 9), (7, 8))])
def test_the_magnitude_is_that_of_fastmri_s_single_coil_reconstruction(
    size: tuple[int, int], matrix: tuple[int, int]
) -> None:
    k = noise(*size)
    oracle = center_crop(fastmri.complex_abs(fastmri.ifft2c(torch.view_as_real(k))), matrix)
    assert (reconstruct(k, matrix).abs() - oracle).norm() <= 1e-6 * oracle.norm()
