"""Pictures are cropped, mirrored and lit as drawn, and never mirrored where the sentence speaks of left or right."""

from __future__ import annotations

import torch

from knee_i2m2.modalities.picture_augmentation import PictureAugmentation, PictureDraw, apply

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
AS_IS = torch.tensor([[1.0, 0.0]])


def pictures(many: int = 1, side: int = 8) -> torch.Tensor:
    return torch.randn(many, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def draw(window: torch.Tensor = WHOLE, flipped: bool = False, light: torch.Tensor = AS_IS) -> PictureDraw:
    return PictureDraw(window, torch.tensor([flipped]), light)


def test_the_whole_picture_as_it_is_stays_what_it_was() -> None:
    x = pictures()
    assert torch.allclose(apply(draw(), x), x, atol=1e-12)


def test_a_mirror_image_has_left_and_right_exchanged() -> None:
    x = pictures()
    assert torch.allclose(apply(draw(flipped=True), x), x.flip(-1), atol=1e-12)


def test_a_crop_shows_its_window_and_nothing_else() -> None:
    x = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    x[..., :4, 4:] = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)[:, None, None]  # the upper right quarter
    cut = apply(draw(torch.tensor([[0.5, -0.5, 0.5, 0.5]])), x)
    inner = cut[..., 1:-1, 1:-1]
    assert torch.allclose(inner, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)[:, None, None].expand_as(inner))
    elsewhere = apply(draw(torch.tensor([[-0.5, 0.5, 0.5, 0.5]])), x)[..., 1:-1, 1:-1]
    assert not elsewhere.any()


def test_light_changes_mean_and_deviation_as_told() -> None:
    x = pictures()
    lit = apply(draw(light=torch.tensor([[1.5, 0.25]])), x)
    assert torch.isclose(lit.mean(), x.mean() + 0.25)
    assert torch.isclose(lit.std(), 1.5 * x.std())


def test_nothing_is_mirrored_where_the_sentence_is_sided_and_half_is_elsewhere() -> None:
    sided = torch.arange(4000) % 2 == 0
    drawn = PictureAugmentation().draw(sided, torch.Generator().manual_seed(1))
    assert not drawn.flipped[sided].any()
    assert 0.45 < drawn.flipped[~sided].float().mean() < 0.55


def test_crops_keep_at_least_the_least_area_and_lie_within_the_picture() -> None:
    drawn = PictureAugmentation(area=0.5).draw(torch.zeros(4000, dtype=torch.bool), torch.Generator().manual_seed(2))
    centre, half = drawn.window[:, :2], drawn.window[:, 2:]
    area = half.prod(dim=1)
    assert 0.5 <= area.min() < 0.51 and 0.99 < area.max() <= 1
    assert (centre.abs() + half).max() <= 1 + 1e-6


def test_a_batch_is_changed_picture_by_picture_and_loses_only_what_it_was_told() -> None:
    images = pictures(6).float().unflatten(0, (3, 2))
    x = {"images": images, "sentence": torch.ones(3, 5), "sided": torch.tensor([True, False, True])}
    changed = PictureAugmentation()(x, torch.Generator().manual_seed(3))
    assert changed.keys() == {"images", "sentence"} and changed["images"].shape == images.shape
    assert not torch.isclose(changed["images"], images).all(dim=(2, 3, 4)).any()
    again = PictureAugmentation()(x, torch.Generator().manual_seed(3))
    assert torch.equal(again["images"], changed["images"])
