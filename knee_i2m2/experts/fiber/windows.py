"""Windows of an image, and attention inside them.

After Swin Transformer (Liu et al., 2021). The windows of a picture are treated as further heads, so that one bias of
shape (windows x heads, pixels, pixels) serves the whole batch.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from knee_i2m2.experts.fiber.attention import heads_of

__all__ = ["WindowAttention", "joined", "relative_positions", "shift_bias", "windows"]

_APART = -100.0
"""Added to the logits of pixels that only the cyclic shift has brought together."""


def windows(x: Float[Tensor, "batch side side width"], window: int) -> Float[Tensor, "batch windows pixels width"]:
    """Returns the square windows, row by row, and the pixels of each, row by row."""
    cells = x.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def joined(x: Float[Tensor, "batch windows pixels width"], side: int) -> Float[Tensor, "batch side side width"]:
    """Returns the image from its windows."""
    window = round(x.shape[2] ** 0.5)
    cells = x.unflatten(2, (window, window)).unflatten(1, (side // window, side // window))
    return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def relative_positions(window: int) -> Int64[Tensor, "pixels pixels"]:
    r"""Returns the table row :math:`(y_i - y_j + w - 1)(2w - 1) + (x_i - x_j + w - 1)` of query i and key j."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    rows, columns = (c.flatten()[:, None] - c.flatten()[None, :] + window - 1 for c in (y, x))
    return rows * (2 * window - 1) + columns


def shift_bias(side: int, window: int, shift: int) -> Float[Tensor, "windows pixels pixels"]:
    """Returns -100 between pixels of a shifted image that are no neighbours in the picture, else 0."""
    place = torch.arange(side)
    band = (place >= side - window).int() + (place >= side - shift).int()
    labels = windows((3 * band[:, None] + band[None, :])[None, :, :, None].to(torch.get_default_dtype()), window)
    labels = labels[0, :, :, 0]
    return _APART * (labels[:, :, None] != labels[:, None, :]).to(torch.get_default_dtype())


class WindowAttention(nn.Module):
    r"""Projects :math:`\mathrm{softmax}(q k^\top / \sqrt{d} + \mathrm{table} + \mathrm{shift})\, v` in each window.

    Args:
        width: Channels.
        heads: Heads, a divisor of `width`.
        side: Rows and columns of the image, a multiple of `window`.
        window: Rows and columns of a window.
        shift: Pixels by which the image is rolled up and left before it is cut.
    """

    relative_position_index: Tensor
    attn_mask: Tensor

    def __init__(self, width: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.side, self.window, self.shift = heads, side, window, shift
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_positions(window), persistent=False)
        self.register_buffer("attn_mask", shift_bias(side, window, shift), persistent=False)

    def forward(self, u: Float[Tensor, "batch side side width"]) -> Float[Tensor, "batch side side width"]:
        """Returns what the pixels learn from their windows."""
        cut = windows(u.roll((-self.shift, -self.shift), (1, 2)), self.window)
        q, k, v = (heads_of(x, self.heads).flatten(1, 2) for x in self.qkv(cut).chunk(3, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.bias().to(q.dtype))
        side_by_side = mixed.unflatten(1, (-1, self.heads)).transpose(2, 3).flatten(3)
        return self.proj(joined(side_by_side, self.side).roll((self.shift, self.shift), (1, 2)))

    def bias(self) -> Float[Tensor, "1 parts pixels pixels"]:
        """Returns the bias of every head in every window, windows first."""
        near = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        return (near[None] + self.attn_mask[:, None]).flatten(0, 1)[None]
