"""FIBER: one backbone for image, text and both, whose last blocks read each other.

After Coarse-to-Fine Vision-Language Pre-training with Fusion in the Backbone (Dou et al., 2022), its coarse-grained
model; parameters have the names of `fiber_pretrain.ckpt`. New is that the blocks below the fusion, which the three
passes have in common, can be run once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.fiber.attention import Text, WindowAttention
from knee_i2m2.experts.fiber.image import SwinSize, SwinTower
from knee_i2m2.experts.fiber.text import RobertaSize, RobertaTower

__all__ = ["BASE", "TINY", "Alone", "Fiber", "FiberSize", "Joint", "initialise"]


@dataclass(frozen=True)
class FiberSize:
    """How large a backbone is and where it starts; the defaults are FIBER-base.

    Attributes:
        image: The image tower.
        text: The text tower.
        fused: How many pairs of last blocks and layers read each other.
        width: Width of the features.
        alpha: Where the gates start; 0 starts from the unimodal towers.
        deviation: Standard deviation of the first weights; None for those of `initialise`.
    """

    image: SwinSize = field(default_factory=SwinSize)
    text: RobertaSize = field(default_factory=RobertaSize)
    fused: int = 6
    width: int = 768
    alpha: float = 0.0
    deviation: float | None = 0.02

    def __post_init__(self) -> None:
        most = min(len(self.image.places), self.text.layers)
        if not 0 < self.fused <= most:
            raise ConfigError(f"{self.fused} fused pairs: give 1 to {most}, the blocks of the shorter tower")

    @property
    def image_widths(self) -> tuple[int, ...]:
        """Channels of the image that the text layer of each pair reads."""
        return tuple(self.image.widths[stage] for stage, _ in self.image.places[-self.fused :])


BASE = FiberSize()
"""Swin-B at 384 pixels and RoBERTa-base."""

TINY = FiberSize(
    image=SwinSize(side=48, patch=8, width=24, depths=(2, 2), heads=(2, 4), depth_rate=0.0),
    text=RobertaSize(width=48, layers=2, heads=4, hidden=96, words=128, positions=66, dropout=0.0),
    fused=2,
    width=48,
    deviation=None,
)
"""For scenes on a CPU, trained from nothing: two stages, window 3, two fused pairs."""


class Joint(NamedTuple):
    """What the joint pass gives.

    Attributes:
        text: Features of the tokens.
        image: Features of the pixels.
        pooled: Of the text, then of the image.
    """

    text: Float[Tensor, "batch tokens width"]
    image: Float[Tensor, "batch pixels width"]
    pooled: Float[Tensor, "batch twice"]


class Alone(NamedTuple):
    """What a pass over one modality gives.

    Attributes:
        features: Of the tokens or pixels.
        pooled: A vector of length 1.
    """

    features: Float[Tensor, "batch places width"]
    pooled: Float[Tensor, "batch width"]


class Fiber(nn.Module):
    r"""Two towers; in the last pairs of blocks :math:`(x, t) \leftarrow (f(x, t), g(t, x))`, both from the old streams.

    Args:
        size: How large it is.
        recompute: Whether blocks are computed again for the gradient instead of being kept: less memory, more time.
    """

    def __init__(self, size: FiberSize, recompute: bool = False) -> None:
        super().__init__()
        self.size, self.recompute = size, recompute
        self.vit_model = SwinTower(size.image, size.fused, size.text.width, size.alpha)
        self.text_transformer = RobertaTower(size.text, size.image_widths, size.alpha)
        for suffix in ("", "_itc"):
            self.add_module(f"cross_modal_text_transform{suffix}", nn.Linear(size.text.width, size.width))
            self.add_module(f"cross_modal_image_transform{suffix}", nn.Linear(size.image.widths[-1], size.width))
            self.add_module(f"cross_modal_text_pooler{suffix}", _Pooler(size.width))
            self.add_module(f"cross_modal_image_pooler{suffix}", _Pooler(size.width))
        initialise(self, size.deviation)

    def joint(self, images: Float[Tensor, "batch 3 side side"], tokens: Int64[Tensor, "batch tokens"]) -> Joint:
        """Returns the joint pass over images and texts, pair by pair."""
        return self.joint_from(self.image_trunk(images), self.text_trunk(tokens))

    def image(self, images: Float[Tensor, "batch 3 side side"]) -> Alone:
        """Returns the pass over images alone."""
        return self.image_from(self.image_trunk(images))

    def text(self, tokens: Int64[Tensor, "batch tokens"]) -> Alone:
        """Returns the pass over texts alone."""
        return self.text_from(self.text_trunk(tokens))

    def image_trunk(self, images: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch rows rows channels"]:
        """Returns the images before the first fused block: the same in the joint pass and alone."""
        x = self.vit_model.stem(images)
        for n in range(self._blocks - self.size.fused):
            x = self._run(self.vit_model.step, n, x)
        return x

    def text_trunk(self, tokens: Int64[Tensor, "batch tokens"]) -> Text:
        """Returns the texts before the first fused layer: the same in the joint pass and alone."""
        text = self.text_transformer.stem(tokens)
        for n in range(self._layers - self.size.fused):
            text = self._layer(n, text)
        return text

    def joint_from(self, x: Float[Tensor, "batch rows rows channels"], text: Text) -> Joint:
        """Returns the joint pass from the trunks: no last norm in either tower."""
        for pair in range(-self.size.fused, 0):
            if pair != -self.size.fused:
                text = self.text_transformer.norm(self._layers + pair - 1, text)
            x, text = self._run(self._pair, pair, x, text)
        t = self.cross_modal_text_transform(text.stream)
        i = self.cross_modal_image_transform(x.flatten(1, 2))
        pooled = self.cross_modal_text_pooler(t[:, 0]), self.cross_modal_image_pooler(i.mean(dim=1))
        return Joint(t, i, torch.cat(pooled, dim=-1))

    def image_from(self, x: Float[Tensor, "batch rows rows channels"]) -> Alone:
        """Returns the pass over images alone, from the trunk."""
        for n in range(self._blocks - self.size.fused, self._blocks):
            x = self._run(self.vit_model.step, n, x)
        i = self.cross_modal_image_transform_itc(self.vit_model.norm(x.flatten(1, 2)))
        return Alone(i, _unit(self.cross_modal_image_pooler_itc(i.mean(dim=1))))

    def text_from(self, text: Text) -> Alone:
        """Returns the pass over texts alone, from the trunk."""
        for n in range(self._layers - self.size.fused, self._layers):
            text = self._layer(n, text)
        t = self.cross_modal_text_transform_itc(text.stream)
        return Alone(t, _unit(self.cross_modal_text_pooler_itc(t[:, 0])))

    def parameters_of(self, passes: Collection[str]) -> frozenset[str]:
        """Returns the names of the parameters that some of the passes `joint`, `image` and `text` use.

        What no pass uses (the text tower's pooler, the norms of its cross terms, gates below the fusion) needs no
        gradient in any case.
        """
        names = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        last = f"text_transformer.encoder.layer.{self._layers - 1}.output.LayerNorm."
        return frozenset(name for name in names if any(_USED[p](name, last) for p in passes))

    @property
    def _blocks(self) -> int:
        return len(self.size.image.places)

    @property
    def _layers(self) -> int:
        return self.size.text.layers

    def _layer(self, n: int, text: Text) -> Text:
        return self.text_transformer.norm(n, self._run(self.text_transformer.step, n, text))

    def _pair(self, pair: int, x: Tensor, text: Text) -> tuple[Tensor, Text]:
        """Returns both streams after a pair; each member reads the other stream as it was before."""
        read = self.text_transformer.step(self._layers + pair, text, x.flatten(1, 2))
        return self.vit_model.step(self._blocks + pair, x, text), read

    def _run(self, step: Callable, *given: int | Tensor | Text) -> Tensor | Text | tuple[Tensor, Text]:
        """Returns `step(*given)`, kept for the gradient or to be computed again."""
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(step, *given, use_reentrant=False)
        return step(*given)


_USED: dict[str, Callable[[str, str], bool]] = {
    "joint": lambda name, last: not name.startswith(("vit_model.norm.", last)) and "_itc." not in name,
    "image": lambda name, last: (name.startswith("vit_model.") and "i2t" not in name) or _ends(name, "image"),
    "text": lambda name, last: (name.startswith("text_transformer.") and "t2i" not in name) or _ends(name, "text"),
}
"""Pass -> whether it uses the parameter `name`; `last` begins the names of the text tower's last norm."""


def initialise(network: nn.Module, deviation: float | None) -> None:
    """Draws the weights of linear maps, embeddings and position tables from N(0, deviation); biases are 0.

    For None a linear map's variance is 1 / its inputs (LeCun et al., 1998) and that of embeddings and tables is 1. This
    keeps streams of any width at the same size; what is narrow and not pre-trained learns little otherwise.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=_deviation(module, deviation))
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx].detach())
        if isinstance(module, WindowAttention):
            nn.init.normal_(module.relative_position_bias_table, std=_deviation(module, deviation))


def _deviation(module: nn.Module, fixed: float | None) -> float:
    """Returns the standard deviation of a module's first weights."""
    if fixed is not None:
        return fixed
    return module.in_features**-0.5 if isinstance(module, nn.Linear) else 1.0


class _Pooler(nn.Module):
    """A linear map and a tanh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, h: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return self.dense(h).tanh()


def _unit(h: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
    """Returns vectors of length 1."""
    return h / h.norm(dim=-1, keepdim=True)


def _ends(name: str, tower: str) -> bool:
    """Returns whether a parameter stands between a tower's unimodal stream and its pooled vector."""
    return name.startswith(f"cross_modal_{tower}_") and "_itc." in name
