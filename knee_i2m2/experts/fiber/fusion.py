r"""The gated cross terms of FIBER: :math:`a \leftarrow a + \alpha\, W\, \mathrm{Attn}(q(a), k(y), v(y))`.

A term is added to the result of a layer's own attention, before the residual; its gate :math:`\alpha` is one
unconstrained number that starts at 0, so that fusion begins with the unimodal networks (Dou et al., 2022).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.experts.fiber.attention import Text, WindowAttention, attend

__all__ = ["FusedWindowAttention", "TextQueriesImage", "gate"]


def gate(alpha: float) -> nn.Parameter:
    """Returns a gate that stands at `alpha`."""
    return nn.Parameter(torch.full((1,), alpha))


class FusedWindowAttention(WindowAttention):
    """Window attention whose pixels may then ask a text; every window sees the whole text.

    Args:
        width: Channels.
        heads: Heads, of both attentions.
        side: Rows and columns of the image.
        window: Rows and columns of a window.
        shift: Pixels by which the windows are shifted.
        text_width: Width of the text stream.
        alpha: Where the gate starts.
    """

    def __init__(
        self, width: int, heads: int, side: int, window: int, shift: int, text_width: int, alpha: float
    ) -> None:
        super().__init__(width, heads, side, window, shift)
        self.alpha_i2t = gate(alpha)
        self.qkv_text_i2t = nn.Linear(text_width, 2 * width)
        self.qkv_i2t, self.proj_i2t = nn.Linear(width, width), nn.Linear(width, width)
        self.norm_i2t_i = nn.LayerNorm(width)

    def asked(self, a: Float[Tensor, "batch side side width"], text: Text) -> Float[Tensor, "batch side side width"]:
        """Returns `a`, the result of the window attention, with what the pixels learn from the text."""
        pixels = a.flatten(1, 2)
        k, v = self.qkv_text_i2t(text.stream).chunk(2, dim=-1)
        learnt = attend(self.qkv_i2t(self.norm_i2t_i(pixels)), k, v, self.heads, text.bias)
        return (pixels + self.alpha_i2t * self.proj_i2t(learnt)).unflatten(1, a.shape[1:3])


class TextQueriesImage(nn.Module):
    """What the tokens learn from the pixels; the gate is the layer's.

    Args:
        queries: With linear maps `query`, `key` and `value`, the last two from the image's width.
        output: A module whose `dense` and `dropout` end the attention; its norm is in the checkpoint and is not used.
        heads: Heads.
        dropout: Rate for the attention's weights.
    """

    def __init__(self, queries: nn.ModuleDict, output: nn.Module, heads: int, dropout: float) -> None:
        super().__init__()
        self.self, self.output = queries, output
        self.heads, self.dropout = heads, dropout

    def forward(
        self, a: Float[Tensor, "batch tokens width"], pixels: Float[Tensor, "batch pixels channels"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Returns the term, before its gate."""
        q, k, v = self.self["query"](a), self.self["key"](pixels), self.self["value"](pixels)
        dropout = self.dropout if self.training else 0.0
        return self.output.dropout(self.output.dense(attend(q, k, v, self.heads, dropout=dropout)))
