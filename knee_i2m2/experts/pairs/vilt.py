"""ViLT as the expert on pictures and sentence together: one transformer that reads patches and tokens side by side.

After ViLT (Kim et al., 2021) in its version for NLVR2, which tells the pictures apart by their type embedding. It has
no pass over one modality alone, so that it answers as `images+sentence` only.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.local import config_of, mask_of, pretrained
from knee_i2m2.experts.pairs.nlvr2 import answering_head
from knee_i2m2.experts.shared import Shared
from knee_i2m2.types import Modalities, encoding_of

__all__ = ["ViltEncoder", "vilt_experts"]

JOINT = "images+sentence"
_HEADS = ("mlm_score.", "rank_output.", "itm_score.", "classifier.")


def vilt_experts(
    folder: Path, names: Collection[str], pictures: int = 2, classes: int = 2, recompute: bool = False
) -> Shared:
    """Returns experts on the ViLT of a folder.

    Where the folder's was fine-tuned for as many pictures and answers, its classifier is the head of
    `images+sentence`. Copies' heads are always drawn anew, and so is that one where the folder has another.

    Args:
        folder: In the format of `transformers`.
        names: `images+sentence` and copies of it.
        pictures: Pictures per sentence.
        classes: Answers.
        recompute: Whether its layers are computed again for the gradient.

    Raises:
        ConfigError: A name is of an expert that ViLT has not.
        CheckpointError: The folder has no weights, or those of another network.
    """
    for name in names:
        if encoding_of(name) != JOINT:
            hint = "leave that rival out, or take FLAVA or FIBER's backbone"
            raise ConfigError(f"expert {name}: ViLT reads pictures and sentence together only ({JOINT}); {hint}")
    config_of(folder, ["vilt"])
    vilt, drawn = pretrained(
        "ViltForImagesAndTextClassification",
        folder,
        _HEADS,
        may_lack=("classifier.",),
        recompute=recompute,
        num_images=pictures,
        num_labels=classes,
    )
    _embed_each_picture(vilt.vilt.embeddings, pictures)
    width = pictures * vilt.config.hidden_size
    heads = {name: answering_head(width, width, classes, 0.02) for name in names}
    if JOINT in heads and not drawn:
        heads[JOINT] = vilt.classifier
    return Shared(ViltEncoder(vilt.vilt), heads)


class ViltEncoder(nn.Module):
    """The pooled features of a ViLT, picture by picture with the same sentence.

    The modalities are `images`, (batch, pictures, 3, side, side), normalised to [-1, 1], and `sentence`, token ids
    (batch, tokens) of its tokeniser.

    Args:
        vilt: A `ViltModel`.
    """

    names = (JOINT,)

    def __init__(self, vilt: nn.Module) -> None:
        super().__init__()
        self.vilt = vilt

    def forward(self, x: Modalities, wanted: Collection[str]) -> dict[str, Float[Tensor, "batch widths"]]:
        """Returns the features of all pictures side by side, the first picture first.

        Raises:
            ConfigError: The text is longer than ViLT has positions.
        """
        tokens, most = x["sentence"].shape[1], self.vilt.config.max_position_embeddings
        if tokens > most:
            raise ConfigError(f"a text of {tokens} tokens comes to a ViLT that reads {most}; give --longest {most}")
        mask = mask_of(x["sentence"], self.vilt.config.pad_token_id or 0)
        pooled = [
            self.vilt(x["sentence"], mask, pixel_values=picture, image_token_type_idx=number).pooler_output
            for number, picture in enumerate(x["images"].unbind(dim=1), 1)
        ]
        return dict.fromkeys(wanted, torch.cat(pooled, dim=1))


def _embed_each_picture(embeddings: nn.Module, pictures: int) -> None:
    """Gives every picture a type of its own: those that were not pre-trained start from the first picture's."""
    weight = embeddings.token_type_embeddings.weight.data
    more = weight[1:2].expand(max(pictures + 1 - len(weight), 0), -1)
    embeddings.token_type_embeddings = nn.Embedding.from_pretrained(torch.cat([weight, more]), freeze=False)
