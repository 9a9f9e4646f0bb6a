"""An augmented image is what another scan could have been, and can be made again to the bit."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from knee_i2m2.errors import ConfigError
from knee_i2m2.modalities.augmentation import Augmentation, Draw, add_noise, apply, flip, move, offset_phase

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
BATCH = 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(rows: int = 8, columns: int = 8, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(BATCH, 1, rows, columns, dtype=dtype, generator=seeded(1))


def modalities(dtype: torch.dtype = torch.float32, columns: int = 8) -> dict[str, Tensor]:
    x = images(columns=columns, dtype=torch.complex128)
    return {"magnitude": x.abs().to(dtype), "phase": x.angle().to(dtype), "position": torch.rand(BATCH, 1)}


def every(value: object, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor([value] * BATCH, dtype=dtype)


STILL, LEVEL = every([0.0, 0.0]), every(0.0)


def nothing() -> Draw:
    """The draw after which everything is as before."""
    return Draw(every(False, torch.bool), STILL, LEVEL, every([0.0] * 6), every(math.inf), every(0, torch.int64))


# Geometry -------------------------------------------------------------------------------------------------------------


def test_a_flip_exchanges_left_and_right_and_twice_is_nothing() -> None:
    flipped = torch.tensor([True, False, True])
    once = flip(images(), flipped)
    assert torch.equal(once[0, 0], torch.fliplr(images()[0, 0]))
    assert torch.equal(once[1], images()[1])
    assert torch.equal(flip(once, flipped), images())


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (7, 10), (9, 5)])
def test_no_shift_and_no_angle_is_nothing(rows: int, columns: int) -> None:
    torch.testing.assert_close(move(images(rows, columns), STILL, LEVEL), images(rows, columns))


@pytest.mark.parametrize(("down", "right"), [(0, 2), (3, 0), (-1, 2), (2, -3)])
def test_a_shift_by_whole_pixels_rolls_and_lets_zeros_enter(down: int, right: int) -> None:
    rows, columns = 8, 10
    x = images(rows, columns)
    rolled = x.roll((down, right), dims=(-2, -1))
    kept_rows = torch.arange(rows).sub(down).clamp(0, rows - 1) == torch.arange(rows) - down
    kept_columns = torch.arange(columns).sub(right).clamp(0, columns - 1) == torch.arange(columns) - right
    wanted = rolled * kept_rows[:, None] * kept_columns
    torch.testing.assert_close(move(x, every([down / rows, right / columns]), LEVEL), wanted)


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
@pytest.mark.parametrize("size", [7, 8])
def test_quarter_turns_of_a_square_are_torchs(quarters: int, size: int) -> None:
    turned = move(images(size, size), STILL, every(quarters * math.pi / 2))
    torch.testing.assert_close(turned, torch.rot90(images(size, size), quarters, dims=(-2, -1)))


def test_half_a_turn_of_any_image_reverses_both_axes() -> None:
    torch.testing.assert_close(move(images(6, 9), STILL, every(math.pi)), images(6, 9).flip(-2, -1))


def test_a_rotation_keeps_distances_on_an_image_that_is_no_square() -> None:
    v, u = torch.meshgrid(torch.arange(64.0) - 31.5, torch.arange(96.0) - 47.5, indexing="ij")
    disc = torch.exp(-((u - 15) ** 2 + v**2) / 18).double().expand(BATCH, 1, 64, 96) + 0j
    turned = move(disc, STILL, every(math.pi / 2))
    torch.testing.assert_close(turned.real[0, 0], torch.exp(-(u**2 + (v + 15) ** 2) / 18).double(), atol=1e-6, rtol=0)


def test_an_image_is_rotated_first_and_then_shifted() -> None:
    shift, angle = every([1 / 8, -2 / 8]), every(math.pi / 2)
    torch.testing.assert_close(move(images(), shift, angle), move(move(images(), STILL, angle), shift, LEVEL))


def test_moving_is_linear_and_so_leaves_a_global_phase_alone() -> None:
    shift, angle, turned = every([0.03, -0.02]), every(0.15), complex(math.cos(2), math.sin(2))
    moved = move(images(), shift, angle)
    torch.testing.assert_close(move(turned * images(), shift, angle), turned * moved)
    torch.testing.assert_close(move(images() + images().conj(), shift, angle), moved + moved.conj())


def test_the_jump_of_the_phase_is_not_smeared() -> None:
    angle = torch.full((BATCH, 1, 16, 16), math.pi - 0.01, dtype=torch.float64)
    angle[..., ::2] = -math.pi + 0.01  # two near angles; their mean as numbers would be far from both
    x = {"magnitude": torch.ones_like(angle), "phase": angle}
    moved = apply(replace(nothing(), shift=every([0.0, 0.5 / 16])), x)["phase"][..., 4:-4]
    assert (moved.abs() > math.pi - 0.011).all()


# Phase ----------------------------------------------------------------------------------------------------------------


def test_a_phase_offset_is_the_polynomial_and_leaves_the_magnitude_alone() -> None:
    offsets = torch.tensor([[0.1, 0.2, -0.3, 0.05, -0.15, 0.25]] * BATCH, dtype=torch.float64)
    turned = offset_phase(images(3, 5), offsets)
    torch.testing.assert_close(turned.abs(), images(3, 5).abs())
    for row, v in enumerate((-1, 0, 1)):
        for column, u in enumerate((-1, -0.5, 0, 0.5, 1)):
            angle = 0.1 + 0.2 * u - 0.3 * v + 0.05 * u * u - 0.15 * u * v + 0.25 * v * v
            wanted = images(3, 5)[..., row, column] * complex(math.cos(angle), math.sin(angle))
            torch.testing.assert_close(turned[..., row, column], wanted)


def test_phase_offsets_add_and_their_negative_undoes_them() -> None:
    one, two = (torch.randn(BATCH, 6, dtype=torch.float64, generator=seeded(s)) for s in (2, 3))
    torch.testing.assert_close(offset_phase(offset_phase(images(), one), two), offset_phase(images(), one + two))
    torch.testing.assert_close(offset_phase(offset_phase(images(), one), -one), images())


def test_of_all_that_is_drawn_only_the_phase_offset_changes_the_phase_but_not_the_magnitude() -> None:
    x = modalities(torch.float64)
    turned = apply(replace(nothing(), offsets=every([0.3] * 6)), x)
    torch.testing.assert_close(turned["magnitude"], x["magnitude"])
    assert not torch.allclose(turned["phase"], x["phase"])


# Noise ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snr", [0.0, 20.0, 40.0])
def test_noise_has_the_ratio_asked_for_and_is_alike_in_both_parts(snr: float) -> None:
    x = 7e-5 * images(200, 200)
    noise = add_noise(x, every(snr), torch.arange(BATCH)) - x
    for part, image in zip(noise, x, strict=True):
        ratio = 20 * math.log10(image.abs().square().mean().sqrt() / part.abs().square().mean().sqrt())
        assert ratio == pytest.approx(snr, abs=0.1)  # 40,000 pixels: a standard error of .02 dB
        assert part.real.std() / part.imag.std() == pytest.approx(1, abs=0.03)
        assert abs((part.real * part.imag).mean()) < 0.02 * part.abs().square().mean()
        assert abs(part.mean()) < 0.03 * part.abs().square().mean().sqrt()


def test_noise_is_its_seed_whatever_batch_it_is_in() -> None:
    x, snr, seeds = images(), every(10.0), torch.tensor([5, 6, 5])
    noise = (add_noise(x, snr, seeds) - x) / x.abs().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    torch.testing.assert_close(noise[0], noise[2])
    assert not torch.allclose(noise[0], noise[1])
    assert torch.equal(add_noise(x[1:], snr[1:], seeds[1:]), add_noise(x, snr, seeds)[1:])


def test_an_infinite_ratio_is_no_noise_and_an_empty_image_stays_empty() -> None:
    assert torch.equal(add_noise(images(), every(math.inf), torch.arange(BATCH)), images())
    assert torch.equal(add_noise(0 * images(), every(20.0), torch.arange(BATCH)), 0 * images())


# The whole ------------------------------------------------------------------------------------------------------------


def test_without_any_strength_the_modalities_are_what_they_were() -> None:
    x = modalities(torch.float64)
    for name, values in apply(nothing(), x).items():
        torch.testing.assert_close(values, x[name])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_magnitudes_stay_positive_phases_in_their_turn_and_the_rest_untouched(device: str, dtype: torch.dtype) -> None:
    x = {name: values.to(device) for name, values in modalities(dtype, columns=12).items()}
    changed = Augmentation()(x, seeded())
    assert {name: (v.shape, v.dtype, v.device) for name, v in changed.items()} == {
        name: (v.shape, v.dtype, v.device) for name, v in x.items()
    }
    pi = torch.tensor(math.pi, dtype=dtype, device=device)
    assert (changed["magnitude"] >= 0).all()
    assert (changed["phase"] > -pi).all() and (changed["phase"] <= pi).all()
    assert changed["position"] is x["position"]
    assert not torch.allclose(changed["magnitude"], x["magnitude"])


def test_the_lower_end_of_the_turn_is_its_upper_end() -> None:
    x = {"magnitude": torch.ones(BATCH, 1, 4, 4), "phase": torch.full((BATCH, 1, 4, 4), -math.pi)}
    torch.testing.assert_close(apply(nothing(), x)["phase"].abs(), torch.full((BATCH, 1, 4, 4), math.pi))
    assert (apply(nothing(), x)["phase"] > -math.pi).all()


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_draw_gives_the_same_bits_and_another_draw_others(device: str) -> None:
    x = {name: values.to(device) for name, values in modalities().items()}
    augmentation = Augmentation()
    draw, other = (augmentation.draw(BATCH, seeded(s)) for s in (0, 1))
    first, again = apply(draw, x), apply(draw, x)
    torch.manual_seed(99)  # the global generator has no say
    replayed, different = augmentation(x, seeded(0)), apply(other, x)
    for name in ("magnitude", "phase"):
        assert torch.equal(first[name], again[name]) and torch.equal(first[name], replayed[name])
        assert not torch.equal(first[name], different[name])


def test_the_images_of_a_batch_are_drawn_one_by_one() -> None:
    draw = Augmentation().draw(BATCH, seeded())
    for values in (draw.shift[:, 0], draw.shift[:, 1], draw.angle, draw.offsets[:, 0], draw.snr, draw.seeds):
        assert len(values.unique()) == BATCH
    x = modalities()
    last = Draw(**{f.name: getattr(draw, f.name)[2:] for f in fields(draw)})
    alone = apply(last, {name: values[2:] for name, values in x.items()})
    torch.testing.assert_close(apply(draw, x)["magnitude"][2:], alone["magnitude"])


def test_draws_fill_their_ranges_and_do_not_leave_them() -> None:
    augmentation = Augmentation(flip=0.25, shift=0.1, rotation=30.0, phase=0.5, snr=(10.0, 30.0))
    draw = augmentation.draw(4000, seeded())
    assert draw.flipped.double().mean() == pytest.approx(0.25, abs=0.03)
    ranges = {"shift": (-0.1, 0.1), "angle": (-math.pi / 6, math.pi / 6), "offsets": (-0.5, 0.5), "snr": (10, 30)}
    for name, (low, high) in ranges.items():
        values, slack = getattr(draw, name), 0.01 * (high - low)
        assert low <= values.min() <= low + slack and high - slack <= values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=3 * slack)


@pytest.mark.parametrize("missing", [("phase",), ("magnitude",), ("magnitude", "phase")])
def test_half_an_image_is_refused_in_words(missing: tuple[str, ...]) -> None:
    x = {name: values for name, values in modalities().items() if name not in missing}
    with pytest.raises(ConfigError, match=f"{' and '.join(missing)} is not here.*--augment"):
        Augmentation()(x, seeded())
    with pytest.raises(ConfigError, match="is not here"):
        apply(nothing(), x)
