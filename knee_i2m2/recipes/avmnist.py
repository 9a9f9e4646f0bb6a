"""AV-MNIST: digits with most of their energy removed and speech drowned in noise, to accuracy.

Command::

    knee-i2m2 prepare avmnist --mnist MNIST --fsdd FSDD --noise NOISE --out DATA
    knee-i2m2 prepare avmnist --arrays AVMNIST --out DATA       (or pairs that are made already)
    knee-i2m2 train avmnist --data DATA --out RUN
    knee-i2m2 evaluate RUN && knee-i2m2 report RUN

Cost: 20 s to prepare; six minutes a seed for the five rivals on one CPU thread, as many again for `inter3`.
Expect, in % of 3,000 test pairs (two seeds, intervals over 300 recordings; all of it in `results/avmnist.md`)::

    audio    42.6 [40.5, 44.6]      inter    80.4 [78.9, 82.0]      inter3   81.8 [80.1, 83.3]   (control)
    image    64.0 [61.8, 66.3]      i2m2     81.6 [80.0, 83.1]      frozen   81.8 [80.3, 83.3]   (control)
    intra    79.2 [77.7, 80.7]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.optim import SGD

from knee_i2m2.experts.avmnist import avmnist_expert, avmnist_shared
from knee_i2m2.recipes.progress import progress
from knee_i2m2.recipes.training import TrainingOptions, checked, experts_of, launched, train_rivals, validation_accuracy
from knee_i2m2.sources.avmnist import PrepareAVMNIST, prepare_avmnist
from knee_i2m2.training.fit import Stage, warm_cosine
from knee_i2m2.training.rivals import method_rivals, order, standard_rivals
from knee_i2m2.training.session import Budget, open_samples
from knee_i2m2.types import Rival

__all__ = ["AVMNIST", "RIVALS", "PrepareAVMNIST", "prepare", "train"]

MODALITIES = ("image", "audio")
STANDARD = standard_rivals(MODALITIES)
RIVALS = STANDARD | method_rivals(MODALITIES)
"""Name -> rival: the standard ones, and those of `--method`."""


@dataclass
class AVMNIST(TrainingOptions):
    """Trains AV-MNIST's rivals on prepared data and writes their predictions.

    Attributes:
        rivals: Rows of the table: image audio intra inter i2m2, and the controls inter3 frozen intra2 inter_tuned.
        audio_pool: Pixels of the spectrogram averaged along each axis: 1 is the paper's full size, ten times as slow.
        fine_tune_epochs: At most, for a product that starts from its experts.
        fine_tune_lr: Learning rate of a product, at its peak.
        momentum: SGD's.
        clip: Greatest norm of the gradient.
    """

    rivals: list[str] = field(default_factory=lambda: ["image", "audio", "intra", "inter", "i2m2"])
    audio_pool: int = 4
    fine_tune_epochs: int = 3
    patience: int = 10
    batch_size: int = 64
    lr: float = 0.03
    fine_tune_lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 8.0


def prepare(config: PrepareAVMNIST) -> dict[str, Any]:
    """Writes the prepared folder and returns its `data.json`; what is finished is not made again.

    Raises:
        ConfigError: An option is out of range, or the folder was prepared otherwise.
        DataError: An input is missing or damaged, or the folder cannot be written.
    """
    with progress() as bars:
        return prepare_avmnist(config, bars)


def train(config: AVMNIST) -> dict[str, Any]:
    """Trains every (rival, seed) that is not finished, and says where.

    Raises:
        ConfigError: An option does not fit, the data are another task's, or the folder was made otherwise.
        DataError: The prepared data are missing.
    """
    config = checked(config, RIVALS, ("fine_tune_lr", "clip"), ("momentum",))
    pool = {"audio_pool": config.audio_pool}
    avmnist_expert("audio", **pool)  # raises where no network fits the option
    fabric, samples = launched(config), open_samples(config.data, "avmnist")
    return train_rivals(
        config,
        fabric,
        samples,
        RIVALS,
        experts=partial(experts_of, partial(avmnist_expert, **pool), partial(avmnist_shared, **pool)),
        weights=torch.ones(samples["train"].task.answers),
        score=validation_accuracy,
        budgets={name: budget(rival, config) for name, rival in order(config.rivals, RIVALS).items()},
    )


def budget(rival: Rival, config: AVMNIST) -> Budget:
    """Returns SGD for an expert alone, or for the fine-tuning of a product."""
    epochs, lr = (config.epochs, config.lr) if not rival.warm else (config.fine_tune_epochs, config.fine_tune_lr)
    stage = Stage(epochs, config.patience, config.clip, warm_cosine)
    return Budget(stage, partial(SGD, lr=lr, momentum=config.momentum, weight_decay=config.weight_decay))
