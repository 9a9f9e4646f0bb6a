"""fastMRI single-coil knee: raw k-space to AUROC of abnormal, meniscus, ACL and cartilage.

Command::

    knee-i2m2 prepare knee FASTMRI --annotations knee.csv --out DATA
    knee-i2m2 train knee --data DATA --out RUN
    knee-i2m2 evaluate RUN && knee-i2m2 report RUN

Cost: on the demo's phantom (6,480 slices of 64 x 64, `--network small`, the options of `recipes/demo.py`) four
minutes for all rivals on one CPU thread. On fastMRI itself nothing was measured: the default options are a start.
Expect, as AUROC per slice on that phantom (mean over the phantom seeds 0, 1, 2; `results/knee_phantom.md`)::

               abnormal  meniscus   acl   cartilage   mean
    frozen        .964      .969   .964      .989     .972   (control)
    inter3        .962      .963   .963      .997     .971   (control)
    i2m2          .961      .965   .962      .990     .969
    inter         .957      .953   .956      .991     .964
    intra         .955      .964   .958      .479     .839
    phase         .890      .967   .512      .501     .718
    magnitude     .892      .496   .961      .510     .714
    position      .548      .529   .499      .427     .501   (control)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax
from torch.optim import AdamW

from knee_i2m2 import predictions
from knee_i2m2.data.classes import class_clusters, class_sentences
from knee_i2m2.data.prepared import Prepared
from knee_i2m2.data.splits import SPLITS, refuse_one_sided
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.experts.experts import Experts
from knee_i2m2.experts.knee import NETWORKS, knee_expert, knee_shared
from knee_i2m2.files import reading
from knee_i2m2.methods.method import TARGET_LOSSES, class_weights
from knee_i2m2.modalities.augmentation import Augmentation, check_modalities
from knee_i2m2.recipes.progress import progress
from knee_i2m2.recipes.training import (
    TrainingOptions,
    check_names,
    check_rates,
    checked,
    experts_of,
    launched,
    train_rivals,
)
from knee_i2m2.sources.fastmri.annotations import TARGETS
from knee_i2m2.sources.fastmri.modalities import MODALITIES, Computed
from knee_i2m2.sources.fastmri.prepare import IDEAL, PrepareKnee, prepare_knee
from knee_i2m2.training.fit import Answers, Stage, constant, warm_cosine
from knee_i2m2.training.folder import RunFolder
from knee_i2m2.training.rivals import method_rivals, order, single, standard_rivals
from knee_i2m2.training.session import Budget, open_samples, prediction_table
from knee_i2m2.types import Rival, modalities_of

__all__ = ["RIVALS", "Knee", "PrepareKnee", "mean_auroc", "prepare", "train"]

STANDARD = {**standard_rivals(MODALITIES), "position": Rival(("position",))}
RIVALS = STANDARD | method_rivals(MODALITIES)
"""Name -> rival: the standard ones, and those of `--method`."""
SCHEDULES = {"warm_cosine": warm_cosine, "constant": constant}


@dataclass
class Knee(TrainingOptions):
    """Trains the knee's rivals on prepared data and writes their predictions.

    Attributes:
        rivals: Rows of the table: magnitude phase intra inter inter3 frozen i2m2 position; further controls are intra2
            and inter_tuned.
        network: resnet18 (stride-2 stem), preact_resnet18 (the original's) or small (for the phantom).
        phase: How phase enters a network: as (cos, sin) or as an angle in rad.
        fine_tune_epochs: At most, for a product that starts from its experts.
        fine_tune_lr: Learning rate of a product, at its peak.
        rival_lr: Learning rates of single rivals in place of these, such as {magnitude: 1e-5, i2m2: 1e-6}.
        rival_weight_decay: AdamW's of single rivals.
        schedule: Learning rate over a stage: warm_cosine (up, then down to 0) or constant.
        augment: Flip, shift, rotate, add noise and smooth phase to the training slices.
        class_weighting: Whether both classes of a target weigh the same in the loss, undone in the answer; or false.
        target_loss: The weighted mean over all labels, or the sum of each target's own, as in the original.
    """

    rivals: list[str] = field(default_factory="magnitude phase intra inter inter3 frozen i2m2 position".split)
    network: str = "resnet18"
    phase: Literal["cos_sin", "angle"] = "cos_sin"
    epochs: int = 40
    fine_tune_epochs: int = 10
    fine_tune_lr: float = 3e-5
    rival_lr: dict[str, float] = field(default_factory=dict)
    rival_weight_decay: dict[str, float] = field(default_factory=dict)
    schedule: Literal["warm_cosine", "constant"] = "warm_cosine"
    augment: bool = False
    class_weighting: bool = True
    target_loss: Literal["mean", "sum"] = "mean"


def prepare(fastmri: Path, /, config: PrepareKnee) -> dict[str, Any]:
    """Writes the prepared folder and returns its `data.json`; what is finished is not made again.

    Raises:
        ConfigError: An option does not fit, the folder was prepared otherwise, or another process is writing it.
        DataError: A volume, the annotations or the split are not usable.
    """
    with progress() as bars:
        return prepare_knee(fastmri, config, bars)


def train(config: Knee) -> dict[str, Any]:
    """Trains every (rival, seed) that is not finished, and says where.

    Raises:
        ConfigError: An option does not fit, or the folder was made otherwise.
        DataError: The prepared data are missing or hold too little.
    """
    config = checked(config, RIVALS, ("fine_tune_lr",))
    check_names([config.network], NETWORKS, "network")
    check_rates(config.rival_lr, RIVALS, "rival-lr", positive=True)
    check_rates(config.rival_weight_decay, RIVALS, "rival-weight-decay", positive=False)
    budgets = {name: budget(name, rival, config) for name, rival in order(config.rivals, RIVALS).items()}
    fabric, samples = launched(config), open_samples(config.data, "knee", Computed.open)
    refuse_one_sided(samples["train"].index, TARGETS, config.data)
    return train_rivals(
        config,
        fabric,
        samples,
        RIVALS,
        experts=fresh_experts(config, samples["train"].task.answers, samples["train"].matrix),
        weights=loss_weights(samples["train"], config.class_weighting),
        loss=TARGET_LOSSES[config.target_loss],
        score=mean_auroc,
        budgets=budgets,
        augment=augmentation(samples["train"]) if config.augment else None,
        early_warnings=class_sentences(class_clusters(pd.concat([s.index for s in samples.values()]), TARGETS)),
        write_others=partial(write_ideal, config.data, samples),
    )


def augmentation(samples: Prepared) -> Augmentation:
    """Returns the whole set at its default strengths, once the samples have shown that they are images."""
    check_modalities(samples[[0]].x)
    return Augmentation()


def fresh_experts(config: Knee, answers: tuple[int, ...], matrix: tuple[int, int]) -> Callable[[Rival, int], Experts]:
    """Returns what makes a rival's experts with fresh networks."""
    about = {"answers": answers, "matrix": matrix, "network": config.network, "phase": config.phase}
    return partial(experts_of, partial(knee_expert, **about), partial(knee_shared, **about))


def loss_weights(samples: Prepared, balanced: bool) -> torch.Tensor:
    """Returns class weights of shape (targets, classes): balanced, or all 1."""
    return class_weights(samples.y, samples.task.classes) if balanced else torch.ones(samples.task.answers)


def budget(name: str, rival: Rival, config: Knee) -> Budget:
    """Returns AdamW at the rival's own rates, where it has any.

    An expert that is trained only because a product starts from it, such as `magnitude+phase.2`, has those of the rival
    that sees the same.
    """
    epochs, lr = (config.epochs, config.lr) if not rival.warm else (config.fine_tune_epochs, config.fine_tune_lr)
    like = name if name in RIVALS else single("+".join(modalities_of(name)), RIVALS)
    rate, decay = config.rival_lr.get(like, lr), config.rival_weight_decay.get(like, config.weight_decay)
    stage = Stage(epochs, config.patience, rate=SCHEDULES[config.schedule])
    return Budget(stage, partial(AdamW, lr=rate, weight_decay=decay))


def mean_auroc(logp: np.ndarray, truth: np.ndarray) -> float:
    """Returns the mean AUROC over the targets that have both classes; NaN if none has.

    Args:
        logp: Of shape (samples, targets, 2).
        truth: Of shape (samples, targets); -1 is unknown.
    """
    log_odds = logp[..., 1] - logp[..., 0]
    areas = np.array([auroc(t, s) for t, s in zip(truth.T, log_odds.T, strict=True)])
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")


def write_ideal(data: Path, samples: Mapping[str, Prepared], run: RunFolder) -> None:
    """Writes the phantom's ideal observer as a rival, where the prepared data have one."""
    if not (data / IDEAL).is_file():
        return
    with reading(data / IDEAL, "prepare the data again"):
        ratios = pd.read_parquet(data / IDEAL).set_index("sample")
    missing = [split for split in SPLITS[1:] if not run.predictions("ideal", 0, split).is_file()]
    for split in missing:
        part = samples[split]
        logits = np.zeros((len(part), *part.task.answers))
        logits[..., 1] = ratios.loc[part.index["sample"], list(part.task.targets)].to_numpy()
        answers = Answers(
            log_softmax(logits, axis=-1), {"ideal": logits}, np.zeros(2), part.y.numpy(), np.arange(len(part))
        )
        table = prediction_table(answers, part, Rival(("ideal",), "ideal_observer"))
        predictions.write(table, run.predictions("ideal", 0, split))
