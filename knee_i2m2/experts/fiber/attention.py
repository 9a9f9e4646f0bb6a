"""Attention of several heads, the mask of a padded text, and stochastic depth: what both of FIBER's towers use."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

__all__ = ["PADDING", "StochasticDepth", "Text", "attend", "heads_of", "padding_bias"]

PADDING = 1
"""The token id that fills a short text (RoBERTa's)."""


class Text(NamedTuple):
    """A text on its way through the layers.

    Attributes:
        stream: One vector per token.
        bias: 0 for real tokens, -10000 for padding; it is added to the logits of whoever attends to the text.
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
    parts = (heads_of(x, heads) for x in (q, k, v))
    mask = None if bias is None else bias.to(q.dtype)
    mixed = nn.functional.scaled_dot_product_attention(*parts, attn_mask=mask, dropout_p=dropout)
    return mixed.transpose(1, 2).flatten(2)


def heads_of(x: Float[Tensor, "*batch tokens width"], heads: int) -> Float[Tensor, "*batch heads tokens part"]:
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
