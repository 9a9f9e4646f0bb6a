r"""Augmentation of photographs that a sentence speaks of: another crop, the mirror image, another light.

After the fine-tuning of FIBER (Dou et al., 2022), which draws a crop of half to all of the area, a flip, and two of
RandAugment's operations; here brightness and contrast stand for the latter. New is that nothing is mirrored where the
sentence says left or right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from knee_i2m2.modalities.augmentation import symmetric
from knee_i2m2.types import Modalities

__all__ = ["SIDED", "PictureAugmentation", "PictureDraw", "apply"]

SIDED = "sided"
"""Name, beside the modalities of a batch, of whether a sentence says left or right."""


@dataclass(frozen=True)
class PictureDraw:
    """What happens to each picture; applied again, it gives the same bits on the same device.

    Attributes:
        window: Centre (across, down) in [-1, 1], then half the width and height of the crop; -1 to 1 is the picture.
        flipped: Whether left and right change places.
        light: What multiplies the deviation of the values (contrast), then what is added to them (brightness).
    """

    window: Float[Tensor, "pictures 4"]
    flipped: Bool[Tensor, " pictures"]
    light: Float[Tensor, "pictures 2"]


@dataclass(frozen=True)
class PictureAugmentation:
    """How strongly pictures are changed; called, it draws and applies.

    Attributes:
        area: Least share of the picture's area that a crop keeps; its sides keep their ratio.
        flip: Probability of the mirror image, where no sentence speaks of left or right.
        light: Greatest change of contrast (as a share) and of brightness (in standard deviations).
    """

    area: float = 0.5
    flip: float = 0.5
    light: float = 0.2

    def draw(self, sided: Bool[Tensor, " pictures"], generator: torch.Generator) -> PictureDraw:
        """Returns a draw, uniform within the strengths, from a generator on the CPU."""
        many = len(sided)
        half = (self.area + (1 - self.area) * torch.rand(many, generator=generator)).sqrt()[:, None]
        centre = (1 - half) * symmetric((many, 2), generator)
        flipped = (torch.rand(many, generator=generator) < self.flip) & ~sided
        light = self.light * symmetric((many, 2), generator) + torch.tensor([1.0, 0.0])
        return PictureDraw(torch.cat([centre, half, half], dim=1), flipped, light)

    def __call__(self, x: Modalities, generator: torch.Generator) -> Modalities:
        """Returns the batch with each of its `images` changed by a draw of its own, and without `sided`.

        Args:
            x: `images` (batch, pictures, 3, rows, columns), normalised, and `sided` (batch,).
            generator: On the CPU.
        """
        images, pictures = x["images"], x["images"].shape[1]
        draw = self.draw(x[SIDED].cpu().repeat_interleave(pictures), generator)
        changed = apply(draw, images.flatten(0, 1)).unflatten(0, (-1, pictures))
        return {**{name: values for name, values in x.items() if name != SIDED}, "images": changed}


def apply(
    draw: PictureDraw, images: Float[Tensor, "pictures 3 rows columns"]
) -> Float[Tensor, "pictures 3 rows columns"]:
    """Returns the crops at the pictures' own size, mirrored and lit as they were drawn."""
    across, down, wide, high = draw.window.to(images).unbind(dim=1)
    wide = torch.where(draw.flipped.to(images.device), -wide, wide)
    zero = torch.zeros_like(wide)
    theta = torch.stack([wide, zero, across, zero, high, down], dim=1).unflatten(1, (2, 3))
    cut = grid_sample(images, affine_grid(theta, images.shape, align_corners=False), align_corners=False)
    contrast, brightness = draw.light.to(images)[:, :, None, None, None].unbind(dim=1)
    mean = cut.mean(dim=(1, 2, 3), keepdim=True)
    return mean + contrast * (cut - mean) + brightness
