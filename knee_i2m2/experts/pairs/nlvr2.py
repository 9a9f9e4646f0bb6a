"""The experts of NLVR2: is a sentence true of a pair of pictures?

After I2M2 (Madaan et al., 2024) and FIBER (Dou et al., 2022): pictures, sentence and both go through one backbone. New
is that the blocks below the fusion run once for all experts.
"""

from __future__ import annotations

from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError, suggestion
from knee_i2m2.experts.fiber.fiber import Fiber, FiberSize, initialise
from knee_i2m2.experts.shared import Shared
from knee_i2m2.types import Modalities, encoding_of, modalities_of

__all__ = ["ENCODINGS", "PairEncoder", "answering_head", "check_names", "nlvr2_experts", "side_by_side"]

_PASSES = {"images": "image", "sentence": "text", "images+sentence": "joint"}
"""Encoding -> pass of the backbone."""

ENCODINGS = tuple(_PASSES)
"""What NLVR2's experts can read, whatever the backbone."""


def nlvr2_experts(
    names: Collection[str], size: FiberSize, pictures: int = 2, classes: int = 2, recompute: bool = False
) -> Shared:
    """Returns experts that share one backbone; what none of them uses is frozen.

    `experts.encoders.fiber` is the backbone and `experts.head("images+sentence")` what FIBER calls `nlvr2_classifier`:
    both are arguments of `fiber_checkpoint.load_fiber`.

    Args:
        names: Of `images`, `sentence` and `images+sentence`; a copy's `.2` is a head of its own on the same features.
        size: How large the backbone is.
        pictures: Pictures per sentence: 2, and 1 in NLVR.
        classes: Answers.
        recompute: Whether the backbone's blocks are computed again for the gradient.

    Raises:
        ConfigError: A name is unknown.
    """
    check_names(names)
    encoder = PairEncoder(Fiber(size, recompute))
    widths = {"images": pictures * size.width, "sentence": size.width, "images+sentence": 2 * pictures * size.width}
    used = encoder.fiber.parameters_of({_PASSES[encoding_of(name)] for name in names})
    for name, parameter in encoder.fiber.named_parameters():
        parameter.requires_grad_(name in used)
    hidden, deviation = 2 * size.width, size.deviation
    heads = {name: answering_head(widths[encoding_of(name)], hidden, classes, deviation) for name in names}
    return Shared(encoder, heads)


def check_names(names: Collection[str]) -> None:
    """Raises ConfigError for an expert that reads none of `ENCODINGS`."""
    for name in names:
        if encoding_of(name) not in ENCODINGS:
            raise ConfigError(f"expert {name}: NLVR2 has none; {suggestion(name, ENCODINGS)}")


class PairEncoder(nn.Module):
    """The three passes of a backbone over several pictures and one sentence.

    The modalities are `images`, (batch, pictures, 3, side, side), normalised, and `sentence`, token ids (batch, tokens)
    with padding 1.

    Args:
        fiber: The backbone.
    """

    def __init__(self, fiber: Fiber) -> None:
        super().__init__()
        self.fiber = fiber

    @property
    def names(self) -> tuple[str, ...]:
        """The encodings."""
        return ENCODINGS

    def forward(self, x: Modalities, wanted: Collection[str]) -> dict[str, Tensor]:
        """Returns the wanted encodings; what they have in common is computed once."""
        seen = {m for name in wanted for m in modalities_of(name)}
        pictures = self._pictures(x["images"]) if "images" in seen else None
        text = self.fiber.text_trunk(x["sentence"]) if "sentence" in seen else None
        encoded = {}
        if "images" in wanted:
            encoded["images"] = side_by_side(self.fiber.image_from(pictures).pooled, len(x["images"]))
        if "sentence" in wanted:
            encoded["sentence"] = self.fiber.text_from(text).pooled
        if "images+sentence" in wanted:
            each = text.repeated(x["images"].shape[1])
            encoded["images+sentence"] = side_by_side(self.fiber.joint_from(pictures, each).pooled, len(x["images"]))
        return encoded

    def _pictures(self, images: Float[Tensor, "batch pictures 3 side side"]) -> Float[Tensor, "all rows rows channels"]:
        """Returns the trunk of every picture, a sample's pictures in a row."""
        return self.fiber.image_trunk(images.flatten(0, 1))


def side_by_side(pooled: Float[Tensor, "all width"], batch: int) -> Float[Tensor, "batch widths"]:
    """Returns the features of a sample's pictures as one vector, the first picture first."""
    return pooled.unflatten(0, (batch, -1)).flatten(1)


def answering_head(features: int, hidden: int, classes: int, deviation: float | None) -> nn.Sequential:
    """Returns linear, norm, GELU, linear, as FIBER's `nlvr2_classifier` and ViLT's `classifier`."""
    head = nn.Sequential(nn.Linear(features, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, classes))
    initialise(head, deviation)
    return head
