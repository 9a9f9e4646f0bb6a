"""FLAVA: three experts from one model, which has an encoder for pictures, one for text, and one for both.

After FLAVA (Singh et al., 2022), whose features for classification are those of the first token. New is that a
modality's encoder runs once for all experts, and that the multimodal one reads each picture with the sentence.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.experts.local import config_of, mask_of, pretrained
from knee_i2m2.experts.pairs.nlvr2 import ENCODINGS, answering_head, check_names, side_by_side
from knee_i2m2.experts.shared import Shared
from knee_i2m2.types import Modalities, encoding_of, modalities_of

__all__ = ["FlavaEncoder", "flava_experts"]


def flava_experts(
    folder: Path, names: Collection[str], pictures: int = 2, classes: int = 2, recompute: bool = False
) -> Shared:
    """Returns experts on the FLAVA of a folder; what none of them uses is frozen.

    Args:
        folder: In the format of `transformers`: of `FlavaModel`, or of `FlavaForPreTraining`.
        names: Of `images`, `sentence` and `images+sentence`, and copies.
        pictures: Pictures per sentence.
        classes: Answers.
        recompute: Whether its layers are computed again for the gradient.

    Raises:
        ConfigError: A name is unknown.
        CheckpointError: The folder has no weights, or those of another network.
    """
    check_names(names)
    config_of(folder, ["flava"])
    encoder = FlavaEncoder(pretrained("FlavaModel", folder, _HEADS, recompute=recompute).network)
    encoder.keep({encoding_of(name) for name in names})
    config = encoder.flava.config
    image, text, joint = (c.hidden_size for c in (config.image_config, config.text_config, config.multimodal_config))
    widths = {"images": pictures * image, "sentence": text, "images+sentence": pictures * joint}
    heads = {name: answering_head(widths[encoding_of(name)], 2 * joint, classes, 0.02) for name in names}
    return Shared(encoder, heads)


_HEADS = ("image_codebook.", "mim_head.", "mlm_head.", "itm_head.", "mmm_image_head.", "mmm_text_head.")


class _Seen(NamedTuple):
    """What a modality's encoder gives: its features, and what the multimodal encoder reads."""

    features: Float[Tensor, "batch places width"]
    state: Float[Tensor, "batch places width"]


class FlavaEncoder(nn.Module):
    """The encodings of a FLAVA.

    The modalities are `images`, (batch, pictures, 3, side, side), normalised as FLAVA's processor does, and `sentence`,
    token ids (batch, tokens) of its tokeniser.

    Args:
        flava: A `FlavaModel`.
    """

    names = ENCODINGS

    def __init__(self, flava: nn.Module) -> None:
        super().__init__()
        self.flava = flava

    def forward(self, x: Modalities, wanted: Collection[str]) -> dict[str, Float[Tensor, "batch widths"]]:
        """Returns the wanted encodings; what they have in common is computed once."""
        needed = {modality for name in wanted for modality in modalities_of(name)}
        mask = mask_of(x["sentence"], self.flava.config.text_config.pad_token_id or 0) if "sentence" in needed else None
        images = self._pictures(x["images"]) if "images" in needed else None
        text = self._text(x["sentence"], mask) if "sentence" in needed else None
        encodings = {}
        if "images" in wanted:
            encodings["images"] = side_by_side(images.features[:, 0], len(x["images"]))
        if "sentence" in wanted:
            encodings["sentence"] = text.features[:, 0]
        if "images+sentence" in wanted:
            encodings["images+sentence"] = side_by_side(self._both(images.state, text.state, mask), len(x["images"]))
        return encodings

    def keep(self, encodings: Collection[str]) -> None:
        """Freezes what none of the encodings uses."""
        used = {part for name in encodings for part in _PARTS[name]}
        for name, parameter in self.flava.named_parameters():
            unused = name.split(".")[0] not in used or ".pooler." in name or name.endswith("mask_token")
            parameter.requires_grad_(not unused)
        for part in ("image", "text"):  # the last norm is of the features alone; the multimodal encoder has its own
            alone = {"image": "images", "text": "sentence"}[part] in encodings
            getattr(self.flava, f"{part}_model").layernorm.requires_grad_(alone)

    def _pictures(self, images: Float[Tensor, "batch pictures 3 side side"]) -> _Seen:
        output = self.flava.image_model(pixel_values=images.flatten(0, 1), output_hidden_states=True, return_dict=True)
        return _Seen(output.last_hidden_state, output.hidden_states[-1])

    def _text(self, tokens: Tensor, mask: Tensor) -> _Seen:
        output = self.flava.text_model(tokens, attention_mask=mask, output_hidden_states=True, return_dict=True)
        return _Seen(output.last_hidden_state, output.hidden_states[-1])

    def _both(self, images: Tensor, text: Tensor, mask: Tensor) -> Float[Tensor, "all width"]:
        """Returns the first token of the multimodal encoder, for every picture with its sentence."""
        each = len(images) // len(text)
        joined = [
            self.flava.image_to_mm_projection(images),
            self.flava.text_to_mm_projection(text).repeat_interleave(each, dim=0),
        ]
        first = images.shape[1] + self.flava.multimodal_model.use_cls_token
        seen = torch.cat([mask.new_ones(len(images), first), mask.repeat_interleave(each, dim=0)], dim=1)
        output = self.flava.multimodal_model(torch.cat(joined, dim=1), attention_mask=seen, return_dict=True)
        return output.last_hidden_state[:, 0]


_PARTS = {
    "images": ("image_model",),
    "sentence": ("text_model",),
    "images+sentence": (
        "image_model",
        "text_model",
        "multimodal_model",
        "image_to_mm_projection",
        "text_to_mm_projection",
    ),
}
"""Encoding -> modules of a `FlavaModel` that it uses."""
