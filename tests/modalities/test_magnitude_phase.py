"""Magnitude and phase split an image, each blind to what is the other's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from knee_i2m2.modalities.magnitude_phase import cos_sin, magnitude, parts_of, phase, polar, rms


def volume(dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(3, 4, 5, dtype=dtype, generator=torch.Generator().manual_seed(0))


def test_together_they_are_the_image_up_to_its_unit() -> None:
    image = volume()
    again = magnitude(image) * torch.exp(1j * phase(image))
    rms = image.abs().square().mean().sqrt()
    torch.testing.assert_close(again.squeeze(1) * rms, image)
    assert again.shape == (3, 1, 4, 5)


def test_the_magnitude_is_in_units_of_the_volume_s_root_mean_square() -> None:
    m = magnitude(volume())
    torch.testing.assert_close(m.square().mean(), torch.ones((), dtype=m.dtype))
    assert not torch.isclose(m[0].square().mean(), m[1].square().mean())  # of the volume, not of each slice


@pytest.mark.parametrize("angle", [0.3, math.pi, -2.0])
def test_a_global_phase_is_nothing_to_the_magnitude_and_adds_to_the_phase(angle: float) -> None:
    image, turned = volume(), volume() * complex(math.cos(angle), math.sin(angle))
    torch.testing.assert_close(magnitude(turned), magnitude(image))
    torch.testing.assert_close(cos_sin(phase(turned)), cos_sin(phase(image) + angle))


@pytest.mark.parametrize("factor", [1e-12, 1e-4, 3.0, 1e6])
def test_the_scanner_s_scale_is_nothing_to_either(factor: float) -> None:
    image = volume(torch.complex64)
    torch.testing.assert_close(magnitude(factor * image), magnitude(image))
    torch.testing.assert_close(phase(factor * image), phase(image))


def test_a_volume_without_signal_stays_zero() -> None:
    assert magnitude(torch.zeros(2, 3, 3, dtype=torch.complex64)).eq(0).all()


def test_cosine_and_sine_have_unit_modulus_and_no_jump_at_pi() -> None:
    angle = phase(volume())
    cos, sin = cos_sin(angle).chunk(2, dim=1)
    torch.testing.assert_close(cos.square() + sin.square(), torch.ones_like(angle))
    torch.testing.assert_close(torch.atan2(sin, cos), angle)  # cosine comes first
    below, above = (torch.full((1, 1, 1, 1), sign * (math.pi - 1e-9), dtype=torch.float64) for sign in (-1, 1))
    torch.testing.assert_close(cos_sin(below), cos_sin(above), rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_the_polar_form_is_torchs(dtype: torch.dtype) -> None:
    image = volume(dtype)
    m, angle = polar(parts_of(image))
    torch.testing.assert_close(m, image.abs())
    torch.testing.assert_close(angle, image.angle())


def test_intensities_whose_squares_no_float_holds_have_a_root_mean_square() -> None:
    parts = parts_of(volume()).float()
    assert rms(1e25 * parts) == pytest.approx(1e25 * rms(parts), rel=1e-6)
    assert rms(parts) == pytest.approx(float(volume().abs().square().mean().sqrt()), rel=1e-6)
