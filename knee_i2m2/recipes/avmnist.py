"""AV-MNIST: digits with most of their energy removed and speech drowned in noise, to accuracy.

Command::

    knee-i2m2 prepare avmnist --mnist MNIST --fsdd FSDD --noise NOISE --out DATA
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import SGD

from knee_i2m2.evaluation.statistics.accuracy import accuracy
from knee_i2m2.experts.avmnist import avmnist_expert, avmnist_shared
from knee_i2m2.experts.experts import Experts
from knee_i2m2.methods import METHODS
from knee_i2m2.recipes import checks
from knee_i2m2.recipes.progress import progress
from knee_i2m2.sources.avmnist import PrepareAVMNIST, prepare_avmnist
from knee_i2m2.training.fit import Stage, warm_cosine
from knee_i2m2.training.rivals import method_rivals, order, separate, standard_rivals
from knee_i2m2.training.runner import launch, seed_all
from knee_i2m2.training.session import Budget, Session, open_run, open_samples
from knee_i2m2.types import Rival

__all__ = ["AVMNIST", "RIVALS", "PrepareAVMNIST", "prepare", "train"]

MODALITIES = ("image", "audio")
STANDARD = standard_rivals(MODALITIES)
RIVALS = STANDARD | method_rivals(MODALITIES)
"""Name -> rival: the standard ones, and those of `--method`."""


@dataclass
class AVMNIST:
    """Trains AV-MNIST's rivals on prepared data and writes their predictions.

    Attributes:
        data: Folder that `prepare avmnist` wrote.
        out: Run folder; run again, it goes on with what is missing.
        rivals: Rows of the table: image audio intra inter i2m2, and the controls inter3 frozen.
        method: Methods to train as rivals of their names as well: ogm_ge gblend mmpareto shallow_fusion.
        seeds: Each trains all rivals anew.
        audio_pool: Pixels of the spectrogram averaged along each axis: 1 is the paper's full size, ten times as slow.
        epochs: At most, for an expert alone.
        fine_tune_epochs: At most, for a product that starts from its experts.
        patience: Epochs without a better validation accuracy.
        batch_size: Pairs a step (and process).
        lr: Learning rate of an expert alone, at its peak.
        fine_tune_lr: Learning rate of a product, at its peak.
        momentum: SGD's.
        weight_decay: SGD's.
        clip: Greatest norm of the gradient.
        device: auto, cpu, cuda or one card such as cuda:0.
        precision: 32 or bf16.
        workers: Processes that read data; 0 reads in the training process.
        threads: CPU threads of torch; its own choice by default.
        resume: Go on with a training that was interrupted, from its last epoch.
    """

    data: Path
    out: Path
    rivals: list[str] = field(default_factory=lambda: ["image", "audio", "intra", "inter", "i2m2"])
    method: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    audio_pool: int = 4
    epochs: int = 10
    fine_tune_epochs: int = 3
    patience: int = 10
    batch_size: int = 64
    lr: float = 0.03
    fine_tune_lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 8.0
    device: str = "auto"
    precision: str = "32"
    workers: int = 0
    threads: int | None = None
    resume: bool = False


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
    config = checks.also_methods(config, RIVALS)
    check_options(config)
    budgets = {name: budget(rival, config) for name, rival in order(config.rivals, RIVALS).items()}
    fabric = launch(config.device, config.precision, config.threads)
    samples = open_samples(config.data, "avmnist")
    with fabric.rank_zero_first():
        run = open_run(config)
    session = Session(
        fabric,
        run,
        samples,
        RIVALS,
        experts=partial(experts_of, config),
        weights=torch.ones(samples["train"].task.answers),
        score=validation_accuracy,
        budgets=budgets,
        batch_size=config.batch_size,
        workers=config.workers,
        resume=config.resume,
    )
    with progress() as bars:
        session.train(config.rivals, config.seeds, bars)
    return {"run": str(run.path), "rivals": config.rivals, "seeds": config.seeds}


def check_options(config: AVMNIST) -> None:
    """Raises ConfigError for an option with which there is nothing to train."""
    checks.check_names(config.rivals, RIVALS, "rivals")
    checks.check_seeds(config.rivals, config.seeds)
    avmnist_expert("audio", config.audio_pool)  # raises where no network fits the option
    positive = ("lr", "fine_tune_lr", "batch_size", "clip")
    checks.check_numbers(config, positive, ("momentum", "weight_decay", "workers"))


def experts_of(config: AVMNIST, rival: Rival, seed: int) -> Experts:
    """Returns a rival's experts with fresh networks, on shared encoders where its method needs them."""
    if not METHODS[rival.method].shared:
        return separate(partial(avmnist_expert, audio_pool=config.audio_pool), rival, seed)
    seed_all(seed, "weights", "shared")
    return avmnist_shared(rival.experts, config.audio_pool)


def budget(rival: Rival, config: AVMNIST) -> Budget:
    """Returns SGD for an expert alone, or for the fine-tuning of a product."""
    epochs, lr = (config.epochs, config.lr) if not rival.warm else (config.fine_tune_epochs, config.fine_tune_lr)
    stage = Stage(epochs, config.patience, config.clip, warm_cosine)
    return Budget(stage, partial(SGD, lr=lr, momentum=config.momentum, weight_decay=config.weight_decay))


def validation_accuracy(logp: np.ndarray, truth: np.ndarray) -> float:
    """Returns the share of pairs, of shape (pairs,), whose most probable class, of (pairs, classes), is the truth."""
    return accuracy(truth, logp)
