"""The Fourier pair is unitary, and it is fastMRI's."""

from __future__ import annotations

import fastmri
import pytest
import torch
from torch import Tensor

from knee_i2m2.modalities.fourier import image_to_kspace, kspace_to_image

SIZES = [(8, 8), (7, 9), (8, 5), (640, 368), (640, 372), (1, 6)]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.conj() * b).sum()


@pytest.mark.parametrize("size", SIZES)
def test_the_pair_is_a_unitary_transform(size: tuple[int, int]) -> None:
    k, image = noise(2, *size), noise(2, *size, seed=1)
    torch.testing.assert_close(kspace_to_image(k).norm(), k.norm())  # energy is kept
    torch.testing.assert_close(image_to_kspace(kspace_to_image(k)), k)  # the inverse, on odd sizes too
    torch.testing.assert_close(kspace_to_image(image_to_kspace(image)), image)
    torch.testing.assert_close(inner(image, kspace_to_image(k)), inner(image_to_kspace(image), k))  # the adjoint


def test_the_transform_is_linear() -> None:
    a, b = noise(7, 8), noise(7, 8, seed=1)
    torch.testing.assert_close(kspace_to_image(2j * a - b), 2j * kspace_to_image(a) - kspace_to_image(b))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("size", SIZES)
def test_the_convention_is_that_of_fastmri(size: tuple[int, int], dtype: torch.dtype) -> None:
    k = noise(2, *size, dtype=dtype)
    for ours, theirs in ((kspace_to_image, fastmri.ifft2c), (image_to_kspace, fastmri.fft2c)):
        oracle = torch.view_as_complex(theirs(torch.view_as_real(k)))
        assert (ours(k) - oracle).norm() <= 1e-6 * oracle.norm()


@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
def test_the_middle_of_kspace_is_the_mean_of_the_image(size: tuple[int, int]) -> None:
    k = torch.zeros(size, dtype=torch.complex128)
    k[size[0] // 2, size[1] // 2] = 1  # the zero frequency
    flat = torch.full_like(k, (size[0] * size[1]) ** -0.5)
    torch.testing.assert_close(kspace_to_image(k), flat)
