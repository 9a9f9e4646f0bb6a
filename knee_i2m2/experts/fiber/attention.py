"""Attention of several heads, over texts and inside the windows of an image, and stochastic depth.

After Swin Transformer (Liu et al., 2021): the windows of an image are treated as further heads, so that one bias of
shape (windows x heads, pixels, pixels) serves the whole batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

__all__ = [
    "PADDING",
    "StochasticDepth",
    "Text",
    "WindowAttention",
    "attend",
    "joined",
    "padding_bias",
    "relative_positions",
    "shift_bias",
    "windows",
]

PADDING = 1
"""The token id that fills a short text (RoBERTa's)."""

_APART = -100.0
"""Added to the logits of pixels that only the cyclic shift has brought together."""


class Text(NamedTuple):
    """A text on its way through the layers.

    Attributes:
        stream: One vector per token.
        bias: 0 for real tokens, -10000 for padding; added to the attention logits of the text.
    """

    stream: Float[Tensor, "batch tokens width"]
    bias: Float[Tensor, "batch 1 1 tokens"]

    def repeated(self, times: int) -> Text:
        """Returns the batch with every text `times` times in a row."""
        return Text(*(part.repeat_interleave(times, dim=0) for part in self))


def padding_bias(tokens: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch 1 1 tokens"]:
    """Returns 0 for real tokens and -10000 for padding, whose weight is then exactly 0 after the softmax."""
    padded = (tokens == PADDING).to(torch.get_default_dtype())
    return -10000.0 * padded[:, None, None, :]


def attend(
    q: Float[Tensor, "batch queries width"],
    k: Float[Tensor, "batch keys width"],
    v: Float[Tensor, "batch keys width"],
    heads: int,
    bias: Float[Tensor, "#batch 1 1 keys"] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "batch queries width"]:
    r"""Returns :math:`\mathrm{softmax}(q k^\top / \sqrt{d} + b)\, v` head by head, heads side by side.

    References:
        Attention Is All You Need (Vaswani et al., 2017)
    """
    parts = (_heads_of(x, heads) for x in (q, k, v))
    mask = None if bias is None else bias.to(q.dtype)
    mixed = nn.functional.scaled_dot_product_attention(*parts, attn_mask=mask, dropout_p=dropout)
    return mixed.transpose(1, 2).flatten(2)


def _heads_of(x: Float[Tensor, "*batch tokens width"], heads: int) -> Float[Tensor, "*batch heads tokens part"]:
    """Returns the heads' parts of the vectors."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


class StochasticDepth(nn.Module):
    r"""Adds :math:`x + b\, r / (1 - p)` with :math:`r = 0` at rate p, one draw per sample (Huang et al., 2016).

    Args:
        rate: p, from 0 to below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "batch *shape"], branch: Float[Tensor, "batch *shape"]) -> Tensor:
        """Returns the sum; in evaluation nothing is dropped."""
        if not self.training or self.rate == 0:
            return x + branch
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x + branch * kept.to(branch.dtype) / (1 - self.rate)


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
        q, k, v = (_heads_of(x, self.heads).flatten(1, 2) for x in self.qkv(cut).chunk(3, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.bias().to(q.dtype))
        side_by_side = mixed.unflatten(1, (-1, self.heads)).transpose(2, 3).flatten(3)
        return self.proj(joined(side_by_side, self.side).roll((self.shift, self.shift), (1, 2)))

    def bias(self) -> Float[Tensor, "1 parts pixels pixels"]:
        """Returns the bias of every head in every window, windows first."""
        near = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        return (near[None] + self.attn_mask[:, None]).flatten(0, 1)[None]
