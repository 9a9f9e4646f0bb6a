"""The image tower of FIBER: a Swin Transformer whose last blocks may ask a text.

After Swin Transformer (Liu et al., 2021) and FIBER (Dou et al., 2022). As in FIBER the window is 1/32 of the image's
side, whatever the side: in general, the side of the last stage, which is then one window without a shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.fiber.attention import StochasticDepth, Text, WindowAttention
from knee_i2m2.experts.fiber.fusion import FusedWindowAttention

__all__ = ["SwinSize", "SwinTower"]


@dataclass(frozen=True)
class SwinSize:
    """How large an image tower is; the defaults are Swin-B at 384 pixels.

    Attributes:
        side: Rows and columns of an image, a multiple of `patch * 2 ** (stages - 1)`.
        patch: Rows and columns of what becomes one pixel of the first stage.
        width: Channels of the first stage; each next one has twice as many.
        depths: Blocks per stage.
        heads: Heads per stage.
        depth_rate: Rate of stochastic depth in the last block; it rises linearly from 0.
    """

    side: int = 384
    patch: int = 4
    width: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    depth_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.side < self.coarse or self.side % self.coarse:
            raise ConfigError(f"image side {self.side}: give a multiple of {self.coarse}, such as {12 * self.coarse}")
        if len(self.heads) != len(self.depths):
            raise ConfigError(f"{len(self.depths)} stages and {len(self.heads)} numbers of heads: give one per stage")
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise ConfigError(f"{heads} heads do not divide {width} channels; give a divisor")

    @property
    def coarse(self) -> int:
        """Pixels of the image, along a side, that become one pixel of the last stage."""
        return self.patch * 2 ** (len(self.depths) - 1)

    @property
    def window(self) -> int:
        """Rows and columns of a window."""
        return self.side // self.coarse

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.width * 2**s for s in range(len(self.depths)))

    @property
    def sides(self) -> tuple[int, ...]:
        """Rows and columns of each stage."""
        return tuple(self.side // self.patch // 2**s for s in range(len(self.depths)))

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """(stage, block of the stage) of every block."""
        return tuple((s, b) for s, depth in enumerate(self.depths) for b in range(depth))


class SwinTower(nn.Module):
    """A Swin Transformer that is run block by block.

    Args:
        size: How large it is.
        fused: How many of its last blocks may ask a text.
        text_width: Width of the text stream.
        alpha: Where the gates start.
    """

    def __init__(self, size: SwinSize, fused: int, text_width: int, alpha: float) -> None:
        super().__init__()
        self.size = size
        self.patch_embed = _Stem(size.patch, size.width)
        rates = torch.linspace(0, size.depth_rate, len(size.places), device="cpu").tolist()
        asking = len(size.places) - fused
        blocks = [
            _Block(size, place, rate, (text_width, alpha) if n >= asking else None)
            for n, (place, rate) in enumerate(zip(size.places, rates, strict=True))
        ]
        self.layers = nn.ModuleList(_Stage(size, s, blocks) for s in range(len(size.depths)))
        self.norm = nn.LayerNorm(size.widths[-1])

    def stem(self, images: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch rows rows width"]:
        """Returns what enters the first block.

        Raises:
            ValueError: The images have another side than the tower.
        """
        if images.shape[-1] != self.size.side:
            raise ValueError(f"images of {images.shape[-1]} pixels a side come to a tower built for {self.size.side}")
        return self.patch_embed(images)

    def step(self, n: int, x: Float[Tensor, "batch rows rows width"], text: Text | None = None) -> Tensor:
        """Returns what comes after block `n`, and after the merging where a stage ends there."""
        s, b = self.size.places[n]
        x = self.layers[s].blocks[b](x, text)
        ends = b + 1 == self.size.depths[s] and s + 1 < len(self.size.depths)
        return self.layers[s].downsample(x) if ends else x


class _Stem(nn.Module):
    """Patches, each a vector, normalised."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj, self.norm = nn.Conv2d(3, width, patch, stride=patch), nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Float[Tensor, "batch rows rows width"]:
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class _Stage(nn.Module):
    """Blocks of one resolution, and the merging after them in all stages but the last."""

    def __init__(self, size: SwinSize, s: int, blocks: list[_Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block for block, place in zip(blocks, size.places, strict=True) if place[0] == s)
        if s + 1 < len(size.depths):
            self.downsample = _Merging(size.widths[s])


class _Block(nn.Module):
    """Window attention, the text where one is given, and a perceptron; both halves are residual.

    One draw of the stochastic depth covers the window attention and its cross term.
    """

    def __init__(
        self, size: SwinSize, place: tuple[int, int], depth_rate: float, asks: tuple[int, float] | None
    ) -> None:
        super().__init__()
        s, b = place
        width, side, heads, window = size.widths[s], size.sides[s], size.heads[s], size.window
        shift = window // 2 if b % 2 and side > window else 0
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        if asks:
            self.attn = FusedWindowAttention(width, heads, side, window, shift, *asks)
        else:
            self.attn = WindowAttention(width, heads, side, window, shift)
        self.mlp = _Perceptron(width)
        self.add = StochasticDepth(depth_rate)

    def forward(self, x: Float[Tensor, "batch rows rows width"], text: Text | None) -> Tensor:
        a = self.attn(self.norm1(x))
        x = self.add(x, a if text is None else self.attn.asked(a, text))
        return self.add(x, self.mlp(self.norm2(x)))


class _Perceptron(nn.Module):
    """One hidden layer, four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class _Merging(nn.Module):
    """Four pixels become one of twice the channels; in each 2 x 2 cell the order is down, then right."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Float[Tensor, "batch rows rows width"]) -> Tensor:
        cells = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(cells, dim=-1)))
