"""The backbones of NLVR2's recipe: what each is built from, and how its pictures and sentences must come.

FIBER's, from nothing, from its own file or from a Swin and a RoBERTa; ViLT; FLAVA; and a sentence encoder beside an
image tower, which meet in the heads alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from knee_i2m2.data.prepared import Prepared
from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.fiber.attention import PADDING
from knee_i2m2.experts.fiber.checkpoint import load_fiber
from knee_i2m2.experts.fiber.fiber import BASE, TINY, FiberSize
from knee_i2m2.experts.fiber.huggingface import load_roberta, load_swin
from knee_i2m2.experts.local import config_of
from knee_i2m2.experts.pairs.flava import flava_experts
from knee_i2m2.experts.pairs.inputs import (
    IMAGENET,
    Colours,
    Tokeniser,
    Vocabulary,
    local_colours,
    local_tokeniser,
    vocabulary_of,
)
from knee_i2m2.experts.pairs.nlvr2 import nlvr2_experts
from knee_i2m2.experts.pairs.sentences import late_experts, minilm_folder
from knee_i2m2.experts.pairs.vilt import vilt_experts
from knee_i2m2.experts.shared import Shared

__all__ = ["SIZES", "Backbone", "backbone_of", "check_backbone"]

SIZES = {"base": BASE, "tiny": TINY}
_FOLDERS = ("fiber", "swin", "roberta", "vilt", "flava", "sentences")
_TOGETHER = ({"swin", "roberta"}, {"swin", "sentences"})
_IDLE = {"vilt": ("gates", "size"), "flava": ("gates", "size"), "sentences": ("gates", "recompute")}
"""Backbone -> options that it has no use for."""

_MINILM = "minilm"
_VILT_TOKENS = 40
_BERT_PADDING = 0
_HALF = Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_CLIP = Colours((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@runtime_checkable
class BackboneOptions(Protocol):
    """The options that choose a backbone; see `pipelines.nlvr2.NLVR2`."""

    size: str
    fiber: Path | None
    swin: Path | None
    roberta: Path | None
    vilt: Path | None
    flava: Path | None
    sentences: Path | None
    gates: float
    longest: int
    recompute: bool


class Backbone(NamedTuple):
    """A backbone before its weights are drawn or read.

    Attributes:
        tokenise: Sentences, and the most tokens of one -> token ids; it also knows their lengths where nothing is cut.
        colours: With which pictures are normalised.
        experts: Names of experts -> these, on fresh or pre-trained weights.
    """

    tokenise: Vocabulary | Tokeniser
    colours: Colours
    experts: Callable[[Collection[str]], Shared]


def check_backbone(config: BackboneOptions) -> None:
    """Raises ConfigError for options that name several backbones, or that the one they name has no use for."""
    given = {name for name in _FOLDERS if getattr(config, name)}
    if len(given) > 1 and given not in _TOGETHER:
        names = " and ".join(f"--{name}" for name in _FOLDERS if name in given)
        raise ConfigError(f"{names} name several backbones; give one, or --swin with --roberta or --sentences")
    defaults = {field.name: field.default for field in fields(config)}
    for name in given & _IDLE.keys():
        for option in _IDLE[name]:
            if getattr(config, option) != defaults[option]:
                raise ConfigError(f"--{name} has no use for --{option}; leave it out")


def backbone_of(config: BackboneOptions, train: Prepared, words: Vocabulary | None = None) -> Backbone:
    """Returns the backbone that the options name, for pictures and words of the training samples, or those words.

    Raises:
        ConfigError: It is not installed, or does not fit the pictures.
        CheckpointError: Its tokeniser is missing.
    """
    pictures = train[[0]].x["image"].shape[1] // 3
    whole = {"pictures": pictures, "recompute": config.recompute}
    if config.vilt:
        _check_longest(config)
        return _from_folder(config.vilt, partial(vilt_experts, config.vilt, **whole), _HALF)
    if config.flava:
        return _from_folder(config.flava, partial(flava_experts, config.flava, **whole), _CLIP)
    if config.sentences:
        return _late(config, train.matrix[0], pictures)
    return _fiber(config, train, pictures, words)


def _check_longest(config: BackboneOptions) -> None:
    """Raises ConfigError for sentences that may be longer than ViLT has positions."""
    most = config_of(config.vilt).get("max_position_embeddings", _VILT_TOKENS)
    if config.longest > most:
        raise ConfigError(f"--longest {config.longest}: this ViLT reads {most} tokens; give --longest {most}")


def _from_folder(folder: Path, experts: Callable[[Collection[str]], Shared], colours: Colours) -> Backbone:
    """Returns a backbone whose tokeniser, and perhaps the colours, lie beside its weights."""
    return Backbone(local_tokeniser(folder, _BERT_PADDING), local_colours(folder, colours), experts)


def _late(config: BackboneOptions, side: int, pictures: int) -> Backbone:
    """Returns a sentence encoder, and an image tower that is drawn anew or read."""
    folder = minilm_folder() if str(config.sentences) == _MINILM else config.sentences
    size = SIZES[config.size]
    image = replace(size.image, side=side)

    def experts(names: Collection[str]) -> Shared:
        made = late_experts(folder, names, image, size.deviation, pictures)
        if config.swin:
            load_swin(config.swin, made.encoders["images"].tower)
        return made

    padding = config_of(folder).get("pad_token_id") or _BERT_PADDING
    return Backbone(local_tokeniser(folder, padding), IMAGENET, experts)


def _fiber(config: BackboneOptions, train: Prepared, pictures: int, words: Vocabulary | None) -> Backbone:
    """Returns FIBER's backbone; without a folder of RoBERTa the words are those of the training sentences."""
    words = words or vocabulary_of(train.index["sentence"].astype(str))
    tokenise = local_tokeniser(config.roberta, PADDING) if config.roberta else words
    size = _size_of(config, train.matrix[0], len(tokenise))

    def experts(names: Collection[str]) -> Shared:
        made = nlvr2_experts(names, size, pictures, recompute=config.recompute)
        _load(config, made)
        return made

    return Backbone(tokenise, IMAGENET, experts)


def _size_of(config: BackboneOptions, side: int, words: int) -> FiberSize:
    """Returns FIBER's size, with as many token ids as there are and the side of the pictures."""
    size = SIZES[config.size]
    if config.size == "tiny" or not (config.fiber or config.roberta):
        size = replace(size, text=replace(size.text, words=words))
    return replace(size, image=replace(size.image, side=side), alpha=config.gates)


def _load(config: BackboneOptions, experts: Shared) -> None:
    """Loads the weights that the options name."""
    fiber = experts.encoders.fiber
    if config.fiber:
        load_fiber(config.fiber, fiber)
    if config.swin:
        load_swin(config.swin, fiber.vit_model)
    if config.roberta:
        load_roberta(config.roberta, fiber.text_transformer)
