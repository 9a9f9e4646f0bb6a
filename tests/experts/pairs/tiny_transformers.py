"""Tiny random networks and tokenisers, written by `transformers` itself as users find them on a disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import BertConfig, BertModel, BertTokenizer, FlavaConfig, FlavaModel, ViltConfig
from transformers import ViltForImagesAndTextClassification as Vilt

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "left",
    "both",
    "images",
    "contain",
    "a",
    "no",
    "red",
    "circle",
]
SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.3}


def vilt(folder: Path, **config: object) -> Vilt:
    torch.manual_seed(0)
    options = {"image_size": 48, "patch_size": 16, "modality_type_vocab_size": 3, "num_images": 2, "num_labels": 2}
    return saved(Vilt(ViltConfig(**{**SMALL, **QUIET, "vocab_size": len(WORDS), **options, **config})), folder)


def flava(folder: Path) -> FlavaModel:
    torch.manual_seed(0)
    text = {**SMALL, **QUIET, "vocab_size": len(WORDS), "pad_token_id": 0}
    image = {**SMALL, **QUIET, "image_size": 48, "patch_size": 16}
    config = FlavaConfig(
        text_config=text,
        image_config=image,
        multimodal_config={**SMALL, **QUIET},
        hidden_size=24,
        projection_dim=24,
    )
    return saved(FlavaModel(config), folder)


def bert(folder: Path) -> BertModel:
    torch.manual_seed(0)
    return saved(BertModel(BertConfig(**SMALL, **QUIET, vocab_size=len(WORDS), pad_token_id=0)), folder)


def saved(network, folder: Path):
    """Returns the network in float64, with biases and norms that are not at rest, after it was written."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    network.eval().save_pretrained(folder)
    folder.joinpath("vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return network.double()


def sample(batch: int = 3, pictures: int = 2) -> dict[str, Tensor]:
    """Returns pictures and sentences of several lengths."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(batch, pictures, 3, 48, 48, generator=generator, dtype=torch.float64)
    sentence = torch.randint(5, len(WORDS), (batch, 8), generator=generator)
    for row in range(1, batch):
        sentence[row, 8 - 2 * row :] = 0
    return {"images": images, "sentence": sentence}
